from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.model.protocols import Probe
from pytest_perfguard.probes.memory import peak
from pytest_perfguard.probes.memory.peak import FLOOR, PeakProbe

MIB = 1024 * 1024

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="VmHWM is Linux's")

HEADER = """
import threading
from pytest_perfguard.probes.memory.peak import PeakProbe
def measure(call):
    probe = PeakProbe()
    values = []
    for number in range(probe.warmup + 5):
        token = probe.start()
        call()
        reading = probe.stop(token)
        values.append(reading.values["memory"])
        assert not reading.notes, reading.notes
    print(*values[probe.warmup:])
"""

BIG = "def call(): b'x' * (64 * 1024 * 1024)"
SLICES = "def call():\n    kept = [b'x' * 8192 for _ in range(4096)]"
GENERATED = "def call(): sum(len(b'x' * 1048576) for _ in range(64))"
THREADS = """
def work(barrier):
    kept = b'x' * (40 * 1024 * 1024)
    barrier.wait()
def call():
    barrier = threading.Barrier(2)
    workers = [threading.Thread(target=work, args=(barrier,)) for _ in range(2)]
    for worker in workers: worker.start()
    for worker in workers: worker.join()
"""


@linux
@pytest.mark.parametrize(
    ("code", "truth"),
    [
        (BIG, 64 * MIB),
        (SLICES, 4096 * (8192 + 33 + 15)),
        (THREADS, 80 * MIB),
        (GENERATED, 2 * MIB),
        ("def call(): pass", 0),
    ],
    ids=["freed at once", "many small", "threads", "one after another", "nothing"],
)
def test_reads_the_true_peak_five_times(code, truth):
    outcome = subprocess.run(
        [sys.executable, "-c", f"{HEADER}\n{code}\nmeasure(call)"], capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    values = [int(value) for value in outcome.stdout.split()]
    assert len(values) == 5
    tolerance = 0.05 * truth if truth > FLOOR else 2 * MIB
    assert all(abs(value - truth) <= tolerance for value in values), values


@linux
def test_an_inner_reading_keeps_the_peak_of_the_outer_one():
    probe = PeakProbe()
    outer = probe.start()
    assert b"x" * (48 * MIB)
    inner = probe.start()
    assert b"x" * (16 * MIB)
    small = probe.stop(inner).values["memory"]
    large = probe.stop(outer).values["memory"]
    assert small == pytest.approx(16 * MIB, rel=0.15)
    assert large == pytest.approx(48 * MIB, rel=0.05)
    assert not peak._open


@linux
def test_leaves_no_file_and_no_thread_behind():
    probe = PeakProbe()
    files, threads = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
    probe.stop(probe.start())
    assert (len(list(Path("/proc/self/fd").iterdir())), threading.active_count()) == (files, threads)


@pytest.mark.parametrize("obstacle", ["no file", "no effect"])
def test_without_a_reset_the_value_is_a_lower_bound_and_says_so(monkeypatch, tmp_path, obstacle):
    if obstacle == "no file":
        monkeypatch.setattr(peak, "_CLEAR_REFS", tmp_path / "absent" / "clear_refs")
    else:
        monkeypatch.setattr(peak, "_CLEAR_REFS", tmp_path / "clear_refs")
        monkeypatch.setattr(peak, "_STATUS", tmp_path / "status")
        (tmp_path / "status").write_text("Name:\tpython\nVmHWM:\t  900000 kB\nVmRSS:\t   20000 kB\n")
    probe = PeakProbe()
    token = probe.start()
    kept = b"x" * (32 * MIB)
    reading = probe.stop(token)
    assert reading.values["memory"] == pytest.approx(len(kept), rel=0.1)
    (note,) = reading.notes
    assert note.code == "lower-bound"
    assert "never fails a test" in note.remedy


def test_where_nothing_can_be_read_there_is_an_error_with_a_remedy(monkeypatch, tmp_path):
    import psutil

    def refuse(self):
        raise psutil.AccessDenied(1)

    monkeypatch.setattr(peak, "_CLEAR_REFS", tmp_path / "absent" / "clear_refs")
    monkeypatch.setattr(psutil.Process, "memory_info", refuse)
    with pytest.raises(ProbeError, match="leave out the budget 'memory'"):
        PeakProbe().start()
    assert not peak._open


def test_works_without_malloc_trim(monkeypatch):
    monkeypatch.setattr(peak, "_trimmer", lambda: None)
    probe = PeakProbe()
    assert "memory" in probe.stop(probe.start()).values


def test_is_a_probe():
    assert isinstance(PeakProbe(), Probe)
