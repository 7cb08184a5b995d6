"""The sentence that a user reads: what, by how much, how sure, against what."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from pytest_perfguard.model.budget import Budget
from pytest_perfguard.model.measurement import Key
from pytest_perfguard.model.metric import Metric
from pytest_perfguard.model.verdict import Effect, Interval, Outcome, Verdict
from pytest_perfguard.quantity import render, render_change

_TIMED = {
    Outcome.REGRESSED: "got slower",
    Outcome.IMPROVED: "got faster",
    Outcome.UNCHANGED: "did not change",
    Outcome.INCONCLUSIVE: "may or may not have changed",
}


def timed(
    key: Key, metric: Metric, outcome: Outcome, now: float, before: float, effect: Effect, against: str
) -> str:  # fmt: skip
    """Return the sentence on a timed metric against a baseline."""
    runs = f"{effect.head_runs} {_plural(effect.head_runs)} against {effect.base_runs}"
    seen = ""
    if effect.detectable is not None:
        seen = f"; the smallest slowdown that this would have shown is {render_change(effect.detectable)}"
    return (
        f"{metric.name} of {key} {_TIMED[outcome]}: {render(now, metric.unit)}, was {render(before, metric.unit)} at "
        f"{against}: {render_change(effect.change)}, between {render_change(effect.low)} and "
        f"{render_change(effect.high)} with {effect.confidence * 100:.4g} % confidence ({runs}{seen})"
    )


def exact(key: Key, metric: Metric, outcome: Outcome, now: float, before: float, against: str) -> str:
    """Return the sentence on an exact metric against a baseline."""
    values = f"{render(before, metric.unit)} at {against}"
    shown = render(now, metric.unit)
    match outcome:
        case Outcome.UNCHANGED:
            return f"{metric.name} of {key} did not change: {shown}, {values}"
        case _:
            verb = "rose" if now > before else "fell"
            change = f", {render_change((now - before) / before)}" if before and math.isfinite(now) else ""
            return f"{metric.name} of {key} {verb} to {shown}{change}, from {values}"


def no_baseline(key: Key, metric: Metric, against: str) -> str:
    """Return the sentence on a metric that nothing is stored for."""
    return f"{metric.name} of {key} has nothing to be compared with in {against or 'the store'}"


def budget(
    key: Key, metric: Metric, outcome: Outcome, value: Interval, limit: float, source: Budget, rounds: int,
    visible: float | None = None,
) -> str:  # fmt: skip
    """Return the sentence on a budget; of one on growth `visible` is what would have shown."""
    shown, allowed = render(value.value, metric.unit), render(limit, metric.unit)
    if metric.name == "scaling" and outcome is Outcome.OVER_BUDGET:
        many = value.value != 1
        what = f"{shown} statements grow" if many else "a statement grows"
        return f"{what} in number with the data of {key}; {source.origin}"
    if source.factor is not None:
        allowed = f"{allowed} ({source.factor:g} times {source.reference})"
    interval = ""
    if value.low != value.high:
        interval = f" [{render(value.low, metric.unit)}, {render(value.high, metric.unit)}]"
    judged = {
        Outcome.OVER_BUDGET: "is over its budget",
        Outcome.PASSED: "is within its budget",
        Outcome.INCONCLUSIVE: "is too close to its budget to tell",
    }[outcome]
    counted = f"; {rounds} {_plural(rounds, 'round')}" if interval else ""
    if visible is not None:
        shown, interval = f"resident memory grew by {shown} a call", f"{interval} over {rounds} calls"
        over = outcome is Outcome.OVER_BUDGET
        counted = "" if over else f"; growth of {render(visible, metric.unit)} a call would have shown"
    place = f"; budget from {source.origin}" if source.origin else ""
    return f"{metric.name} of {key} {judged}: {shown}{interval}, budget {allowed}{counted}{place}"


def invalid(key: Key, metric: Metric, reason: str) -> str:
    """Return the sentence on a measurement that cannot be trusted."""
    return f"{metric.name} of {key} cannot be judged: {reason}"


def paragraphs(verdicts: Iterable[Verdict]) -> str:
    """Return the message of a failure by several verdicts: what explains one has said of another is not said again."""
    said: set[str] = set()
    found: dict[int, str] = {}
    by_length = sorted(enumerate(verdicts), key=lambda each: -len(each[1].details))
    for place, verdict in by_length:
        news = not said.issuperset(verdict.details)
        said.update(verdict.details)
        found[place] = paragraph(verdict if news else replace(verdict, details=()))
    return "\n".join(found[place] for place, _ in by_length)


def paragraph(verdict: Verdict) -> str:
    """Return a verdict's sentence with its evidence and remarks, as the message of a failure."""
    lines = [verdict.sentence, *(f"    {line}" for line in verdict.details)]
    lines.extend(f"    {note}" for note in verdict.notes)
    return "\n".join(lines)


def _plural(count: int, noun: str = "run") -> str:
    return noun if count == 1 else f"{noun}s"
