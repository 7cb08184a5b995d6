from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace

import pytest

from pytest_perfguard.model import Baseline, Commit, Interval, Note, Outcome, Run, StoredRun
from pytest_perfguard.report.terminal import Line, plain, shorten, summary_lines

from .builders import (
    COMMIT,
    OTHER_MACHINE,
    baseline,
    budgeted,
    compared,
    contest,
    duelled,
    full_run,
    header,
    measured,
)


def text(run, **more):
    return "\n".join(line.text for line in summary_lines(run, **more))


def run_of(*verdicts, **more):
    return Run(header=header(), verdicts=verdicts, **more)


def test_verdict_line_comes_first_and_names_the_baseline():
    run = run_of(
        compared("t.py::a", Outcome.UNCHANGED, 0.0),
        compared("t.py::b", Outcome.REGRESSED, 0.3),
        compared("t.py::c", Outcome.UNCHANGED, 0.0),
        baseline=baseline(),
    )
    assert summary_lines(run, width=120)[:2] == [
        Line(
            "perfguard: 1 regressed, 2 unchanged · against 1a2b3c4d5e6f "
            "(merge base with main, 2 commits back, same machine class)",
            "red",
        ),
        Line(f"baseline: 1 run from machine class {header().machine.key}"),
    ]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (None, []),
        (Baseline(reason="nothing stored"), ["· no baseline: nothing stored"]),
        (baseline(distance=1), ["1 commit back"]),
        (baseline(distance=0), ["the same commit"]),
        (baseline(distance=None), ["distance not known"]),
        (baseline(weak=True), [", weak)", "by default it never fails a run"]),
        (
            baseline(foreign=("other Python 3.11",)),
            ["not the same machine class", "(other Python 3.11)", "never fail a run"],
        ),
        (
            baseline(runs=(StoredRun(header=header("x", commit=COMMIT, machine=OTHER_MACHINE), records=()),)),
            ["not the same machine class", f"machine class {OTHER_MACHINE.key}"],
        ),
    ],
)
def test_baseline_is_described(chosen, expected):
    shown = text(run_of(compared("t.py::a", Outcome.UNCHANGED, 0.0), baseline=chosen), width=300)
    assert all(part in shown for part in expected)
    assert ("against" in shown) == (chosen is not None and chosen.commit is not None)


def test_table_holds_what_changed_or_failed_worst_first():
    run = run_of(
        compared("t.py::faster", Outcome.IMPROVED, -0.4),
        compared("t.py::slow", Outcome.REGRESSED, 0.2),
        compared("t.py::same", Outcome.UNCHANGED, 0.0),
        budgeted("t.py::asks", 9, 3),
        compared("t.py::slower", Outcome.REGRESSED, 0.45),
        compared("t.py::unclear", Outcome.INCONCLUSIVE, 0.1),
        budgeted("t.py::fine", 2, 3),
    )
    rows = [line for line in summary_lines(run) if line.text.startswith("t.py::")]
    assert [(line.text.split()[0], line.style) for line in rows] == [
        ("t.py::slower", "red"), ("t.py::slow", "red"), ("t.py::asks", "red"), ("t.py::faster", "green"),
    ]  # fmt: skip
    assert rows[0].text.split("  ")[0] == "t.py::slower"
    for cell in ("time", "regressed", "10 ms", "14.5 ms", "+45 %", "+35 % … +55 %"):
        assert cell in rows[0].text
    every = [line.text.split()[0] for line in summary_lines(run, verbose=True) if line.text.startswith("t.py::")]
    assert every == [
        "t.py::slower", "t.py::slow", "t.py::asks", "t.py::unclear", "t.py::faster", "t.py::same", "t.py::fine",
    ]  # fmt: skip


def test_only_columns_with_content_are_shown():
    lines = summary_lines(run_of(budgeted("t.py::asks", 9, 3)))
    assert lines[2].text.split() == ["test", "metric", "outcome", "now", "budget"]


def test_the_rest_is_folded_with_its_useful_number():
    run = run_of(
        compared("t.py::a", Outcome.INCONCLUSIVE, 0.1, detectable=0.25),
        compared("t.py::b", Outcome.INCONCLUSIVE, 0.1, detectable=0.4),
        compared("t.py::c", Outcome.UNCHANGED, 0.0, detectable=0.03),
        compared("t.py::d", Outcome.UNCHANGED, 0.0, detectable=None),
        compared("t.py::e", Outcome.NO_BASELINE, 0.0),
        budgeted("t.py::f", 1, 4),
        budgeted("t.py::g", 3, 4),
        budgeted("t.py::h", 0, 0),
    )
    shown = [line.text for line in summary_lines(run)][1:]
    assert shown == [
        "2 inconclusive: only a slowdown of more than 25 % to 40 % (depending on the test) would have been",
        "  seen, 4 times in 5",
        "1 no baseline: nothing to compare with yet; --perfguard-save keeps this run as a baseline",
        "2 unchanged: any slowdown of more than 3 % would have been seen, 4 times in 5",
        "3 passed: the tightest is at 75 % of its limit",
    ]
    assert not any("inconclusive:" in line.text for line in summary_lines(run, verbose=True))


def test_what_does_not_fail_says_so():
    run = run_of(compared("t.py::a", Outcome.REGRESSED, 0.3, fails=False))
    first, *rest = summary_lines(run)
    assert first.style == "yellow"
    assert any("regressed (not failing)" in line.text and line.style == "yellow" for line in rest)


def test_folded_outcome_that_fails_the_run_is_in_the_table():
    run = run_of(compared("t.py::a", Outcome.INCONCLUSIVE, 0.3, fails=True))
    assert [line.style for line in summary_lines(run) if line.text.startswith("t.py::a")] == ["red"]
    assert "1 inconclusive:" not in text(run)


def test_without_verdicts_what_was_measured_is_told():
    run = Run(header=header(), measurements=(measured("t.py::a"),))
    assert text(run) == "perfguard: 1 measured, nothing to judge by"
    assert "1.28 s" in text(run, verbose=True)
    assert "queries" in text(run, verbose=True)
    assert text(Run(header=header())) == "perfguard: nothing measured"


def test_notes_are_told_once_each_with_remedy():
    shared = Note(code="noisy", message="The machine is noisy", remedy="wait")
    many = [Note(code="drift", message=f"Drift {index}") for index in range(5)]
    run = Run(
        header=header(notes=(shared,)),
        verdicts=tuple(compared(f"t.py::{index}", Outcome.UNCHANGED, 0, notes=(many[index],)) for index in range(5)),
        measurements=(measured("t.py::a", notes=(shared,)), measured("t.py::b", notes=(shared,))),
        notes=(shared,),
    )
    notes = [line.text for line in summary_lines(run) if line.text.startswith("note:")]
    assert notes == [
        "note: The machine is noisy (2 measurements); wait",
        "note: Drift 0 (t.py::0) (and 4 like it; -v shows all)",
    ]
    assert "Drift 4" in text(run, verbose=True)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
@pytest.mark.parametrize("verbose", [False, True])
def test_width_is_respected_and_the_function_stays_readable(width, verbose):
    name = "tests/a/long/path/with/many/folders/test_orders.py::TestOrders::test_list"
    verdict = compared(name, Outcome.REGRESSED, 0.2, notes=(Note(code="n", message="word " * 40, remedy="x" * 90),))
    run = replace(full_run(), verdicts=(verdict, replace(budgeted(name, 12, 3), metric="m" * 20)))
    lines = summary_lines(run, width=width, verbose=verbose)
    assert max(len(line.text) for line in lines if not line.text.startswith("to compare again:")) <= width
    assert any("::test_list" in line.text for line in lines if "regressed" in line.text)
    assert any("+20 %" in line.text for line in lines)


@pytest.mark.parametrize(
    ("name", "width", "expected"),
    [
        ("tests/test_a.py::test_x", 23, "tests/test_a.py::test_x"),
        ("tests/test_a.py::test_x", 14, "…_a.py::test_x"),
        ("tests/test_a.py::test_x[1]", 14, "…py::test_x[1]"),
        ("tests/test_a.py::test_x[a::b-long-long]", 14, "test_x[a::b-l…"),
        ("tests/test_a.py::test_x [name]", 14, "…test_x [name]"),
        ("tests/test_a.py::test_very_long", 10, "test_very…"),
    ],
)
def test_names_are_cut_on_the_left(name, width, expected):
    assert shorten(name, width) == expected


@pytest.mark.parametrize("change", [math.inf, math.nan, -1.0])
def test_numbers_that_are_none_do_not_break_the_report(change):
    verdict = compared("t.py::a", Outcome.REGRESSED, change, detectable=math.inf)
    value = Interval(value=math.nan, low=math.nan, high=math.inf, confidence=0.99)
    run = run_of(replace(verdict, value=value), compared("t.py::b", Outcome.INCONCLUSIVE, change, detectable=math.nan))
    assert "nan" not in text(run)
    assert "t.py::a" in text(run, verbose=True)


def test_control_characters_of_a_name_do_not_reach_the_terminal():
    shown = text(run_of(compared("t.py::a[\x1b[31m\n]", Outcome.REGRESSED, 0.2)))
    assert "\x1b" not in shown
    assert "t.py::a[ [31m ]" in shown


def test_rendering_waits_with_its_imports():
    code = (
        "import sys; import pytest_perfguard.report.terminal, pytest_perfguard.report.json, "
        "pytest_perfguard.report.markdown; "
        "print({'tabulate', 'numpy', 'scipy', 'jsonschema', 'wcwidth', 'pytest'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_a_budget_too_close_to_call_is_in_the_table():
    close = replace(
        budgeted("t.py::close", 2, 3),
        outcome=Outcome.INCONCLUSIVE,
        value=Interval(value=2.0, low=1.0, high=4.0, confidence=0.95),
    )
    shown = [line.text for line in summary_lines(run_of(close, compared("t.py::a", Outcome.INCONCLUSIVE, 0.1)))]
    assert [line.split()[-1] for line in shown if line.startswith("t.py::")] == ["3"]
    assert any(line.startswith("1 inconclusive: ") for line in shown)
    assert not any(line.startswith("1 inconclusive") for line in text(run_of(close)).splitlines())


def test_a_named_revision_without_runs_is_named():
    run = run_of(compared("t.py::a", Outcome.NO_BASELINE, 0.0), baseline=Baseline(reason="no run of v1 is stored in b"))
    assert "1 no baseline: no run of v1 is stored in b" in text(run)
    assert "--perfguard-save" not in text(run)


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "×10 −67 % 1 … 2 · a → µ ü"),
        ("cp1252", "×10 -67 % 1 … 2 · a -> µ ü"),
        ("ascii", "x10 -67 % 1 ... 2 | a -> u ü"),
        ("no such", "x10 -67 % 1 ... 2 | a -> u ü"),
    ],
)
def test_signs_that_an_encoding_lacks_become_ascii(encoding, shown):
    assert plain("×10 −67 % 1 … 2 · a → µ ü", encoding) == shown


def live(*verdicts, **how):
    return run_of(*verdicts, contest=contest(**how))


def test_a_live_comparison_says_what_base_was_and_how_it_went():
    run = live(
        duelled("t.py::a", Outcome.UNCHANGED, 0.001), duelled("t.py::b", Outcome.UNCHANGED, 0.0, detectable=0.029)
    )
    assert [line.text for line in summary_lines(run, width=125)] == [
        "perfguard: 2 unchanged · against 1a2b3c4d5e6f (merge base with main), side by side",
        "side by side: 9 pairs of processes in 48 s, both sides pinned to one processor",
        "disturbances: 14 of 5,120 blocks left out (0.27 %), the hypervisor took 1.2 % of the processors' time",
        "2 unchanged: any slowdown of more than 1.6 % to 2.9 % (depending on the test) would have been seen, "
        "4 times in 5",
    ]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"pinned": False}, ["not pinned: intervals are wider"]),
        ({"dropped": 0, "steal": None}, ["disturbances: none of 5,120 blocks left out"]),
        ({"blocks": 0, "dropped": 0, "steal": 0.0}, ["disturbances: the hypervisor took 0 % of the processors' time"]),
        ({"pairs": 1}, ["1 pair of processes"]),
        ({"base": Commit(), "reason": "release 1.2.3"}, ["against release 1.2.3, side by side"]),
        ({"reason": "1a2b3c4d"}, ["against 1a2b3c4d5e6f, side by side"]),
        ({"reason": COMMIT.sha}, ["against 1a2b3c4d5e6f, side by side"]),
        ({"base": Commit(), "reason": ""}, ["against another tree, side by side"]),
        ({"base": replace(COMMIT, dirty=True)}, ["against 1a2b3c4d5e6f+dirty (merge base"]),
        ({"notes": (Note(code="x", message="No lock file", remedy="add one"),)}, ["note: No lock file; add one"]),
    ],
)
def test_circumstances_of_a_live_comparison_are_told(how, expected):
    shown = text(live(duelled("t.py::a", Outcome.UNCHANGED, 0.0), **how), width=300)
    assert all(part in shown for part in expected)


def test_what_is_not_pinned_stands_out():
    lines = summary_lines(live(duelled("t.py::a", Outcome.UNCHANGED, 0.0), pinned=False))
    assert [line.style for line in lines if "not pinned" in line.text] == ["yellow"]


def test_rows_of_a_live_comparison_have_pairs_and_with_v_what_they_could_see_and_cost():
    run = live(duelled("t.py::slow", Outcome.REGRESSED, 0.2), duelled("t.py::same", Outcome.UNCHANGED, 0.0))
    brief = [line.text.split() for line in summary_lines(run, width=160) if line.text.startswith(("test ", "t.py"))]
    assert brief[0] == ["test", "metric", "outcome", "baseline", "now", "change", "interval", "pairs"]
    assert brief[1][-6:] == ["+19", "%", "…", "+21", "%", "12"]
    every = [line.text.split() for line in summary_lines(run, width=160, verbose=True) if line.text.startswith("t")]
    assert every[0][-3:] == ["pairs", "detectable", "spent"]
    assert [line[-5:] for line in every[1:3]] == [["12", "1.6", "%", "4.5", "s"]] * 2


def test_in_a_narrow_terminal_the_interval_of_pairs_stays_longest():
    shown = text(live(duelled("tests/test_shop.py::test_render", Outcome.REGRESSED, 0.2)), width=80)
    assert "+19 % … +21 %" in shown
    assert "baseline" not in shown


def test_a_failure_can_be_compared_again_by_one_command_on_one_line():
    slow = [duelled(f"tests/test_shop.py::test_{name}", Outcome.REGRESSED, 0.2) for name in "abcdef"]
    last = [summary_lines(live(*slow[:count]), width=60)[-1].text for count in (2, 6)]
    both = "tests/test_shop.py::test_a tests/test_shop.py::test_b"
    assert last == [
        f"to compare again: pytest {both} --perfguard-against=1a2b3c4d5e6f",
        "to compare again: pytest --perfguard-only --perfguard-against=1a2b3c4d5e6f",
    ]
    assert "compare again" not in text(live(replace(slow[0], fails=False)))
    assert "compare again" not in text(run_of(*slow))
