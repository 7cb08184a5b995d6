"""PyMySQL: its cursors, and beneath them the one method that sends a statement, which nothing goes past."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from pytest_perfguard.probes.queries.sources.mysql import RowCounts, SyncCursors, argument, opening, stating, write
from pytest_perfguard.probes.watch.entry import Entry
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.planning import ask_by_cursor
from pytest_perfguard.probes.watch.sending import Sending
from pytest_perfguard.probes.watch.tape import Tape

_DRIVER = "pymysql"
_COM_QUERY = 3
_IN_TRANSACTION = 1
_STATEMENTS = {"begin": "BEGIN", "commit": "COMMIT", "rollback": "ROLLBACK", "show_warnings": "SHOW WARNINGS"}


class PymysqlSource:
    """Wraps methods of PyMySQL's own classes, so that open connections, cursors and subclasses are seen.

    What does not come through them (a subclass that overrides `execute`, a method that was bound before) still sends
    by `Connection._execute_command`, and is written down there, with its values in the text instead of placeholders.
    """

    name = "pymysql"
    module = "pymysql"

    def installed(self) -> bool:
        """Return whether PyMySQL is loaded, entirely."""
        module = sys.modules.get("pymysql")
        return module is not None and all(hasattr(module, name) for name in ("cursors", "connections", "connect"))

    def install(self, tape: Tape) -> Callable[[], None]:
        """Replace the methods of cursors and connections."""
        cursors: Any = sys.modules["pymysql.cursors"]
        connection: Any = sys.modules["pymysql.connections"].Connection
        patches = Patches()
        rows = RowCounts(tape)
        ask = functools.partial(_ask, tape, cursors.Cursor)
        SyncCursors(tape, _DRIVER, rows, ask).wrap(patches, cursors.Cursor)
        for name, text in _STATEMENTS.items():
            patches.wrap(connection, name, functools.partial(stating, tape, _DRIVER, text))
        patches.wrap(connection, "query", functools.partial(_querying, tape))
        patches.wrap(connection, "_execute_command", functools.partial(_sending, tape))
        patches.wrap(connection, "connect", functools.partial(opening, tape, _DRIVER, _is_open))
        unwatch = rows.watch(functools.partial(_count_rows, cursors, rows))

        def undo() -> None:
            unwatch()
            patches.undo()

        return undo


def _querying(tape: Tape, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def query(self: Any, *args: Any, **kwargs: Any) -> Any:
        if tape.hidden():
            return original(self, *args, **kwargs)
        entry = write(tape, _DRIVER, argument(0, "sql", args, kwargs))
        with Sending(entry):
            result = original(self, *args, **kwargs)
        if tape.counts_rows:
            entry.rows = len(getattr(self._result, "rows", None) or ())
        return result

    return query


def _sending(tape: Tape, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def _execute_command(self: Any, command: Any, sql: Any) -> Any:
        if command != _COM_QUERY:
            return original(self, command, sql)
        if tape.hidden():
            result = original(self, command, sql)
            tape.sent()
            return result
        with Sending(write(tape, _DRIVER, sql)):  # its answer is read later: the time is that of sending alone
            result = original(self, command, sql)
            tape.sent()
        return result

    return _execute_command


def _ask(tape: Tape, plain: Any, cursor: Any, entry: Entry, parameters: object) -> None:
    connection = cursor.connection
    if connection is None:
        return
    pending = getattr(connection, "_result", None)
    if pending is not None and (pending.unbuffered_active or pending.has_next):
        return
    in_transaction = not connection.get_autocommit() or bool(connection.server_status & _IN_TRANSACTION)
    ask_by_cursor(tape, entry, parameters, functools.partial(plain, connection), in_transaction=in_transaction)


def _count_rows(cursors: Any, rows: RowCounts, patches: Patches) -> None:
    def getting(original: Callable[..., Any]) -> Callable[..., Any]:
        def _do_get_result(self: Any) -> Any:
            result = original(self)
            rows.add(self, len(self._result.rows or ()))
            return result

        return _do_get_result

    def reading(original: Callable[..., Any]) -> Callable[..., Any]:
        def read_next(self: Any) -> Any:
            row = original(self)
            rows.add(self, row is not None)
            return row

        return read_next

    patches.wrap(cursors.Cursor, "_do_get_result", getting)
    patches.wrap(cursors.SSCursor, "read_next", reading)


def _is_open(connection: Any) -> bool:
    return bool(connection.open)
