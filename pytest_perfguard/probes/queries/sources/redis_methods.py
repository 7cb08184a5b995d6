"""Methods of redis-py's classes that write down what they are given to send, synchronous and asynchronous."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from pytest_perfguard.model import COUNTED
from pytest_perfguard.probes.queries.sources.redis_commands import shape_of, unpack
from pytest_perfguard.probes.watch.entry import Entry
from pytest_perfguard.probes.watch.sending import Sending
from pytest_perfguard.probes.watch.tape import Tape

_DRIVER = "redis"
_LONG = 1000
_Method = Callable[..., Any]


class _Methods:
    """What synchronous and asynchronous methods share."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape

    def write(self, arguments: Sequence[object]) -> Entry:
        """Write one command down."""
        shape = shape_of(arguments)
        entry = self.tape.write(shape.fingerprint, _telling(arguments), dialect="redis", driver=_DRIVER)
        entry.shape = lambda: shape
        return entry

    def write_all(self, commands: Sequence[Sequence[object]]) -> _Pipeline | None:
        """Write commands down that are sent together; None where there are none."""
        entries = []
        first: Entry | None = None
        for arguments in commands:
            entry = self.write(arguments)
            entry.batch = True  # it was the caller's aim not to ask for one after the other
            entry.trips = 0
            entries.append(entry)
            if first is None and entry.shape is not None and entry.shape().kind in COUNTED:
                first = entry
        return _Pipeline(first or entries[0], entries) if entries else None


class _Pipeline:
    """Entries that are sent together, as a context manager around their sending: one has the trips, each its share."""

    def __init__(self, first: Entry, entries: list[Entry]) -> None:
        self._first = first
        self._entries = entries
        self._sending = Sending(first)

    def __enter__(self) -> None:
        self._first.trips = 1
        self._sending.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sending.__exit__(kind, error, trace)
        share = self._first.nanoseconds // len(self._entries)
        for entry in self._entries:
            entry.nanoseconds = share
            entry.counts = self._first.counts


class SyncMethods(_Methods):
    """Wraps synchronous methods."""

    def executing(self, original: _Method) -> _Method:
        """Wrap what sends one command and reads its answer."""
        tape = self.tape

        @functools.wraps(original)
        def execute_command(client: Any, *args: Any, **options: Any) -> Any:
            if tape.hidden():
                return original(client, *args, **options)
            with Sending(self.write(args), doubtful=_has_cache(client)):
                return original(client, *args, **options)

        return execute_command

    def executing_all(self, original: _Method) -> _Method:
        """Wrap what sends all commands of a pipeline."""
        tape = self.tape

        @functools.wraps(original)
        def execute(pipeline: Any, *args: Any, **kwargs: Any) -> Any:
            together = None if tape.hidden() else self.write_all(_queued(pipeline))
            if together is None:
                return original(pipeline, *args, **kwargs)
            with together:
                return original(pipeline, *args, **kwargs)

        return execute

    def sending(self, original: _Method) -> _Method:
        """Wrap what sends one command on a connection, beneath a client or past it."""
        tape = self.tape

        @functools.wraps(original)
        def send_command(connection: Any, *args: Any, **kwargs: Any) -> Any:
            if tape.hidden():
                return original(connection, *args, **kwargs)
            with Sending(self.write(args)):  # its answer is read later, if at all: the time is that of sending alone
                return original(connection, *args, **kwargs)

        return send_command

    def sending_packed(self, original: _Method) -> _Method:
        """Wrap what sends commands that are packed already: nothing is sent past it."""
        tape = self.tape

        @functools.wraps(original)
        def send_packed_command(connection: Any, command: Any, *args: Any, **kwargs: Any) -> Any:
            if tape.hidden():
                result = original(connection, command, *args, **kwargs)
                tape.sent()
                return result
            command, commands = _unpacked(command)
            together = self.write_all(commands)
            if together is None:
                return original(connection, command, *args, **kwargs)
            with together:
                result = original(connection, command, *args, **kwargs)
                tape.sent()
            return result

        return send_packed_command

    def connecting(self, original: _Method) -> _Method:
        """Wrap what opens a connection if it is not open."""
        tape = self.tape

        @functools.wraps(original)
        def connect(connection: Any, *args: Any, **kwargs: Any) -> Any:
            if connection._sock is not None:
                return original(connection, *args, **kwargs)
            with tape.layer():
                result = original(connection, *args, **kwargs)
            tape.opened(_DRIVER)  # by a pool, which keeps it open
            return result

        return connect

    def hiding(self, original: _Method) -> _Method:
        """Wrap what is the library's own affair: a ping of a connection, the map of a cluster."""
        tape = self.tape

        @functools.wraps(original)
        def hidden(owner: Any, *args: Any, **kwargs: Any) -> Any:
            with tape.layer():
                return original(owner, *args, **kwargs)

        return hidden


class AsyncMethods(_Methods):
    """Wraps coroutine functions."""

    def executing(self, original: _Method) -> _Method:
        """Wrap what sends one command and reads its answer."""
        tape = self.tape

        @functools.wraps(original)
        async def execute_command(client: Any, *args: Any, **options: Any) -> Any:
            if tape.hidden():
                return await original(client, *args, **options)
            with Sending(self.write(args), doubtful=_has_cache(client)):
                return await original(client, *args, **options)

        return execute_command

    def executing_all(self, original: _Method) -> _Method:
        """Wrap what sends all commands of a pipeline."""
        tape = self.tape

        @functools.wraps(original)
        async def execute(pipeline: Any, *args: Any, **kwargs: Any) -> Any:
            together = None if tape.hidden() else self.write_all(_queued(pipeline))
            if together is None:
                return await original(pipeline, *args, **kwargs)
            with together:
                return await original(pipeline, *args, **kwargs)

        return execute

    def sending(self, original: _Method) -> _Method:
        """Wrap what sends one command on a connection, beneath a client or past it."""
        tape = self.tape

        @functools.wraps(original)
        async def send_command(connection: Any, *args: Any, **kwargs: Any) -> Any:
            if tape.hidden():
                return await original(connection, *args, **kwargs)
            with Sending(self.write(args)):  # its answer is read later, if at all: the time is that of sending alone
                return await original(connection, *args, **kwargs)

        return send_command

    def sending_packed(self, original: _Method) -> _Method:
        """Wrap what sends commands that are packed already: nothing is sent past it."""
        tape = self.tape

        @functools.wraps(original)
        async def send_packed_command(connection: Any, command: Any, *args: Any, **kwargs: Any) -> Any:
            if tape.hidden():
                result = await original(connection, command, *args, **kwargs)
                tape.sent()
                return result
            command, commands = _unpacked(command)
            together = self.write_all(commands)
            if together is None:
                return await original(connection, command, *args, **kwargs)
            with together:
                result = await original(connection, command, *args, **kwargs)
                tape.sent()
            return result

        return send_packed_command

    def connecting(self, original: _Method) -> _Method:
        """Wrap what opens a connection if it is not open."""
        tape = self.tape

        @functools.wraps(original)
        async def connect(connection: Any, *args: Any, **kwargs: Any) -> Any:
            if connection.is_connected:
                return await original(connection, *args, **kwargs)
            with tape.layer():
                result = await original(connection, *args, **kwargs)
            tape.opened(_DRIVER)
            return result

        return connect

    def hiding(self, original: _Method) -> _Method:
        """Wrap what is the library's own affair: a ping of a connection, the map of a cluster."""
        tape = self.tape

        @functools.wraps(original)
        async def hidden(owner: Any, *args: Any, **kwargs: Any) -> Any:
            with tape.layer():
                return await original(owner, *args, **kwargs)

        return hidden


def _queued(pipeline: Any) -> list[Sequence[object]]:
    """Return the commands that a pipeline is about to send; none where this version keeps them in another way."""
    strategy = getattr(pipeline, "_execution_strategy", pipeline)  # of a cluster's pipeline
    try:
        queue = pipeline.command_stack if strategy is pipeline else strategy._command_queue
        commands = [each for each in map(_arguments, queue) if each is not None]
        watching = getattr(strategy, "watching", getattr(strategy, "_watching", False))
        if _is_transaction(strategy) and (queue or watching):
            return [("MULTI",), *commands, ("EXEC",)]
    except AttributeError:
        return []  # then each is seen where it is sent
    return commands


def _arguments(command: Any) -> Sequence[object] | None:
    """Return the arguments of a queued command, None where it stands for an answer only and is not sent."""
    arguments, options = command if isinstance(command, tuple) else (command.args, getattr(command, "options", {}))
    return None if "EMPTY_RESPONSE" in options else arguments


def _is_transaction(strategy: Any) -> bool:
    # In the instance: on the class of the synchronous pipeline, `transaction` is a method.
    known = vars(strategy)
    asked = any(known.get(name) is True for name in ("transaction", "is_transaction", "explicit_transaction"))
    return asked or type(strategy).__name__ == "TransactionStrategy"


def _unpacked(command: Any) -> tuple[Any, list[list[bytes]]]:
    """Return what is to be sent, which may be read once only, and the commands in it."""
    if not isinstance(command, (str, bytes, list, tuple)):
        command = list(command)
    try:
        return command, unpack(command)
    except (ValueError, TypeError):
        return command, [[b"?"]]


def _telling(arguments: Sequence[object]) -> tuple[object, ...]:
    """Return what tells these arguments from others; long texts take a while to be looked at twice."""
    return tuple(hash(part) if isinstance(part, (str, bytes)) and len(part) > _LONG else part for part in arguments)


def _has_cache(client: Any) -> bool:
    """Return whether an answer may come without anything being sent."""
    return getattr(getattr(client, "connection_pool", None), "cache", None) is not None
