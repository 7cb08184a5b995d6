from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys

import pytest

from pytest_perfguard.cli import compare, main
from pytest_perfguard.cli.arguments import build_parser
from pytest_perfguard.cli.output import paint, prepare_streams, sparkline
from pytest_perfguard.model import Commit, Key, Outcome, Verdict
from pytest_perfguard.quantity import Unit
from pytest_perfguard.report.json import JsonReporter
from pytest_perfguard.report.terminal import Line

from ..report.builders import full_run
from .fakes import LAPTOP, OTHER, SERVER, TEST, stored, workplace

PLACE = workplace(
    stored("run-1", "a", 1),
    stored("run-2", "b", 2, time=11e-3),
    stored("run-3", "b", 3, time=13e-3),
    stored("run-4", "b", 4, machine=SERVER, time=50e-3),
    stored("run-5", "c", 5, time=24e-3, queries=7, tests=(TEST, OTHER)),
)


def run(capsys, *argv, place=PLACE):
    arguments = build_parser().parse_args(argv)
    code = arguments.command(arguments, place)
    return code, capsys.readouterr().out.splitlines()


def words(lines, start):
    return [line.split() for line in lines if line.startswith(start)]


def test_list_shows_the_newest_first(capsys):
    code, lines = run(capsys, "list")
    assert code == 0
    assert [line.split()[-1] for line in lines[2:]] == ["run-5", "run-4", "run-3", "run-2", "run-1"]
    assert words(lines, "cccc") == [["c" * 12, "2026-01-31", "12:05", "main", LAPTOP.key, "2", "run-5"]]


def test_list_is_bounded_and_narrowed(capsys):
    place = workplace(*(stored(f"run-{minute}", "a", minute) for minute in range(25)))
    assert run(capsys, "list", place=place)[1][-1] == "… and 5 older; --all lists them"
    assert len(run(capsys, "list", "--all", place=place)[1]) == 2 + 25
    assert [line.split()[-1] for line in run(capsys, "list", "--machine", "server")[1][2:]] == ["run-4"]


def test_list_as_json(capsys):
    data = json.loads("\n".join(run(capsys, "list", "--json")[1]))
    assert data[0] == {
        "run": "run-5", "created": "2026-01-31T12:05:00Z", "commit": "c" * 40, "dirty": False, "branch": "main",
        "subject": "Commit c", "machine": LAPTOP.key, "tests": 2,
    }  # fmt: skip
    assert json.loads("\n".join(run(capsys, "list", "--json", place=workplace())[1])) == []


def test_show_gives_one_call_in_readable_units(capsys):
    _, lines = run(capsys, "show", "run-1")
    assert lines[0] == "run run-1 of 2026-01-31 12:01 UTC"
    assert lines[1] == f"commit {'a' * 12} on main: Commit a"
    assert words(lines, TEST) == [[TEST, "10", "ms", "20", "ms", "30", "ms", "3"]]
    assert "wall low" not in "\n".join(lines)
    assert "wall low" in "\n".join(run(capsys, "show", "run-1", "--all")[1])


def test_show_means_the_newest_run_or_all_of_a_commit(capsys):
    assert run(capsys, "show")[1][0].startswith("run run-5")
    assert [line.split()[1] for line in run(capsys, "show", "main")[1] if line.startswith("run ")] == [
        "run-4", "run-3", "run-2",
    ]  # fmt: skip


def test_history_has_a_row_a_commit_for_each_machine_class(capsys):
    code, lines = run(capsys, "history", "test_list")
    assert code == 0
    first = lines.index(f"time of {TEST} on {LAPTOP.key}")
    assert [line.split()[3:] for line in lines[first + 3 : first + 6]] == [
        ["1", "10", "ms"],
        ["2", "12", "ms", "+20", "%"],
        ["1", "24", "ms", "×2"],
    ]
    assert lines[first + 6] == "▁▂█  10 ms … 24 ms"
    assert f"time of {TEST} on {SERVER.key}" in lines


def test_history_of_a_count(capsys):
    _, lines = run(capsys, "history", TEST, "--metric", "queries", "--machine", "laptop")
    assert [line.split()[4:] for line in lines if line[:12] in ("a" * 12, "b" * 12, "c" * 12)] == [
        ["3"], ["3", "±0", "%"], ["7", "×2.3"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["history", "orders"], "is part of 2 tests: .*test_list, .*test_one; name one"),
        (["history", "nothing"], "no stored test is named 'nothing'"),
        (["history", "test_list", "--metric", "tme"], "no 'tme' is stored of"),
        (["show", "zzzz"], "neither a stored run"),
        (["list", "--store", "no/such/folder", "--machine", "x"], "no run is stored of machine class"),
    ],
)
def test_trouble_is_one_line_and_exit_code_2(argv, message, capsys, monkeypatch):
    from pytest_perfguard.cli.workplace import Workplace

    monkeypatch.setattr(Workplace, "find", lambda store: PLACE)
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("perfguard: error: ")
    assert len(err.splitlines()) == 1
    assert re.search(message, err)


def verdict_of(base, head):
    """Stands in for the engine: what changes by more than half has regressed."""
    old, new = base[0].records[0].summaries, head[0].records[0].summaries
    return tuple(
        Verdict(
            key=Key(test=TEST), metric=after.metric, unit=Unit.SECONDS, sentence="",
            outcome=Outcome.REGRESSED if after.value > 1.5 * before.value else Outcome.UNCHANGED,
        )
        for before, after in zip(old, new, strict=True)
    )  # fmt: skip


def test_compare_judges_and_tells_regression_by_its_exit_code(capsys, monkeypatch):
    monkeypatch.setattr(compare, "judge", verdict_of)
    code, lines = run(capsys, "compare", "HEAD", "main")
    assert code == 1
    assert lines[0] == f"1 run of {'c' * 12} (now) against 2 runs of {'b' * 12} (before)"
    assert not any("is older than" in line for line in lines)
    assert "3 regressed · against bbbbbbbbbbbb (named as main, 1 commit back, same machine class)" in lines[1]
    code, lines = run(capsys, "compare", "run-2", "run-1")
    assert code == 0
    assert "3 unchanged · against aaaaaaaaaaaa" in lines[1]


def test_compare_without_a_machine_class_in_common_keeps_exact_metrics(capsys, monkeypatch):
    monkeypatch.setattr(compare, "judge", verdict_of)
    code, lines = run(capsys, "compare", "run-4", "run-1")
    assert code == 0
    assert "perfguard: 1 unchanged" in lines[1]
    assert "its times are not comparable" in " ".join(lines)


def test_compare_reads_reports(tmp_path):
    path = tmp_path / "report.json"
    path.write_text(JsonReporter().render(full_run()), encoding="utf-8")
    (found,) = compare.find(PLACE, str(path), None)
    assert found.header.run_id == "run-head"
    record = next(each for each in found.records if each.key.test == "tests/test_b.py::test_b")
    assert (record.get("time").rounds, record.get("time").minimum, record.get("queries").value) == (2, 5_000_000_000, 3)


def test_compare_makes_the_decision_of_the_engine(capsys):
    """Exact metrics need no statistics: 3 queries against 7."""
    place = workplace(stored("run-1", "a", 1, time=1e-3), stored("run-2", "b", 2, time=1e-3, queries=7))
    code, lines = run(capsys, "compare", "run-2", "run-1", place=place)
    assert code == 1
    assert [line.split()[1:5] for line in lines if line.startswith(TEST[-20:]) or "queries" in line][:1] == [
        ["queries", "regressed", "3", "7"]
    ]


@pytest.mark.parametrize("name", ["json", "markdown", "terminal"])
def test_report_is_rendered_in_another_format(name, tmp_path, capsys):
    source, target = tmp_path / "report.json", tmp_path / "out" / "report"
    source.write_text(JsonReporter().render(full_run()), encoding="utf-8")
    code, lines = run(capsys, "report", str(source), "--format", name)
    assert code == 0
    assert run(capsys, "report", str(source), "--format", name, "-o", str(target)) == (0, [])
    assert target.read_text(encoding="utf-8").splitlines() == lines
    assert lines[0] == "{" if name == "json" else "2 regressed, 1 over budget" in lines[0]


@pytest.mark.parametrize(
    ("content", "message"), [(None, "No such file"), (b"\xff", "cannot read"), (b"{}", "not a perf")]
)
def test_report_that_cannot_be_read_is_named(content, message, tmp_path, capsys):
    path = tmp_path / "report.json"
    if content is not None:
        path.write_bytes(content)
    assert main(["report", str(path)]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert str(path) in err


def test_doctor_examines_this_machine(capsys):
    code, lines = run(capsys, "doctor")
    levels = {line.split()[0] for line in lines if not line.startswith(" ")}
    assert levels <= {"ok", "warn", "bad"}
    assert code == ("bad" in levels)
    text = "\n".join(lines)
    for topic in (
        "processor",
        "load average",
        "the same work took",
        "clock resolution",
        "hash seed",
        "Python 3",
        "git",
    ):
        assert topic in text
    assert all(line.startswith(("ok ", "warn ", "bad ", "      ")) for line in lines)


def test_stdout_that_was_closed_early_ends_the_command_quietly(tmp_path):
    code = (
        "import os, sys; from pytest_perfguard.cli import main;"
        "read, write = os.pipe(); os.close(read); os.dup2(write, 1); sys.exit(main(['list', '--json']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (141, "")


def test_narrow_encoding_does_not_end_the_command(tmp_path):
    path = tmp_path / "report.json"
    path.write_text(JsonReporter().render(full_run()), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", "from pytest_perfguard.cli import main; raise SystemExit(main())", "report", str(path)],
        env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 regressed" in done.stdout


def test_help_imports_no_stage():
    code = (
        "import sys; from pytest_perfguard.cli.arguments import build_parser; build_parser().format_help();"
        "print([name for name in sys.modules if name.startswith(('scipy', 'git.', 'numpy', 'tabulate', 'pytest.', "
        "'_pytest', 'pytest_perfguard.baseline', 'pytest_perfguard.engine'))])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize(
    ("values", "encoding", "drawn"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 8], "utf-8", "▁▂▃▄▅▆▇█"),
        ([1, 8], "ascii", "_#"),
        ([1, 8], None, "▁█"),
        ([100, 101, 100], "utf-8", "▄▅▄"),
        ([0, 0], "utf-8", "▁▁"),
        ([5], "latin-1", "="),
    ],
)
def test_sparkline(values, encoding, drawn):
    assert sparkline(values, encoding=encoding) == drawn


def test_colours_are_for_terminals(capsys, monkeypatch):
    from pytest_perfguard.cli import output

    assert paint(Line("bad", "red")) == "\x1b[31mbad\x1b[0m"
    assert paint(Line("fine")) == "fine"

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for setting, expected in [("", "\x1b[31mbad\x1b[0m\n"), ("1", "bad\n")]:
        monkeypatch.setenv("NO_COLOR", setting)
        monkeypatch.setattr(sys, "stdout", screen := Terminal())
        output.print_lines([Line("bad", "red")])
        assert screen.getvalue() == expected


def test_compare_says_when_the_older_is_judged_against_the_newer(capsys):
    hint = "is older than bbbbbbbbbbbb; to ask what the latter changed, write: perfguard compare main run-1"
    assert any(hint in line for line in run(capsys, "compare", "run-1", "main")[1])
    # Not on the line at hand: the commits' times decide.
    for early, late, older in ((10, 20, True), (20, 10, False)):
        now, before = (Commit(sha=digit * 40, time=time) for digit, time in (("d", early), ("e", late)))
        assert compare._is_older(PLACE, now, before) is older


def test_a_number_of_runs_must_be_a_number(capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["prune", "--samples-keep", "x"])
    assert "'x' is not a whole number" in capsys.readouterr().err


def test_signs_that_the_output_lacks_become_ascii(monkeypatch):
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding="ascii") for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    prepare_streams()
    for stream in streams.values():
        stream.write("×2 … −1 · ü")
        stream.flush()
        assert stream.buffer.getvalue() == b"x2 ... -1 | ?"
