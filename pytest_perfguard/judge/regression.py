"""A measurement against a baseline: timed metrics by statistics, exact ones exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_perfguard.judge import sentence
from pytest_perfguard.judge.growth import grown
from pytest_perfguard.judge.noise import Noise, Witness, within
from pytest_perfguard.judge.policy import Policy
from pytest_perfguard.judge.statements import diff, incomparable
from pytest_perfguard.model.baseline import Record
from pytest_perfguard.model.measurement import Key
from pytest_perfguard.model.metric import OF_ONE_PYTHON, OF_TABLES, RETAINED, Better, Metric, Nature
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.verdict import Effect, Interval, Outcome, Verdict
from pytest_perfguard.stats.comparison import Shift, compare, runs_needed
from pytest_perfguard.stats.spread import add

_UNSTEADY = 0.05
"""A deviation within a run from which on more rounds help more than more runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """What a comparison is made with, in words for the sentence, and whether it may fail a test."""

    words: str
    """For example "1a2b3c4d5e6f (merge base with main, 2 commits back)"."""
    weak: bool = False
    foreign: tuple[str, ...] = ()
    lone: bool = False
    """Whether it has no commit, so that further runs of it cannot be stored."""
    python: str = ""
    """In words, that it was measured with another Python; empty where it was not."""


def compare_metric(
    metric: Metric,
    head: Sequence[Record],
    base: Sequence[Record],
    *,
    against: Against,
    noise: Noise,
    policy: Policy,
    margin: float | None = None,
    comparisons: int = 1,
) -> Verdict:
    """Return the verdict on one metric of one measurement: its runs `head` against the runs `base`.

    `head` must not be empty and must hold the metric; an empty `base`, or one without the metric, gives "no baseline".
    `comparisons` is how many timed comparisons the test makes, among which its chance of a false alarm is divided.
    """
    base = [record for record in base if record.get(metric.name) is not None]
    if not base:
        return Verdict(
            key=head[0].key,
            metric=metric.name,
            unit=metric.unit,
            outcome=Outcome.NO_BASELINE,
            value=_point(_values(head, metric)),
            sentence=sentence.no_baseline(head[0].key, metric, against.words),
        )
    if metric.nature is Nature.TIMED:
        alpha = policy.alpha(comparisons)
        verdict = _timed(metric, head, base, against, noise, policy.margin if margin is None else margin, alpha)
        lenient = against.weak or bool(against.foreign)
        contended = any(record.contended for record in (*head, *base))
        return policy.settle(
            verdict,
            lenient=(lenient and not policy.weak_fails) or (contended and not policy.contended_fails),
        )
    verdict = _exact(metric, head, base, against)
    return policy.settle(verdict, lenient=(against.weak or bool(against.foreign)) and not policy.weak_fails)


def _timed(
    metric: Metric,
    head: Sequence[Record],
    base: Sequence[Record],
    against: Against,
    noise: Noise,
    margin: float,
    alpha: float,
) -> Verdict:
    """Judge by two witnesses, the time itself and the time relative to the reference work; both must agree.

    A change is claimed only where both intervals lie beyond the margin (an intersection-union test, Berger 1982, needs
    no correction for being two). What slows the whole machine moves the first alone, what slows only the reference
    work moves the second alone.
    """
    key = head[0].key
    edge = math.log1p(margin)
    shifts = _shifts(key, metric, head, base, noise, alpha, edge)
    low, high = min(shift.low for shift in shifts), max(shift.high for shift in shifts)
    confidence = 1 - 2 * alpha
    effect = Effect(
        change=_relative(shifts[0].estimate),
        low=_relative(low),
        high=_relative(high),
        confidence=confidence,
        detectable=_relative(max(shift.detectable for shift in shifts)),
        base_runs=len(base),
        head_runs=len(head),
    )
    notes: tuple[Note, ...] = ()
    if low > edge:
        outcome = Outcome.REGRESSED
    elif high < -edge:
        outcome = Outcome.IMPROVED
    elif -edge < low and high < edge:
        outcome = Outcome.UNCHANGED
    else:
        outcome = Outcome.INCONCLUSIVE
        notes = (_advice(key, metric, head, base, noise, against, alpha=alpha, margin=edge),)
    now, before = _center(head, metric), _center(base, metric)
    return Verdict(
        key=key,
        metric=metric.name,
        unit=metric.unit,
        outcome=outcome,
        value=_point([now]),
        baseline=before,
        effect=effect,
        sentence=sentence.timed(key, metric, outcome, now, before, effect, against.words),
        notes=notes,
    )


def _shifts(
    key: Key, metric: Metric, head: Sequence[Record], base: Sequence[Record], noise: Noise, alpha: float, edge: float
) -> list[Shift]:
    heads = [witness for record in head if (witness := Witness.of(record, metric.name))]
    bases = [witness for record in base if (witness := Witness.of(record, metric.name))]
    unsteady = within((*head, *base), metric.name)
    plain, relative = (add(spread, unsteady) for spread in noise.of(key, metric.name))
    shifts = [compare([w.plain for w in bases], [w.plain for w in heads], plain, alpha=alpha, margin=edge)]
    base_relative = [w.relative for w in bases if w.relative is not None]
    head_relative = [w.relative for w in heads if w.relative is not None]
    if base_relative and head_relative:
        shifts.append(compare(base_relative, head_relative, relative, alpha=alpha, margin=edge))
    return shifts


def _exact(metric: Metric, head: Sequence[Record], base: Sequence[Record], against: Against) -> Verdict:
    """Judge the exact way: beyond every baseline run's value by more than the metric's tolerance."""
    key = head[0].key
    values, known = _values(head, metric), _values(base, metric)
    sign = 1.0 if metric.better is Better.LOWER else -1.0
    now = min(values, key=lambda value: sign * value)
    worst, best = max(known, key=lambda v: sign * v), min(known, key=lambda v: sign * v)
    details: tuple[str, ...] = ()
    if sign * (now - worst) > metric.tolerance.around(worst):
        outcome, before = Outcome.REGRESSED, worst
    elif sign * (best - now) > metric.tolerance.around(best):
        outcome, before = Outcome.IMPROVED, best
    else:
        outcome, before = Outcome.UNCHANGED, worst
    if metric.name == RETAINED.name and outcome is Outcome.REGRESSED:
        details = tuple(grown(base[0].growth, head[0].growth))
    head_log, base_log = head[0].queries, base[0].queries
    reason = remedy = ""
    if against.python and metric.name in OF_ONE_PYTHON:
        reason, remedy = against.python, "store a baseline with this Python"
        outcome = Outcome.INVALID
    if head_log is not None and base_log is not None and (metric.name in OF_TABLES or metric.name == "http_calls"):
        if head_log.statements and (reason := incomparable(base_log, head_log)):
            remedy = "run both with the same database and driver"
        elif base_log.statements and not head_log.statements:
            reason = "no statement was seen where the baseline had some"
            remedy = "if that is meant, store a new baseline"
        outcome = Outcome.INVALID if reason else outcome
        if outcome is not Outcome.UNCHANGED:
            details = tuple(diff(base_log, head_log))
    change = (now - before) / before if before else math.copysign(math.inf, now - before) if now != before else 0.0
    effect = Effect(
        change=change, low=change, high=change, confidence=1.0, base_runs=len(base), head_runs=len(head)
    )  # fmt: skip
    return Verdict(
        key=key,
        metric=metric.name,
        unit=metric.unit,
        outcome=outcome,
        value=_point([now]),
        baseline=before,
        effect=effect,
        sentence=sentence.invalid(key, metric, f"{reason}; {remedy}")
        if reason
        else sentence.exact(key, metric, outcome, now, before, against.words),
        details=details,
        notes=(Note(code="not-comparable", message=reason, remedy=remedy),) if reason else (),
    )


def _relative(shift: float) -> float:
    return math.expm1(min(shift, 500.0))


def _advice(
    key: Key,
    metric: Metric,
    head: Sequence[Record],
    base: Sequence[Record],
    noise: Noise,
    against: Against,
    **how: float,
) -> Note:
    """Return what would have to be done for a change of 25 % to be seen."""
    unsteady = within((*head, *base), metric.name)
    if unsteady > _UNSTEADY:
        return Note(
            code="few-rounds",
            message="what is timed once or twice in a run differs much from run to run",
            remedy="measure it more often: @pytest.mark.perf(rounds=5), or the perf fixture",
        )
    spread = max(noise.of(key, metric.name), key=lambda each: each.deviation)
    needed = runs_needed(math.log(1.25), len(base), add(spread, unsteady), **how)
    if needed is None:
        return Note(
            code="too-noisy",
            message="stored times of this test differ too much for +25 % to be seen, however many runs are stored",
            remedy="measure a longer or steadier piece of it, or use a calmer machine",
        )
    if against.lone:
        return Note(
            code="few-runs",
            message="without a commit each stored run stands alone, and one is too few for times like these",
            remedy="run `git init`, so that the runs of a commit are taken together",
        )
    wanted = (
        f"{max(needed - len(base), 0)} more of the baseline commit and {max(needed - len(head), 0)} more of this one"
    )
    return Note(
        code="few-runs",
        message=f"{len(base)} stored and {len(head)} present runs are few for times like these",
        remedy=f"store more with --perfguard-save: {wanted} would show +25 %",
    )


def _values(records: Sequence[Record], metric: Metric) -> list[float]:
    return [summary.value for record in records if (summary := record.get(metric.name)) is not None]


def _center(records: Sequence[Record], metric: Metric) -> float:
    values = _values(records, metric)
    return math.exp(sum(math.log(max(value, 1e-12)) for value in values) / len(values))


def _point(values: Sequence[float]) -> Interval:
    value = sum(values) / len(values)
    return Interval(value=value, low=min(values), high=max(values), confidence=1.0)
