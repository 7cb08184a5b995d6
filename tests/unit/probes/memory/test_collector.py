from __future__ import annotations

import gc
import threading

import pytest

from pytest_perfguard.model.protocols import Probe
from pytest_perfguard.probes.memory import collector
from pytest_perfguard.probes.memory.collector import CollectorProbe


@pytest.fixture(autouse=True)
def unchanged():
    """No test leaves anything with the collector."""
    before = [*gc.callbacks], gc.isenabled()
    yield
    assert ([*gc.callbacks], gc.isenabled()) == before


@pytest.fixture
def ticks(monkeypatch):
    """A clock on which each reading is as much later as the test says, 1 ms by default."""
    steps: list[int] = []
    now = 0

    def read():
        nonlocal now
        now += steps.pop(0) if steps else 1_000_000
        return now

    monkeypatch.setattr(collector, "perf_counter_ns", read)
    return steps


@pytest.fixture
def paused():
    """The collector makes no collections of its own."""
    gc.disable()
    yield
    gc.enable()


def read(call):
    probe = CollectorProbe()
    token = probe.start()
    try:
        call()
    finally:
        reading = probe.stop(token)
    return reading


def test_a_call_without_a_collection_reads_0():
    reading = read(lambda: None)
    assert reading.values == {"gc_collections": 0, "gc_pause": 0}
    assert reading.details == ()
    assert reading.notes == ()


def test_each_collection_counts_and_the_longest_is_the_pause(ticks, paused):
    ticks[:] = [0, 5_000, 0, 70_000, 0, 6_000]

    def call():
        for generation in (0, 2, 1):
            gc.collect(generation)

    assert read(call).values == {"gc_collections": 3, "gc_pause": 70_000}


def test_the_collector_itself_counts():
    kept = []
    reading = read(lambda: kept.extend([] for _ in range(200_000)))
    assert reading.values["gc_collections"] > 0
    assert reading.values["gc_pause"] > 0


def test_the_count_begins_from_a_known_state():
    """As many objects as are left to the next collection, whatever the process made before."""
    before = [[] for _ in range(650)]
    readings = {read(lambda: [[] for _ in range(300)]).values["gc_collections"] for _ in range(5)}
    assert readings == {0}
    assert before


def test_collections_of_other_threads_count():
    def call():
        thread = threading.Thread(target=gc.collect)
        thread.start()
        thread.join()

    assert read(call).values["gc_collections"] == 1


def test_details_tell_generations_and_what_was_freed(ticks, paused):
    class Node:
        pass

    def call():
        for _ in range(3):
            node = Node()
            node.me = node
            del node
        gc.collect(2)
        gc.collect(0)
        gc.collect(0)

    reading = read(call)
    lines = [detail.lines for detail in reading.details]
    assert [detail.metric for detail in reading.details] == ["gc_collections", "gc_pause"]
    assert lines[0] == lines[1]
    (line,) = lines[0]
    assert line.startswith("generation 2 once, took 1 ms, ")
    assert line.endswith("; generation 0 2 times, the longest took 1 ms, 0 objects freed")
    assert int(line.split(", ")[2].split()[0]) >= 3


@pytest.mark.parametrize("off", ["before", "during"])
def test_a_note_says_that_the_collector_was_off(off):
    if off == "before":
        gc.disable()
    try:
        reading = read(gc.disable if off == "during" else lambda: None)
    finally:
        gc.enable()
    assert [note.code for note in reading.notes] == ["collector-off"]
    assert not reading.notes[0].undermines


def test_readings_nest():
    probe = CollectorProbe()
    outer = probe.start()
    gc.collect()
    inner = probe.start()
    gc.collect()
    assert probe.stop(inner).values["gc_collections"] == 1
    gc.collect()
    # The inner reading collects before it begins; that is within the outer one, and is the fourth.
    assert probe.stop(outer).values["gc_collections"] == 4


def test_only_its_own_callback_is_removed():
    class Equal:
        def __eq__(self, other):
            return True

        __hash__ = None

        def __call__(self, phase, info):
            pass

    stranger = Equal()
    gc.callbacks.insert(0, stranger)
    try:
        read(lambda: None)
        assert gc.callbacks[0] is stranger
    finally:
        del gc.callbacks[0]


def test_a_callback_that_someone_else_removed_is_not_missed():
    before = [*gc.callbacks]
    read(lambda: gc.callbacks.__setitem__(slice(None), before))


def test_a_collection_that_began_before_does_not_count():
    token = CollectorProbe().start()
    gc.callbacks.remove(token)
    token("stop", {"generation": 2, "collected": 0, "uncollectable": 0})
    assert token.pauses == []


def test_nothing_is_left_after_an_exception():
    with pytest.raises(ZeroDivisionError):
        read(lambda: 1 / 0)


def test_is_a_probe():
    assert isinstance(CollectorProbe(), Probe)
