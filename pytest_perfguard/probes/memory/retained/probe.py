"""Memory blocks that a call leaves allocated: the instrument that finds leaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from pytest_perfguard.model.metric import RETAINED, Metric
from pytest_perfguard.model.protocols import Reading, Stage
from pytest_perfguard.probes.memory.retained import stages as _stages
from pytest_perfguard.probes.memory.retained.counting import Count, CountingProbe


@final
class RetainedProbe:
    """Counts the memory blocks that each call leaves allocated: 0 for clean code, n for a leak of n, in every run.

    After 3 calls to warm up and 3 that leave nothing the value is 0. Otherwise more calls follow, in groups of 10 and
    20, until a group leaves nothing, or there were 5 groups of 10 and 9 of 20: the value is then the smallest sum of
    any group, a call, rounded up. It is at least 1 where a container grows by objects that exist already, or C's
    memory by more than 4 kB a call. What stays is then named, with who holds it (`Growth`); what a cache with a limit,
    pytest's log capture, or mocks hold is not counted. After 10 s, or when 256 MB stayed, it is decided by the calls
    that were made.

    Blind spots: objects that the collector does not know, in place of others or held by C code, are counted and not
    named; containers in a heap that the user froze; other interpreters in the process. Other threads that run during
    a call are counted with it. `start` raises `ProbeError` on other implementations than CPython, on free-threaded
    builds, and where another allocator replaces Python's (PYTHONMALLOC=malloc).
    """

    metrics: tuple[Metric, ...] = (RETAINED,)
    intrusive: bool = True
    wants_result: bool = False
    warmup: int = 3
    rounds: int = 2
    early: bool = True

    def __init__(self) -> None:
        self._counting = CountingProbe()

    def start(self) -> Any:
        """Begin to count blocks; raises `ProbeError` where they cannot be counted."""
        return self._counting.start(2)

    def stop(self, token: Any, result: object = None) -> Count:
        """Return by how many blocks memory grew since the `start` that gave `token`."""
        del result
        return self._counting.stop(token)

    def proceed(self, stages: Sequence[Sequence[Reading]]) -> Stage | Reading:
        """Return the calls still to be made, or the value with what explains it."""
        return _stages.proceed(stages)
