"""Messages between the coordinator and its workers: JSON, one a line, over a socket on loopback.

The socket is opened for this alone, so nothing that a test prints, closes or redirects can get between the messages.
"""

from __future__ import annotations

import json
import os
import select
import socket
from typing import Any

from pytest_perfguard.errors import PerfguardError

Message = dict[str, Any]

_CHUNK = 1 << 16


class ClosedError(PerfguardError):
    """The other end is gone."""


class SilentError(PerfguardError):
    """The other end said nothing in the time that it was given."""


class Channel:
    """One end of a conversation; neither end speaks before it was asked to."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(True)
        self._socket = connection
        self._rest = b""
        self._owner = os.getpid()

    def send(self, message: Message) -> None:
        """Send a message; raises `ClosedError`."""
        self._leave_to_owner()
        try:
            self._socket.sendall(
                json.dumps(message, separators=(",", ":"), default=str, skipkeys=True).encode() + b"\n"
            )
        except OSError as error:
            raise ClosedError(f"the connection was lost: {error}") from None

    def receive(self, timeout: float | None = None) -> Message:
        """Return the next message; raises `ClosedError`, and `SilentError` where none comes in `timeout` seconds."""
        self._leave_to_owner()
        while b"\n" not in self._rest:
            try:
                if timeout is not None and not select.select([self._socket], [], [], timeout)[0]:
                    raise SilentError(f"no answer in {timeout:g} s")
                chunk = self._socket.recv(_CHUNK)
            except (OSError, ValueError) as error:
                raise ClosedError(f"the connection was lost: {error}") from None
            if not chunk:
                raise ClosedError("the connection was closed")
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        message: Message = json.loads(line)
        return message

    def ask(self, message: Message, timeout: float | None = None) -> Message:
        """Send a message and return the answer."""
        self.send(message)
        return self.receive(timeout)

    def close(self) -> None:
        """End the conversation."""
        self._socket.close()

    def _leave_to_owner(self) -> None:
        """End a forked child that went on with the work of its parent instead of its own."""
        if os.getpid() != self._owner:
            os._exit(1)
