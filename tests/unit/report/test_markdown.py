from __future__ import annotations

from dataclasses import replace

from pytest_perfguard.model import Commit, Note, Outcome, Run
from pytest_perfguard.report.markdown import MarkdownReporter, code, escape

from .builders import COMMIT, baseline, budgeted, compared, contest, duelled, full_run, header


def lines_of(run):
    return MarkdownReporter().render(run).splitlines()


def test_report_has_verdict_line_table_evidence_and_notes():
    lines = lines_of(full_run())
    assert lines[0].startswith(
        "**perfguard: 2 regressed, 1 over budget, 1 improved, 1 unchanged · against 1a2b3c4d5e6f"
    )
    assert "| test | metric | outcome | baseline | now | change | interval | pairs | budget |" in lines
    assert "|---|---|---|---:|---:|---:|---:|---:|---:|" in lines
    assert "| `tests/test_a.py::test_a` | queries | over budget |  | 5 |  |  |  | 3 |" in lines
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


def test_who_reads_a_red_job_sees_first_what_got_slower_how_sure_and_how_to_see_it_again():
    slow = "tests/test_shop.py::test_render[a b]"
    run = Run(
        header=header(),
        verdicts=(
            duelled("tests/test_shop.py::test_list", Outcome.UNCHANGED, 0.001),
            duelled(slow, Outcome.REGRESSED, 0.15, details=("load +3 ms",)),
            duelled("tests/test_shop.py::test_find", Outcome.REGRESSED, 0.05),
        ),
        contest=contest(),
    )
    assert "\n".join(lines_of(run)) == (
        "**perfguard: 2 regressed, 1 unchanged · against 1a2b3c4d5e6f (merge base with main), side by side**\n"
        "\n"
        "- tests/test\\_shop.py::test\\_render\\[a b\\]: regressed.\n"
        "  - `load +3 ms`\n"
        "- tests/test\\_shop.py::test\\_find: regressed.\n"
        "\n"
        "To compare again:\n"
        "\n"
        "```sh\n"
        "pytest 'tests/test_shop.py::test_render[a b]' tests/test_shop.py::test_find "
        "--perfguard-against=1a2b3c4d5e6f\n"
        "```\n"
        "\n"
        "| test | metric | outcome | baseline | now | change | interval | pairs |\n"
        "|---|---|---|---:|---:|---:|---:|---:|\n"
        "| `tests/test_shop.py::test_render[a b]` | time | regressed | 10 ms | 11.5 ms | +15 % | +14 % … +16 % | 12 |\n"
        "| `tests/test_shop.py::test_find` | time | regressed | 10 ms | 10.5 ms | +5 % | +4 % … +6 % | 12 |\n"
        "\n"
        "- 1 unchanged: any slowdown of more than 1.6 % would have been seen, 4 times in 5\n"
        "\n"
        "- side by side: 9 pairs of processes in 48 s, both sides pinned to one processor\n"
        "- disturbances: 14 of 5,120 blocks left out (0.27 %), the hypervisor took 1.2 % of the processors' time"
    )


def test_no_command_is_given_that_would_not_repeat_it():
    slow = duelled("t.py::a", Outcome.REGRESSED, 0.1)

    def shown(verdict, **what):
        return "\n".join(lines_of(Run(header=header(), verdicts=(verdict,), contest=contest(**what))))

    assert "pytest t.py::a --perfguard-against=" in shown(slow)
    assert "pytest" not in shown(slow, base=Commit(), reason="release 1.2.3")
    assert "pytest" not in shown(slow, base=replace(COMMIT, dirty=True))
    assert "pytest" not in shown(budgeted("t.py::a", 5, 3))
    assert "pytest --perfguard-only --perfguard-against=" in shown(duelled("t.py::a[\n]", Outcome.REGRESSED, 0.1))


def test_size_fits_a_comment():
    verdicts = tuple(
        compared(f"tests/test_{index}.py::" + "x" * 300, Outcome.REGRESSED, 0.5, details=("d" * 5000,) * 9)
        for index in range(500)
    )
    notes = tuple(Note(code=f"n{index}", message="m" * 2000) for index in range(20))
    report = MarkdownReporter().render(Run(header=header(), verdicts=verdicts, notes=notes, baseline=baseline()))
    assert len(report) < 65_000
    assert "… and 450 more rows" in report
