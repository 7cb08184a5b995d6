"""The pools of psycopg 3: what they lend, how long one waits for it, and which connections they open."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from pytest_perfguard.probes.queries.sources.psycopg_cursors import DRIVER
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.tape import Tape

_Function = Callable[..., Any]

_HIDDEN = ("_check_connection", "_reset_connection", "check")


class PsycopgPoolSource:
    """Replaces what lends connections and takes them back, in the sync and the async pool.

    How many are in use is what the block has seen lent. Connections that the pool opens in its own threads or tasks are
    its own; what they are asked and told then, checks, and what is rolled back when one is given back are no statements
    of the measured code.
    """

    name = "psycopg_pool"
    module = "psycopg_pool"

    def installed(self) -> bool:
        """Return whether psycopg_pool is loaded, entirely."""
        module = sys.modules.get("psycopg_pool")
        return hasattr(module, "ConnectionPool") and hasattr(module, "AsyncNullConnectionPool")

    def install(self, tape: Tape) -> Callable[[], None]:
        """Replace methods of both pools; those that close each connection at once inherit them."""
        module: Any = sys.modules["psycopg_pool"]
        patches = Patches()
        for pool in (module.ConnectionPool, module.AsyncConnectionPool):
            patches.wrap(pool, "getconn", lambda original: _either(original, _lend, _lend_async, tape))
            patches.wrap(pool, "putconn", lambda original: _taking(original, tape))
            patches.wrap(pool, "_connect", lambda original: _either(original, _connect, _connect_async, tape))
            for name in _HIDDEN:
                patches.wrap(pool, name, lambda original: _either(original, _hide, _hide_async, tape))
        return patches.undo


def _either(original: _Function, stand_in: _Function, asynchronous: _Function, tape: Tape) -> _Function:
    """Return the method that calls one of both in the place of `original`, sync or async as that is."""
    if inspect.iscoroutinefunction(original):

        @functools.wraps(original)
        async def run_async(self: Any, *args: Any, **kwargs: Any) -> Any:
            return await asynchronous(tape, functools.partial(original, self, *args, **kwargs))

        return run_async

    @functools.wraps(original)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        return stand_in(tape, functools.partial(original, self, *args, **kwargs))

    return run


def _lend(tape: Tape, call: _Function) -> Any:
    if tape.hidden():
        return call()
    began = perf_counter_ns()
    connection = call()
    tape.lent(DRIVER, id(connection), perf_counter_ns() - began)
    return connection


async def _lend_async(tape: Tape, call: _Function) -> Any:
    if tape.hidden():
        return await call()
    began = perf_counter_ns()
    connection = await call()
    tape.lent(DRIVER, id(connection), perf_counter_ns() - began)
    return connection


def _taking(original: _Function, tape: Tape) -> _Function:
    # Before it is taken back: from then on someone else may have it.
    if inspect.iscoroutinefunction(original):

        @functools.wraps(original)
        async def putconn_async(self: Any, conn: Any) -> None:
            tape.returned(id(conn))
            await original(self, conn)

        return putconn_async

    @functools.wraps(original)
    def putconn(self: Any, conn: Any) -> None:
        tape.returned(id(conn))
        original(self, conn)

    return putconn


def _connect(tape: Tape, call: _Function) -> Any:
    outermost = not tape.hidden()
    with tape.layer():
        connection = call()
    if outermost:
        tape.opened(DRIVER)
    return connection


async def _connect_async(tape: Tape, call: _Function) -> Any:
    outermost = not tape.hidden()
    with tape.layer():
        connection = await call()
    if outermost:
        tape.opened(DRIVER)
    return connection


def _hide(tape: Tape, call: _Function) -> Any:
    with tape.layer():
        return call()


async def _hide_async(tape: Tape, call: _Function) -> Any:
    with tape.layer():
        return await call()
