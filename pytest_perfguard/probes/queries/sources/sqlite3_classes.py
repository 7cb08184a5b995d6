"""Connections and cursors of sqlite3 that have methods of ours, for as long as something records."""

from __future__ import annotations

import functools
import gc
import itertools
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from threading import get_ident
from time import perf_counter_ns
from types import BuiltinMethodType
from typing import Any

from pytest_perfguard.model import Note
from pytest_perfguard.probes.queries.sources.sqlite3_plans import ask
from pytest_perfguard.probes.queries.sources.sqlite3_trace import UNDERMINED, Tracer, follows
from pytest_perfguard.probes.queries.tokens import split
from pytest_perfguard.probes.watch.tape import Tape

_DIALECT = "sqlite"
DRIVER = "sqlite3"

_Function = Callable[..., Any]


class Classes:
    """The subclasses of sqlite3's types: empty while nothing records."""

    def __init__(self) -> None:
        sqlite3: Any = sys.modules["sqlite3"]
        self.plain: Any = sqlite3.Connection
        self.plain_cursor: Any = sqlite3.Cursor
        self.connection = _subclass(sqlite3.Connection)
        self.cursor = _subclass(sqlite3.Cursor, _ENTRY, _ABOVE)
        self._variants: dict[type, type] = {self.plain: self.connection, self.plain_cursor: self.cursor}
        self._known: dict[int, weakref.ref[Any]] = {}
        self.era = 0
        """Grows each time that `connect` begins to be watched."""
        self._looked_in = -1
        self._counts: list[tuple[int, int]] = []
        self._methods: dict[Any, tuple[_Function, ...]] = {}
        self.tracer: Tracer | None = None

    def variant(self, factory: Any) -> Any:
        """Return the watched subclass of `factory`, or `factory` where there can be none."""
        if factory in self._variants:
            return self._variants[factory]
        for watched, plain in ((self.connection, self.plain), (self.cursor, self.plain_cursor)):
            if isinstance(factory, type) and issubclass(factory, plain) and not issubclass(factory, watched):
                try:
                    # The user's methods come first and call down into the watched ones.
                    variant = type(factory)(
                        factory.__name__,
                        (factory, watched),
                        {"__module__": factory.__module__, "__qualname__": factory.__qualname__, "__slots__": ()},
                    )
                except TypeError:  # a metaclass or __init_subclass__ with wishes of its own
                    return factory
                self._variants[factory] = variant
                if self.tracer is not None:
                    self.tracer.tape.stand_ins[variant] = factory
                return variant
        return factory

    def follow_open(self, tracer: Tracer) -> int:
        """Let `tracer` follow all open connections; return how many there are that cannot be seen."""
        refused = [
            connection
            for connection in itertools.chain(self._opened(), self._others())
            if not tracer.follow(connection, watched=isinstance(connection, self.connection))
        ]
        unseen = 0
        while refused:
            # Its own cache of statements refers to a connection: one that was let go unclosed waits for the collector.
            own = sum(1 for found in gc.get_referrers(refused[-1]) if _is_cache(found))
            if sys.getrefcount(refused[-1]) - 2 > own:
                unseen += not isinstance(refused[-1], self.connection) or self.bypassed(refused[-1])
            tracer.held.append(refused.pop())  # or one that is opened in the block could be taken for it, by its id
        return unseen

    def opened_past(self, tracer: Tracer) -> int:
        """Return how many connections are open now that went past `connect`, and so past everything that sees."""
        # An audit hook would see those that are closed again too, but cannot be removed, and slows every `open`.
        return sum(1 for connection in self._others() if not follows(connection) and id(connection) not in tracer.known)

    def enlist(self, connection: Any) -> None:
        """Remember a connection that was handed out, for as long as it lives."""
        if isinstance(connection, self.connection):
            key = id(connection)
            self._known[key] = weakref.ref(connection, lambda _: self._known.pop(key, None))

    def _opened(self) -> Iterator[Any]:
        """Give the open connections that were handed out."""
        for refer in list(self._known.values()):
            with suppress(Exception):
                connection = refer()
                is_open(connection)
                yield connection

    def _others(self) -> Iterator[Any]:
        """Give the open connections of no class of ours; goes through all objects only where there may be some.

        Each refers to its class. While nothing new does, there is none, if there was none the last time. That holds
        only where `connect` was watched all the time since: one may come when something else goes.
        """
        kinds = [kind for kind in all_subclasses(self.plain) if not issubclass(kind, self.connection)]
        counts = [(id(kind), sys.getrefcount(kind)) for kind in kinds]
        if counts == self._counts and self._looked_in == self.era and _counts_references():
            return
        self._counts, self._looked_in = counts, self.era
        for found in gc.get_referrers(*kinds):
            if type(found) in kinds:
                self._counts = []  # look again the next time
                with suppress(Exception):
                    is_open(found)
                    yield found

    def bypassed(self, connection: Any) -> bool:
        """Return whether someone has a way around the methods of this watched connection, taken before they were on."""
        return any(
            isinstance(found, self.plain_cursor) and not isinstance(found, self.cursor)
            if type(found) is not BuiltinMethodType
            else found.__name__.startswith("execute")
            for found in gc.get_referrers(connection)
        )

    def activate(self, tape: Tape, tracer: Tracer) -> None:
        """Give the watched classes their methods."""
        self.tracer = tracer
        carry = _carrying(self.plain, tracer)
        carry_one = tape.carriers[self.cursor] = _carrying_one(self.plain, self.plain_cursor, tracer, carry)
        for plain, watched in self._variants.items():
            tape.stand_ins[watched] = plain
        self._methods = {
            self.connection: self._connections_methods(tape, tracer),
            self.cursor: (
                self._executing(tape, carry_one),
                self._executing_many("executemany", _one, tape, carry),
                self._executing_many("executescript", split, tape, carry),
            ),
        }
        for watched, methods in self._methods.items():
            for method in methods:
                setattr(watched, method.__name__, method)
        self._unwatch_rows = tape.watch_rows(self._count_rows)

    def _connections_methods(self, tape: Tape, tracer: Tracer) -> tuple[_Function, ...]:
        plain, plain_cursor, cursor, variants = self.plain, self.plain_cursor, self.cursor, self._variants
        make, set_callback = plain.cursor, plain.set_trace_callback

        # Connection's C methods make cursors of the plain class, past any override of `cursor`.
        def execute(self: Any, sql: Any, parameters: Any = (), /) -> Any:
            made = make(self, cursor)
            made._perfguard_above = False
            return made.execute(sql, parameters)

        def executemany(self: Any, *args: Any) -> Any:
            return make(self, cursor).executemany(*args)

        def executescript(self: Any, *args: Any) -> Any:
            return make(self, cursor).executescript(*args)

        def open_cursor(self: Any, factory: Any = plain_cursor) -> Any:
            try:
                kind = variants.get(factory)
            except TypeError:  # one that cannot be hashed
                kind = None
            if kind is not None:
                made = make(self, kind)
                made._perfguard_above = False
                return made
            made = make(self, classes().variant(factory))
            if not isinstance(made, cursor) and not follows(self):
                tape.remark(_unseen_cursor(factory))
            return made

        def set_trace_callback(self: Any, *args: Any, **kwargs: Any) -> None:
            set_callback(self, *args, **kwargs)
            tracer.yield_to_user(self)

        open_cursor.__name__ = "cursor"
        return execute, executemany, executescript, open_cursor, set_trace_callback

    def _executing(self, tape: Tape, carry: _Function) -> _Function:
        plain_cursor, write, current = self.plain_cursor, tape.write, tape.current

        def execute(self: Any, sql: Any, parameters: Any = (), /) -> Any:
            try:
                covered = self._perfguard_above
            except AttributeError:  # not made by a method of ours
                covered = False
            if covered or ((above := current()) is not None and above.busy) or not isinstance(sql, str):
                return carry(self, sql, parameters)
            entry = write(sql, parameters, _DIALECT, DRIVER)
            if tape.planner is not None:
                ask(tape, entry, parameters, self, plain_cursor)
            self._perfguard_entry = entry
            began = perf_counter_ns()
            try:
                return carry(self, sql, parameters)
            finally:
                entry.nanoseconds = perf_counter_ns() - began

        return execute

    def _executing_many(
        self, name: str, statements: Callable[[str], Iterable[str]], tape: Tape, carry: _Function
    ) -> _Function:
        run = getattr(self.plain_cursor, name)

        def method(self: Any, *args: Any) -> Any:
            if tape.hidden() or getattr(self, _ABOVE, False) or not (args and isinstance(args[0], str)):
                return carry(run, self, *args)
            parameters = args[1] if len(args) > 1 else None
            entries = [tape.write(statement, parameters, _DIALECT, DRIVER) for statement in statements(args[0])]
            began = perf_counter_ns()
            try:
                return carry(run, self, *args)
            finally:
                passed = perf_counter_ns() - began
                for entry in entries:
                    entry.nanoseconds = passed // len(entries)
                    entry.batch = name == "executemany"
                    self._perfguard_entry = entry

        method.__name__ = name
        return method

    def _count_rows(self, on: bool) -> None:
        """Let fetching count rows, or no more: a method of ours for each row is too dear for who does not ask."""
        if not on:
            for name in _FETCHING:
                delattr(self.cursor, name)
            return
        for name, count in _FETCHING.items():
            setattr(self.cursor, name, _counting(getattr(self.plain_cursor, name), count))

    def deactivate(self) -> None:
        """Take the methods away again."""
        if self.tracer is not None:
            self.tracer.tape.carriers.clear()
            self.tracer.tape.stand_ins.clear()
        self.tracer = None
        self._unwatch_rows()
        while self._methods:
            watched, methods = self._methods.popitem()
            for method in methods:
                delattr(watched, method.__name__)


def _carrying(plain: Any, tracer: Tracer) -> _Function:
    """Return what calls a method of sqlite3's cursors so that no trace of ours shows what it executes."""
    busy, pausable, set_callback = tracer.busy, tracer.pausable, plain.set_trace_callback

    def carry(method: _Function, cursor: Any, *args: Any) -> Any:
        connection = getattr(cursor, "connection", None)
        trace = pausable.pop(id(connection), None)
        if trace is not None:
            try:
                set_callback(connection, None)
                return method(cursor, *args)
            finally:
                tracer.resume(connection, trace)
        key = (get_ident(), id(connection))
        nested = key in busy  # a function of the user's that SQLite calls back
        busy.add(key)
        try:
            return method(cursor, *args)
        finally:
            if not nested:
                busy.discard(key)

    return carry


def _carrying_one(plain: Any, plain_cursor: Any, tracer: Tracer, carry: _Function) -> _Function:
    """Return what does the same for `execute`, which it knows and so is faster."""
    pausable, set_callback, run = tracer.pausable, plain.set_trace_callback, plain_cursor.execute

    def carry_one(cursor: Any, sql: Any, parameters: Any) -> Any:
        connection = cursor.connection
        key = id(connection)
        trace = pausable.pop(key, None)
        if trace is None:
            return carry(run, cursor, sql, parameters)
        try:
            set_callback(connection, None)
            return run(cursor, sql, parameters)
        finally:
            if not trace.ended:
                pausable[key] = trace
                try:  # noqa: SIM105 - `suppress` costs more than all of this
                    set_callback(connection, trace)
                except Exception:  # noqa: BLE001, S110 - it was closed meanwhile
                    pass

    return carry_one


@functools.cache
def classes() -> Classes:
    """Return those of this process."""
    return Classes()


def _counts_references() -> bool:
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def is_open(connection: Any) -> bool:
    """Return True; raises where `connection` is closed."""
    connection.in_transaction  # noqa: B018 - raises where the connection is closed, and checks no thread
    return True


def _is_cache(found: object) -> bool:
    kind = functools._lru_cache_wrapper
    return type(found) is kind or (type(found) is dict and "__wrapped__" in found and "cache_parameters" in found)


def _one(statement: str) -> tuple[str]:
    return (statement,)


_ENTRY = "_perfguard_entry"
"""What a cursor of ours executed last."""
_ABOVE = "_perfguard_above"
"""Whether a layer above has written down what a cursor of ours is executing."""

_FETCHING: dict[str, Callable[[Any], int]] = {
    "fetchone": lambda row: row is not None,
    "fetchmany": len,
    "fetchall": len,
    "__next__": lambda _row: 1,
}


def _counting(plain: Callable[..., Any], count: Callable[[Any], int]) -> Callable[..., Any]:
    def fetch(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = plain(self, *args, **kwargs)
        entry = getattr(self, _ENTRY, None)
        if entry is not None:
            entry.rows += count(found)
        return found

    fetch.__name__ = plain.__name__
    return fetch


def _subclass(plain: Any, *slots: str) -> Any:
    slots = slots if plain.__weakrefoffset__ else (*slots, "__weakref__")
    names = {"__slots__": slots, "__module__": plain.__module__, "__qualname__": plain.__qualname__}
    return type(plain.__name__, (plain,), names)


def all_subclasses(kind: type) -> list[type]:
    """Return `kind` with all classes below it."""
    below: list[type] = kind.__subclasses__()
    return [kind, *(found for each in below for found in all_subclasses(each))]


def instances(kinds: list[type]) -> Iterator[Any]:
    """Give the open connections of exactly these types."""
    # An object refers to its type: asking for referrers is four times as fast as looking at every object.
    wanted = set(kinds)
    for found in gc.get_referrers(*kinds):
        if type(found) in wanted:
            with suppress(Exception):
                is_open(found)
                yield found


def _unseen_cursor(factory: object) -> Note:
    name = getattr(factory, "__qualname__", repr(factory))
    return Note(
        code="unseen-cursor",
        message=f"statements of the cursors that {name} makes cannot be seen",
        remedy="give sqlite3's cursor() a subclass of sqlite3.Cursor",
        undermines=UNDERMINED,
    )
