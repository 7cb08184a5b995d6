"""psycopg 3: every cursor and connection, sync and async, also those that were open before."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from typing import Any

from pytest_perfguard.model import StatementKind
from pytest_perfguard.probes.queries.sources.postgresql import (
    DIALECT,
    controls_transaction,
    replace,
    text_of,
    timed,
)
from pytest_perfguard.probes.queries.sources.psycopg_cursors import DRIVER, watch_cursors
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.tape import Tape

_Steps = Generator[Any, Any, Any]


class PsycopgSource:
    """Replaces the generators that carry out, for sync and async alike, what cursors and connections are asked.

    psycopg looks them up whenever it needs them, so that it does not matter when a cursor, a method or `connect` was
    taken. Of the driver's own doing, BEGIN before a first statement, preparing and describing are not shown: they
    depend on what a connection did before. What goes past cursors, by `Connection.pgconn`, is not seen.
    """

    name = "psycopg"
    module = "psycopg"

    def installed(self) -> bool:
        """Return whether psycopg is loaded, entirely."""
        module = sys.modules.get("psycopg")
        return hasattr(module, "AsyncServerCursor") and hasattr(module, "connect")

    def install(self, tape: Tape) -> Callable[[], None]:
        """Replace methods of the base classes of cursors, connections and pipelines."""
        module: Any = sys.modules["psycopg"]
        patches = Patches()
        end = watch_cursors(patches, tape, module)
        connection = module.Connection
        replace(patches, connection, "_exec_command", lambda original: _commanding(original, tape))
        replace(patches, connection, "_start_query", lambda original: _beginning(original, tape))
        replace(patches, connection, "_connect_gen", lambda original: _connecting(original, tape))

        def undo() -> None:
            end()
            patches.undo()

        return undo


def _commanding(original: Callable[..., _Steps], tape: Tape) -> Callable[..., _Steps]:
    """COMMIT and its like, of methods and of `transaction()`; the driver asks for nothing where there is nothing."""

    def _exec_command(connection: Any, command: Any, *args: Any, **kwargs: Any) -> _Steps:
        steps = original(connection, command, *args, **kwargs)
        if tape.hidden():
            return steps
        text = text_of(command, connection)
        if not controls_transaction(text):
            return steps
        entry = tape.write(text, None, dialect=DIALECT, driver=DRIVER)
        entry.kind = StatementKind.TRANSACTION
        return timed(entry, steps)

    return _exec_command


def _beginning(original: Callable[..., _Steps], tape: Tape) -> Callable[..., _Steps]:
    """BEGIN, before a statement outside of a transaction."""

    def _start_query(connection: Any) -> _Steps:
        steps = original(connection)
        return steps if connection._autocommit else quietly(steps)

    def quietly(steps: _Steps) -> _Steps:
        with tape.layer():
            return (yield from steps)

    return _start_query


def _connecting(original: Any, tape: Tape) -> Any:
    function = original.__func__  # of a class method

    def _connect_gen(cls: Any, *args: Any, **kwargs: Any) -> _Steps:
        steps = function(cls, *args, **kwargs)
        return steps if tape.hidden() else connect(steps)

    def connect(steps: _Steps) -> _Steps:
        connection = yield from steps
        tape.opened(DRIVER, connection, _is_open)
        return connection

    return classmethod(_connect_gen)


def _is_open(connection: Any) -> bool:
    return not connection.closed
