"""The clock: wall time, processor time, and on Linux the time a thread waited for a processor."""

from __future__ import annotations

import os
import threading
import time
from typing import NamedTuple

from pytest_perfguard.model.metric import CPU, TIME, WALL
from pytest_perfguard.model.protocols import Reading


class _Start(NamedTuple):
    descriptor: int
    waited: int
    cpu: int
    wall: int


class ClockProbe:
    """Reads the clocks around a block: time is wall less run-queue wait where Linux tells it, otherwise wall.

    Field 2 of `/proc/self/task/TID/schedstat` counts the nanoseconds that the thread was runnable but not running. It
    is read outside the wall clock's readings, so the difference is never taken below the processor time that was used.
    """

    metrics = (TIME, WALL, CPU)
    intrusive = False
    warmup = 0
    rounds = 1
    wants_result = False

    def start(self) -> _Start:
        """Open the scheduler's counter and read the clocks, wall last."""
        descriptor = _open_schedstat()
        waited = _waited(descriptor) if descriptor >= 0 else 0
        cpu = time.thread_time_ns()
        return _Start(descriptor, waited, cpu, time.perf_counter_ns())

    def stop(self, token: _Start, result: object = None) -> Reading:
        """Read the clocks, wall first, and close the counter."""
        wall = time.perf_counter_ns() - token.wall
        cpu = time.thread_time_ns() - token.cpu
        waited = 0
        if token.descriptor >= 0:
            try:
                waited = _waited(token.descriptor) - token.waited
            finally:
                os.close(token.descriptor)
        corrected = min(wall, max(wall - waited, cpu))
        return Reading(values={"time": corrected, "wall": wall, "cpu": cpu})


def corrects_contention() -> bool:
    """Return whether this system tells how long a thread waited for a processor."""
    descriptor = _open_schedstat()
    if descriptor < 0:
        return False
    os.close(descriptor)
    return True


def _open_schedstat() -> int:
    try:
        return os.open(f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, AttributeError):
        return -1


def _waited(descriptor: int) -> int:
    return int(os.pread(descriptor, 64, 0).split()[1])
