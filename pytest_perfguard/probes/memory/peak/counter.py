"""The kernel's counter of resident pages, which lags: from what is known of that follows the peak (Linux)."""

from __future__ import annotations

import mmap
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_perfguard.probes.memory import status

_PAGE = mmap.PAGESIZE
_MOST_PAGES = 4096
_STARTS = frozenset({"_thread.start_new_thread", "_thread.start_joinable_thread", "os.fork"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Resident memory before a call, in bytes."""

    exact: int
    counted: int
    """As the lagging counter has it."""
    lag: int = 0
    """What that counter lags by on average, once memory grows."""

    def rise(self, resident: int, peak: int) -> int:
        """Return by how much memory rose at its highest, from what `status.read` says after the call.

        The kernel sums the counters of all processors for what is resident now, which is exact, but takes the peak
        from their lagging total whenever memory is given back. A peak that is not above what is resident now is thus
        exact.
        """
        return max(0, peak - self.exact if peak <= resident else peak - self.counted + self.lag)


def reset(lag: int = 0) -> Mark | None:
    """Reset the peak and return where memory is; None where that does not work."""
    exact = status.reset()
    if exact is None:
        return None
    try:
        with Path("/proc/self/stat").open("rb", buffering=0) as fields:
            counted = _counted(fields) * _PAGE
    except (OSError, ValueError, IndexError):
        counted = exact
    return Mark(exact=exact, counted=counted, lag=lag)


def stay_on_one_processor() -> None:
    """Keep this process, a copy that ends soon, on the processor it is on, until it starts a thread or forks.

    Each processor has its own part of the counter. What asks on which processors it may run gets the former answer.
    """
    former = os.sched_getaffinity(0)
    ask: Any = os.sched_getaffinity
    own = (0, os.getpid())
    current = _processor()
    if current not in former:
        return
    os.sched_setaffinity(0, {current})
    os.sched_getaffinity = lambda process: set(former) if process in own else ask(process)

    def hear(event: str, _: object) -> None:
        if event in _STARTS:
            os.sched_setaffinity(0, former)

    sys.addaudithook(hear)


def bring_up() -> tuple[int, mmap.mmap]:
    """Take pages until the counter has just caught up, and return what it lags by on average from now on, in bytes.

    The kernel adds a processor's part to the total when it reaches some number of pages, 32 or more, by which the total
    then rises at once (percpu_counter_batch, lib/percpu_counter.c). The lag is 0 where the total rises with each page.
    The pages are given back with the object that is returned beside it.
    """
    pages = mmap.mmap(-1, _MOST_PAGES * _PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with Path("/proc/self/stat").open("rb", buffering=0) as fields:
        total = _counted(fields)
        rises: list[int] = []
        for page in range(_MOST_PAGES):
            pages[page * _PAGE] = 1
            before, total = total, _counted(fields)
            if total != before:
                rises.append(page)
                if len(rises) == 3:
                    return (rises[2] - rises[1]) // 2 * _PAGE, pages
    return 0, pages


def _counted(fields: Any) -> int:
    """Return the pages that the total counts: field 24 of proc_pid_stat(5)."""
    fields.seek(0)
    return int(fields.read().rpartition(b")")[2].split(None, 22)[21])


def _processor() -> int:
    """Return the processor that this thread runs on: field 39 of proc_pid_stat(5)."""
    return int(Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[36])
