from __future__ import annotations

import sys
import threading
from pathlib import Path

import psutil
import pytest

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.model.protocols import Probe
from pytest_perfguard.probes.memory import status
from pytest_perfguard.probes.memory.peak.probe import FLOOR, PeakProbe
from tests.unit.probes.memory.peak_readings import run

MIB = 1024 * 1024

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="VmHWM is Linux's")

BIG = "def call(): b'x' * (64 * MIB)"
SLICES = "def call(): kept = [b'x' * 8192 for _ in range(4096)]"
GENERATED = "def call(): sum(len(b'x' * (4 * MIB)) for _ in range(16))"
# An empty set takes 216 bytes and 16 before it; 70 of their blocks fit into a pool of 16 KiB.
DROPPED = "def call(): kept = [set() for _ in range(100_000)]"
KEPT = "kept = []\ndef call(): kept.append([set() for _ in range(100_000)])"
NUMPY = """
import numpy
def call():
    numbers = numpy.zeros(2 * MIB) + 1
    return ((numbers * 2) + 1).sum()
"""
MALLOC = """
import ctypes
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
def call():
    block = library.malloc(16 * MIB)
    ctypes.memset(block, 1, 16 * MIB)
    library.free(ctypes.c_void_p(block))
"""
THREADS = """
def work(barrier):
    kept = b'x' * (10 * MIB)
    barrier.wait()
def call():
    barrier = threading.Barrier(4)
    workers = [threading.Thread(target=work, args=(barrier,)) for _ in range(4)]
    for worker in workers: worker.start()
    for worker in workers: worker.join()
"""
# Each level is a list of 56 bytes and 16 before it, and the 8 bytes of its one element.
DEEP = """
def call():
    top = []
    for _ in range(500_000):
        top = [top]
    while top:
        top = top[0]
"""
WORKLOADS = {
    "freed at once": (BIG, 64 * MIB),
    "many of one size": (SLICES, 4096 * (8192 + 33 + 15)),
    "one after another": (GENERATED, 4 * MIB),
    "objects dropped": (DROPPED, 100_000 / 70 * 16384 + 800_000),
    "objects kept": (KEPT, 100_000 / 70 * 16384 + 800_000),
    "numpy": (NUMPY, 2 * 16 * MIB),
    "malloc": (MALLOC, 16 * MIB),
    "threads": (THREADS, 40 * MIB),
    "deep": (DEEP, 500_000 * (64 + 16)),
    "nothing": ("def call(): pass", 0),
}


@linux
@pytest.mark.parametrize(("code", "truth"), WORKLOADS.values(), ids=WORKLOADS)
def test_a_copy_reads_the_true_peak_every_time(code, truth):
    # The first is its warm-up: NumPy loads a library when it first adds up.
    readings, _ = run(f"{code}\nshow(*[read(call) for _ in range(5)][1:])")
    assert [reading["reason"] for reading in readings] == [""] * 4
    values = [reading["value"] for reading in readings]
    assert all(abs(value - truth) <= 0.05 * max(truth, FLOOR) for value in values), (values, truth)
    assert max(values) - min(values) <= 0.02 * max(truth, FLOOR), values


@linux
@pytest.mark.parametrize(("code", "truth"), WORKLOADS.values(), ids=WORKLOADS)
def test_the_process_itself_reads_nearly_the_same(code, truth):
    program = f"""
def refuse():
    raise child.Unsafe("it is not wanted")
child.examine = refuse
{code}
show(*[read(call) for _ in range(5)][1:])
"""
    readings, _ = run(program)
    assert [reading["reason"] for reading in readings] == ["it is not wanted"] * 4
    values = [reading["value"] for reading in readings]
    assert all(abs(value - truth) <= 0.08 * max(truth, FLOOR) for value in values), (values, truth)


@linux
def test_a_program_that_the_call_starts_counts_with_its_own_peak():
    program = """
import subprocess
def call():
    inner = "b'x' * 60_000_000; print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
    global truth
    truth = int(subprocess.run([sys.executable, "-c", inner], capture_output=True, check=True).stdout) * 1024
first, second = read(call), read(call)
show(first, second)
print(truth)
"""
    readings, (truth,) = run(program)
    assert [reading["reason"] for reading in readings] == ["it starts a program"] * 2
    assert [reading["value"] for reading in readings] == [pytest.approx(int(truth), rel=0.05)] * 2


@linux
def test_what_a_fork_of_the_call_takes_counts():
    program = """
def call():
    process = os.fork()
    if not process:
        kept = b'x' * (64 * MIB)
        time.sleep(0.05)
        os._exit(0)
    os.waitpid(process, 0)
show(read(call))
"""
    (reading,), _ = run(program)
    assert reading == {"value": pytest.approx(64 * MIB, rel=0.05), "reason": "", "notes": []}


@linux
def test_an_inner_reading_keeps_the_peak_of_the_outer_one():
    program = """
def call():
    b'x' * (48 * MIB)
    inner.append(read(lambda: b'x' * (16 * MIB)))
inner = []
outer = read(call)
show(*inner, outer)
assert not peak._open
"""
    (small, large), _ = run(program)
    assert small["value"] == pytest.approx(16 * MIB, rel=0.05)
    assert large["value"] == pytest.approx(48 * MIB, rel=0.05)
    assert small["reason"] == "another reading of memory is under way"


@linux
def test_leaves_no_file_and_no_thread_behind():
    probe = PeakProbe()
    files, threads = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
    probe.stop(probe.start())
    assert (len(list(Path("/proc/self/fd").iterdir())), threading.active_count()) == (files, threads)


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """A system that does not tell the peak."""
    monkeypatch.setattr(status, "PROC", tmp_path)
    monkeypatch.setattr(sys, "platform", "elsewhere")
    return tmp_path


@pytest.mark.parametrize("obstacle", ["no file", "no effect"])
def test_without_a_reset_the_value_is_a_lower_bound_and_says_so(elsewhere, obstacle):
    if obstacle == "no effect":
        (elsewhere / "self").mkdir()
        (elsewhere / "self" / "status").write_text("Name:\tpython\nVmHWM:\t  900000 kB\nVmRSS:\t   20000 kB\n")
    probe = PeakProbe()
    token = probe.start()
    kept = b"x" * (32 * MIB)
    reading = probe.stop(token)
    assert reading.values["memory"] == pytest.approx(len(kept), rel=0.1)
    (note,) = reading.notes
    assert note.code == "lower-bound"
    assert "never fails a test" in note.remedy


def test_where_nothing_can_be_read_there_is_an_error_with_a_remedy(monkeypatch, elsewhere):
    def refuse(self):
        raise psutil.AccessDenied(1)

    monkeypatch.setattr(psutil.Process, "memory_info", refuse)
    with pytest.raises(ProbeError, match="leave out the budget 'memory'"):
        PeakProbe().start()


def test_is_a_probe():
    assert isinstance(PeakProbe(), Probe)
