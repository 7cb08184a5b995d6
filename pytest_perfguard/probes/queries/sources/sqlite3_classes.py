"""Connections and cursors of sqlite3 that have methods of ours, for as long as something records."""

from __future__ import annotations

import functools
import gc
import sys
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


class Classes:
    """The subclasses of sqlite3's types: empty while nothing records."""

    def __init__(self) -> None:
        sqlite3: Any = sys.modules["sqlite3"]
        self.plain: Any = sqlite3.Connection
        self.plain_cursor: Any = sqlite3.Cursor
        self.connection = _subclass(sqlite3.Connection)
        self.cursor = _subclass(sqlite3.Cursor, _ENTRY)
        self._variants: dict[type, type] = {self.plain: self.connection, self.plain_cursor: self.cursor}
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
                return variant
        return factory

    def follow_open(self, tracer: Tracer) -> int:
        """Let `tracer` follow all open connections; return how many there are that cannot be seen."""
        refused = [
            connection
            for connection in instances(all_subclasses(self.plain))
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
        return sum(
            1
            for connection in instances(all_subclasses(self.plain))
            if not isinstance(connection, self.connection)
            and not follows(connection)
            and id(connection) not in tracer.known
        )

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
        plain, plain_cursor, cursor, busy = self.plain, self.plain_cursor, self.cursor, tracer.busy
        hidden, write, traces = tape.hidden, tape.write, tracer.traces

        # Connection's C methods make cursors of the plain class, past any override of `cursor`.
        def connection_execute(self: Any, *args: Any) -> Any:
            return plain.cursor(self, cursor).execute(*args)

        def connection_executemany(self: Any, *args: Any) -> Any:
            return plain.cursor(self, cursor).executemany(*args)

        def connection_executescript(self: Any, *args: Any) -> Any:
            return plain.cursor(self, cursor).executescript(*args)

        def connection_cursor(self: Any, factory: Any = plain_cursor) -> Any:
            made = plain.cursor(self, variant(factory))
            if not isinstance(made, cursor) and not follows(self):
                tape.remark(_unseen_cursor(factory))
            return made

        def run(name: str, statements: Callable[[str], Iterable[str]]) -> Callable[..., Any]:
            plain_method = getattr(plain_cursor, name)
            many = name == "executemany"
            single = name == "execute"

            def method(self: Any, *args: Any) -> Any:
                if hidden():
                    connection = getattr(self, "connection", None)
                    trace = traces.get(id(connection))
                    if trace is None or not trace.pause(connection):
                        return plain_method(self, *args)
                    try:
                        return plain_method(self, *args)
                    finally:
                        trace.resume(connection)
                if not (args and isinstance(args[0], str)):
                    return plain_method(self, *args)
                parameters = args[1] if len(args) > 1 else None
                entries = [
                    write(statement, parameters, dialect=_DIALECT, driver=DRIVER) for statement in statements(args[0])
                ]
                if single and tape.planner is not None:
                    ask(tape, entries[0], parameters, self, plain_cursor)
                key = (get_ident(), id(getattr(self, "connection", None)))
                nested = key in busy  # a function of the user's that SQLite calls back
                busy.add(key)
                began = perf_counter_ns()
                try:
                    return plain_method(self, *args)
                finally:
                    passed = perf_counter_ns() - began
                    if not nested:
                        busy.discard(key)
                    for entry in entries:
                        entry.nanoseconds = passed // len(entries)
                        entry.batch = many
                        self._perfguard_entry = entry

            method.__name__ = name
            return method

        variant = self.variant
        for watched, methods in (
            (
                self.connection,
                (connection_execute, connection_executemany, connection_executescript, connection_cursor),
            ),
            (self.cursor, (run("execute", _one), run("executemany", _one), run("executescript", split))),
        ):
            for method in methods:
                method.__name__ = method.__name__.removeprefix("connection_")
                setattr(watched, method.__name__, method)
        self._unwatch_rows = tape.watch_rows(self._count_rows)

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
        self.tracer = None
        self._unwatch_rows()
        for name in ("execute", "executemany", "executescript"):
            delattr(self.connection, name)
            delattr(self.cursor, name)
        del self.connection.cursor


@functools.cache
def classes() -> Classes:
    """Return those of this process."""
    return Classes()


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
