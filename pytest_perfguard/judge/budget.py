"""A measurement against a budget: over, within, or too close to tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pytest_perfguard.judge import sentence
from pytest_perfguard.judge.noise import Noise
from pytest_perfguard.judge.policy import Policy
from pytest_perfguard.judge.statements import diff, explain
from pytest_perfguard.model.budget import Budget
from pytest_perfguard.model.measurement import Measurement
from pytest_perfguard.model.metric import OF_QUERIES, Better, Metric, Nature, Reduce
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.queries import COUNTED, QueryLog, StatementKind
from pytest_perfguard.model.sample import Series
from pytest_perfguard.model.verdict import Interval, Outcome, Verdict
from pytest_perfguard.stats.location import median_interval, widen
from pytest_perfguard.stats.slope import Slope, estimate_slope
from pytest_perfguard.stats.spread import Spread, add, few_rounds


def judge_budget(
    budget: Budget,
    measurement: Measurement,
    metric: Metric,
    *,
    references: Mapping[str, Measurement],
    noise: Noise,
    policy: Policy,
    before: QueryLog | None = None,
) -> Verdict:
    """Return the verdict on one budget of one measurement; `before` is what the baseline knows of its statements.

    A timed value is judged by the confidence interval of its median: the order statistics of its rounds, made wider by
    what another run of the same code may differ. `references` holds the measurements that relative budgets can name.
    """
    doubts = tuple(note for note in measurement.notes if _undermines(note, metric.name))
    if doubts:
        return policy.settle(_invalid(measurement, metric, budget, str(doubts[0]), doubts))
    series = _of_table(budget, measurement) if budget.table else measurement.get(metric.name)
    if series is not None:
        metric = series.metric
    if series is None:
        note = Note(
            code="not-measured",
            message=f"nothing measured {metric.name}, which has a budget ({budget.origin})",
            remedy="call perf(...) in the test, or take the budget away",
        )
        return policy.settle(_invalid(measurement, metric, budget, "nothing measured it", (note,)))
    spread = noise.of(measurement.key, metric.name)[0]
    value = _interval(series, spread, policy)
    low, high, limit = value.low, value.high, budget.limit
    if budget.factor is not None:
        reference = references.get(budget.reference)
        other = None if reference is None else reference.get(metric.name)
        if other is None:
            reason = (
                f"its reference {budget.reference!r} was not measured before it in this process ({budget.origin}); "
                "name a test or a named measurement that runs earlier, and run both on the same worker"
            )
            note = Note(
                code="no-reference",
                message=f"the reference {budget.reference!r} was not measured before its budget ({budget.origin})",
                remedy="name a test or a named measurement that runs earlier, and run both on the same worker",
            )
            return policy.settle(_invalid(measurement, metric, budget, reason, (note,)))
        # Both ran in one process, so what another run may differ is counted once; the reference's rounds add theirs.
        beside = _interval(other, None, policy)
        limit = budget.factor * beside.value
        if beside.low > 0:
            low, high = low * beside.value / beside.high, high * beside.value / beside.low
            value = Interval(value=value.value, low=low, high=high, confidence=value.confidence)
    assert limit is not None, "a budget has a limit or a factor"
    if metric.better is Better.HIGHER:
        over, within = high < limit, low >= limit
    else:
        over, within = low > limit, high <= limit
    visible = None
    if metric.reduce is Reduce.SLOPE:
        growth = _growth(series, policy)
        within, visible = within or growth.value <= limit + growth.resolution, growth.visible
    outcome = Outcome.OVER_BUDGET if over else Outcome.PASSED if within else Outcome.INCONCLUSIVE
    verdict = Verdict(
        key=measurement.key,
        metric=metric.name,
        unit=metric.unit,
        outcome=outcome,
        value=value,
        limit=limit,
        sentence=sentence.budget(measurement.key, metric, outcome, value, limit, budget, len(series), visible),
        details=_details(budget, measurement, before) if over else (),
        notes=(_more_rounds(len(series), metric),) if outcome is Outcome.INCONCLUSIVE else (),
    )
    lenient = metric.nature is Nature.TIMED and measurement.contended and not policy.contended_fails
    return policy.settle(verdict, lenient=lenient)


_KINDS = {"reads": {StatementKind.READ}, "writes": {StatementKind.WRITE}}


def _of_table(budget: Budget, measurement: Measurement) -> Series | None:
    """Return how many statements named the table of `budget`, as a series of its own; None where none was recorded."""
    series, log = measurement.get(budget.metric), measurement.queries
    if series is None or log is None:
        return None
    value = log.count(_KINDS.get(budget.metric, COUNTED), budget.table)
    return Series(metric=replace(series.metric, name=budget.label), values=(value,))


def _details(budget: Budget, measurement: Measurement, before: QueryLog | None) -> tuple[str, ...]:
    log = measurement.queries
    if log is None or budget.metric not in OF_QUERIES | {"http_calls", "scaling"}:
        return tuple(line for each in measurement.details if each.metric == budget.metric for line in each.lines)
    lines = explain(log, budget.metric, table=budget.table)
    changed = [] if before is None else diff(before, log)
    return tuple([*lines, "since the baseline:", *(f"    {line}" for line in changed)] if changed else lines)


def _undermines(note: Note, metric: str) -> bool:
    """Return whether a metric cannot be trusted: whoever saw only part of the statements knows nothing that follows."""
    return metric in note.undermines or (metric in OF_QUERIES and "queries" in note.undermines)


def _interval(series: Series, spread: Spread | None, policy: Policy) -> Interval:
    """Return a series' value: the median's interval, and with a `spread` what another run may differ besides."""
    if series.metric.reduce is Reduce.SLOPE:
        growth = _growth(series, policy)
        return Interval(value=growth.value, low=growth.low, high=growth.high, confidence=policy.budget_confidence)
    if series.metric.nature is Nature.EXACT or not any(series.values):  # what did not happen took no time, for certain
        value = series.reduced()
        return Interval(value=value, low=value, high=value, confidence=1.0)
    center, low, high = median_interval(series.per_call(), confidence=policy.budget_confidence)
    if spread is not None:
        relative, seconds = few_rounds(len(series))
        low, high = widen(
            low, high, add(spread, relative), seconds / series.iterations, confidence=policy.budget_confidence
        )
    return Interval(value=center, low=low, high=high, confidence=policy.budget_confidence)


def _growth(series: Series, policy: Policy) -> Slope:
    slack = series.metric.tolerance.absolute
    return estimate_slope(series.per_call(), confidence=policy.budget_confidence, slack=slack)


def _invalid(measurement: Measurement, metric: Metric, budget: Budget, reason: str, notes: tuple[Note, ...]) -> Verdict:
    return Verdict(
        key=measurement.key,
        metric=metric.name,
        unit=metric.unit,
        outcome=Outcome.INVALID,
        limit=budget.limit,
        sentence=sentence.invalid(measurement.key, metric, reason),
        notes=notes,
    )


def _more_rounds(rounds: int, metric: Metric) -> Note:
    if metric.reduce is Reduce.SLOPE:
        remedy = "it rose, but not steadily: call the function some times before, so that what it keeps once is there"
    elif rounds == 1:
        remedy = "measure it more often with @pytest.mark.perf(rounds=5), or with the perf fixture"
    else:
        remedy = "raise the budget, or store runs so that the noise of this machine is known better"
    return Note(
        code="close-to-budget", message="the budget lies within the interval of the measured value", remedy=remedy
    )
