from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.model.protocols import Probe
from pytest_perfguard.model.sample import Series
from pytest_perfguard.probes.memory import resident, status
from pytest_perfguard.probes.memory.resident import GrowthProbe, ResidentProbe

MIB = 1024 * 1024

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")


def measure(call, probe):
    """Return the readings that count, taken as a runner takes them."""
    readings = []
    for number in range(probe.warmup + probe.rounds):
        token = probe.start()
        call()
        reading = probe.stop(token)
        if number >= probe.warmup:
            readings.append(reading)
    return readings


@linux
def test_rss_is_what_the_process_has_and_the_peak_of_the_call():
    (idle,) = measure(int, ResidentProbe())
    (busy,) = measure(lambda: b"x" * (64 * MIB) and None, ResidentProbe())
    assert idle.values["rss"] == pytest.approx(status.read()[0], abs=16 * MIB)
    assert busy.values["rss"] - idle.values["rss"] == pytest.approx(64 * MIB, abs=8 * MIB)
    assert idle.notes == busy.notes == ()


@linux
def test_what_other_threads_use_counts():
    def call():
        thread = threading.Thread(target=lambda: b"x" * (64 * MIB) and None)
        thread.start()
        thread.join()

    (idle,) = measure(int, ResidentProbe())
    (busy,) = measure(call, ResidentProbe())
    assert busy.values["rss"] - idle.values["rss"] == pytest.approx(64 * MIB, abs=8 * MIB)


@linux
def test_an_inner_reading_keeps_the_peak_of_the_outer_one():
    probe = ResidentProbe()
    outer = probe.start()
    assert b"x" * (64 * MIB)
    inner = probe.start()
    small = probe.stop(inner).values["rss"]
    large = probe.stop(outer).values["rss"]
    assert large - small == pytest.approx(64 * MIB, abs=8 * MIB)


def test_without_a_reset_it_is_a_sample_with_a_note(monkeypatch):
    monkeypatch.setattr(status, "reset", lambda: None)
    monkeypatch.setattr(status, "sample", lambda: 123)
    (reading,) = measure(int, ResidentProbe())
    assert reading.values == {"rss": 123}
    assert [note.code for note in reading.notes] == ["lower-bound"]
    assert reading.notes[0].undermines == ("rss",)


def test_where_nothing_can_be_read_the_reading_ends(monkeypatch):
    def refuse():
        raise ProbeError("no")

    monkeypatch.setattr(status, "reset", lambda: None)
    monkeypatch.setattr(status, "sample", refuse)
    probe = ResidentProbe()
    token = probe.start()
    with pytest.raises(ProbeError):
        probe.stop(token)
    assert resident._open == []


SMAPS = b"""56077e18c000-7ffc6ec0c000 ---p 00000000 00:00 0                          [rollup]
Rss:                1856 kB
Pss:                 245 kB
Pss_Anon:            116 kB
Pss_File:            129 kB
Pss_Shmem:             4 kB
Anonymous:           116 kB
Swap:                  8 kB
SwapPss:               0 kB
"""


@pytest.fixture
def proc(tmp_path, monkeypatch):
    """A /proc of the test's own."""
    (tmp_path / "self").mkdir()
    monkeypatch.setattr(status, "PROC", tmp_path)
    return tmp_path / "self"


def test_growth_reads_the_pages_that_are_not_of_files(proc):
    (proc / "smaps_rollup").write_bytes(SMAPS)
    probe = GrowthProbe()
    assert probe.stop(probe.start()).values == {"rss_growth": (116 + 4 + 8) * 1024}


@pytest.mark.parametrize("text", [None, b"", b"nothing", SMAPS[:120]])
def test_growth_without_that_file_is_a_sample_with_a_note(proc, monkeypatch, text):
    if text is not None:
        (proc / "smaps_rollup").write_bytes(text)
    monkeypatch.setattr(status, "sample", lambda: 123)
    probe = GrowthProbe()
    reading = probe.stop(probe.start())
    assert reading.values == {"rss_growth": 123}
    assert [note.code for note in reading.notes] == ["sampled"]
    assert reading.notes[0].undermines == ("rss_growth",)


def test_readings_are_made_before_and_given_once():
    probe = GrowthProbe()
    readings = [probe.stop(probe.start()) for _ in range(probe.warmup + probe.rounds + 3)]
    assert len({id(reading) for reading in readings}) == len(readings)
    assert len({id(reading.values) for reading in readings}) == len(readings)


@linux
def test_a_leak_of_c_memory_is_the_slope():
    """Python's own allocator knows nothing of it."""
    ctypes = pytest.importorskip("ctypes")
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    library.malloc.argtypes = [ctypes.c_size_t]
    library.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]

    def call():
        library.memset(library.malloc(20_000), 1, 20_000)

    probe = GrowthProbe()
    values = tuple(reading.values["rss_growth"] for reading in measure(call, probe))
    assert len(values) == 60
    assert Series(metric=probe.metrics[0], values=values).reduced() == pytest.approx(20_000, rel=0.1)


@linux
def test_a_file_is_not_needed_for_long():
    before = sorted(each.name for each in Path("/proc/self/fd").iterdir())
    measure(int, GrowthProbe())
    assert len(list(Path("/proc/self/fd").iterdir())) == len(before)


@pytest.mark.parametrize("probe", [ResidentProbe(), GrowthProbe()])
def test_are_probes(probe):
    assert isinstance(probe, Probe)
