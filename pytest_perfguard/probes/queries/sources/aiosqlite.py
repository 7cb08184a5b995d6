"""aiosqlite: sqlite3 in a thread of its own, which knows neither the caller's context nor its frames."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable
from contextvars import copy_context
from typing import Any

from pytest_perfguard.probes.queries.tokens import split
from pytest_perfguard.probes.watch.entry import Entry
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.tape import Tape

_ONE: Callable[[str], Iterable[str]] = lambda text: (text,)  # noqa: E731
_STATEMENTS: dict[str, Callable[[str], Iterable[str]]] = {
    "execute": _ONE,
    "executemany": _ONE,
    "executescript": split,
    "_execute_insert": _ONE,
    "_execute_fetchall": _ONE,
}
_FETCHES: dict[str, Callable[[Any], int]] = {
    "fetchone": lambda row: row is not None,
    "fetchmany": len,
    "fetchall": len,
    "_execute_fetchall": len,
}


class AiosqliteSource:
    """Sees what is handed to the thread of a connection, where the caller's frames are still there.

    The call is carried out in a copy of the caller's context, so that sqlite3's own source knows what was written down
    here, or above.
    """

    name = "aiosqlite"
    module = "aiosqlite"

    def installed(self) -> bool:
        """Return whether aiosqlite is loaded, entirely."""
        module = sys.modules.get("aiosqlite")
        return module is not None and hasattr(module, "Connection") and hasattr(module.Connection, "_execute")

    def install(self, tape: Tape) -> Callable[[], None]:
        """Replace what hands calls to the thread."""
        connection: Any = sys.modules["aiosqlite"].Connection
        patches = Patches()
        patches.wrap(connection, "_execute", lambda original: _executing(original, tape))
        patches.wrap(connection, "_connect", lambda original: _connecting(original, tape))
        return patches.undo


def _executing(original: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    last: dict[int, Entry] = {}

    async def _execute(self: Any, fn: Any, *args: Any, **kwargs: Any) -> Any:
        name = getattr(fn, "__name__", "")
        if tape.hidden():
            return await original(self, functools.partial(copy_context().run, fn), *args, **kwargs)
        if name not in _STATEMENTS or not (args and isinstance(args[0], str)):
            result = await original(self, fn, *args, **kwargs)
            if tape.counts_rows and name in _FETCHES and (entry := last.get(id(fn.__self__))) is not None:
                entry.rows += _FETCHES[name](result)
            return result
        parameters = tuple(args[1]) if len(args) > 1 and isinstance(args[1], list) else None
        if len(args) > 1 and parameters is None:
            parameters = args[1]
        entries = [
            tape.write(text, parameters, dialect="sqlite", driver="aiosqlite") for text in _STATEMENTS[name](args[0])
        ]
        if not entries:
            return await original(self, fn, *args, **kwargs)
        planner = tape.planner
        if planner is not None and name not in ("executemany", "executescript"):
            raw = self._conn
            with tape.layer():
                await planner.ask_async(
                    entries[0], parameters, functools.partial(_ask, original, self, raw), in_transaction=True
                )
        with entries[-1]:
            result = await original(self, functools.partial(copy_context().run, fn), *args, **kwargs)
        for entry in entries:
            entry.batch = name == "executemany"
            if entry is not entries[-1]:
                entry.nanoseconds = entries[-1].nanoseconds // len(entries)
        if tape.counts_rows:
            if name in _FETCHES:
                entries[-1].rows += _FETCHES[name](result)
            else:
                last[id(result)] = entries[-1]
        return result

    return _execute


async def _ask(original: Callable[..., Any], connection: Any, raw: Any, text: str, values: object) -> Any:
    def run() -> Any:
        return raw.execute(text, values or ()).fetchall()

    return await original(connection, functools.partial(copy_context().run, run))


def _connecting(original: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    async def _connect(self: Any) -> Any:
        if self._connection is not None:
            return await original(self)
        outermost = not tape.hidden()
        with tape.layer():
            self._connector = functools.partial(copy_context().run, self._connector)
            result = await original(self)
        if outermost:
            tape.opened("aiosqlite", self, lambda connection: connection._connection is not None)
        return result

    return _connect
