"""What stored runs tell about the noise between runs of the same code, for each measurement."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pytest_perfguard.model.baseline import Record, StoredRun, Summary
from pytest_perfguard.model.measurement import Key
from pytest_perfguard.model.metric import REFERENCE, Metric, Nature
from pytest_perfguard.stats.spread import UNKNOWN, Spread, few_rounds, fit_prior, from_steps, moderate, pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """One way to express how long something took, as a logarithm: alone, or relative to the reference work."""

    plain: float
    relative: float | None

    @classmethod
    def of(cls, record: Record, metric: str) -> Witness | None:
        """Return the two expressions of a record, None where there is nothing to compare."""
        summary = record.get(metric)
        if summary is None or summary.value <= 0:
            return None
        reference = record.get(REFERENCE.name)
        relative = None
        if reference is not None and reference.value > 0:
            relative = math.log(summary.value / reference.value)
        return cls(plain=math.log(summary.value), relative=relative)


def within(records: Sequence[Record], metric: str) -> float:
    """Return how unsteady the values of `records` are for being made of few rounds, as a deviation of logarithms."""
    found = [summary for record in records if (summary := record.get(metric)) is not None]
    return max((_within(summary) for summary in found), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """The spread between runs: what is usual on this machine, and for each measurement that is known better."""

    plain: Spread = UNKNOWN
    relative: Spread = UNKNOWN
    known: dict[tuple[Key, str], tuple[Spread, Spread]] = field(default_factory=dict)

    def of(self, key: Key, metric: str) -> tuple[Spread, Spread]:
        """Return the spread of a measurement's plain and relative logarithms."""
        return self.known.get((key, metric), (self.plain, self.relative))


def learn(runs: Sequence[StoredRun], metrics: Iterable[Metric]) -> Noise:
    """Return what `runs`, which are of one machine class and newest first, tell of the noise of timed `metrics`.

    Several runs of one commit tell it directly; a line of commits with one run each tells it by the differences of
    neighbours, of which most are no change of the code.
    """
    plain: dict[tuple[Key, str], Spread] = {}
    relative: dict[tuple[Key, str], Spread] = {}
    for name in (metric.name for metric in metrics if metric.nature is Nature.TIMED and metric.compared):
        columns: dict[Key, list[tuple[str, Witness]]] = defaultdict(list)
        for run in runs:
            commit = run.header.commit
            state = f"{commit.sha}{commit.dirty_tree}" if commit.sha else run.header.run_id
            for record in run.records:
                witness = Witness.of(record, name)
                if witness is not None and not record.contended:
                    columns[record.key].append((state, witness))
        for key, column in columns.items():
            for found, values in (
                (plain, [(state, witness.plain) for state, witness in column]),
                (relative, [(state, w.relative) for state, w in column if w.relative is not None]),
            ):
                spread = _spread(values)
                if spread is not None:
                    found[key, name] = spread
    usual_plain, usual_relative = fit_prior(list(plain.values())), fit_prior(list(relative.values()))
    known = {
        place: (moderate(plain.get(place), usual_plain), moderate(relative.get(place), usual_relative))
        for place in {*plain, *relative}
    }
    return Noise(plain=usual_plain, relative=usual_relative, known=known)


def _within(summary: Summary) -> float:
    relative, seconds = few_rounds(summary.rounds)
    return math.hypot(relative, math.log1p(seconds / max(summary.value * summary.iterations, 1e-9)))


def _spread(values: Sequence[tuple[str, float]]) -> Spread | None:
    groups = [[value for _, value in group] for _, group in itertools.groupby(values, key=lambda pair: pair[0])]
    within = pool(groups)
    between = from_steps([group[0] for group in groups])
    if within is None or between is None:
        return within or between
    return within if within.degrees >= between.degrees else between
