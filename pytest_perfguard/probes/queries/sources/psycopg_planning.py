"""Letting a planner ask on a connection of psycopg 3 that is about to execute a statement, sync or async."""

from __future__ import annotations

import functools
import sys
from collections.abc import Generator
from typing import Any

from pytest_perfguard.probes.watch.entry import Entry
from pytest_perfguard.probes.watch.tape import Tape


def ask(tape: Tape, cursor: Any, entry: Entry, parameters: object) -> Generator[Any, Any, None]:
    """Let the tape's planner ask before `cursor` executes; a generator to be carried out like the driver's own.

    Its steps are those of psycopg, whichever way the connection waits for its server: an asynchronous planner awaits
    nothing but answers, so that what it waits for can be handed on as a step of the driver's. The connection's lock is
    held already, and is not asked for again.
    """
    planner = tape.planner
    if planner is None:
        return
    connection = cursor._conn
    kind = _kind(cursor)
    with tape.layer():
        steps = planner.ask_async(
            entry,
            parameters,
            lambda text, values: _Answer(kind(connection), text, values),
            in_transaction=not connection._autocommit or connection.pgconn.transaction_status != 0,
        ).__await__()
        interrupted = yield from _carry_out(steps)
    if interrupted:  # what psycopg waits for, to raise what interrupted it
        raise sys.modules["psycopg"].errors.QueryCanceled("interrupted before the statement was sent")


def _carry_out(steps: Generator[Any, Any, None]) -> Generator[Any, Any, bool]:
    """Hand the steps on to the driver; return whether it was interrupted while it waited.

    When its task is cancelled, or the program is interrupted, psycopg has the server end what it is at, and carries on
    with the same steps until they say so: it then answers one of them with None. The statement must not follow.
    """
    ready = None
    interrupted = False
    while True:
        try:
            step = steps.send(ready)
        except StopIteration:
            return interrupted
        ready = yield step
        interrupted = interrupted or ready is None


class _Answer:
    """The rows that a statement gives, to be awaited."""

    def __init__(self, cursor: Any, text: str, values: object) -> None:
        self._cursor = cursor
        self._text = text
        self._values = values

    def __await__(self) -> Generator[Any, Any, list[Any]]:
        cursor = self._cursor
        yield from cursor._execute_gen(self._text, self._values, prepare=False)
        result = cursor.pgresult
        return list(cursor._tx.load_rows(0, result.ntuples, cursor._make_row)) if cursor.description else []


def _kind(cursor: Any) -> Any:
    """Return the class of cursors that reads placeholders as `cursor` does, and gives rows as tuples."""
    module: Any = sys.modules["psycopg"]
    mixed_in = {each.__name__ for each in type(cursor).__mro__}
    name = next((name for name in ("ClientCursor", "RawCursor") if f"{name}Mixin" in mixed_in), "Cursor")
    asynchronous = isinstance(cursor._conn, module.AsyncConnection)
    kind = getattr(module, f"Async{name}" if asynchronous else name)
    return functools.partial(kind, row_factory=module.rows.tuple_row)
