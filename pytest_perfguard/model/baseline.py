"""What is kept of a run, and how a run finds the one it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_perfguard.model.commit import Commit, Machine
from pytest_perfguard.model.growth import Growth
from pytest_perfguard.model.measurement import Key, Measurement
from pytest_perfguard.model.metric import Metric
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.queries import QueryLog
from pytest_perfguard.model.sample import Series, low_quantile


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """One process's run of a suite: of which commit, on which machine, when, with which definitions."""

    run_id: str
    created: str
    """UTC, ISO 8601 with seconds: "2026-01-31T12:00:00Z"."""
    commit: Commit
    machine: Machine
    versions: tuple[tuple[str, str], ...] = ()
    """Names and versions of what the numbers depend on: python, pytest, pytest-perfguard, numpy …"""
    metrics: tuple[Metric, ...] = ()
    hash_seed: str = ""
    workers: int = 0
    """pytest-xdist workers; 0 without xdist."""
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A series in few integers, in the metric's stored unit and as totals of `iterations` calls."""

    metric: str
    rounds: int
    iterations: int
    minimum: int
    low: int
    """The 10 % quantile."""
    median: int
    high: int
    """The 90 % quantile."""
    value: float
    """What this process contributes to a comparison: one call, in the metric's base unit."""

    @classmethod
    def of(cls, series: Series) -> Summary:
        """Return the summary of `series`."""
        totals = [float(value) for value in series.values]
        return cls(
            metric=series.metric.name,
            rounds=len(totals),
            iterations=series.iterations,
            minimum=min(series.values),
            low=round(low_quantile(totals, 0.1)),
            median=round(low_quantile(totals, 0.5)),
            high=round(low_quantile(totals, 0.9)),
            value=series.reduced(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One measurement as it is kept."""

    key: Key
    summaries: tuple[Summary, ...]
    queries: QueryLog | None = None
    growth: tuple[Growth, ...] = ()
    contended: bool = False

    @classmethod
    def of(cls, measurement: Measurement) -> Record:
        """Return what is kept of `measurement`."""
        return cls(
            key=measurement.key,
            summaries=tuple(Summary.of(series) for series in measurement.series if series.values),
            queries=measurement.queries,
            growth=measurement.growth,
            contended=measurement.contended,
        )

    def get(self, metric: str) -> Summary | None:
        """Return the summary of `metric`, or None where it was not measured."""
        return next((summary for summary in self.summaries if summary.metric == metric), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """A header with the records of its tests."""

    header: Header
    records: Sequence[Record]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The runs that this run is compared with, and why these."""

    runs: tuple[StoredRun, ...] = ()
    """All runs of the chosen commit and machine class."""
    history: tuple[StoredRun, ...] = ()
    """Further runs of the same machine class, newest first: what is known of the noise between runs."""
    older: tuple[StoredRun, ...] = ()
    """Runs of the next best commits, best first, for what `runs` lack: of the same class, never weak, never foreign."""
    commit: Commit | None = None
    reason: str = ""
    """In words: "HEAD^1", "merge base with origin/main", "same tree as …"."""
    distance: int | None = None
    """First-parent commits between the baseline and this run; None where there is no such line."""
    weak: bool = False
    """Chosen for want of a better one: never fails a run by default."""
    foreign: tuple[str, ...] = ()
    """Why its times are not comparable: other machine class, other Python. Empty where they are."""
    notes: tuple[Note, ...] = ()
