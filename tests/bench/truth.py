"""How large an injected slowdown truly is, for each workload.

A workload of 105 pieces of work instead of 100 is 5 % slower, but for what a call costs beside the pieces. That part is
found from 200 pieces against 100, in turns within one process on one core, several times: with a fixed share f of the
time of 100 pieces, 200 take 2 - f times as long, and 100 + p take 1 + p/100 * (1 - f) times. An error of 0.2 % in f is
one of 0.01 % in the truth of a slowdown by 5 %. Processor time is taken, which needs no quiet machine.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from processes import HERE, clean_environment, pinned, run_command

BLOCK = 0.001
"""Seconds that a block of calls takes, unless a single call is longer."""


def fixed_shares(*, seconds: float, processes: int) -> dict[str, float]:
    """Return the fixed share of the time of each workload; each process measures each for so many seconds."""
    found: list[dict[str, float]] = []
    environment = clean_environment() | {"PYTHONPATH": str(HERE / "workloads"), "PYTHONDONTWRITEBYTECODE": "1"}
    for _ in range(processes):
        with pinned():
            done = run_command([sys.executable, __file__, str(seconds)], HERE, environment=environment)
        if done.code != 0:
            raise RuntimeError(f"the fixed shares of the workloads could not be measured:\n{done.output[-4000:]}")
        found.append(json.loads(done.output))
    return {name: statistics.median(each[name] for each in found) for name in found[0]}


def true_change(percent: float, share: float) -> float:
    """Return the relative change of the time that so many per cent more pieces of work make."""
    return percent / 100 * (1 - share)


def measure(seconds: float) -> dict[str, float]:
    """Return the fixed share of each workload as this process sees it."""
    from bench_subject.workloads import WORKLOADS

    shares = {}
    with tempfile.TemporaryDirectory(prefix="perfguard-bench-") as name:
        folder = Path(name)
        for workload, enter in WORKLOADS.items():
            with enter(100, folder) as single, enter(200, folder) as double:
                shares[workload] = 2 - ratio(single, double, seconds)
    return shares


def ratio(base: Callable[[], object], head: Callable[[], object], seconds: float) -> float:
    """Return how many times longer `head` takes: the median over quads of blocks, in the orders ABBA and BAAB."""
    from pytest_perfguard.measure.loop import repeat_call

    first, second = repeat_call(base, (), {}), repeat_call(head, (), {})

    def block(loop: Callable[[int], object], count: int) -> int:
        started = time.thread_time_ns()
        loop(count)
        return time.thread_time_ns() - started

    count = 1
    while (took := block(first, count)) < BLOCK * 1e9 / 2:
        count *= 2
    block(second, count)
    quads: list[float] = []
    until = time.perf_counter() + seconds + 8 * took / 1e9
    while time.perf_counter() < until or len(quads) < 4:
        if len(quads) % 2:
            b, a, c, d = (block(loop, count) for loop in (second, first, first, second))
            quads.append(math.log((b + d) / (a + c)))
        else:
            a, b, d, c = (block(loop, count) for loop in (first, second, second, first))
            quads.append(math.log((b + d) / (a + c)))
    return math.exp(statistics.median(quads))


if __name__ == "__main__":
    print(json.dumps(measure(float(sys.argv[1]))))
