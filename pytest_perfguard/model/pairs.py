"""Base and head side by side: what fresh pairs of processes said of each measurement."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pytest_perfguard.model.commit import Commit
from pytest_perfguard.model.measurement import Key
from pytest_perfguard.model.note import Note


class Stage(StrEnum):
    """What a pair of processes was started for."""

    SEARCH = "search"
    """To find what may have changed."""
    CONFIRM = "confirm"
    """To decide on what the search flagged, by these pairs alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicate:
    """What one fresh pair of processes, the unit of replication, said of one measurement.

    The four tuples have one value a block, in seconds a call, and equal lengths. Blocks 2i and 2i+1 of either side make
    quad i: measured in the order ABBA or BAAB, so that a drift of the machine's speed cancels.
    """

    pair: int
    stage: Stage
    base: tuple[float, ...]
    """Time of base: wall time less what the thread waited for a processor."""
    head: tuple[float, ...]
    base_cpu: tuple[float, ...] = ()
    head_cpu: tuple[float, ...] = ()
    dropped: int = 0
    """Quads that were left out, for being disturbed beyond repair."""
    core: int | None = None
    """The processor that both were pinned to; None where they were free."""
    seconds: float = 0.0
    """What this cost, with its share of starting the pair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """All that was found out about the time of one measurement, in the order of measuring."""

    key: Key
    replicates: tuple[Replicate, ...] = ()
    margin: float | None = None
    """The smallest relative change worth a verdict, where the test has its own; None for the run's."""
    parallel: bool = False
    """Whether it keeps several threads or processes busy, so that one core cannot hold it."""

    def of(self, stage: Stage) -> tuple[Replicate, ...]:
        """Return the replicates of one stage."""
        return tuple(replicate for replicate in self.replicates if replicate.stage is stage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """A live comparison as a whole: what base is, and how it went."""

    base: Commit
    reason: str = ""
    """In words: "origin/main", "merge base with main", "release 1.2.3"."""
    pairs: int = 0
    seconds: float = 0.0
    pinned: bool = False
    """Whether both sides were pinned to one processor."""
    blocks: int = 0
    dropped: int = 0
    """Blocks that were left out, of `blocks`."""
    steal: float | None = None
    """Share of the processors' time that the hypervisor took; None where the system does not tell."""
    notes: tuple[Note, ...] = ()
