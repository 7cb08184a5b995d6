"""mysqlclient (MySQLdb): its cursors, and connections beneath them, up to where they call into C."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from pytest_perfguard.model import Note
from pytest_perfguard.model.metric import QUERIES, READS, WRITES
from pytest_perfguard.probes.queries.sources.mysql import RowCounts, SyncCursors, argument, opening, stating, write
from pytest_perfguard.probes.watch.entry import Entry
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.planning import ask_by_cursor
from pytest_perfguard.probes.watch.sending import Sending
from pytest_perfguard.probes.watch.tape import Tape

_DRIVER = "mysqlclient"
_OF_CLIENT = range(2000, 3000)
"""Numbers of errors that the client finds by itself, before it sends; but for one."""
_LOST = 2013


class MysqlclientSource:
    """Wraps methods of MySQLdb's classes, so that open connections, cursors and subclasses are seen.

    `MySQLdb.connections` is what MySQLdb imports when it first connects. Connections of the C type that it derives
    from cannot be seen: one that is opened meanwhile is named in a note.
    """

    name = "mysqlclient"
    module = "MySQLdb.connections"

    def installed(self) -> bool:
        """Return whether MySQLdb is loaded, entirely, and is not another driver under its name."""
        module = sys.modules.get("MySQLdb.connections")
        return module is not None and hasattr(module, "Connection") and "MySQLdb._mysql" in sys.modules

    def install(self, tape: Tape) -> Callable[[], None]:
        """Replace the methods of cursors and connections."""
        cursors: Any = sys.modules["MySQLdb.cursors"]
        connection: Any = sys.modules["MySQLdb.connections"].Connection
        patches = Patches()
        rows = RowCounts(tape)
        ask = functools.partial(_ask, tape, cursors.Cursor)
        SyncCursors(tape, _DRIVER, rows, ask).wrap(patches, cursors.BaseCursor)
        patches.wrap(connection, "query", functools.partial(_querying, tape))
        patches.wrap(connection, "send_query", functools.partial(_querying, tape))
        for name in ("commit", "rollback"):  # inherited from C, where they send without `query`
            patches.wrap(connection, name, functools.partial(_controlling, tape, name.upper()))
        patches.wrap(connection, "show_warnings", functools.partial(stating, tape, _DRIVER, "SHOW WARNINGS"))
        patches.wrap(connection, "__init__", functools.partial(opening, tape, _DRIVER, _is_open))
        patches.wrap(sys.modules["MySQLdb._mysql"], "connect", functools.partial(_unseen, tape))
        unwatch = rows.watch(functools.partial(_count_rows, cursors, rows))

        def undo() -> None:
            unwatch()
            patches.undo()

        return undo


def _querying(tape: Tape, original: Callable[..., Any]) -> Callable[..., Any]:
    def query(self: Any, *args: Any, **kwargs: Any) -> Any:
        if tape.hidden():
            return _send(tape, original, self, *args, **kwargs)
        with Sending(write(tape, _DRIVER, argument(0, "query", args, kwargs))):
            return _send(tape, original, self, *args, **kwargs)

    return query


def _controlling(tape: Tape, text: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def control(self: Any, *args: Any, **kwargs: Any) -> Any:
        if tape.hidden():
            return _send(tape, original, self, *args, **kwargs)
        with Sending(write(tape, _DRIVER, text)):
            return _send(tape, original, self, *args, **kwargs)

    return control


def _send(tape: Tape, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    try:
        result = original(*args, **kwargs)
    except Exception as error:
        number = error.args[0] if error.args else None
        if isinstance(number, int) and (number not in _OF_CLIENT or number == _LOST):
            tape.sent()
        raise
    tape.sent()
    return result


def _ask(tape: Tape, plain: Any, cursor: Any, entry: Entry, parameters: object) -> None:
    connection = cursor.connection
    if connection is None or cursor._result is not None:  # an unbuffered result waits to be read
        return
    in_transaction = not connection.get_autocommit()
    ask_by_cursor(tape, entry, parameters, functools.partial(plain, connection), in_transaction=in_transaction)


def _count_rows(cursors: Any, rows: RowCounts, patches: Patches) -> None:
    def fetching(original: Callable[..., Any]) -> Callable[..., Any]:
        def _fetch_row(self: Any, size: int = 1) -> Any:
            found = original(self, size)
            rows.add(self, len(found))
            return found

        return _fetch_row

    patches.wrap(cursors.BaseCursor, "_fetch_row", fetching)


def _is_open(connection: Any) -> bool:
    return bool(connection.open)


def _unseen(tape: Tape, original: Callable[..., Any]) -> Callable[..., Any]:
    def connect(*args: Any, **kwargs: Any) -> Any:
        tape.remark(_PLAIN)
        return original(*args, **kwargs)

    return connect


_PLAIN = Note(
    code="unseen-connection",
    message="a connection of MySQLdb's C type was opened by MySQLdb._mysql.connect, and its statements cannot be seen",
    remedy="open it by MySQLdb.connect",
    undermines=(QUERIES.name, READS.name, WRITES.name),
)
