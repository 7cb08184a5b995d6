"""Budgets on what grows with each call, and on times of what may not happen."""

from __future__ import annotations

import pytest

from pytest_perfguard.judge.budget import judge_budget
from pytest_perfguard.judge.noise import Noise
from pytest_perfguard.judge.policy import Policy
from pytest_perfguard.model import BUILTIN, Budget, Detail, Key, Measurement, Note, Outcome, Series

KEY = Key(test="test_a.py::test_x")
PAGE = 4096
BASE = 100_000_000 // PAGE * PAGE


def stairs(growth, calls=60):
    return tuple(BASE + growth * call // PAGE * PAGE for call in range(calls))


def judge(values, *, metric="rss_growth", limit=0.0, **more):
    measurement = Measurement(key=KEY, series=(Series(metric=BUILTIN[metric], values=tuple(values)),), **more)
    budget = Budget(metric=metric, limit=limit, origin="the marker")
    return judge_budget(budget, measurement, BUILTIN[metric], references={}, noise=Noise(), policy=Policy())


def test_a_steady_growth_is_over_its_budget():
    verdict = judge(stairs(1200))
    assert verdict.outcome is Outcome.OVER_BUDGET
    assert verdict.fails
    assert verdict.value.low > 0
    assert verdict.value.confidence == 0.95


def test_the_sentence_says_how_much_a_call_and_how_sure():
    assert judge(stairs(4096)).sentence == (
        "rss_growth of test_a.py::test_x is over its budget: resident memory grew by 4 KiB a call [3.59 KiB, 4 KiB] "
        "over 60 calls, budget 0 B; budget from the marker"
    )


def test_a_flat_line_is_within_and_says_what_would_have_shown():
    verdict = judge([BASE] * 60)
    assert verdict.outcome is Outcome.PASSED
    assert verdict.sentence == (
        "rss_growth of test_a.py::test_x is within its budget: resident memory grew by 0 B a call [−417 B, 0 B] over "
        "60 calls, budget 0 B; growth of 555 B a call would have shown; budget from the marker"
    )


@pytest.mark.parametrize("step", [1, 4, 300])
def test_one_step_never_fails(step):
    for place in range(60):
        verdict = judge([BASE + step * PAGE * (call >= place) for call in range(60)])
        assert verdict.outcome in (Outcome.PASSED, Outcome.INCONCLUSIVE)
        assert not verdict.fails


def test_a_large_step_is_no_proof_and_no_pass():
    verdict = judge([BASE + 300 * PAGE * (call >= 30) for call in range(60)])
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "call the function some times before" in str(verdict.notes[0])


def test_few_pages_that_no_leak_explains_are_within():
    assert judge([BASE + PAGE * (call >= 10) + PAGE * (call >= 35) for call in range(60)]).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("limit", "outcome"), [(1000.0, Outcome.OVER_BUDGET), (2500.0, Outcome.PASSED), (1900.0, Outcome.PASSED)]
)
def test_limits_above_zero(limit, outcome):
    assert judge(stairs(2000), limit=limit).outcome is outcome


def test_too_few_calls_tell_nothing():
    assert judge(stairs(100_000, calls=5)).outcome is Outcome.INCONCLUSIVE


def test_a_note_that_undermines_it_makes_it_invalid():
    note = Note(code="sampled", message="sampled", undermines=("rss_growth",))
    assert judge(stairs(100_000), notes=(note,)).outcome is Outcome.INVALID


def test_a_relative_budget_on_growth():
    other = Measurement(key=KEY, series=(Series(metric=BUILTIN["rss_growth"], values=stairs(1000)),))
    measurement = Measurement(key=KEY, series=(Series(metric=BUILTIN["rss_growth"], values=stairs(40_000)),))
    budget = Budget(metric="rss_growth", factor=2.0, reference="other", origin="the marker")
    verdict = judge_budget(
        budget, measurement, BUILTIN["rss_growth"], references={"other": other}, noise=Noise(), policy=Policy()
    )
    assert verdict.outcome is Outcome.OVER_BUDGET


def test_a_pause_that_never_was_is_within_any_budget():
    verdict = judge([0] * 5, metric="gc_pause", limit=1e-9)
    assert verdict.outcome is Outcome.PASSED
    assert (verdict.value.low, verdict.value.high) == (0, 0)


def test_pauses_are_judged_by_their_interval():
    assert judge([9_000_000] * 5, metric="gc_pause", limit=0.001).outcome is Outcome.OVER_BUDGET
    assert judge([900_000, 0, 1_200_000, 0, 1_100_000], metric="gc_pause", limit=0.001).outcome is Outcome.INCONCLUSIVE


def test_what_was_left_is_shown_where_it_is_over():
    details = (
        Detail(metric="leaked", lines=("thread 'a'", "process 7: sleep")),
        Detail(metric="leaked_threads", lines=("thread 'a'",)),
    )
    assert judge([1], metric="leaked_threads", details=details).details == ("thread 'a'",)
    assert judge([2], metric="leaked", details=details).details == ("thread 'a'", "process 7: sleep")
    assert judge([2], metric="leaked", limit=2.0, details=details).details == ()
