"""SQLAlchemy 2: every engine, also those made before, async ones and connections that are open."""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable
from contextvars import ContextVar
from time import perf_counter_ns
from typing import Any

from pytest_perfguard.model import StatementKind
from pytest_perfguard.probes.queries.sources.sqlalchemy_events import EXECUTING, count_rows, listen_beside
from pytest_perfguard.probes.queries.sources.sqlalchemy_pool import watch_pools
from pytest_perfguard.probes.watch.callsite import Site, locate
from pytest_perfguard.probes.watch.entry import Entry
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.planning import ask_by_cursor
from pytest_perfguard.probes.watch.tape import Tape


class SQLAlchemySource:
    """Replaces the methods by which dialects execute statements.

    That costs least, reaches open connections, and leaves nothing. SQLAlchemy's events of engines leave 3.7 µs per
    statement for the rest of the process, and those of dialects, which stand before these methods, cost more; they are
    used only beside listeners of the user's.
    """

    name = "sqlalchemy"
    module = "sqlalchemy"

    def installed(self) -> bool:
        """Return whether SQLAlchemy is loaded, entirely."""
        module = sys.modules.get("sqlalchemy")
        return module is not None and all(hasattr(module, name) for name in ("event", "engine", "create_engine"))

    def install(self, tape: Tape) -> Callable[[], None]:
        """Replace what executes on all dialects, those too that are imported in the block."""
        interfaces: Any = sys.modules["sqlalchemy.engine.interfaces"]
        default: Any = sys.modules["sqlalchemy.engine.default"].DefaultDialect
        patches = Patches()
        executing = _Executing(tape, patches, default)
        for kind in with_subclasses(interfaces.Dialect):
            executing.watch(kind)
        patches.wrap(interfaces.Dialect, "__init_subclass__", executing.watching)
        undo_listening = listen_beside(tape, executing.record, patches)
        # Whether a pool asks a connection for life depends on what used it before: no query of the measured code.
        for kind in with_subclasses(interfaces.Dialect):
            if "do_ping" in vars(kind):
                patches.wrap(kind, "do_ping", lambda ping: _hide(ping, tape))
        for name, text in (("do_commit", "COMMIT"), ("do_rollback", "ROLLBACK")):
            patches.wrap(default, name, functools.partial(_control, text, tape))
        watch_pools(patches, tape)
        unit_of_work = sys.modules.get("sqlalchemy.orm.unitofwork")
        if unit_of_work is not None:
            patches.wrap(unit_of_work.UOWTransaction, "execute", _flushing)

        def undo() -> None:
            patches.undo()
            undo_listening()

        return undo


class _Executing:
    """Makes what stands in for the methods of dialects that execute."""

    def __init__(self, tape: Tape, patches: Patches, default: type) -> None:
        self._tape = tape
        self._patches = patches
        self._default = default
        self._drivers: dict[type, str] = {}

    def watch(self, kind: type) -> None:
        """Replace those methods that `kind` has of its own."""
        for name in EXECUTING:
            if name not in vars(kind):
                continue
            if kind is self._default and name == "do_execute":
                self._patches.wrap(kind, name, self._shortly)
            else:
                self._patches.wrap(kind, name, functools.partial(self._fully, name))

    def watching(self, original: Callable[..., Any]) -> Any:
        """Make an `__init_subclass__` that watches each new class."""

        def watch_new(kind: Any, /, **kwargs: Any) -> None:
            original(**kwargs)
            self.watch(kind)

        return classmethod(watch_new)

    def record(self, name: str, statement: str, parameters: Any, context: Any) -> Entry:
        """Write down what the method `name` executes."""
        tape = self._tape
        dialect = context.dialect
        many = name == "do_executemany"
        entry = tape.write(statement, parameters, dialect.name, self._driver(dialect))
        # INSERT of many rows that return something: row by row on some databases, which is no loop of the caller's.
        if many or (getattr(context, "isinsert", True) and getattr(context, "executemany", False)):
            entry.batch = True
        flush = _FLUSH.get()
        if flush is not None and flush[0] == entry.site:
            entry.unit = flush[1]
        if tape.planner is not None and not many:
            make = context._dbapi_connection.cursor  # an asynchronous driver's cursor knows no connection
            ask_by_cursor(tape, entry, parameters, make, in_transaction=_transactional(context))
        return entry

    def _driver(self, dialect: Any) -> str:
        kind = type(dialect)
        return self._drivers.get(kind) or self._drivers.setdefault(kind, f"sqlalchemy+{dialect.driver}")

    def _fully(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        tape = self._tape

        def execute(dialect: Any, cursor: Any, statement: str, *rest: Any, context: Any = None) -> Any:
            parameters = rest[0] if rest and name != "do_execute_no_params" else None
            context = rest[-1] if len(rest) == _PLACES[name] else context
            rest = rest[: _PLACES[name] - 1]
            if context is None or tape.hidden():
                return original(dialect, cursor, statement, *rest, context)
            entry = self.record(name, statement, parameters, context)
            with entry:
                original(dialect, cursor, statement, *rest, context)
            if tape.counts_rows:
                count_rows(context, cursor, entry)
            return None

        return execute

    def _shortly(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Make the same for what executes nearly everything, with a short way to cursors that lead to no layer of ours.

        SQLite in memory is fast enough to need it.
        """
        tape, drivers, fully = self._tape, self._drivers, self._fully("do_execute", original)
        current, write, carriers, flush_of = tape.current, tape.write, tape.carriers, _FLUSH.get

        def do_execute(self: Any, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
            carry = carriers.get(type(cursor))
            driver = drivers.get(type(self))
            if (
                carry is None
                or driver is None
                or context is None
                or not tape.simple
                or ((above := current()) is not None and above.busy)
            ):
                fully(self, cursor, statement, parameters, context)
                return
            entry = write(statement, parameters, self.name, driver)
            if context.isinsert and context.executemany:
                entry.batch = True
            flush = flush_of()
            if flush is not None and flush[0] == entry.site:
                entry.unit = flush[1]
            began = perf_counter_ns()
            try:
                carry(cursor, statement, parameters)
            finally:
                entry.nanoseconds = perf_counter_ns() - began

        return do_execute


_PLACES = {"do_execute": 2, "do_executemany": 2, "do_execute_no_params": 1}
"""How many arguments each takes beyond cursor and statement."""


def _transactional(context: Any) -> bool:
    connection = getattr(context, "root_connection", None)
    isolation = getattr(connection, "_is_autocommit_isolation", None)
    return not (isolation is not None and isolation())


_FLUSH: ContextVar[tuple[Site | None, int] | None] = ContextVar("perfguard_flush", default=None)
"""Where in the user's own code the flush began that is carried out just now, and its number.

What a listener of the user's asks meanwhile comes from another place, and is no part of it.
"""
_NUMBERS = itertools.count(1)


def _flushing(original: Callable[..., Any]) -> Callable[..., Any]:
    def execute(self: Any) -> Any:
        token = _FLUSH.set((locate(sys._getframe(1)), next(_NUMBERS)))
        try:
            return original(self)
        finally:
            _FLUSH.reset(token)

    return execute


def _hide(original: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    def hidden(self: Any, *args: Any, **kwargs: Any) -> Any:
        with tape.layer():
            return original(self, *args, **kwargs)

    return hidden


def _control(text: str, tape: Tape, original: Callable[..., Any]) -> Callable[..., Any]:
    def control(self: Any, connection: Any) -> Any:
        if tape.hidden():
            return original(self, connection)
        entry = tape.write(text, None, dialect=self.name, driver=f"sqlalchemy+{self.driver}")
        entry.kind = StatementKind.TRANSACTION
        with entry:
            return original(self, connection)

    return control


def with_subclasses(kind: type) -> list[type]:
    """Return `kind` with all classes below it."""
    below: list[type] = kind.__subclasses__()
    return [kind, *(found for each in below for found in with_subclasses(each))]
