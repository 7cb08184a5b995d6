"""PyMongo, synchronous and asynchronous: every command that its clients tell their listeners of."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from pytest_perfguard.probes.queries.sources.pymongo_commands import shape_of
from pytest_perfguard.probes.watch.callsite import Site
from pytest_perfguard.probes.watch.entry import Entry
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.tape import Tape

_DRIVER = "pymongo"
_PASSING = frozenset(
    {"lsid", "txnNumber", "$clusterTime", "$readPreference", "startTransaction", "autocommit", "maxTimeMS"}
)
"""What a command has besides what was asked for: it differs each time."""
_Method = Callable[..., Any]

CALLER: ContextVar[Site | None] = ContextVar("perfguard_pymongo_caller", default=None)
"""Where a command was asked for that is carried out by a thread without the caller's frames."""


class PymongoSource:
    """Listens where commands are published, for all clients at once.

    Listeners are given to a client when it is made. So the class that hands commands to them is told that there is one,
    and its methods are watched: clients that were made before are seen, those of the user's listeners go on hearing
    what they heard, and none is registered. A command is published by the task or thread that asked, within the call.
    The greeting of a new connection and what watches over servers are not published.

    Asking a cursor's server for more is a further trip of the command that opened the cursor, and no command of its
    own, unless that was before the recording began.
    """

    name = "pymongo"
    module = "pymongo"

    def installed(self) -> bool:
        """Return whether PyMongo is loaded, entirely."""
        module = sys.modules.get("pymongo")
        return module is not None and hasattr(module, "MongoClient") and "pymongo.monitoring" in sys.modules

    def install(self, tape: Tape) -> Callable[[], None]:
        """Watch what publishes commands, and pools that open connections."""
        listeners: Any = sys.modules["pymongo.monitoring"]._EventListeners
        patches = Patches()
        commands = _Commands(tape, vars(listeners)["enabled_for_commands"].fget)
        patches.wrap(listeners, "enabled_for_commands", functools.partial(_enabled, tape))
        patches.wrap(listeners, "publish_command_start", commands.starting)
        patches.wrap(listeners, "publish_command_success", commands.succeeding)
        patches.wrap(listeners, "publish_command_failure", commands.failing)
        for module, make in _POOLS.items():
            pool = getattr(sys.modules.get(module), "Pool", None)
            if pool is not None and pool.__module__ == module:
                patches.wrap(pool, "connect", functools.partial(make, tape))
        return patches.undo


def _enabled(tape: Tape, original: Any) -> property:
    return property(lambda listeners: tape.recording or original.fget(listeners))


class _Commands:
    """Writes commands down as they begin, and adds what is known of them as they end."""

    def __init__(self, tape: Tape, has_listeners: Callable[[Any], bool]) -> None:
        self._tape = tape
        self._has_listeners = has_listeners
        self._running: ContextVar[Entry | None] = ContextVar("perfguard_pymongo", default=None)
        self._cursors: dict[tuple[object, int], Entry] = {}
        """What opened the cursors that have more to give, by server and number."""

    def starting(self, original: _Method) -> _Method:
        @functools.wraps(original)
        def publish_command_start(listeners: Any, command: Any, *args: Any, **kwargs: Any) -> Any:
            server = args[2] if len(args) > 2 else kwargs.get("connection_id")
            streamed = args[1:2] == (0,)  # a server that goes on sending by itself is not asked
            self._running.set(None if self._tape.hidden() else self._begin(command, server, streamed=streamed))
            if self._has_listeners(listeners):
                return original(listeners, command, *args, **kwargs)
            return None

        return publish_command_start

    def _begin(self, command: Mapping[str, Any], server: object, *, streamed: bool) -> Entry:
        if "getMore" in command:
            opener = self._cursors.get((server, command["getMore"]))
            if opener is not None:
                opener.trips += not streamed
                return opener
        shape = shape_of(command)
        entry = self._tape.write(shape.fingerprint, _asked(command), dialect="mongodb", driver=_DRIVER)
        entry.shape = lambda: shape
        entry.nanoseconds = 0
        if entry.site is None:
            entry.site = CALLER.get()
        return entry

    def succeeding(self, original: _Method) -> _Method:
        @functools.wraps(original)
        def publish_command_success(listeners: Any, duration: Any, reply: Any, *args: Any, **kwargs: Any) -> Any:
            running = self._end(duration)
            if running is not None and isinstance(reply, Mapping):
                server = args[2] if len(args) > 2 else kwargs.get("connection_id")
                self._keep(running, reply, server)
            if self._has_listeners(listeners):
                return original(listeners, duration, reply, *args, **kwargs)
            return None

        return publish_command_success

    def failing(self, original: _Method) -> _Method:
        @functools.wraps(original)
        def publish_command_failure(listeners: Any, duration: Any, *args: Any, **kwargs: Any) -> Any:
            self._end(duration)
            if self._has_listeners(listeners):
                return original(listeners, duration, *args, **kwargs)
            return None

        return publish_command_failure

    def _end(self, duration: Any) -> Entry | None:
        running = self._running.get()
        if running is None:
            return None
        self._running.set(None)
        running.nanoseconds += round(duration.total_seconds() * 1e9)
        return running

    def _keep(self, entry: Entry, reply: Mapping[str, Any], server: object) -> None:
        cursor = reply.get("cursor")
        if not isinstance(cursor, Mapping):
            if self._tape.counts_rows:
                entry.rows += _rows(reply)
            return
        number = cursor.get("id")
        if number:
            self._cursors[server, number] = entry
        if self._tape.counts_rows and not entry.text.startswith("bulkWrite"):  # its cursor tells what was done
            entry.rows += len(cursor.get("firstBatch", cursor.get("nextBatch", ())))


def _rows(reply: Mapping[str, Any]) -> int:
    values = reply.get("values")
    return len(values) if isinstance(values, list) else int(isinstance(reply.get("value"), Mapping))


def _asked(command: Mapping[str, Any]) -> object:
    """Return what tells equal commands from different ones; of many documents that are inserted, not all."""
    documents = command.get("documents")
    if "insert" in command and isinstance(documents, list) and len(documents) > 1:
        return len(documents), documents[0]
    return [(name, command[name]) for name in command if name not in _PASSING]


def _connecting(tape: Tape, original: _Method) -> _Method:
    @functools.wraps(original)
    def connect(pool: Any, *args: Any, **kwargs: Any) -> Any:
        with tape.layer():  # what it asks to authenticate is published
            connection = original(pool, *args, **kwargs)
        if _is_for_users(pool):
            tape.opened(_DRIVER)
        return connection

    return connect


def _connecting_async(tape: Tape, original: _Method) -> _Method:
    @functools.wraps(original)
    async def connect(pool: Any, *args: Any, **kwargs: Any) -> Any:
        with tape.layer():
            connection = await original(pool, *args, **kwargs)
        if _is_for_users(pool):
            tape.opened(_DRIVER)
        return connection

    return connect


def _is_for_users(pool: Any) -> bool:
    return not getattr(pool, "is_sdam", False)


_POOLS = {
    "pymongo.pool": _connecting,  # before PyMongo 4.9, which has asynchronous clients
    "pymongo.synchronous.pool": _connecting,
    "pymongo.asynchronous.pool": _connecting_async,
}
