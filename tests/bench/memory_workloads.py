"""One call of known peak, read by one method in this process: prints bytes read and the truth as JSON.

memory_workloads.py METHOD WORKLOAD     one reading, after a warm call with the same method
memory_workloads.py cost small|large    milliseconds that the probe takes beyond the calls, in a process of that size
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MIB = 1024 * 1024
COUNT = 100_000
_SAMPLE_SECONDS = 0.1

Truth = tuple[float, float]
"""The resident memory and the bytes asked for."""


def small(count: int, *sizes: int) -> Truth:
    """Return what `count` groups of objects of these sizes take: CPython's pools are of 16 KiB, blocks of 16 bytes."""
    pools = [16384 / ((16384 - 48) // (-(-size // 16) * 16)) for size in sizes]
    return count * sum(pools), count * sum(sizes)


def add(*truths: Truth) -> Truth:
    """Return the sum."""
    return sum(truth[0] for truth in truths), sum(truth[1] for truth in truths)


def exactly(size: float) -> Truth:
    """Return the truth of blocks that are mapped on their own."""
    return size, size


_kept: list[Any] = []
_LIST = exactly(COUNT * 8 * 1.04)  # grows by an eighth at a time
_DICT = {"key": None}
_DICTS = add(small(COUNT, 64, sys.getsizeof(_DICT) - 64), _LIST)


def drop_dicts() -> Truth:
    _ = [{"key": None} for _ in range(COUNT)]
    return _DICTS


def keep_dicts() -> Truth:
    _kept.append([{"key": None} for _ in range(COUNT)])
    return _DICTS


def keep_numpy() -> Truth:
    import numpy as np

    _kept.append(np.ones(3 * MIB))
    return exactly(24 * MIB)


def drop_numpy() -> Truth:
    import numpy as np

    numbers = np.ones(2 * MIB)
    float((numbers * numbers + numbers).sum())
    return exactly(2 * 16 * MIB)


def make_bytes() -> Truth:
    len(b"x" * (64 * MIB))
    return exactly(64 * MIB)


def use_malloc() -> Truth:
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    block = library.malloc(4 * MIB)
    ctypes.memset(block, 1, 4 * MIB)
    library.free(ctypes.c_void_p(block))
    return exactly(4 * MIB)


def run_threads() -> Truth:
    barrier = threading.Barrier(4)

    def work() -> None:
        kept = b"x" * (10 * MIB)
        barrier.wait()
        del kept

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return exactly(40 * MIB)


def run_program() -> Truth:
    code = "b'x' * 60_000_000; print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    return exactly(int(done.stdout) * 1024)


_TEXT = json.dumps([f"{number:01000d}" for number in range(20_000)]) if "json" in sys.argv else ""


def read_json() -> Truth:
    _kept.append(json.loads(_TEXT))
    return add((20_000 * 1056.0, 20_000 * 1049.0), exactly(20_000 * 8))


def nest() -> Truth:
    top: list[Any] = []
    for _ in range(2 * COUNT):
        top = [top]
    while top:
        top = top[0]
    return small(2 * COUNT, 56, 8)


WORKLOADS: dict[str, Callable[[], Truth]] = {
    "dicts dropped": drop_dicts,
    "dicts kept": keep_dicts,
    "numpy dropped": drop_numpy,
    "numpy kept": keep_numpy,
    "one big bytes": make_bytes,
    "C malloc": use_malloc,
    "four threads": run_threads,
    "a program": run_program,
    "json": read_json,
    "deep lists": nest,
}


def by_probe(call: Callable[[], Truth], probe: Any, metric: str) -> tuple[int, Truth]:
    """Read by one of perfguard's instruments."""
    token = probe.start()
    truth = call()
    return probe.stop(token).values[metric], truth


def by_memory(call: Callable[[], Truth]) -> tuple[int, Truth]:
    """Read as the metric `memory` does."""
    from pytest_perfguard.probes.memory.peak.probe import PeakProbe

    return by_probe(call, PeakProbe(), "memory")


def by_memory_here(call: Callable[[], Truth]) -> tuple[int, Truth]:
    """Read as the metric `memory` does where no copy of the process can be made."""
    from pytest_perfguard.probes.memory.peak import child

    def refuse() -> None:
        raise child.Unsafe("it is not wanted" if call is not run_program else "it starts a program")

    child.examine = refuse  # type: ignore[assignment]
    return by_memory(call)


def by_heap(call: Callable[[], Truth]) -> tuple[int, Truth]:
    """Read as the metric `heap` does."""
    from pytest_perfguard.probes.memory.heap.probe import HeapProbe

    return by_probe(call, HeapProbe(), "heap")


def by_memray(call: Callable[[], Truth]) -> tuple[int, Truth]:
    """Read as pytest-memray does: memray's peak, without Python's allocators."""
    import memray

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "memory.bin"
        with memray.Tracker(file):
            truth = call()
        return memray.FileReader(file).metadata.peak_memory, truth


def by_sampling(call: Callable[[], Truth]) -> tuple[int, Truth]:
    """Read as memory_profiler does, and pytest-monitor by it: the process's RSS every 0.1 s, here above the first."""
    import psutil

    process, ended = psutil.Process(), threading.Event()
    samples = [process.memory_info().rss]

    def sample() -> None:
        while not ended.wait(_SAMPLE_SECONDS):
            samples.append(process.memory_info().rss)

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        truth = call()
    finally:
        ended.set()
        sampler.join()
    return max(*samples, process.memory_info().rss) - samples[0], truth


METHODS: dict[str, tuple[Callable[[Callable[[], Truth]], tuple[int, Truth]], int]] = {
    "memory": (by_memory, 0),
    "memory, no copy": (by_memory_here, 0),
    "heap": (by_heap, 1),
    "memray's default": (by_memray, 1),
    "sampled, 0.1 s": (by_sampling, 0),
}
"""How to read, and which of the truths it is held against."""


def read(method: str, workload: str) -> dict[str, float]:
    """Return the second of two readings, and its truth."""
    reader, kind = METHODS[method]
    value, truth = 0, (0.0, 0.0)
    for _ in range(2):
        value, truth = reader(WORKLOADS[workload])
    return {"value": value, "truth": truth[kind]}


def cost(size: str) -> list[float]:
    """Return what the probe takes in ms around calls that do nothing."""
    if size == "large":
        for name in ("numpy", "django.db.models", "sqlalchemy.orm"):
            with contextlib.suppress(ImportError):
                __import__(name)
    from pytest_perfguard.probes.memory.peak.probe import PeakProbe

    probe, taken = PeakProbe(), []
    for _ in range(15):
        started = time.perf_counter()
        probe.stop(probe.start())
        taken.append((time.perf_counter() - started) * 1000)
    return taken[2:]


if __name__ == "__main__":
    print(json.dumps(cost(sys.argv[2]) if sys.argv[1] == "cost" else read(sys.argv[1], sys.argv[2])))
    sys.stdout.flush()
    os._exit(0)
