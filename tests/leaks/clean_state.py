"""Clean ways to keep state: limits, batches, rings, weak references, cycles that are collected."""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import random
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.leaks.catalogue import Catalogue
from tests.leaks.leaking_state import ticket

CLEAN_STATE = Catalogue("state")
clean = CLEAN_STATE.clean

LAST: dict[str, str] = {}


@clean()
def built_and_dropped() -> Callable[[], Any]:
    """A large list of dicts is made and let go."""
    return lambda: len([{"n": n, "name": str(n)} for n in range(500)])


class Batch:
    """Rows that are written twenty at a time."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.rows: list[dict[str, str]] = []

    def add(self, name: str) -> None:
        self.rows.append({"name": name})
        if len(self.rows) == self.size:
            self.rows.clear()


@clean()
def batches_of_twenty() -> Callable[[], Any]:
    """A buffer is emptied each time that it has twenty rows."""
    batch = Batch(20)
    return lambda: batch.add(ticket())


@clean()
def batches_of_five() -> Callable[[], Any]:
    """A buffer is emptied each time that it has five rows."""
    batch = Batch(5)
    return lambda: batch.add(ticket())


@clean(fills=100)
def ring_of_a_hundred() -> Callable[[], Any]:
    """A deque keeps the newest hundred."""
    recent: deque[tuple[str, str]] = deque(maxlen=100)
    return lambda: recent.append(("created", ticket()))


@clean(fills=1000)
def ring_of_a_thousand() -> Callable[[], Any]:
    """A deque keeps the newest thousand."""
    recent: deque[str] = deque(maxlen=1000)
    return lambda: recent.append(ticket())


class Lru:
    """A cache that drops what was not asked for the longest."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.entries: collections.OrderedDict[str, bytes] = collections.OrderedDict()

    def get(self, key: str) -> bytes:
        if key not in self.entries:
            self.entries[key] = key.encode()
            if len(self.entries) > self.limit:
                self.entries.popitem(last=False)
        self.entries.move_to_end(key)
        return self.entries[key]


@clean(fills=16)
def home_made_lru_of_16() -> Callable[[], Any]:
    """A home-made LRU cache of 16 entries fills."""
    cache = Lru(16)
    return lambda: cache.get(ticket())


@clean(fills=128)
def home_made_lru_of_128() -> Callable[[], Any]:
    """A home-made LRU cache of 128 entries fills."""
    cache = Lru(128)
    return lambda: cache.get(ticket())


@clean(fills=64)
def memo_that_is_cleared() -> Callable[[], Any]:
    """A memo is cleared whenever it has 64 entries, as re did."""
    memo: dict[str, str] = {}

    def upper(text: str) -> str:
        if text not in memo:
            if len(memo) >= 64:
                memo.clear()
            memo[text] = text.upper()
        return memo[text]

    return lambda: upper(ticket())


@clean(fills=60)
def few_tenants_at_random() -> Callable[[], Any]:
    """A dict has an entry for each of a few tenants, which come at random."""
    tenants: dict[str, list[float]] = {}
    chance = random.Random(7)

    def visit() -> None:
        tenants.setdefault(f"tenant {chance.randrange(12)}", [0.5])[0] += 1.5

    return visit


@clean()
def replaced_each_time() -> Iterator[Callable[[], Any]]:
    """The last request is kept, and replaced by the next."""
    yield lambda: LAST.update(request=ticket())
    LAST.clear()


@clean()
def last_error_with_traceback() -> Callable[[], Any]:
    """The last exception is kept with its traceback, and replaced by the next."""
    state = types.SimpleNamespace(error=None)

    def work() -> None:
        try:
            int(ticket() + "x")
        except ValueError as error:
            state.error = error

    return work


@clean()
def exceptions_dropped() -> Callable[[], Any]:
    """Exceptions are raised from one another, caught and let go."""

    def inner() -> None:
        try:
            {}["missing"]
        except KeyError as error:
            raise RuntimeError(ticket()) from error

    def work() -> str:
        try:
            inner()
        except RuntimeError as error:
            return str(error)
        return ""

    return work


@clean()
def exception_in_a_cycle() -> Callable[[], Any]:
    """An exception is kept in a local variable of a frame that it refers to."""

    def work() -> str:
        found = None
        try:
            raise ValueError(ticket())
        except ValueError as error:
            found = error
        return str(found)

    return work


@clean(fills=300)
def counter_grows_beyond_small_numbers() -> Callable[[], Any]:
    """A count of calls passes 256, from where on its number is a block of its own."""
    stats = types.SimpleNamespace(calls=200, total=0.0, largest=1000)

    def work() -> None:
        stats.calls += 1
        stats.total += 0.1
        stats.largest = max(stats.largest, stats.calls * 1000)

    return work


@dataclass
class Node:
    """A part of a tree that knows its parent."""

    parent: Node | None = None
    children: list[Node] = field(default_factory=list)

    def add(self) -> Node:
        child = Node(self)
        self.children.append(child)
        return child


@clean()
def tree_with_parents() -> Callable[[], Any]:
    """A tree whose nodes know their parents is let go: cycles."""
    return lambda: len([Node().add().add() for _ in range(3)])


class Handle:
    """Has a finalizer, and is in a cycle."""

    closed = 0

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        Handle.closed += 1


@clean(fills=300)
def cycle_with_del() -> Callable[[], Any]:
    """An object with __del__ is in a cycle with itself."""
    return lambda: Handle().me.__class__


@clean()
def closures_in_a_cycle() -> Callable[[], Any]:
    """A recursive closure refers to itself through its cell."""

    def work() -> int:
        def count(n: int) -> int:
            return n if n < 2 else count(n - 1) + count(n - 2)

        return count(8)

    return work


@clean()
def subscribed_and_unsubscribed() -> Callable[[], Any]:
    """A listener is taken off its bus again."""
    listeners: list[Callable[[], None]] = []

    def work() -> None:
        def listener() -> None:
            pass

        listeners.append(listener)
        for each in listeners:
            each()
        listeners.remove(listener)

    return work


class Observed:
    """Knows its observers weakly."""

    def __init__(self) -> None:
        self.observers: weakref.WeakSet[Any] = weakref.WeakSet()
        self.by_name: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
        self.marks: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


@clean()
def weak_collections() -> Callable[[], Any]:
    """Objects are in a WeakSet, a WeakValueDictionary and a WeakKeyDictionary, and are let go."""
    observed = Observed()

    def work() -> int:
        observed.observers.add(Page([]))
        observed.by_name[ticket()] = batch = Batch(1)
        observed.marks[batch] = "new"
        return len(observed.observers)

    return work


@clean()
def weak_reference_with_callback() -> Callable[[], Any]:
    """Weak references with callbacks, and finalizers that do not hold their object."""
    gone = deque(maxlen=3)

    def work() -> None:
        batch = Batch(3)
        reference = weakref.ref(batch, lambda _: gone.append("gone"))
        weakref.finalize(batch, gone.append, "finalized")
        del batch
        assert reference() is None

    return work


@clean()
def generators_closed() -> Callable[[], Any]:
    """Generators are exhausted, closed, or let go when they have begun."""

    def numbers() -> Iterator[int]:
        try:
            yield from range(1000, 1010)
        finally:
            LAST.pop("nothing", None)

    def work() -> int:
        begun = numbers()
        next(begun)
        closed = numbers()
        next(closed)
        closed.close()
        return sum(numbers())

    return work


class Page:
    """A page with a property that is computed once for each."""

    def __init__(self, words: list[str]) -> None:
        self.words = words

    @functools.cached_property
    def length(self) -> int:
        return sum(map(len, self.words))


@clean()
def cached_properties_of_short_lives() -> Callable[[], Any]:
    """cached_property on objects that are let go."""
    return lambda: Page([ticket(), ticket()]).length


@clean()
def classes_made_and_dropped() -> Callable[[], Any]:
    """Classes, dataclasses and named tuples are made in a function and let go."""

    def work() -> int:
        row = collections.namedtuple("row", "a b")
        made = dataclass(type("Made", (Page,), {"__annotations__": {"a": int}}))
        return row(1, 2).a + made(1).a

    return work


@clean()
def undo_with_a_limit() -> Callable[[], Any]:
    """A linked list is cut after ten."""
    state: dict[str, Any] = {"last": None}

    def work() -> None:
        state["last"] = kept = [ticket(), state["last"]]
        for _ in range(10):
            if kept[1] is None:
                return
            kept = kept[1]
        kept[1] = None

    return work


@clean()
def pool_that_takes_back() -> Callable[[], Any]:
    """Buffers are lent from a pool and given back."""
    pool = [bytearray(4096) for _ in range(4)]

    @contextlib.contextmanager
    def lent() -> Iterator[bytearray]:
        buffer = pool.pop()
        try:
            yield buffer
        finally:
            pool.append(buffer)

    def work() -> int:
        with lent() as first, lent() as second:
            first[:4], second[:4] = b"GET ", b"PUT "
            return len(first)

    return work


@clean()
def itertools_over_iterators() -> Callable[[], Any]:
    """Iterators are split, grouped, chained and cycled."""

    def work() -> int:
        first, second = itertools.tee(range(1000, 1100))
        groups = {key: list(rows) for key, rows in itertools.groupby(first, lambda n: n // 10)}
        return len(groups) + sum(itertools.islice(itertools.cycle(second), 150))

    return work
