"""asyncpg: every connection, prepared statement, cursor and copy, also those that were open before."""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter_ns
from typing import Any

from pytest_perfguard.probes.queries.sources.asyncpg_pool import DRIVER, watch_pools
from pytest_perfguard.probes.queries.sources.postgresql import (
    DIALECT,
    Carrying,
    CountedRows,
    controls_transaction,
    replace,
    sized,
    write,
)
from pytest_perfguard.probes.watch.entry import Entry
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.tape import Tape

_Function = Callable[..., Awaitable[Any]]


class AsyncpgSource:
    """Replaces what connections, prepared statements and cursors alike ask the protocol for.

    That is looked up last, so that it does not matter when anything above was taken. What asyncpg asks by itself about
    types is not counted, nor is preparing: both depend on what a connection did before. A cursor counts once, and each
    further fetch is a round trip of its statement.
    """

    name = "asyncpg"
    module = "asyncpg"

    def installed(self) -> bool:
        """Return whether asyncpg is loaded, entirely."""
        module = sys.modules.get("asyncpg")
        return all(hasattr(module, name) for name in ("connect", "create_pool", "protocol"))

    def install(self, tape: Tape) -> Callable[[], None]:
        """Replace methods of the protocol and of pools, and what opens connections."""
        module: Any = sys.modules["asyncpg"]
        made = _Made(tape)
        patches = Patches()
        for name, make in (
            ("query", made.querying),
            ("bind_execute", made.executing),
            ("bind_execute_many", made.executing_many),
            ("bind", made.binding),
            ("execute", made.fetching),
            ("copy_out", functools.partial(made.copying, out=True)),
            ("copy_in", functools.partial(made.copying, out=False)),
        ):
            if not patches.wrap(module.protocol.Protocol, name, make):
                raise AttributeError(f"asyncpg.protocol.Protocol has no {name}")
        for name in ("_introspect_types", "_introspect_type"):
            replace(patches, module.Connection, name, lambda original: _quiet(original, tape))
        # What COPY with parameters asks for, to have them written as literals.
        patches.wrap(sys.modules["asyncpg.utils"], "_mogrify", lambda original: _quiet(original, tape))
        patches.wrap(sys.modules["asyncpg.connect_utils"], "_connect", lambda original: _connecting(original, tape))
        watch_pools(patches, tape, module.pool)
        return patches.undo


class _Made:
    """Makes what stands in for functions of the protocol, each named after what it does."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.portals: dict[str, tuple[Entry | None, bool]] = {}
        """Statements of cursors by the names of these, which are never given twice, and whether rows count here."""
        self.connections: dict[int, Any] = {}

    def querying(self, original: _Function) -> _Function:
        """Make `query`: a text without parameters, whose rows are thrown away."""

        async def query(protocol: Any, query: Any, timeout: Any) -> Any:
            tape = self.tape
            call = functools.partial(original, protocol, query, timeout)
            if not isinstance(query, str):
                return await call()
            if query.startswith("MOVE FORWARD ") and (name := query.rpartition(" ")[2]) in self.portals:
                return await self._again(name, call, lambda _: 0)
            if tape.hidden():
                if not controls_transaction(query):
                    tape.sent()
                return await call()
            entries = write(tape, query, None, DRIVER)
            if len(entries) == 1 and not controls_transaction(query):
                await self._plan(protocol, None, entries[0], ())
            with Carrying(entries):
                status = await call()
            entries[-1].rows = self._rows(status, "SELECT ")
            return status

        return query

    def executing(self, original: _Function) -> _Function:
        """Make `bind_execute`: a statement, or the first rows of a cursor that is iterated over."""

        async def bind_execute(
            protocol: Any, state: Any, args: Any, portal_name: str, limit: int, return_extra: bool, timeout: Any
        ) -> Any:
            call = functools.partial(original, protocol, state, args, portal_name, limit, return_extra, timeout)
            entry = await self._written(protocol, state, args, portal_name)
            result = await self._carried_out(entry, call)
            if entry is not None and self.tape.counts_rows:
                entry.rows = len((result[0] if return_extra else result) or ())
            return result

        return bind_execute

    def binding(self, original: _Function) -> _Function:
        """Make `bind`, which opens a cursor."""

        async def bind(protocol: Any, state: Any, args: Any, portal_name: str, timeout: Any) -> Any:
            call = functools.partial(original, protocol, state, args, portal_name, timeout)
            return await self._carried_out(await self._written(protocol, state, args, portal_name), call)

        return bind

    def executing_many(self, original: _Function) -> _Function:
        """Make `bind_execute_many`, which waits for its server once."""

        async def bind_execute_many(
            protocol: Any, state: Any, args: Any, portal_name: str, timeout: Any, **options: Any
        ) -> Any:
            tape = self.tape
            if tape.hidden():
                tape.sent()
                return await original(protocol, state, args, portal_name, timeout, **options)
            entry = tape.write(state.query, sized(args), dialect=DIALECT, driver=DRIVER)
            entry.batch = True
            rows = CountedRows(args)
            entry.counts = rows.any
            call = functools.partial(original, protocol, state, rows, portal_name, timeout, **options)
            result = await self._carried_out(entry, call)
            if tape.counts_rows and options.get("return_rows"):
                entry.rows = len(result or ())
            return result

        return bind_execute_many

    def fetching(self, original: _Function) -> _Function:
        """Make `execute`, by which a cursor fetches further rows."""

        async def execute(
            protocol: Any, state: Any, portal_name: str, limit: int, return_extra: bool, timeout: Any
        ) -> Any:
            call = functools.partial(original, protocol, state, portal_name, limit, return_extra, timeout)
            if portal_name not in self.portals and not self.tape.hidden():  # it was opened before the block
                entry = self.tape.write(state.query, None, dialect=DIALECT, driver=DRIVER)
                entry.trips = 0
                self.portals[portal_name] = entry, True
            return await self._again(
                portal_name, call, lambda result: len((result[0] if return_extra else result) or ())
            )

        return execute

    def copying(self, original: _Function, *, out: bool) -> _Function:
        """Make `copy_out` and `copy_in`."""

        async def copy(protocol: Any, copy_stmt: Any, *args: Any, **kwargs: Any) -> Any:
            call = functools.partial(original, protocol, copy_stmt, *args, **kwargs)
            if self.tape.hidden():
                self.tape.sent()
                return await call()
            entry = self.tape.write(copy_stmt, None, dialect=DIALECT, driver=DRIVER)
            status = await self._carried_out(entry, call)
            if out:
                entry.rows = self._rows(status, "COPY ")
            return status

        return copy

    async def _written(self, protocol: Any, state: Any, args: Any, portal: str) -> Entry | None:
        tape = self.tape
        entry = None
        if tape.hidden():
            tape.sent()
        else:
            entry = tape.write(state.query, args, dialect=DIALECT, driver=DRIVER)
            await self._plan(protocol, state, entry, args)
        if portal:
            self.portals[portal] = entry or tape.above(), entry is not None
        return entry

    async def _carried_out(self, entry: Entry | None, call: _Function) -> Any:
        # Nothing beneath is to be hidden, and rows on their way to the server may ask the database for something.
        if entry is None:
            return await call()
        with Carrying([entry]):
            return await call()

    async def _again(self, portal: str, call: _Function, count: Callable[[Any], int]) -> Any:
        entry, own = (None, False) if self.tape.hidden() else self.portals[portal]
        if entry is None:
            return await call()
        entry.trips += 1
        began = perf_counter_ns()
        try:
            result = await call()
        finally:
            entry.nanoseconds = max(entry.nanoseconds, 0) + perf_counter_ns() - began
        if own and self.tape.counts_rows:
            entry.rows += count(result)
        return result

    def _rows(self, status: Any, word: str) -> int:
        number = status.removeprefix(word) if self.tape.counts_rows and isinstance(status, str) else ""
        return int(number) if number.isdecimal() else 0

    async def _plan(self, protocol: Any, state: Any, entry: Entry, args: Any) -> None:
        tape = self.tape
        if tape.planner is None or (connection := self._connection(protocol)) is None:
            return

        async def run(text: str, values: Any) -> Any:
            # Past the connection's own methods, which refuse to while one is under way, and keep statements in mind.
            statement = await connection._get_statement(text, None, use_cache=False)
            return await protocol.bind_execute(statement, tuple(values or ()), "", 0, False, None)

        with tape.layer():
            await tape.planner.ask_async(entry, args, run, in_transaction=protocol.is_in_transaction())
        if state is not None and not state.name:
            state.mark_unprepared()  # the server has forgotten the statement without a name for another one

    def _connection(self, protocol: Any) -> Any:
        # The protocol keeps what it belongs to for itself. Few plans are asked for, and each takes longer than this.
        found = self.connections.get(id(protocol))
        if found is None or found._protocol is not protocol:
            kind = sys.modules["asyncpg"].Connection
            found = next((each for each in gc.get_referrers(protocol) if kind in type(each).__mro__), None)
            self.connections[id(protocol)] = found
        return found


def _quiet(original: _Function, tape: Tape) -> _Function:
    @functools.wraps(original)
    async def quiet(*args: Any, **kwargs: Any) -> Any:
        with tape.layer():
            return await original(*args, **kwargs)

    return quiet


def _connecting(original: _Function, tape: Tape) -> _Function:
    async def _connect(*args: Any, **kwargs: Any) -> Any:
        outermost = not tape.hidden()
        with tape.layer():
            connection = await original(*args, **kwargs)
        if outermost:
            tape.opened(DRIVER, connection, _is_open)
        return connection

    return _connect


def _is_open(connection: Any) -> bool:
    return not connection.is_closed()
