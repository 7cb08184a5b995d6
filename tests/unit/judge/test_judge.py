import math
import random

import pytest

from pytest_perfguard.judge.budget import judge_budget
from pytest_perfguard.judge.noise import Noise, learn
from pytest_perfguard.judge.policy import Policy
from pytest_perfguard.judge.regression import Against, compare_metric
from pytest_perfguard.model import (
    BUILTIN,
    Budget,
    Key,
    Measurement,
    Note,
    Outcome,
    QueryLog,
    Record,
    Series,
    Statement,
    StatementKind,
    StoredRun,
    Summary,
)
from pytest_perfguard.stats.spread import UNKNOWN, Spread
from pytest_perfguard.testing import example_header

KEY = Key(test="tests/test_a.py::test_x")
AGAINST = Against(words="1a2b3c4d5e6f (HEAD^1)")
TEN_TESTS, ONE_TEST, NOTHING_KNOWN = Policy(tests=10), Policy(), Noise()
CALM = Noise(plain=Spread(deviation=0.02, degrees=50), relative=Spread(deviation=0.02, degrees=50))


def summary(metric, value, rounds=100):
    return Summary(metric=metric, rounds=rounds, iterations=1, minimum=0, low=0, median=0, high=0, value=value)


def record(time, reference=40e-6, *, contended=False, **exact):
    summaries = [summary("time", time), summary("reference", reference)]
    summaries += [summary(name, value) for name, value in exact.items()]
    return Record(key=KEY, summaries=tuple(summaries), contended=contended)


def timed(head, base, *, noise=CALM, policy=TEN_TESTS, against=AGAINST, **more):
    return compare_metric(BUILTIN["time"], head, base, against=against, noise=noise, policy=policy, **more)


@pytest.mark.parametrize(
    ("factor", "outcome"),
    [(1.5, Outcome.REGRESSED), (1.0, Outcome.UNCHANGED), (0.6, Outcome.IMPROVED), (1.12, Outcome.INCONCLUSIVE)],
)
def test_times_are_judged_by_their_interval(factor, outcome):
    verdict = timed([record(0.001 * factor)] * 3, [record(0.001)] * 5)
    assert verdict.outcome is outcome
    assert verdict.fails is (outcome is Outcome.REGRESSED)
    assert verdict.effect.low <= factor - 1 <= verdict.effect.high
    assert verdict.effect.change == pytest.approx(factor - 1)
    assert "1a2b3c4d5e6f (HEAD^1)" in verdict.sentence
    assert "3 runs against 5" in verdict.sentence


def test_a_machine_that_became_slower_is_no_regression():
    slower_machine = [record(0.002, reference=80e-6)] * 3
    verdict = timed(slower_machine, [record(0.001)] * 5)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert not verdict.fails


def test_a_reference_that_became_faster_is_no_regression():
    verdict = timed([record(0.001, reference=20e-6)] * 3, [record(0.001)] * 5)
    assert verdict.outcome is Outcome.INCONCLUSIVE


def test_a_time_that_was_measured_without_reference_is_judged_alone():
    plain = [Record(key=KEY, summaries=(summary("time", value),)) for value in (0.001, 0.002)]
    assert timed([plain[1]], [plain[0]]).outcome is Outcome.REGRESSED


def test_one_run_against_one_tells_gross_changes_only():
    unknown = Noise()
    assert timed([record(0.0013)], [record(0.001)], noise=unknown).outcome is Outcome.INCONCLUSIVE
    assert timed([record(0.004)], [record(0.001)], noise=unknown).outcome is Outcome.REGRESSED
    verdict = timed([record(0.001)], [record(0.001)], noise=unknown)
    assert verdict.outcome is Outcome.INCONCLUSIVE, "nothing is called unchanged that could not have been seen"
    assert 0.5 < verdict.effect.detectable < 2.0
    assert "more of the baseline commit" in verdict.notes[0].remedy


def test_what_was_timed_once_is_known_less_well():
    once, often = (
        [Record(key=KEY, summaries=(summary("time", value, rounds),)) for value in (0.001, 0.01)] for rounds in (1, 100)
    )
    assert timed([often[1]], [often[0]], noise=Noise()).outcome is Outcome.REGRESSED
    assert timed([once[1]], [once[0]], noise=Noise()).outcome is Outcome.INCONCLUSIVE
    assert timed([record(4.0)], [record(0.1)], noise=Noise()).outcome is Outcome.REGRESSED


def test_more_guarded_tests_make_each_claim_harder():
    few, many = (timed([record(0.001)], [record(0.001)], policy=Policy(tests=tests)) for tests in (1, 1000))
    assert many.effect.detectable > few.effect.detectable
    assert timed([record(0.001)], [record(0.001)], comparisons=5).effect.detectable > few.effect.detectable


@pytest.mark.parametrize(
    ("against", "head", "policy", "fails"),
    [
        (Against(words="x", weak=True), {}, Policy(), False),
        (Against(words="x", foreign=("another machine class",)), {}, Policy(), False),
        (Against(words="x", weak=True), {}, Policy(weak_fails=True), True),
        (Against(words="x"), {"contended": True}, Policy(), False),
        (Against(words="x"), {"contended": True}, Policy(contended_fails=True), True),
        (Against(words="x"), {}, Policy(fail_on=frozenset()), False),
    ],
)
def test_what_must_not_fail_a_run_is_said_and_does_not(against, head, policy, fails):
    verdict = timed([record(0.01, **head)], [record(0.001)], against=against, policy=policy)
    assert verdict.outcome is Outcome.REGRESSED
    assert verdict.fails is fails


def test_nothing_stored_is_no_baseline():
    verdict = timed([record(0.001)], [])
    assert verdict.outcome is Outcome.NO_BASELINE
    assert not verdict.fails


@pytest.mark.parametrize(
    ("metric", "base", "head", "outcome"),
    [
        ("queries", [3.0], 3.0, Outcome.UNCHANGED),
        ("queries", [3.0], 4.0, Outcome.REGRESSED),
        ("queries", [3.0], 2.0, Outcome.IMPROVED),
        ("queries", [0.0], 1.0, Outcome.REGRESSED),
        ("queries", [3.0, 5.0], 5.0, Outcome.UNCHANGED),
        ("queries", [3.0, 5.0], 4.0, Outcome.UNCHANGED),
        ("memory", [50e6], 51e6, Outcome.UNCHANGED),
        ("memory", [50e6], 54e6, Outcome.REGRESSED),
        ("result_size", [1000.0], 1005.0, Outcome.UNCHANGED),
        ("result_size", [1000.0], 1011.0, Outcome.REGRESSED),
    ],
)
def test_exact_metrics_are_compared_exactly_up_to_their_tolerance(metric, base, head, outcome):
    verdict = compare_metric(
        BUILTIN[metric],
        [record(0.001, **{metric: head})],
        [record(0.001, **{metric: value}) for value in base],
        against=AGAINST,
        noise=CALM,
        policy=Policy(),
    )
    assert verdict.outcome is outcome
    assert verdict.fails is (outcome is Outcome.REGRESSED)
    assert "queries" not in verdict.sentence or metric == "queries"


def log(*fingerprints, dialect="sqlite"):
    statements = tuple(
        Statement(fingerprint=text, kind=StatementKind.READ, count=count, distinct=count, function="shop/db.py:load")
        for text, count in fingerprints
    )
    return QueryLog(dialect=dialect, driver="sqlite3", statements=statements)


def compare_logs(base, head):
    records = [
        Record(key=KEY, summaries=(summary("queries", sum(s.count for s in each.statements)),), queries=each)
        for each in (base, head)
    ]
    return compare_metric(BUILTIN["queries"], records[1:], records[:1], against=AGAINST, noise=CALM, policy=Policy())


def test_a_rise_in_queries_names_what_is_new_gone_and_changed():
    verdict = compare_logs(
        log(("SELECT a FROM t", 1), ("SELECT old FROM t", 1), ("SELECT c FROM t", 1)),
        log(("SELECT a FROM t", 9), ("SELECT new FROM t", 1), ("SELECT c FROM t", 1)),
    )
    text = "\n".join(verdict.details)
    assert verdict.outcome is Outcome.REGRESSED
    assert "SELECT new FROM t" in text
    assert "SELECT old FROM t" in text
    assert "SELECT a FROM t" in text
    assert "SELECT c FROM t" not in text
    assert "shop/db.py:load" in text


def test_queries_of_another_dialect_are_not_compared():
    verdict = compare_logs(log(("SELECT 1", 1)), log(("SELECT 1", 5), dialect="postgresql"))
    assert verdict.outcome is Outcome.INVALID
    assert not verdict.fails
    assert "made with sqlite through sqlite3, this run with postgresql through sqlite3" in verdict.sentence


def test_no_statement_where_there_were_some_is_no_improvement():
    verdict = compare_logs(log(("SELECT 1", 2)), log())
    assert verdict.outcome is Outcome.INVALID
    assert "no statement was seen" in verdict.sentence
    assert "no statement was seen" in verdict.notes[0].message


def measurement(values, metric="time", iterations=1, notes=(), contended=False, name=""):
    series = Series(metric=BUILTIN[metric], values=tuple(values), iterations=iterations)
    return Measurement(key=Key(test=KEY.test, name=name), series=(series,), notes=notes, contended=contended)


def budget(measured, *, policy=ONE_TEST, references=None, noise=NOTHING_KNOWN, **fields):
    limit = Budget(**{"metric": "time", "origin": "marker on x", **fields})
    return judge_budget(limit, measured, BUILTIN[limit.metric], references=references or {}, noise=noise, policy=policy)


@pytest.mark.parametrize(
    ("limit", "outcome"),
    [(0.050, Outcome.PASSED), (0.021, Outcome.INCONCLUSIVE), (0.010, Outcome.OVER_BUDGET)],
)
@pytest.mark.parametrize("rounds", [1, 30])
def test_a_budget_on_time_is_over_under_or_inconclusive(limit, outcome, rounds):
    rng = random.Random(1)
    verdict = budget(measurement([round(20e6 * rng.uniform(0.98, 1.02)) for _ in range(rounds)]), limit=limit)
    assert verdict.outcome is outcome
    assert verdict.fails is (outcome is Outcome.OVER_BUDGET)
    assert verdict.value.low < 0.020 < verdict.value.high
    if outcome is Outcome.INCONCLUSIVE:
        assert ("rounds=5" in verdict.notes[0].remedy) is (rounds == 1)


@pytest.mark.parametrize(("count", "outcome"), [(3, Outcome.PASSED), (4, Outcome.OVER_BUDGET)])
def test_an_exact_budget_has_no_interval(count, outcome):
    verdict = budget(measurement([count], "queries"), metric="queries", limit=3.0)
    assert verdict.outcome is outcome
    assert "[" not in verdict.sentence


def test_a_short_body_that_is_timed_once_passes_a_wide_budget_but_not_fails_a_narrow_one():
    assert budget(measurement([200_000]), limit=0.1).outcome is Outcome.PASSED
    assert budget(measurement([200_000]), limit=0.0001).outcome is Outcome.INCONCLUSIVE
    assert budget(measurement([30_000_000]), limit=0.02).outcome is Outcome.OVER_BUDGET


def test_one_slow_round_of_many_does_not_break_a_budget():
    assert budget(measurement([1_000_000] * 20 + [900_000_000]), limit=0.002).outcome is Outcome.PASSED


def test_a_relative_budget_uses_the_uncertainty_of_both():
    reference = {"test_ref": measurement([1_000_000] * 20)}
    for factor, outcome in ((1.5, Outcome.OVER_BUDGET), (2.0, Outcome.INCONCLUSIVE), (3.0, Outcome.PASSED)):
        verdict = budget(measurement([2_000_000] * 20), references=reference, factor=factor, reference="test_ref")
        assert verdict.outcome is outcome
        assert f"{factor:g} times test_ref" in verdict.sentence


def test_a_reference_that_was_not_measured_is_no_pass_and_no_failure():
    verdict = budget(measurement([1]), factor=2.0, reference="test_gone")
    assert verdict.outcome is Outcome.INVALID
    assert "test_gone" in verdict.sentence
    assert not verdict.fails
    assert [(note.code, "test_gone" in note.message) for note in verdict.notes] == [("no-reference", True)]


def test_a_value_that_cannot_be_trusted_is_invalid():
    note = Note(code="traced", message="a trace function was active", undermines=("time",))
    verdict = budget(measurement([10**12], notes=(note,)), limit=0.001)
    assert verdict.outcome is Outcome.INVALID
    assert "a trace function was active" in verdict.sentence
    assert budget(measurement([9], "queries", notes=(note,)), metric="queries", limit=1.0).fails


@pytest.mark.parametrize(("policy", "fails"), [(Policy(), False), (Policy(contended_fails=True), True)])
def test_contended_times_do_not_gate_unless_asked(policy, fails):
    assert budget(measurement([10**9], contended=True), limit=0.001, policy=policy).fails is fails
    assert budget(measurement([9], "queries", contended=True), metric="queries", limit=1.0, policy=policy).fails


def stored(values, *, sha="1", tests=1):
    return [
        StoredRun(
            header=example_header(sha, "2026-01-01T00:00:00Z"),
            records=tuple(
                Record(
                    key=Key(test=f"t{number}"),
                    summaries=(summary("time", value * (number + 1)), summary("reference", 40e-6)),
                )
                for number in range(tests)
            ),
        )
        for value in values
    ]


def test_runs_of_one_commit_teach_the_noise():
    rng = random.Random(2)
    runs = stored([0.001 * math.exp(rng.gauss(0, 0.15)) for _ in range(8)], tests=6)
    noise = learn(runs, [BUILTIN["time"]])
    assert noise.of(Key(test="t1"), "time")[0].deviation == pytest.approx(0.15, rel=0.5)
    assert noise.of(Key(test="unknown"), "time")[0] == noise.plain


def test_a_line_of_single_runs_teaches_it_too():
    rng = random.Random(3)
    runs = [
        run
        for number in range(12)
        for run in stored([0.001 * math.exp(rng.gauss(0, 0.2)) * (3 if number > 6 else 1)], sha=f"{number:x}", tests=4)
    ]
    assert learn(runs, [BUILTIN["time"]]).of(Key(test="t0"), "time")[0].deviation == pytest.approx(0.2, rel=0.6)


def test_nothing_stored_teaches_nothing():
    assert learn([], [BUILTIN["time"]]) == Noise(plain=UNKNOWN, relative=UNKNOWN)


def test_without_commits_no_more_runs_of_one_are_advised():
    unsure = {"noise": NOTHING_KNOWN}
    [note] = timed([record(0.001)], [record(0.001)], **unsure).notes
    assert "more of the baseline commit" in note.remedy
    [note] = timed([record(0.001)], [record(0.001)], against=Against(words="no commit", lone=True), **unsure).notes
    assert "git init" in note.remedy
