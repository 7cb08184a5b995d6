from __future__ import annotations

import subprocess
import sys
from collections import deque
from types import SimpleNamespace
from unittest import mock

import pytest

from pytest_perfguard.model.protocols import Probe
from pytest_perfguard.probes.memory import size
from pytest_perfguard.probes.memory.size import SizeProbe


def read(result):
    probe = SizeProbe()
    return probe.stop(probe.start(), result)


def measure(result):
    reading = read(result)
    assert not reading.notes
    return reading.values["result_size"]


def flat(*objects):
    return sum((sys.getsizeof(item) + 7) // 8 * 8 for item in objects)


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


class Watched:
    """Every look that is not by type is a failure."""

    def __init__(self):
        self.kept = bytes(10_000)

    def __getattr__(self, name):
        raise AssertionError(name)

    def __iter__(self):
        raise AssertionError

    def __len__(self):
        raise AssertionError

    def __sizeof__(self):
        raise AssertionError


class Lazy:
    """As Django's SimpleLazyObject: the type itself asks for what it wraps."""

    evaluated = 0

    @property
    def __class__(self):
        type(self).evaluated += 1
        return str

    def __getattr__(self, name):
        type(self).evaluated += 1
        raise AttributeError(name)


BLOB = bytes(100_000)
CHAIN: list[object] = []
for _ in range(5000):
    CHAIN = [CHAIN]
LOOP: list[object] = [BLOB]
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("result", "truth"),
    [
        (None, flat(None)),
        (BLOB, flat(BLOB)),
        ([BLOB, BLOB], flat([BLOB, BLOB], BLOB)),
        ({"a": BLOB}, flat({"a": BLOB}, "a", BLOB)),
        (deque([BLOB]), flat(deque([BLOB]), BLOB)),
        (Slotted(BLOB), flat(Slotted(BLOB), BLOB)),
        (LOOP, flat(LOOP, BLOB)),
        (memoryview(BLOB)[:10], flat(BLOB) + 400),
        (CHAIN, 5000 * flat([1]) + flat([])),
        (len, flat(len)),
        ([len, SizeProbe, sys, measure], flat([len, SizeProbe, sys, measure])),
    ],
    ids=["None", "bytes", "twice", "dict", "deque", "slots", "loop", "memoryview", "deep", "function", "code"],
)
def test_known_sizes_five_times(result, truth):
    values = {measure(result) for _ in range(5)}
    assert len(values) == 1
    assert values.pop() == pytest.approx(truth, rel=0.01)


def test_instances_count_what_they_hold_and_looking_changes_nothing():
    instances = [SimpleNamespace(data=bytes(1000 + number)) for number in range(100)]
    truth = sum(sys.getsizeof(item.data) for item in instances)
    values = [measure(instances) for _ in range(5)]
    assert len(set(values)) == 1
    assert truth < values[0] < 1.5 * truth


def test_generators_count_their_locals_and_are_not_run():
    def numbers():
        kept = bytes(50_000)
        yield len(kept)
        yield 2

    running = numbers()
    next(running)
    assert measure(running) > 50_000
    assert next(running) == 2


def test_methods_of_users_are_not_called():
    assert 10_000 < measure([Watched()]) < 11_000


def test_mocks_are_not_touched_and_are_noted():
    double = mock.MagicMock()
    reading = read({"mocks": [double]})
    assert not double.mock_calls
    assert not double.method_calls
    (note,) = reading.notes
    assert note.code == "shallow"
    assert "MagicMock" in note.message
    assert 0 < reading.values["result_size"] < 2000


@pytest.mark.parametrize("wrap", [lambda item: item, lambda item: [{"key": item}]])
def test_lazy_objects_are_not_evaluated_and_are_noted(wrap):
    lazy = Lazy()
    reading = read(wrap(lazy))
    assert Lazy.evaluated == 0
    assert "Lazy" in reading.notes[0].message
    assert reading.values["result_size"] > 0


def test_more_objects_than_can_be_sized_give_a_note_and_no_value(monkeypatch):
    monkeypatch.setattr(size, "MOST_OBJECTS", 100)
    reading = read([object() for _ in range(101)])
    assert reading.values == {}
    assert reading.notes[0].code == "too-large"


def test_numpy_views_count_the_memory_that_they_keep_once():
    np = pytest.importorskip("numpy")
    base = np.zeros(100_000)
    whole = base.nbytes
    assert measure(base[:10]) == pytest.approx(whole, rel=0.01)
    assert measure([base[:10], base[5:], base.reshape(100, -1), base]) == pytest.approx(whole, rel=0.01)
    assert measure(np.frombuffer(BLOB, dtype="u1")[::2]) == pytest.approx(flat(BLOB), rel=0.01)
    assert measure(np.array([BLOB, BLOB, None], dtype=object)) == pytest.approx(flat(BLOB), rel=0.01)
    assert measure([np.float64(1.0)] * 1000) < 10_000


def test_arrays_of_the_library_do_not_depend_on_what_came_first():
    from array import array

    grown = array("d")
    for number in range(1000):
        grown.append(number)
    exact = array("d", [0.0] * 1000)
    before = measure(exact)
    measure(grown)
    assert measure(exact) == before == flat(exact)


def test_neither_numpy_nor_the_users_pympler_is_imported():
    pytest.importorskip("numpy")
    script = (
        "import sys; from pytest_perfguard.probes.memory.size import SizeProbe; assert 'pympler' not in sys.modules\n"
        "probe = SizeProbe(); print(probe.stop(probe.start(), [b'x' * 100]).values['result_size'])\n"
        "assert 'numpy' not in sys.modules and 'pympler.asizeof' not in sys.modules\n"
        "numpy = __import__('numpy'); from pympler.asizeof import asizeof; print(asizeof(numpy.zeros(1000)))"
    )
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    ours, users = outcome.stdout.split()
    assert int(ours) == flat([b"x" * 100], b"x" * 100)
    assert int(users) > 8000


def test_is_a_probe():
    assert isinstance(SizeProbe(), Probe)


def test_sizes_stay_the_same_after_someone_restored_sys_modules(monkeypatch):
    before = measure([Slotted(bytes(100))])
    monkeypatch.delitem(sys.modules, "pytest_perfguard._asizeof")
    assert measure([Slotted(bytes(100))]) == before
    assert "pytest_perfguard._asizeof" in sys.modules
