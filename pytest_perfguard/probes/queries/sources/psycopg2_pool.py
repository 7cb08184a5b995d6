"""psycopg2's pools: what they lend, and which connections they open."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.tape import Tape

_DRIVER = "psycopg2"
_Function = Callable[..., Any]


class Psycopg2PoolSource:
    """Replaces what lends connections and takes them back; what a pool rolls back then is no statement of the call."""

    name = "psycopg2.pool"
    module = "psycopg2.pool"

    def installed(self) -> bool:
        """Return whether psycopg2's pools are loaded, entirely."""
        return hasattr(sys.modules.get("psycopg2.pool"), "ThreadedConnectionPool")

    def install(self, tape: Tape) -> Callable[[], None]:
        """Replace methods of all pools."""
        module: Any = sys.modules["psycopg2.pool"]
        patches = Patches()
        patches.wrap(module.AbstractConnectionPool, "_connect", lambda original: _opening(original, tape))
        for pool in (module.SimpleConnectionPool, module.ThreadedConnectionPool):
            patches.wrap(pool, "getconn", lambda original: _lending(original, tape))
            patches.wrap(pool, "putconn", lambda original: _taking(original, tape))
        return patches.undo


def _opening(original: _Function, tape: Tape) -> _Function:
    def _connect(self: Any, *args: Any, **kwargs: Any) -> Any:
        outermost = not tape.hidden()
        with tape.layer():
            connection = original(self, *args, **kwargs)
        if outermost:
            tape.opened(_DRIVER)
        return connection

    return _connect


def _lending(original: _Function, tape: Tape) -> _Function:
    def getconn(self: Any, *args: Any, **kwargs: Any) -> Any:
        if tape.hidden():
            return original(self, *args, **kwargs)
        began = perf_counter_ns()
        connection = original(self, *args, **kwargs)
        tape.lent(_DRIVER, id(connection), perf_counter_ns() - began, len(self._used))
        return connection

    return getconn


def _taking(original: _Function, tape: Tape) -> _Function:
    def putconn(self: Any, *args: Any, **kwargs: Any) -> None:
        connection = args[0] if args else kwargs.get("conn")
        tape.returned(id(connection))
        with tape.layer():
            original(self, *args, **kwargs)

    return putconn
