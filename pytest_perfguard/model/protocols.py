"""The seams for others: instruments, stores and reports; `pytest_perfguard.testing` checks what they promise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from pytest_perfguard.model.baseline import Header, StoredRun
from pytest_perfguard.model.commit import Commit
from pytest_perfguard.model.growth import Detail, Growth
from pytest_perfguard.model.measurement import Key, Measurement
from pytest_perfguard.model.metric import Metric
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.queries import QueryLog
from pytest_perfguard.model.run import Run
from pytest_perfguard.model.sample import Series


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a probe saw between `start` and `stop`: stored-unit values of those of its metrics that it could read."""

    values: dict[str, int] = field(default_factory=dict)
    queries: QueryLog | None = None
    growth: tuple[Growth, ...] = ()
    details: tuple[Detail, ...] = ()
    notes: tuple[Note, ...] = ()


@runtime_checkable
class Probe(Protocol):
    """An instrument around a call: stateless and nestable, all state is in the token.

    One that looks for what calls leave behind may have an attribute `early`, which is true: its pass then comes before
    the many calls of the clock.

    `start` raises `ProbeError` where it does not work. After `stop`, which is called once for each token, also when the
    measured call raised, nothing of the probe is left in the process.
    """

    metrics: tuple[Metric, ...]
    intrusive: bool
    """Whether it disturbs time: such a probe gets a pass of its own."""
    warmup: int
    """Calls to make before the first that counts."""
    rounds: int
    """Calls that count."""
    wants_result: bool
    """Whether `stop` is to be given what the call returned; otherwise it is let go before."""

    def start(self) -> Any:
        """Begin, and return the token for `stop`."""
        ...

    def stop(self, token: Any, result: object = None) -> Reading:
        """End, and return what was seen since the `start` that gave `token`; `result` is what the call returned."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Calls that an instrument wants: `warmup` that do not count and then `rounds` that do, each around `probe`."""

    probe: Probe
    warmup: int
    rounds: int


@runtime_checkable
class StagedProbe(Probe, Protocol):
    """An instrument that decides after its first calls whether they suffice."""

    def proceed(self, stages: Sequence[Sequence[Reading]]) -> Stage | Reading:
        """Return the calls still to be made, or what all of them come to.

        `stages` holds the readings that count: those of the first calls, then those of each stage that was asked for.
        """
        ...


@runtime_checkable
class Store(Protocol):
    """Keeps runs; it is told commits by their SHA and knows nothing of git. Errors are `StoreError`."""

    notes: list[Note]
    """What was left out as damaged, since the store was opened."""

    def headers(self, machine: str | None = None) -> Sequence[Header]:
        """Return the headers of all runs, or of those of one machine class, newest first."""
        ...

    def load(self, headers: Iterable[Header]) -> Sequence[StoredRun]:
        """Return the runs with these headers, in their order; damaged ones are left out and warned of."""
        ...

    def samples(self, header: Header) -> dict[Key, tuple[Series, ...]]:
        """Return the raw samples of a run, empty where they were pruned."""
        ...

    def history(self, test: str, metric: str, machine: str | None = None) -> Sequence[tuple[Header, Key, float]]:
        """Return the values of `metric` in every run, oldest first, for each measurement of `test`."""
        ...

    def save(self, header: Header, measurements: Sequence[Measurement]) -> str:
        """Keep a run, whole or not at all, and return where it was put."""
        ...

    def delete(self, headers: Iterable[Header], *, samples_only: bool = False) -> int:
        """Remove runs, or only their raw samples; return the bytes freed."""
        ...


@runtime_checkable
class Lineage(Protocol):
    """The project's history. Errors are `LineageError`; without a repository `head` returns an empty commit."""

    def head(self) -> Commit:
        """Return the state that is being measured."""
        ...

    def resolve(self, revision: str) -> Commit:
        """Return the commit that `revision` names."""
        ...

    def base(self) -> tuple[Commit, str] | None:
        """Return the commit that CI or a merge commit names as the one to compare with, and in words why."""
        ...

    def ancestors(self, limit: int = 500) -> Sequence[str]:
        """Return SHAs along the first parents of the commit where this line left the default branch, nearest first."""
        ...

    def distance(self, sha: str) -> int | None:
        """Return how many first-parent commits lie between `sha` and the head, None where it is not on that line."""
        ...

    def trunk(self) -> str:
        """Return the name of the default branch, empty where it is not known."""
        ...

    def close(self) -> None:
        """Let go of processes and files that reading the history needed."""
        ...


@runtime_checkable
class Reporter(Protocol):
    """Turns a run into text; pure: the same run gives the same text, and nothing is written or read."""

    name: str
    suffix: str

    def render(self, run: Run) -> str:
        """Return the report."""
        ...
