"""Budgets on memory cost the clock nothing: nothing of their instruments is on in its rounds, or left by then.

What looks for leaks comes before the clock, as the clock's many calls would pile them up; all else comes after it.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import threading

from pytest_perfguard.measure.plan import Call, Plan
from pytest_perfguard.measure.runner import Runner
from pytest_perfguard.model import Key, Method
from pytest_perfguard.probes.clock import ClockProbe
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


class Watched(ClockProbe):
    """Tells when it is at work."""

    at_work = False

    def start(self):
        type(self).at_work = True
        return super().start()

    def stop(self, token, result=None):
        type(self).at_work = False
        return super().stop(token, result)


def seen_in_rounds(metrics):
    """Return the circumstances of the calls that the clock times, and the number of those of other instruments."""
    seen, others = [], []
    registry = Registry()
    plan = Plan(key=Key(test="test_x"), method=Method(rounds=ROUNDS, iterations=1), probes=registry.probes(metrics))

    def work():
        (seen if Watched.at_work else others).append(circumstances())

    Runner(Watched()).measure(Call(func=work), plan)
    assert len(seen) >= ROUNDS
    return set(seen), len(others)


def test_calls_that_the_clock_times_see_the_same_process_with_budgets_on_memory():
    measure(list, MEMORY)  # what is imported and made once
    with_budgets, others = seen_in_rounds(MEMORY)
    without, none = seen_in_rounds(())
    assert with_budgets == without
    assert (others > len(MEMORY), none) == (True, 0)


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
