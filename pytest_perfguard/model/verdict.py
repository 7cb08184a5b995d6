"""What was concluded, and from what."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pytest_perfguard.model.measurement import Key
from pytest_perfguard.model.note import Note
from pytest_perfguard.quantity import Unit


class Outcome(StrEnum):
    """The eight things that can be said of a metric of a measurement."""

    PASSED = "passed"
    IMPROVED = "improved"
    UNCHANGED = "unchanged"
    INCONCLUSIVE = "inconclusive"
    OVER_BUDGET = "over budget"
    REGRESSED = "regressed"
    NO_BASELINE = "no baseline"
    INVALID = "invalid"


SEVERITY: tuple[Outcome, ...] = (
    Outcome.REGRESSED,
    Outcome.OVER_BUDGET,
    Outcome.INVALID,
    Outcome.INCONCLUSIVE,
    Outcome.IMPROVED,
    Outcome.NO_BASELINE,
    Outcome.UNCHANGED,
    Outcome.PASSED,
)
"""Outcomes, worst first: the order of reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A relative change with its confidence interval; 0.05 is 5 % more than the baseline.

    `low` and `high` bound the change with two-sided `confidence`; `detectable` is the smallest increase that this
    comparison would have called a regression four times out of five. Exact metrics have no interval: low = high.
    """

    change: float
    low: float
    high: float
    confidence: float
    detectable: float | None = None
    base_runs: int = 1
    head_runs: int = 1
    pairs: int = 0
    """Pairs of processes behind it, where base and head ran side by side; otherwise 0."""
    seconds: float | None = None
    """Machine time spent on it, where base and head ran side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value with its confidence interval, in the metric's base unit."""

    value: float
    low: float
    high: float
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One conclusion on one metric of one measurement, with the sentence that a user reads."""

    key: Key
    metric: str
    unit: Unit
    outcome: Outcome
    sentence: str
    """One readable paragraph: what, by how much, how sure, against what."""
    value: Interval | None = None
    limit: float | None = None
    """The budget that was judged, in the base unit; None for a comparison with a baseline."""
    baseline: float | None = None
    """The value that it was compared with, in the base unit; None for a budget."""
    effect: Effect | None = None
    fails: bool = False
    """Whether this verdict fails its test under the run's policy."""
    details: tuple[str, ...] = ()
    """Further lines of evidence: statements that are new, types that grew."""
    notes: tuple[Note, ...] = ()
