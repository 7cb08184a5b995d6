"""aiomysql: its cursors, connections and pools."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from contextvars import ContextVar
from time import perf_counter_ns
from typing import Any

from pytest_perfguard.probes.queries.sources.mysql import (
    MULTI_STATEMENTS,
    RowCounts,
    argument,
    call_text,
    is_empty,
    write,
)
from pytest_perfguard.probes.watch.entry import Entry
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.sending import Sending
from pytest_perfguard.probes.watch.tape import Tape

_DRIVER = "aiomysql"
_COM_QUERY = 3
_IN_TRANSACTION = 1
_STATEMENTS = {"begin": "BEGIN", "commit": "COMMIT", "rollback": "ROLLBACK", "show_warnings": "SHOW WARNINGS"}
_POOLED: ContextVar[bool] = ContextVar("perfguard_aiomysql_pooled", default=False)
"""Whether a connection that is opened just now is for a pool, which closes it in its own time."""


class AiomysqlSource:
    """Wraps methods of aiomysql's own classes, so that open connections, cursors and subclasses are seen.

    What does not come through them still sends by `Connection._execute_command`, and is written down there.
    """

    name = "aiomysql"
    module = "aiomysql"

    def installed(self) -> bool:
        """Return whether aiomysql is loaded, entirely."""
        module = sys.modules.get("aiomysql")
        return module is not None and all(hasattr(module, name) for name in ("Cursor", "SSCursor", "Pool", "connect"))

    def install(self, tape: Tape) -> Callable[[], None]:
        """Replace the methods of cursors, connections and pools."""
        cursors: Any = sys.modules["aiomysql.cursors"]
        connection: Any = sys.modules["aiomysql.connection"].Connection
        pool: Any = sys.modules["aiomysql.pool"].Pool
        patches = Patches()
        rows = RowCounts(tape)
        for name, make in (("execute", _executing), ("executemany", _executing_many), ("callproc", _calling)):
            patches.wrap(cursors.Cursor, name, functools.partial(make, tape, rows))
        for name, text in _STATEMENTS.items():
            patches.wrap(connection, name, functools.partial(_stating, tape, text))
        patches.wrap(connection, "query", functools.partial(_querying, tape))
        patches.wrap(connection, "_execute_command", functools.partial(_sending, tape))
        patches.wrap(connection, "_connect", functools.partial(_connecting, tape))
        patches.wrap(pool, "_fill_free_pool", _filling)
        patches.wrap(pool, "_acquire", functools.partial(_acquiring, tape))
        patches.wrap(pool, "release", functools.partial(_releasing, tape))
        patches.wrap(pool, "terminate", functools.partial(_terminating, tape))
        unwatch = rows.watch(functools.partial(_count_rows, cursors, rows))

        def undo() -> None:
            unwatch()
            patches.undo()

        return undo


def _executing(tape: Tape, rows: RowCounts, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        if tape.hidden():
            return await original(self, *args, **kwargs)
        parameters = argument(1, "args", args, kwargs)
        several = bool(getattr(self._connection, "client_flag", 0) & MULTI_STATEMENTS)
        entry = write(tape, _DRIVER, argument(0, "query", args, kwargs), parameters, several=several)
        if tape.planner is not None:
            await _ask(tape, self, entry, parameters)
        rows.follow(self, entry)
        with Sending(entry):
            return await original(self, *args, **kwargs)

    return execute


def _executing_many(tape: Tape, rows: RowCounts, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def executemany(self: Any, *args: Any, **kwargs: Any) -> Any:
        values = argument(1, "args", args, kwargs)
        if is_empty(values) or tape.hidden():
            return await original(self, *args, **kwargs)
        entry = write(tape, _DRIVER, argument(0, "query", args, kwargs), values)
        entry.batch = True
        rows.follow(self, entry)
        with Sending(entry, doubtful=not isinstance(values, (list, tuple))):
            return await original(self, *args, **kwargs)

    return executemany


def _calling(tape: Tape, rows: RowCounts, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def callproc(self: Any, *args: Any, **kwargs: Any) -> Any:
        if tape.hidden():
            return await original(self, *args, **kwargs)
        parameters = argument(1, "args", args, kwargs)
        entry = write(tape, _DRIVER, call_text(argument(0, "procname", args, kwargs), parameters), parameters)
        rows.follow(self, entry)
        with Sending(entry):
            return await original(self, *args, **kwargs)

    return callproc


def _stating(tape: Tape, text: str, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if tape.hidden():
            return await original(self, *args, **kwargs)
        with Sending(write(tape, _DRIVER, text)):
            return await original(self, *args, **kwargs)

    return method


def _querying(tape: Tape, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def query(self: Any, *args: Any, **kwargs: Any) -> Any:
        if tape.hidden():
            return await original(self, *args, **kwargs)
        entry = write(tape, _DRIVER, argument(0, "sql", args, kwargs))
        with Sending(entry):
            result = await original(self, *args, **kwargs)
        if tape.counts_rows:
            entry.rows = len(getattr(self._result, "rows", None) or ())
        return result

    return query


def _sending(tape: Tape, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def _execute_command(self: Any, command: Any, sql: Any) -> Any:
        if command != _COM_QUERY:
            return await original(self, command, sql)
        if tape.hidden():
            result = await original(self, command, sql)
            tape.sent()
            return result
        with Sending(write(tape, _DRIVER, sql)):  # its answer is read later: the time is that of sending alone
            result = await original(self, command, sql)
            tape.sent()
        return result

    return _execute_command


async def _ask(tape: Tape, cursor: Any, entry: Entry, parameters: object) -> None:
    connection = cursor._connection
    planner = tape.planner
    if connection is None or planner is None:
        return
    pending = connection._result
    if pending is not None and (pending.unbuffered_active or pending.has_next):
        return
    plain: Any = sys.modules["aiomysql.cursors"].Cursor

    async def run(text: str, values: object) -> Any:
        own = plain(connection)
        try:
            await own.execute(text, values)
            return list(await own.fetchall()) if own.description else []
        finally:
            await own.close()

    in_transaction = not connection.get_autocommit() or bool(connection.server_status & _IN_TRANSACTION)
    with tape.layer():
        await planner.ask_async(entry, parameters, run, in_transaction=in_transaction)


def _connecting(tape: Tape, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def _connect(self: Any) -> Any:
        outermost = not tape.hidden()
        with tape.layer():
            result = await original(self)
        if outermost:
            if _POOLED.get():
                tape.opened(_DRIVER)
            else:
                tape.opened(_DRIVER, self, _is_open)
        return result

    return _connect


def _is_open(connection: Any) -> bool:
    return not connection.closed


def _filling(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def _fill_free_pool(self: Any, *args: Any, **kwargs: Any) -> Any:
        token = _POOLED.set(True)
        try:
            return await original(self, *args, **kwargs)
        finally:
            _POOLED.reset(token)

    return _fill_free_pool


def _acquiring(tape: Tape, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def _acquire(self: Any) -> Any:
        began = perf_counter_ns()
        connection = await original(self)
        tape.lent(_DRIVER, id(connection), perf_counter_ns() - began, len(self._used))
        return connection

    return _acquire


def _releasing(tape: Tape, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def release(self: Any, conn: Any) -> Any:
        tape.returned(id(conn))
        return original(self, conn)

    return release


def _terminating(tape: Tape, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def terminate(self: Any) -> Any:
        for connection in self._used:
            tape.returned(id(connection))
        return original(self)

    return terminate


def _count_rows(cursors: Any, rows: RowCounts, patches: Patches) -> None:
    def getting(original: Callable[..., Any]) -> Callable[..., Any]:
        async def _do_get_result(self: Any) -> Any:
            result = await original(self)
            rows.add(self, len(self._result.rows or ()))
            return result

        return _do_get_result

    def reading(original: Callable[..., Any]) -> Callable[..., Any]:
        async def _read_next(self: Any) -> Any:
            row = await original(self)
            rows.add(self, row is not None)
            return row

        return _read_next

    patches.wrap(cursors.Cursor, "_do_get_result", getting)
    patches.wrap(cursors.SSCursor, "_read_next", reading)
