"""Resident memory of the whole process: at its highest during a call, and what it grows by over many calls."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any, final

from pytest_perfguard.model.metric import RSS, RSS_GROWTH, Metric
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.protocols import Reading
from pytest_perfguard.probes.memory import libc, status


@dataclass(slots=True, kw_only=True, eq=False)
class _Token:
    peak: int = 0
    """The highest peak that later tokens' resets would have lost."""
    exact: bool = True
    """Whether the kernel kept the peak; otherwise memory is sampled."""


@final
class ResidentProbe:
    """Reads the bytes of memory that the process has at its highest during a call, with all that it had before.

    That is what a container's limit is compared with. On Linux it is `VmHWM` after the call, set back to what is
    resident before it; all threads count, child processes do not. A nested reading keeps the outer one's peak. Where
    VmHWM cannot be reset the value is a sample after the call, with a note "lower-bound".
    """

    metrics: tuple[Metric, ...] = (RSS,)
    intrusive: bool = True
    wants_result: bool = False
    warmup: int = 1
    rounds: int = 1

    def start(self) -> _Token:
        """Return free memory and reset the peak."""
        gc.collect()
        libc.trim()
        if any(other.exact for other in _open):
            peak = status.read()[1]
            for other in _open:
                other.peak = max(other.peak, peak)
        token = _Token(exact=status.reset() is not None)
        _open.append(token)
        return token

    def stop(self, token: Any, result: object = None) -> Reading:
        """Read the peak; `result` is not looked at."""
        del result
        _open.remove(token)
        if token.exact:
            return Reading(values={RSS.name: max(token.peak, status.read()[1])})
        return Reading(values={RSS.name: status.sample()}, notes=(_LOWER_BOUND,))


# Resetting the peak of the process resets it for readings under way: what these have seen so far goes to their tokens.
_open: list[_Token] = []

_LOWER_BOUND = Note(
    code="lower-bound",
    message="memory was sampled after the call, a lower bound of its peak: this system does not reset VmHWM",
    remedy="it never fails a test; run on Linux with a writable /proc/self/clear_refs for the peak",
    undermines=(RSS.name,),
)


@final
class GrowthProbe:
    """Reads the bytes of memory that the process has after each of many calls; their slope is what a call leaves.

    Unlike `retained` it also sees what C libraries allocate by themselves, in pages of 4 KiB, and unlike it takes many
    calls to tell growth from memory that settles. Before each reading garbage is collected and free memory returned
    (glibc's `malloc_trim`). The value is what `/proc/self/smaps_rollup` counts page by page of memory that is not of
    files, shared memory and what was swapped out with it. VmRSS is kept per processor, and from Linux 6.2 to 6.16 it
    may be off by hundreds of pages; pages of files come when code first runs, and go when other programs need memory.
    Where there is no such file the value is a sample, with a note "sampled" that undermines it.
    """

    metrics: tuple[Metric, ...] = (RSS_GROWTH,)
    intrusive: bool = True
    wants_result: bool = False
    warmup: int = 5
    rounds: int = 60
    early: bool = True

    def __init__(self) -> None:
        # What is kept of the first call and not of the last would be growth itself: the readings are made before.
        self._spare = [Reading(values={RSS_GROWTH.name: _LARGE}) for _ in range(self.warmup + self.rounds)]
        libc.load()

    def start(self) -> None:
        """Do nothing: what counts is how the values after the calls differ."""

    def stop(self, token: Any, result: object = None) -> Reading:
        """Return free memory and read what is resident; `result` is not looked at and must not be held elsewhere."""
        del token, result
        gc.collect()
        libc.trim()
        resident = _count_pages()
        if resident is None:
            return Reading(values={RSS_GROWTH.name: status.sample()}, notes=(_SAMPLED,))
        reading = self._spare.pop() if self._spare else Reading()
        reading.values[RSS_GROWTH.name] = resident
        return reading


_LARGE = 1 << 40
"""Takes as much memory as an integer as any value that replaces it."""

_SAMPLED = Note(
    code="sampled",
    message="resident memory was sampled: this system has no /proc/self/smaps_rollup, and does not return free memory",
    remedy="it never fails a test; run on Linux to have its growth judged",
    undermines=(RSS_GROWTH.name,),
)


def _count_pages() -> int | None:
    """Return the bytes of all pages that are not of files, None where the system does not count them."""
    try:
        counted = (status.PROC / "self" / "smaps_rollup").read_bytes()
        shared = status.field(counted, b"Pss_Shmem") if b"\nPss_Shmem:" in counted else 0  # since Linux 5.3
        return status.field(counted, b"Anonymous") + shared + status.field(counted, b"Swap")
    except (OSError, ValueError):
        return None
