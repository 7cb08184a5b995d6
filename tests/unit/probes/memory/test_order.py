"""Budgets on memory cost the clock nothing: its rounds come first, and nothing of the other instruments is on then."""

from __future__ import annotations

import gc
import os
import statistics
import sys
import threading

from pytest_perfguard.measure.plan import Call, Plan
from pytest_perfguard.measure.runner import Runner
from pytest_perfguard.model import Key, Method
from pytest_perfguard.registry import Registry

MEMORY = ("memory", "retained", "result_size", "leaked", "gc_pause", "rss")
ROUNDS = 20


def measure(func, metrics=(), **method):
    registry = Registry()
    plan = Plan(key=Key(test="test_x"), method=Method(**method), probes=registry.probes(metrics))
    return Runner(registry.clock()).measure(Call(func=func), plan)[1]


def circumstances():
    return (
        gc.isenabled(),
        gc.get_freeze_count(),
        tuple(gc.callbacks),
        gc.get_threshold(),
        sys.gettrace(),
        sys.getprofile(),
        threading.active_count(),
        os.getpid(),
    )


def seen_in_rounds(metrics):
    seen = []
    measure(lambda: seen.append(circumstances()), metrics, rounds=ROUNDS, iterations=1, warmup=1)
    assert len(seen) > ROUNDS + len(metrics)
    return seen[: ROUNDS + 1]


def test_the_rounds_of_the_clock_come_first_and_see_the_same_process():
    measure(list, MEMORY)  # what is imported and made once
    assert set(seen_in_rounds(MEMORY)) == set(seen_in_rounds(()))


def test_the_instruments_come_in_the_order_of_what_they_disturb():
    names = [metric.name for probe in Registry().probes(MEMORY) for metric in probe.metrics[:1]]
    assert names.index("retained") < names.index("result_size") < names.index("memory") == len(names) - 1


def test_times_with_and_without_budgets_on_memory_agree():
    rows = [{"id": number, "name": str(number)} for number in range(400)]

    def work():
        return sorted(rows, key=lambda row: row["name"])

    ratios = []
    for turn in range(15):
        metrics = [(), MEMORY] if turn % 2 else [MEMORY, ()]
        times = {each: measure(work, each, target_time=0.03).get("time").reduced() for each in metrics}
        ratios.append(times[MEMORY] / times[()])
    assert 0.85 < statistics.median(ratios) < 1.15
