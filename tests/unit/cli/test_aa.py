from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_perfguard.cli import aa, main
from pytest_perfguard.cli.arguments import build_parser
from pytest_perfguard.model import Note, Outcome, Run
from pytest_perfguard.report.json import JsonReporter
from pytest_perfguard.stats.pairs import estimate

from ..report.builders import budgeted, compared, contest, duelled, header

CALM = [duelled(f"t.py::test_{name}", Outcome.UNCHANGED, 0.001, width=0.007) for name in "abc"]


def run_of(*verdicts):
    return Run(header=header(), verdicts=verdicts, contest=contest())


def told(*verdicts, columns=140):
    return "\n".join(line.text for line in aa.lines(run_of(*verdicts), columns))


@pytest.fixture
def pytest_run(monkeypatch):
    """Stands for the run of pytest: what it would report, and the exit code that it would end with."""

    def arrange(report, code=0):
        def wait(arguments):
            arranged.append(arguments)
            path = next(each for each in arguments if each.startswith("--perfguard-report=json:")).partition(":")[2]
            if report is not None:
                Path(path).write_text(JsonReporter().render(report), encoding="utf-8")
            return code

        monkeypatch.setattr(aa, "_wait", wait)
        return arranged

    arranged: list[list[str]] = []
    return arrange


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], []),
        (["tests/perf"], ["tests/perf"]),
        (["tests", "--time", "5s", "--", "-k", "a or b"], ["--perfguard-against-time=5s", "tests", "-k", "a or b"]),
        (["--max-time=2 min", "--", "-n", "0"], ["--perfguard-max-time=2 min", "-n", "0"]),
        (["a", "b", "--", "--", "-x"], ["a", "b", "--", "-x"]),
    ],
)
def test_pytest_is_given_what_the_user_gave(argv, expected):
    command = aa.command(build_parser().parse_args(["aa", *argv]), Path("out.json"))
    fixed = ["-qq", "--perfguard-only", "--perfguard-against=self", "--perfguard-fail-on=none"]
    assert command[:3] == [sys.executable, "-m", "pytest"]
    assert command[3:] == [*fixed, "--perfguard-report=json:out.json", *expected]


def test_a_calm_suite_ends_with_0_and_a_margin(pytest_run, capsys):
    commands = pytest_run(run_of(*CALM))
    assert main(["aa", "tests"]) == 0
    out = capsys.readouterr().out
    assert "no false alarm in 3 comparisons of time" in out
    assert "--perfguard-against-min-effect=1%, at which every test would be called unchanged" in out
    report = next(each for each in commands[0] if each.startswith("--perfguard-report")).partition(":")[2]
    assert not Path(report).parent.exists()


@pytest.mark.parametrize("outcome", [Outcome.REGRESSED, Outcome.IMPROVED, Outcome.INVALID, Outcome.NO_BASELINE])
def test_whatever_claims_a_difference_is_a_false_alarm(pytest_run, outcome, capsys):
    pytest_run(run_of(*CALM, duelled("t.py::test_d", outcome, 0.05)))
    assert main(["aa"]) == 1
    assert f"1 false alarm: the code was the same on both sides\n  t.py::test_d: {outcome}." in capsys.readouterr().out


def test_a_count_that_differs_is_a_false_alarm_too(pytest_run, capsys):
    count = replace(compared("t.py::test_q", Outcome.REGRESSED, 0.5, width=0.0), metric="queries")
    pytest_run(run_of(*CALM, count), code=1)
    assert main(["aa"]) == 1
    assert "t.py::test_q: regressed." in capsys.readouterr().out


def test_counts_are_told_beside_times_and_budgets_are_not():
    count = replace(compared("t.py::test_q", Outcome.UNCHANGED, 0.0, width=0.0), metric="queries")
    shown = told(*CALM, count, budgeted("t.py::test_q", 9, 3))
    assert "no false alarm in 3 comparisons of time and 1 of counts or sizes" in shown
    assert "over budget" not in shown


@pytest.mark.parametrize(
    ("report", "code", "message"),
    [
        (None, 5, "found no guarded test"),
        (None, 4, "pytest ended with exit code 4; see above"),
        (None, 0, "pytest ended with exit code 0"),
        (run_of(*CALM), 2, "pytest ended with exit code 2"),
        (run_of(budgeted("t.py::a", 1, 3)), 0, "nothing was compared"),
        (run_of(*CALM), 1, "tests failed by themselves"),
    ],
)
def test_what_cannot_be_done_ends_with_2(pytest_run, report, code, message, capsys):
    pytest_run(report, code)
    assert main(["aa"]) == 2
    assert message in capsys.readouterr().err


def test_what_the_time_did_not_suffice_for_is_told():
    late = replace(CALM[0], outcome=Outcome.INCONCLUSIVE, effect=None, sentence="only 2 pairs of processes")
    assert "in 2 comparisons of time\nonly 2 pairs of processes\n" in told(*CALM[1:], late)
    assert "only 2 pairs" in told(late)


def test_each_test_has_its_noise_and_what_would_be_seen():
    rows = told(*CALM, duelled("t.py::test_d", Outcome.INCONCLUSIVE, 0.0, width=0.03, detectable=0.05)).splitlines()
    assert rows[0].split() == ["test", "noise", "would", "see", "interval", "pairs", "spent", "verdict"]
    assert rows[2].split()[0] == "t.py::test_d"
    assert rows[2].split()[3:] == ["+5", "%", "−3", "%", "…", "+3", "%", "12", "4.5", "s", "inconclusive"]
    assert "9 pairs of processes in 48 s, both sides pinned to one processor" in "\n".join(rows)


@pytest.mark.parametrize("count", [4, 6, 12, 32])
def test_the_noise_is_that_of_the_pairs(count):
    shifts = [0.02 * math.sin(3 * number) for number in range(count)]
    known = estimate(shifts)
    low, high = known.interval(0.99)
    verdict = duelled("t.py::a", Outcome.INCONCLUSIVE, math.expm1(known.shift), pairs=count)
    effect = replace(verdict.effect, low=math.expm1(low), high=math.expm1(high), confidence=0.99)
    assert math.log1p(aa.deviation(effect)) == pytest.approx(known.deviation)


@pytest.mark.parametrize(
    ("margin", "expected"), [(0.0, 0.005), (0.0049, 0.005), (0.0101, 0.015), (0.33, 0.4), (0.9, 1.0), (2.5, 3)]
)
def test_a_suggested_margin_is_round_and_enough(margin, expected):
    assert aa.suggestion(margin) == expected


def test_within_the_margin_lies_the_whole_interval_on_the_logarithm():
    effect = replace(CALM[0].effect, low=-0.02, high=0.01)
    assert aa.margin_needed(effect) == pytest.approx(1 / 0.98 - 1)
    assert aa.margin_needed(replace(effect, low=-0.001)) == pytest.approx(0.01)


def test_what_is_too_noisy_is_named_with_the_reason_and_a_margin_of_its_own():
    shaky = duelled("t.py::test_shaky", Outcome.INCONCLUSIVE, 0.0, width=0.07)
    torn = Note(code="bimodal", message="its times have two modes", remedy="fix the hash seed")
    shown = told(
        *CALM,
        shaky,
        replace(shaky, key=replace(shaky.key, test="t.py::test_torn"), notes=(torn, replace(torn, code="other"))),
        duelled("t.py::test_long", Outcome.INCONCLUSIVE, 0.0, width=0.11, pairs=4),
        columns=1000,
    )
    assert "min-effect=1%, at which 3 of 6 tests would be called unchanged" in shown
    assert "too noisy for it: t.py::test_shaky: its pairs differ by " in shown
    assert '@pytest.mark.perf(min_effect="8%")' in shown
    assert "test_torn: its times have two modes; fix the hash seed; or give it" in shown
    assert "test_long: only 4 pairs fitted into the time: give it more with --time" in shown


def test_a_machine_on_which_all_is_noisy_has_no_scapegoat():
    noisy = [duelled(f"t.py::test_{name}", Outcome.INCONCLUSIVE, 0.0, width=0.09) for name in "abc"]
    assert "too noisy" not in told(*noisy)
    assert "min-effect=10%, at which every test" in told(*noisy)


def test_no_line_is_wider_than_the_terminal():
    long = duelled("tests/with/a/long/path/test_orders.py::TestOrders::test_list_all", Outcome.REGRESSED, 0.05)
    text = told(*CALM, long, columns=100)
    assert max(map(len, text.splitlines())) <= 100
    assert "::test_list_all" in text


def test_the_exit_code_of_the_process_is_handed_on():
    assert aa._wait([sys.executable, "-c", "raise SystemExit(3)"]) == 3


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_what_ends_this_command_lets_pytest_tidy_up_first(tmp_path):
    """The parent is told to end as soon as its child runs; the child says when it has been told."""
    done = tmp_path / "done"
    child = (
        "import os, pathlib, signal, sys\n"
        "def tidy(number, frame):\n"
        f"    pathlib.Path({str(done)!r}).touch()\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, tidy)\n"
        "os.kill(os.getppid(), signal.SIGTERM)\n"
        "signal.pause()\n"
    )
    code = f"import sys; from pytest_perfguard.cli import aa; sys.exit(aa._wait([sys.executable, '-c', {child!r}]))"
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0
    assert done.exists()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
