from __future__ import annotations

import cProfile
import json
import sqlite3
import subprocess
import sys
import tempfile
import threading
import types
from collections import Counter
from pathlib import Path

import pytest

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.model.protocols import Probe, Reading, Stage, StagedProbe
from pytest_perfguard.probes.memory.heap import tracing
from pytest_perfguard.probes.memory.heap.probe import HeapProbe, Tally
from pytest_perfguard.registry import Registry

HERE = Path(__file__).parent


def works():
    try:
        tracing.load_memray()
    except ProbeError:
        return False
    return True


needs_memray = pytest.mark.skipif(not works(), reason="memray is not installed, or not safe on this Python")

DOCUMENT = json.dumps([{"a": number + 1000, "b": [number + 0.5], "c": "x" * 100} for number in range(3000)])
DATABASE = sqlite3.connect(":memory:", check_same_thread=False)


def dicts():
    return [{} for _ in range(100_000)]


def dicts_three_times():
    for _ in range(3):
        dicts()


def big():
    return b"x" * (64 << 20)


def in_c():
    return DATABASE.execute("SELECT length(randomblob(4194304))").fetchone()


def in_threads():
    barrier = threading.Barrier(4)

    def work():
        block = bytearray(2 << 20)
        barrier.wait()
        return len(block)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def parse():
    return json.loads(DOCUMENT)


def nested():
    chain: list[object] = []
    for _ in range(50_000):
        chain = [chain]
    return chain


def recursive(depth=500):
    return [recursive(depth - 1)] if depth else []


def small():
    return [bytes(1000) for _ in range(95)]


# Call paths end at perfguard's own code, which is told by its file.
call = eval(compile("lambda function: function()", "<perfguard test>", "eval"))


def read(function, probe=None):
    probe = probe or HeapProbe()
    token = probe.start()
    try:
        result = call(function)
        del result
    finally:
        reading = probe.stop(token)
    return reading


def sizes(found):
    """Return the bytes of an object of json's, with all in it; a list and a dict without spare room is not assumed."""
    match found:
        case dict():
            return sys.getsizeof(found) + sum(map(sizes, found.values()))
        case list():
            return sys.getsizeof(found) + sum(map(sizes, found))
    return sys.getsizeof(found)


@needs_memray
@pytest.mark.parametrize(
    ("function", "truth"),
    [
        (dicts, 100_000 * sys.getsizeof({}) + sys.getsizeof([None for _ in range(100_000)])),
        (dicts_three_times, 100_000 * sys.getsizeof({}) + sys.getsizeof([None for _ in range(100_000)])),
        (big, 64 << 20),
        (in_c, 4 << 20),
        (in_threads, 8 << 20),
        (parse, sizes(json.loads(DOCUMENT))),
        (nested, 50_000 * sys.getsizeof([1])),
        (recursive, 500 * sys.getsizeof([1])),
        (small, 95 * sys.getsizeof(bytes(1000)) + sys.getsizeof([None for _ in range(95)])),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_peak_is_right_and_the_same_in_each_call(function, truth):
    read(function)
    values = [read(function, HeapProbe(metrics=["heap"])).values["heap"] for _ in range(3)]
    assert values == [pytest.approx(truth, rel=0.01)] * 3
    assert max(values) - min(values) <= 0.001 * truth


@needs_memray
def test_arrays_count_with_those_that_are_let_go_within_an_expression():
    numpy = pytest.importorskip("numpy")

    def temporaries():
        array = numpy.ones(1_000_000)
        return (array * 2 + 1).sum()

    read(temporaries)
    assert read(temporaries).values["heap"] == pytest.approx(2 * 8_000_000, rel=0.01)


@needs_memray
def test_allocations_are_counted_with_their_bytes_and_calls_of_functions_are_none():
    def nothing():
        pass

    def loop():
        for _ in range(200):
            nothing()
        return [bytes(1000) for _ in range(50)]

    read(loop)
    values = read(loop).values
    assert 50 < values["allocations"] < 65
    assert 50 * sys.getsizeof(bytes(1000)) < values["allocated"] < 50 * 1033 * 1.1


@needs_memray
def test_a_call_that_allocates_nothing_reads_nothing():
    def nothing():
        pass

    probe = HeapProbe()
    for _ in range(2):
        token = probe.start()
        nothing()
        reading = probe.stop(token)
    assert reading.values == {"heap": 0, "allocations": 0, "allocated": 0}


@needs_memray
@pytest.mark.parametrize("loaded", [True, False])
def test_it_reads_nothing_with_greenlets_and_without(monkeypatch, loaded):
    greenlet = pytest.importorskip("greenlet")
    monkeypatch.setitem(sys.modules, "greenlet", greenlet)
    if not loaded:
        monkeypatch.delitem(sys.modules, "greenlet")
    probe = HeapProbe()
    token = probe.start()
    reading = probe.stop(token)
    assert reading.values == {"heap": 0, "allocations": 0, "allocated": 0}


@needs_memray
def test_the_interpreters_own_stack_is_left_out_however_deep_the_call_is_made():
    def deeper(depth, function):
        return deeper(depth - 1, function) if depth else function()

    read(small)
    values = {deeper(depth, lambda: read(small).values["heap"]) for depth in (0, 50, 100, 150, 200)}
    assert max(values) - min(values) < 1000


@needs_memray
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("paths", [True, False])
def test_nothing_is_left_behind_when_the_call_raises(error, paths):
    def fail():
        raise error

    probe = HeapProbe()
    if paths:
        probe = probe.proceed([[tally(1000)]]).probe
    read(small)
    before = state()
    with pytest.raises(error):
        read(fail, probe)
    assert state() == before


@pytest.fixture(autouse=True)
def own_folder(monkeypatch, tmp_path):
    """Nobody else's temporary files are in it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def state():
    thread = {name: id(value) for name, value in vars(threading.Thread).items()}
    folders = sorted(Path(tempfile.gettempdir()).glob("perfguard-heap-*"))
    return sys.getprofile(), threading.getprofile(), thread, folders, threading.active_count()


@needs_memray
def test_nothing_is_left_behind_of_greenlets_and_no_warning_is_printed(capfd):
    greenlet = pytest.importorskip("greenlet")

    def switch():
        return [greenlet.greenlet(small).switch() for _ in range(3)]

    before = greenlet.gettrace()
    probe = HeapProbe()
    readings = [read(switch, probe) for _ in range(2)]
    found = [read(switch, probe.proceed([readings[-1:]]).probe) for _ in range(3)][-1]
    assert greenlet.gettrace() is before
    assert readings[-1].values["heap"] == pytest.approx(3 * 100_000, rel=0.1)
    assert "test_heap.py" in str(found.details)
    assert capfd.readouterr() == ("", "")


@needs_memray
def test_a_tracker_that_is_active_is_an_error_and_goes_on(tmp_path):
    import memray

    before = None
    with memray.Tracker(tmp_path / "capture"):
        with pytest.raises(ProbeError, match=r"memray traces this process already .*pytest --memray"):
            HeapProbe().start()
        before = bytes(10_000_000)
    with memray.FileReader(tmp_path / "capture") as reader:
        assert reader.metadata.peak_memory > len(before)
    assert read(small).values["heap"] > 0


@needs_memray
def test_a_measurement_within_another_is_an_error_and_the_outer_one_goes_on():
    def within():
        with pytest.raises(ProbeError, match="a measurement around this one"):
            HeapProbe().start()
        return bytes(10_000_000)

    assert read(within).values["heap"] > 10_000_000
    assert not sorted(Path(tempfile.gettempdir()).glob("perfguard-heap-*"))


@needs_memray
def test_a_profiler_is_an_error_and_goes_on():
    calls = []

    def profiler(frame, event, argument):
        calls.append(event)

    sys.setprofile(profiler)
    try:
        with pytest.raises(ProbeError, match=r"profiler .*profiler is active, and memray takes its place"):
            HeapProbe().start()
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
    assert calls


@needs_memray
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="cProfile is no profile function from 3.12 on")
def test_the_standard_profiler_is_named():
    with cProfile.Profile(), pytest.raises(ProbeError, match="Profile"):
        HeapProbe().start()


@needs_memray
def test_a_child_process_is_noted():
    (note,) = read(lambda: subprocess.run([sys.executable, "-c", ""], check=True)).notes
    assert note.code == "children"
    assert not note.undermines
    assert not read(small).notes


@needs_memray
def test_a_file_that_is_gone_is_an_error_that_says_what_to_do():
    probe = HeapProbe()
    token = probe.start()
    (token._folder / "capture").unlink()
    with pytest.raises(ProbeError, match=r"cannot be read .*TMPDIR"):
        probe.stop(token)
    assert not token._folder.exists()


@needs_memray
def test_call_paths_go_from_the_measured_call_to_the_place_and_know_libraries():
    def load():
        documents = parse()
        return documents, small()

    tally = [read(load) for _ in range(2)][-1]
    stage = HeapProbe(HERE).proceed([[tally]])
    assert isinstance(stage, Stage)
    details = {detail.metric: detail.lines for detail in read(load, stage.probe).details}
    assert list(details) == ["heap", "allocations", "allocated"]
    first, second = details["heap"]
    assert " %: test_heap.py:" in first
    assert " load → test_heap.py:" in first
    assert first.endswith("loads")
    assert "parse → json/__init__.py:" in first
    assert second.startswith(("96.8 KiB", "96.9 KiB", "97 KiB"))
    assert second.endswith(" small")


@needs_memray
def test_calls_of_functions_are_not_taken_for_allocations_in_call_paths():
    def nothing():
        pass

    def busy():
        for _ in range(20):
            for _ in range(250):  # no number that has to be made
                nothing()

    def both():
        busy()
        return [bytes(1000 + number) for number in range(300)]

    tally = [read(both) for _ in range(2)][-1]
    found = read(both, HeapProbe(HERE).proceed([[tally]]).probe)
    lines = {detail.metric: detail.lines for detail in found.details}["allocations"]
    assert (
        sum(int(line.partition(",")[0]) for line in lines if line.endswith(" busy")) < 100
    )  # its ranges, not its calls


def test_is_told_the_root_and_what_is_wanted(tmp_path):
    (probe,) = Registry(tmp_path).probes(["heap"])
    assert isinstance(probe, Probe)
    assert isinstance(probe, StagedProbe)
    assert probe._root == tmp_path
    assert not probe._counting
    assert Registry(tmp_path).probes(["heap", "allocated"])[0]._counting


# --- what follows from readings ---------------------------------------------------------------------------------------


def tally(heap, allocations=10, notes=()):
    values = {"heap": heap, "allocations": allocations, "allocated": 10 * allocations}
    return Tally(values=values, sizes=Counter({10: allocations}), notes=notes)


def test_two_calls_that_agree_suffice_and_one_more_tells_the_paths():
    probe = HeapProbe()
    stage = probe.proceed([[tally(1000), tally(1005)]])
    assert (stage.warmup, stage.rounds) == (0, 1)
    assert stage.probe is not probe
    paths = Reading(details=())
    found = probe.proceed([[tally(1000), tally(1005)], [paths]])
    assert found.values == {"heap": 1000, "allocations": 10, "allocated": 100}
    assert not found.notes


def test_calls_that_do_not_agree_are_made_again_and_the_median_counts():
    probe = HeapProbe()
    first = [tally(1000), tally(2000)]
    stage = probe.proceed([first])
    assert (stage.probe, stage.rounds) == (probe, 3)
    second = [tally(1500), tally(1800), tally(1100)]
    assert probe.proceed([first, second]).probe is not probe
    found = probe.proceed([first, second, [Reading()]])
    assert found.values["heap"] == 1500
    (note,) = found.notes
    assert note.code == "unsteady-heap"
    assert "heap differed from call to call, from 1000 B to 1.95 KiB" in str(note)


# --- where it does not work -------------------------------------------------------------------------------------------


def test_without_memray_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "memray", None)
    with pytest.raises(ProbeError, match=r"pip install 'pytest-perfguard\[memray\]'"):
        HeapProbe().start()


def test_on_windows_the_error_says_that_memray_does_not_exist_there(monkeypatch):
    monkeypatch.setattr(tracing.sys, "platform", "win32")
    with pytest.raises(ProbeError, match="Windows: memray does not exist there"):
        HeapProbe().start()


@pytest.mark.parametrize(
    ("python", "version", "refused"),
    [
        ((3, 12), "1.20.0", True),
        ((3, 12), "1.15.0", True),
        ((3, 12), "1.20.1", False),
        ((3, 12), "1.21.0rc1", False),
        ((3, 12), "2.0", False),
        ((3, 11), "1.20.0", False),
        ((3, 13), "1.20.0", False),
    ],
)
def test_a_memray_that_crashes_on_312_is_refused(monkeypatch, python, version, refused):
    monkeypatch.setitem(sys.modules, "memray", types.SimpleNamespace(__version__=version))
    monkeypatch.setattr(tracing, "_PYTHON", python)
    if refused:
        with pytest.raises(ProbeError, match=rf"memray {version} may end this process .* newer than 1\.20\.0"):
            tracing.load_memray()
    else:
        assert tracing.load_memray().__version__ == version
