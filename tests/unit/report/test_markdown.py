from __future__ import annotations

from pytest_perfguard.model import Note, Outcome, Run
from pytest_perfguard.report.markdown import MarkdownReporter, code, escape

from .builders import baseline, compared, full_run, header


def lines_of(run):
    return MarkdownReporter().render(run).splitlines()


def test_report_has_verdict_line_table_evidence_and_notes():
    lines = lines_of(full_run())
    assert lines[0].startswith("**perfguard: 2 regressed, 1 over budget, 1 unchanged · against 1a2b3c4d5e6f (")
    assert "| test | metric | outcome | baseline | now | change | interval | budget |" in lines
    assert "|---|---|---|---:|---:|---:|---:|---:|" in lines
    assert "| `tests/test_a.py::test_a` | queries | over budget |  | 5 |  |  | 3 |" in lines
    assert "  - `more | of it`" in lines
    assert "- Few runs (tests/test\\_b.py::test\\_b); save more" in lines
    assert any("its times are not comparable" in line for line in lines)


def test_no_cell_can_break_out_of_the_table():
    name = "t.py::a[x|y`z\n| @team <b>]"
    lines = lines_of(Run(header=header(), verdicts=(compared(name, Outcome.REGRESSED, 0.5),)))
    row = next(line for line in lines if "a[x" in line and line.startswith("|"))
    assert row.startswith("| `` t.py::a[x\\|y`z \\| @team <b>] `` | time | regressed | 10 ms |")
    assert row.replace("\\|", "").count("|") == 8


def test_text_is_shown_as_it_is():
    assert escape("a_b *c* [d](e) <f> @g | `h` & \\") == (
        "a\\_b \\*c\\* \\[d\\](e) &lt;f> &#64;g \\| \\`h\\` &amp; \\\\"
    )
    assert code("a``b") == "``` a``b ```"


def test_size_fits_a_comment():
    verdicts = tuple(
        compared(f"tests/test_{index}.py::" + "x" * 300, Outcome.REGRESSED, 0.5, details=("d" * 5000,) * 9)
        for index in range(500)
    )
    notes = tuple(Note(code=f"n{index}", message="m" * 2000) for index in range(20))
    report = MarkdownReporter().render(Run(header=header(), verdicts=verdicts, notes=notes, baseline=baseline()))
    assert len(report) < 65_000
    assert "… and 450 more rows" in report
