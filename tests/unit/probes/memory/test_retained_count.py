from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
from collections import deque
from unittest import mock

import pytest

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.model.protocols import StagedProbe
from pytest_perfguard.probes.memory.retained.probe import RetainedProbe


def read(call, rounds=3):
    """Return the readings of calls that count, taken as a runner takes them, one by one."""
    probe = RetainedProbe()
    probe.rounds = rounds
    readings = []
    for number in range(probe.warmup + probe.rounds):
        token = probe.start()
        call()
        reading = probe.stop(token)
        if number >= probe.warmup:
            readings.append(reading)
    return readings


def values(call):
    return [reading.values["retained"] for reading in read(call)]


FROZEN_BY_ITSELF = 2000  # by CPython 3.12: immortal objects
KEPT: list[object] = [None] * 4096  # long enough never to need a larger block
PLACES = iter(range(4096))


def keep(*objects):
    for item in objects:
        KEPT[next(PLACES)] = item


class Node:
    def __init__(self):
        self.me = self


def dicts_dropped():
    return [{"number": number} for number in range(1000, 2000)] and None


def cycles_dropped():
    for _ in range(100):
        Node()


CURRENT: list[object] = [None]


def cycle_replaced():
    """Drop a cycle that existed, frozen, before the call."""
    CURRENT[0] = Node()


CACHE: dict[int, bytes] = {}


def cached():
    if 1 not in CACHE:
        CACHE[1] = bytes(100_000)


def exception_with_traceback():
    try:
        raise ValueError("x" * 1000)
    except ValueError as error:
        kept = error
        kept.itself = kept  # type: ignore[attr-defined]


def generator_left_halfway():
    numbers = (str(number) * 20 for number in range(1000))
    next(numbers)


def threads():
    workers = [threading.Thread(target=lambda: [bytes(1000) for _ in range(10)]) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


async def answer():
    await asyncio.sleep(0)


RING: deque[str] = deque(maxlen=2)


@pytest.mark.parametrize(
    "call",
    [
        dicts_dropped,
        cycles_dropped,
        cycle_replaced,
        cached,
        exception_with_traceback,
        generator_left_halfway,
        lambda: asyncio.run(answer()),
        lambda: RING.append("a" * (10 + len(RING))),
        lambda: CACHE.get(1),
    ],
    ids=lambda call: call.__name__,
)
def test_clean_code_reads_zero_each_time(call):
    assert [values(call) for _ in range(5)] == [[0, 0, 0]] * 5


def test_threads_leave_nothing():
    # `join` returns a moment before the thread has freed the last of its blocks: a single round may see it.
    assert [min(values(threads)) for _ in range(5)] == [0] * 5


@pytest.mark.parametrize(
    ("call", "blocks"),
    [
        (lambda: keep(object()), 1),
        (lambda: keep(bytes(100_000)), 1),
        (lambda: keep(*(bytes(50) for _ in range(3))), 3),
        (lambda: keep({"a": 1}), 2),
        (lambda: keep(generator for generator in (0,)), None),
    ],
    ids=["object", "large", "list of bytes", "dict", "generator"],
)
def test_a_leak_reads_exactly_its_blocks_each_time(call, blocks):
    found = {reading.values["retained"] for reading in read(call, 15)}
    assert found == {blocks} if blocks else len(found) == 1 and min(found) > 0


def test_a_leak_is_not_hidden_by_garbage_made_before_the_call():
    def leak():
        keep(object())

    probe = RetainedProbe()
    found = []
    for _ in range(6):
        cycles_dropped()
        free_list = [float(number) for number in range(200)]
        del free_list
        token = probe.start()
        leak()
        found.append(probe.stop(token).values["retained"])
    assert found[3:] == [1, 1, 1]


def test_nested_tokens_do_not_disturb_each_other_and_leave_nothing_frozen():
    probe = RetainedProbe()
    readings = []

    def nested():
        inner = probe.start()
        keep(object())
        readings.append(probe.stop(inner).values["retained"])

    outer = [reading.values["retained"] for reading in read(nested)]
    assert readings[3:] == [1, 1, 1]
    assert outer == [1, 1, 1]
    assert gc.get_freeze_count() < FROZEN_BY_ITSELF


def test_a_freeze_of_the_users_stays():
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        assert values(lambda: keep(object())) == [1, 1, 1]
        assert values(cycles_dropped) == [0, 0, 0]
        assert gc.get_freeze_count() > frozen * 0.9
    finally:
        gc.unfreeze()


def test_a_freeze_made_by_the_measured_code_stays():
    probe = RetainedProbe()
    token = probe.start()
    extra = [[] for _ in range(2000)]
    gc.freeze()
    probe.stop(token)
    frozen = gc.get_freeze_count()
    gc.unfreeze()
    assert frozen > len(extra)


def test_the_heap_is_thawed_after_an_exception_in_the_call():
    probe = RetainedProbe()

    def fail():
        token = probe.start()
        try:
            raise LookupError
        finally:
            probe.stop(token)

    with pytest.raises(LookupError):
        fail()
    assert gc.get_freeze_count() < FROZEN_BY_ITSELF


SCRIPT = """
from pytest_perfguard.probes.memory.retained.probe import RetainedProbe
kept = [None] * 100
probe = RetainedProbe()
for number in range(6):
    token = probe.start()
    kept[number] = object()
    reading = probe.stop(token)
print(reading.values["retained"])
"""


def run(**environment):
    return subprocess.run(
        [sys.executable, "-c", SCRIPT], env=os.environ | environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("allocator", ["pymalloc", "debug"])
def test_reads_the_same_in_a_process_of_its_own(allocator):
    assert run(PYTHONMALLOC=allocator).stdout.strip() == "1"


def test_another_allocator_is_refused_with_a_remedy():
    outcome = run(PYTHONMALLOC="malloc")
    assert "ProbeError" in outcome.stderr
    assert "unset PYTHONMALLOC" in outcome.stderr


@pytest.mark.parametrize(
    ("target", "value", "message"),
    [
        ("sys.implementation", mock.Mock(), "leave out the budget"),
        ("sysconfig.get_config_var", lambda name: 1, "free-threaded"),
    ],
)
def test_unsuitable_interpreters_are_refused(monkeypatch, target, value, message):
    if target == "sys.implementation":
        value.name = "pypy"
    monkeypatch.setattr(target, value)
    with pytest.raises(ProbeError, match=message):
        RetainedProbe().start()


def test_a_call_that_frees_reads_below_zero():
    KEPT.append([])
    probe = RetainedProbe()
    token = probe.start()
    KEPT.pop()
    assert probe.stop(token).values["retained"] < 0


def test_is_a_staged_probe():
    assert isinstance(RetainedProbe(), StagedProbe)
