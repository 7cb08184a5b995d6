"""The methods that watched connections and cursors of sqlite3 have while something records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from threading import get_ident
from time import perf_counter_ns
from typing import Any, NamedTuple

from pytest_perfguard.model import Note
from pytest_perfguard.probes.queries.sources.sqlite3_plans import ask
from pytest_perfguard.probes.queries.sources.sqlite3_trace import UNDERMINED, Tracer, follows
from pytest_perfguard.probes.queries.tokens import split
from pytest_perfguard.probes.watch.tape import Tape

DRIVER = "sqlite3"
_DIALECT = "sqlite"

Function = Callable[..., Any]

ENTRY = "_perfguard_entry"
"""What a cursor of ours executed last."""
ABOVE = "_perfguard_above"
"""Whether a layer above has written down what a cursor of ours is executing."""


class Kinds(NamedTuple):
    """The classes that methods are made for: sqlite3's own, the watched ones, and what stands for a user's."""

    plain: Any
    plain_cursor: Any
    cursor: Any
    variants: Mapping[Any, Any]
    variant: Callable[[Any], Any]


def of_connections(kinds: Kinds, tape: Tape, tracer: Tracer) -> tuple[Function, ...]:
    """Return the methods of watched connections."""
    plain_cursor, cursor, variants = kinds.plain_cursor, kinds.cursor, kinds.variants
    make, set_callback = kinds.plain.cursor, kinds.plain.set_trace_callback

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
        made = make(self, kinds.variant(factory))
        if not isinstance(made, cursor) and not follows(self):
            tape.remark(_unseen_cursor(factory))
        return made

    def set_trace_callback(self: Any, *args: Any, **kwargs: Any) -> None:
        set_callback(self, *args, **kwargs)
        tracer.yield_to_user(self)

    open_cursor.__name__ = "cursor"
    return execute, executemany, executescript, open_cursor, set_trace_callback


def of_cursors(kinds: Kinds, tape: Tape, tracer: Tracer) -> tuple[Function, ...]:
    """Return the methods of watched cursors; `tape` gets the one that executes past all layers beneath."""
    plain_cursor = kinds.plain_cursor
    carry = _carrying(kinds.plain, tracer)
    carry_one = tape.carriers[kinds.cursor] = _carrying_one(kinds.plain, plain_cursor, tracer, carry)
    return (
        _executing(plain_cursor, tape, carry_one),
        _executing_many(plain_cursor.executemany, _one, tape, carry),
        _executing_many(plain_cursor.executescript, split, tape, carry),
    )


def fetching(plain_cursor: Any) -> tuple[Function, ...]:
    """Return the methods of cursors that count the rows that they fetch."""
    return tuple(_counting(getattr(plain_cursor, name), count) for name, count in _FETCHING.items())


def _executing(plain_cursor: Any, tape: Tape, carry: Function) -> Function:
    write, current = tape.write, tape.current

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


def _executing_many(run: Function, statements: Callable[[str], Iterable[str]], tape: Tape, carry: Function) -> Function:
    name = run.__name__

    def method(self: Any, *args: Any) -> Any:
        if tape.hidden() or getattr(self, ABOVE, False) or not (args and isinstance(args[0], str)):
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


def _carrying(plain: Any, tracer: Tracer) -> Function:
    """Return what calls a method of sqlite3's cursors so that no trace of ours shows what it executes."""
    busy, pausable, set_callback = tracer.busy, tracer.pausable, plain.set_trace_callback

    def carry(method: Function, cursor: Any, *args: Any) -> Any:
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


def _carrying_one(plain: Any, plain_cursor: Any, tracer: Tracer, carry: Function) -> Function:
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


def _one(statement: str) -> tuple[str]:
    return (statement,)


_FETCHING: dict[str, Callable[[Any], int]] = {
    "fetchone": lambda row: row is not None,
    "fetchmany": len,
    "fetchall": len,
    "__next__": lambda _row: 1,
}


def _counting(plain: Callable[..., Any], count: Callable[[Any], int]) -> Callable[..., Any]:
    def fetch(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = plain(self, *args, **kwargs)
        entry = getattr(self, ENTRY, None)
        if entry is not None:
            entry.rows += count(found)
        return found

    fetch.__name__ = plain.__name__
    return fetch


def _unseen_cursor(factory: object) -> Note:
    name = getattr(factory, "__qualname__", repr(factory))
    return Note(
        code="unseen-cursor",
        message=f"statements of the cursors that {name} makes cannot be seen",
        remedy="give sqlite3's cursor() a subclass of sqlite3.Cursor",
        undermines=UNDERMINED,
    )
