"""Leaks and their clean twins, with the calls as they are really made: the value, and who holds what stays."""

from __future__ import annotations

import collections
import contextvars
import ctypes
import functools
import gc
import itertools
import logging
import re
import sys
import types
import weakref
from pathlib import Path
from unittest import mock

import pytest

from tests.unit.probes.memory.staging import measure

HERE = __name__
NUMBERS = itertools.count(1000)
SEEN: list[object] = []
TABLE: dict[object, object] = {}
NESTED: dict[str, list[object]] = {"saved": []}
BUFFER = bytearray(b"abc")
NONES: list[None] = [None, None]
CONTEXT: contextvars.ContextVar[tuple[object, ...]] = contextvars.ContextVar("CONTEXT", default=())
ORDERED: collections.OrderedDict[int, str] = collections.OrderedDict()


class Order:
    pass


class Service:
    shared: dict[int, object] = {}  # noqa: RUF012

    def __init__(self):
        self.seen = []

    def handle(self):
        self.seen.append(Order())


class Slotted:
    __slots__ = ("items",)

    def __init__(self):
        self.items = []


SERVICE, SLOTTED = Service(), Slotted()


def make():
    seen = []

    def remember():
        seen.append([])

    return remember


def with_default(seen=[]):  # noqa: B006
    seen.append([])


def with_attribute():
    with_attribute.calls.append([])


with_attribute.calls = []


@functools.cache
def memo(number):
    return [number]


@functools.lru_cache(maxsize=5000)
def bounded(number):
    return [number]


def keep_generator():
    def numbers():
        yield 1

    running = numbers()
    next(running)
    SEEN.append(running)


def keep_error():
    try:
        raise LookupError
    except LookupError as error:
        SEEN.append(error)


def load_module():
    module = types.ModuleType(f"made_{next(NUMBERS)}")
    sys.modules[module.__name__] = module


@functools.singledispatch
def render(item):
    return item


LEAKS = {
    "list": (lambda: SEEN.append({"a": []}), "dict", f"{HERE}:SEEN (list)"),
    "strings": (lambda: SEEN.append("x" * 50 + str(next(NUMBERS))), "str", f"{HERE}:SEEN (list)"),
    "none": (lambda: NONES.append(None), "NoneType", f"{HERE}:NONES (list)"),
    "numbers": (lambda: TABLE.update({next(NUMBERS): 1}), "int", f"{HERE}:TABLE (dict)"),
    "bytearray": (lambda: BUFFER.extend(b"abc"), "byte", f"{HERE}:BUFFER (bytearray)"),
    "nested": (lambda: NESTED["saved"].append([]), "list", f"{HERE}:NESTED[…] (list)"),
    "ordered": (lambda: ORDERED.update({next(NUMBERS): "a"}), "str", f"{HERE}:ORDERED (collections.OrderedDict)"),
    "instance": (SERVICE.handle, f"{HERE}.Order", f"{HERE}:Service.seen (list)"),
    "class": (lambda: Service.shared.update({next(NUMBERS): []}), "list", f"{HERE}:Service.shared (dict)"),
    "slots": (lambda: SLOTTED.items.append([]), "list", f"{HERE}:Slotted.items (list)"),
    "closure": (make(), "list", f"{HERE}:make.<locals>.remember: seen (list)"),
    "default": (with_default, "list", f"{HERE}:with_default: default of seen (list)"),
    "attribute": (with_attribute, "list", f"{HERE}:with_attribute.calls (list)"),
    "cache": (lambda: memo(next(NUMBERS)), "list", f"{HERE}:memo (lru_cache, maxsize=None)"),
    "generator": (keep_generator, "generator", f"{HERE}:SEEN (list)"),
    "error": (keep_error, "LookupError", f"{HERE}:SEEN (list)"),
    "module": (load_module, "module", "sys:modules (dict)"),
    "context": (lambda: CONTEXT.set((*CONTEXT.get(), Order())), f"{HERE}.Order", f"{HERE}:CONTEXT (context variable)"),
    "dispatch": (
        lambda: render.register(type("Made", (), {}), lambda item: None), "type", f"{HERE}:render.registry (dict)"
    ),
    "handler": (
        lambda: logging.getLogger("perfguard.leak").addHandler(logging.NullHandler()),
        "logging.NullHandler", "logger perfguard.leak.handlers (list)",
    ),
    "weak": (lambda: SEEN.append(weakref.ref(SERVICE, print)), "weakref.ReferenceType", f"{HERE}:SEEN (list)"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _emptied():
    yield
    for each in (SEEN, TABLE, NONES, ORDERED, SERVICE.seen, SLOTTED.items, Service.shared, NESTED["saved"]):
        each.clear()
    NONES.extend((None, None))
    for name in [name for name in sys.modules if name.startswith("made_")]:
        del sys.modules[name]
    logging.getLogger("perfguard.leak").handlers.clear()


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_found_named_and_located(name):
    call, kind, owner = LEAKS[name]
    reading, _ = measure(call)
    assert reading.values["retained"] >= 1
    rows = {(row.kind, row.owner): row for row in reading.growth}
    assert (kind, owner) in rows, list(rows)
    row = rows[kind, owner]
    assert row.count >= 1
    if owner.startswith(HERE):
        path, _, line = row.place.partition(":")
        assert path.endswith(("test_retained.py", "functools.py"))
        assert int(line) > 1
    assert owner in "\n".join(reading.details[0].lines)


def test_a_place_is_the_line_of_the_definition():
    (row, *_) = measure(SERVICE.handle)[0].growth
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    assert lines[int(row.place.rpartition(":")[2]) - 1] == "class Service:"


def test_a_local_variable_of_a_running_function_is_named():
    mine = []
    (row, *_) = measure(lambda: mine.append([]))[0].growth
    name = test_a_local_variable_of_a_running_function_is_named.__qualname__
    assert row.owner in (f"{HERE}:{name}: mine (list)", f"{HERE}:{name}.<locals>.<lambda>: mine (list)")


def test_memory_of_c_is_found():
    allocate = ctypes.CDLL(None).malloc
    allocate.restype, allocate.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    blocks = []
    blocks.extend([0] * 1000)
    numbers = iter(range(1000))

    def leak():
        blocks[next(numbers)] = allocate(10_000)

    try:
        reading, _ = measure(leak)
    finally:
        release = ctypes.CDLL(None).free
        release.argtypes = [ctypes.c_void_p]
        for address in blocks:
            release(address)
    assert reading.values["retained"] >= 1
    assert "native memory" in {row.kind for row in reading.growth}


RING: collections.deque[object] = collections.deque(maxlen=3000)
SMALL_RING: collections.deque[object] = collections.deque(maxlen=20)


class Limited:
    def __init__(self):
        self.maxsize = 2000
        self.kept = {}

    def get(self, number):
        if len(self.kept) >= self.maxsize:
            self.kept.pop(next(iter(self.kept)))
        self.kept[number] = [number]


LIMITED = Limited()
CURRENT: list[object] = [None]


def replace_cycle():
    order = Order()
    order.me = order
    CURRENT[0] = order


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: bounded(next(NUMBERS)), "bounded (lru_cache, maxsize=5000)"),
        (lambda: RING.append([]), "RING"),
        (lambda: LIMITED.get(next(NUMBERS)), "Limited.kept (dict)"),
        (lambda: re.compile(f"a{next(NUMBERS)}b"), "re:_cache"),
    ],
    ids=["lru_cache", "deque", "maxsize", "re"],
)
def test_a_cache_with_a_limit_is_no_leak_and_is_named(call, name):
    re.purge()
    reading, _ = measure(call)
    assert reading.values == {"retained": 0}
    assert name in " ".join(note.message for note in reading.notes if note.code == "filling")


@pytest.mark.parametrize(
    "call", [lambda: SMALL_RING.append([]), replace_cycle, lambda: TABLE.update({next(NUMBERS) % 5: []})]
)
def test_what_is_replaced_is_no_leak(call):
    assert measure(call)[0].values == {"retained": 0}


def test_a_leak_is_found_beside_a_cache_that_fills():
    def both():
        bounded(next(NUMBERS))
        SEEN.append([])

    reading, _ = measure(both)
    assert reading.values["retained"] >= 1
    assert [row.owner for row in reading.growth] == [f"{HERE}:SEEN (list)"]


def test_calls_that_a_mock_records_are_no_leak_and_are_named():
    double = mock.MagicMock()
    reading, _ = measure(lambda: double.method(1))
    assert reading.values == {"retained": 0}
    assert "calls that mocks record" in reading.notes[0].message


def test_a_tracer_does_not_hide_a_leak_that_has_a_name():
    def trace(frame, event, argument):
        return None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        reading, _ = measure(lambda: SEEN.append([]))
    finally:
        sys.settrace(before)
    assert reading.growth[0].owner == f"{HERE}:SEEN (list)"


def test_what_is_released_between_calls_is_no_leak():
    held = []
    reading, _ = measure(lambda: held.append([[], [], []]), between=held.clear)
    assert reading.values == {"retained": 0}


def test_nothing_of_the_users_is_held_and_nothing_is_frozen():
    orders = []

    def leak():
        order = Order()
        SEEN.append(order)
        orders.append(weakref.ref(order))

    measure(leak)
    SEEN.clear()
    gc.collect()
    assert not any(order() for order in orders)
    assert gc.get_freeze_count() < 2000


class Evaluated:
    """An object that must not be looked into."""

    def __getattribute__(self, name):
        raise AssertionError(name)

    def __sizeof__(self):
        raise AssertionError

    def __eq__(self, other):
        raise AssertionError

    __hash__ = None


class Meta(type):
    def __hash__(cls):
        raise AssertionError

    def __eq__(cls, other):
        raise AssertionError


class Strange(metaclass=Meta):
    pass


@pytest.mark.parametrize("kind", [Evaluated, Strange])
def test_nothing_of_an_objects_own_is_run(kind):
    reading, _ = measure(lambda: SEEN.append(kind()))
    assert reading.values["retained"] >= 1
    assert reading.growth[0].owner == f"{HERE}:SEEN (list)"
