"""What stands in for the methods of psycopg2's cursors and connections while something records."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable
from contextvars import copy_context
from time import perf_counter_ns
from types import FrameType
from typing import Any

from pytest_perfguard.model import StatementKind
from pytest_perfguard.probes.queries.sources.postgresql import (
    DIALECT,
    Carrying,
    CountedRows,
    Portals,
    sized,
    split,
    text_of,
    write,
)
from pytest_perfguard.probes.queries.sources.psycopg2_classes import classes
from pytest_perfguard.probes.watch.entry import Entry
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.planning import ask_by_cursor
from pytest_perfguard.probes.watch.tape import Tape

DRIVER = "psycopg2"

_Function = Callable[..., Any]
_IN_TRANSACTION = 2  # psycopg2.extensions.STATUS_BEGIN


class Methods:
    """Replaces methods of classes; those that are inherited, by ones that call what would have been inherited."""

    def __init__(self, patches: Patches, tape: Tape) -> None:
        self._patches = patches
        self._tape = tape
        self._portals = Portals(tape, DRIVER)

    def watch_cursor(self, kind: Any) -> None:
        """Let what cursors of `kind` execute run past the tape."""
        for name, describe in _TEXTS.items():
            self._wrap(kind, name, functools.partial(self._executing, name, describe))
        self._wrap(kind, "executemany", self._executing_many)
        for name, count in _FETCHES.items():
            self._wrap(kind, name, functools.partial(self._fetching, count, name == "__next__"))

    def watch_connection(self, kind: Any, refine: Callable[[Any, Any], Any]) -> None:
        """Let connections of `kind` give what `refine` makes of their cursors, and show what they commit."""
        self._wrap(kind, "cursor", functools.partial(_refining, refine))
        self._wrap(kind, "commit", functools.partial(self._controlling, "COMMIT"))
        self._wrap(kind, "rollback", functools.partial(self._controlling, "ROLLBACK"))

    def _wrap(self, kind: Any, name: str, make: Callable[[_Function], _Function]) -> None:
        own = vars(kind).get(name)
        self._patches.wrap(kind, name, lambda _: make(_inherited(kind, name) if own is None else own))

    def _executing(self, name: str, describe: _Function, original: _Function) -> _Function:
        tape = self._tape

        def execute(cursor: Any, *args: Any, **kwargs: Any) -> Any:
            if tape.hidden():
                tape.sent()
                if cursor.name is not None:
                    self._portals.leave(cursor)
                return original(cursor, *args, **kwargs)
            text, parameters = describe(cursor, args, kwargs)
            entries = self._written(text, parameters) if name == "execute" else write(tape, text, parameters, DRIVER)
            first = entries[0]
            if cursor.name is not None:
                self._portals.open(cursor, first)
            if tape.planner is not None and name == "execute" and len(entries) == 1:
                self._plan(cursor, first, parameters)
            try:
                with Carrying(entries), first:
                    return original(cursor, *args, **kwargs)
            finally:
                if name in _COPIES:
                    first.text = text_of(cursor.query or first.text)
                gives = _TO_CLIENT.search(first.text) if name in _COPIES else cursor.description
                if tape.counts_rows and gives and cursor.name is None:
                    entries[-1].rows = max(cursor.rowcount, 0)

        return execute

    def _written(self, text: str, parameters: Any) -> list[Entry]:
        page = _page()
        if page is None:
            return write(self._tape, text, parameters, DRIVER)
        # One page of rows: `execute_batch` sends a statement for each at once, `execute_values` writes them into one.
        if page == "execute_batch":
            text = next(iter(split(text)), text)
        entry = self._tape.write(text, parameters, dialect=DIALECT, driver=DRIVER)
        entry.batch = True
        return [entry]

    def _plan(self, cursor: Any, entry: Entry, parameters: Any) -> None:
        connection = cursor.connection
        if not connection.async_:
            in_transaction = not connection.autocommit or connection.status == _IN_TRANSACTION
            make = functools.partial(classes().plain_cursor, connection)
            ask_by_cursor(self._tape, entry, parameters, make, in_transaction=in_transaction)

    def _executing_many(self, original: _Function) -> _Function:
        tape = self._tape

        def executemany(cursor: Any, *args: Any, **kwargs: Any) -> Any:
            name = next((name for name in ("vars_list", "vars") if name in kwargs), "")
            given: Any = args[1] if len(args) > 1 else kwargs.get(name)
            # psycopg2 sends one row after the other. What the user's iterator asks itself is hidden by nothing.
            rows = CountedRows(given, copy_context().run)
            if len(args) > 1:
                call = functools.partial(original, cursor, args[0], rows, *args[2:], **kwargs)
            else:
                call = functools.partial(original, cursor, *args, **{**kwargs, name: rows})
            if tape.hidden():
                try:
                    return call()
                finally:
                    for _ in range(rows.count):
                        tape.sent()
            text = text_of(_argument(args, kwargs, 0, "query"), cursor)
            entry = tape.write(text, sized(given), dialect=DIALECT, driver=DRIVER)
            entry.batch = True
            entry.counts = rows.any
            try:
                with entry:
                    return call()
            finally:
                entry.trips = rows.count

        return executemany

    def _fetching(self, count: Callable[[Any], int], pages: bool, original: _Function) -> _Function:
        """Make what fetches rows; of a named cursor from the server, if a page of rows is not at hand already."""

        def fetch(cursor: Any, *args: Any, **kwargs: Any) -> Any:
            if cursor.name is None:
                return original(cursor, *args, **kwargs)
            at_hand = pages and (cursor.rownumber or 0) < cursor.rowcount
            portal = self._portals.ask(cursor, cursor.name, again=not at_hand)
            began = perf_counter_ns()
            found = original(cursor, *args, **kwargs)
            if portal is not None:
                portal.entry.nanoseconds = max(portal.entry.nanoseconds, 0) + perf_counter_ns() - began
                portal.give(count(found))
            return found

        return fetch

    def _controlling(self, text: str, original: _Function) -> _Function:
        tape = self._tape

        def control(connection: Any) -> Any:
            # Outside of a transaction psycopg2 sends nothing.
            if tape.hidden() or connection.status != _IN_TRANSACTION:
                return original(connection)
            entry = tape.write(text, None, dialect=DIALECT, driver=DRIVER)
            entry.kind = StatementKind.TRANSACTION
            with entry:
                return original(connection)

        return control


def _inherited(kind: Any, name: str) -> _Function:
    def call(instance: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(super(kind, instance), name)(*args, **kwargs)

    return call


def _refining(refine: Callable[[Any, Any], Any], original: _Function) -> _Function:
    def cursor(connection: Any, *args: Any, **kwargs: Any) -> Any:
        return refine(connection, original(connection, *args, **kwargs))

    return cursor


def _page() -> str | None:
    """Return which function of psycopg2's executes for a page of rows here, None where none does."""
    module: Any = sys.modules.get("psycopg2.extras")
    frame: FrameType | None = sys._getframe(2)
    for _ in range(6):
        if module is None or frame is None:
            break
        if frame.f_globals is vars(module) and frame.f_code.co_name in {"execute_batch", "execute_values"}:
            return frame.f_code.co_name
        frame = frame.f_back
    return None


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], place: int, name: str) -> Any:
    return args[place] if len(args) > place else kwargs.get(name)


def _execute(cursor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, Any]:
    return text_of(_argument(args, kwargs, 0, "query"), cursor), _argument(args, kwargs, 1, "vars")


def _callproc(_cursor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, Any]:
    parameters = _argument(args, kwargs, 1, "parameters")
    places = ", ".join(["%s"] * (len(parameters) if hasattr(parameters, "__len__") else 0))
    return f"SELECT * FROM {_argument(args, kwargs, 0, 'procname')}({places})", parameters  # noqa: S608 - never executed


def _copy_expert(cursor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, Any]:
    return text_of(_argument(args, kwargs, 0, "sql"), cursor), None


def _copy_from(_cursor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, Any]:
    return f'COPY "{_argument(args, kwargs, 1, "table")}" FROM STDIN', None


def _copy_to(_cursor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, Any]:
    return f'COPY "{_argument(args, kwargs, 1, "table")}" TO STDOUT', None


_TEXTS = {
    "execute": _execute,
    "callproc": _callproc,
    "copy_expert": _copy_expert,
    "copy_from": _copy_from,
    "copy_to": _copy_to,
}
"""What each method is about to execute, with which parameters."""
_COPIES = frozenset({"copy_from", "copy_to", "copy_expert"})
_TO_CLIENT = re.compile(r"\bTO\s+STDOUT\b", re.IGNORECASE)
_FETCHES: dict[str, Callable[[Any], int]] = {
    "fetchone": lambda row: row is not None,
    "fetchmany": len,
    "fetchall": len,
    "__next__": lambda _row: 1,
    "scroll": lambda _nothing: 0,
}
