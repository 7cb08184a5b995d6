"""What really goes to PostgreSQL: a proxy that reads the messages of both sides, the truth to hold a count against."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from pytest_perfguard.model import COUNTED
from pytest_perfguard.probes.queries import QueryProbe
from pytest_perfguard.probes.queries.fingerprint import kind_of
from pytest_perfguard.probes.queries.sources.postgresql import split

ROOT = Path(__file__).parents[2]
METRICS = ("round_trips", "rows", "connections_opened", "connections_leaked", "pool_in_use")

_OWN = re.compile(r"current_setting\('jit'\)|set_config\('jit'|typeinfo_tree|quote_literal\(\$|pg_advisory_unlock_all")
"""What asyncpg asks by itself: about types, and to reset a connection that is given back."""


def read(call, *args, probe=None):
    """Return what was recorded while `call` ran."""
    probe = probe or QueryProbe(ROOT, METRICS)
    token = probe.start()
    try:
        call(*args)
    finally:
        reading = probe.stop(token)
    return reading


class Wire:
    """Stands between clients and a server; keeps the text of each statement that is executed, in their order."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self._account = parts.netloc.rpartition("@")[0]
        self._database = parts.path
        self.executed: list[str] = []
        self.turns = 0
        """How often a client sent something after it had been answered."""
        self.cycles = 0
        """How often it did so after the server had said that it is ready, which in a pipeline it says at its end alone.

        Until then it answers when it likes: on a busy machine before the client has sent all.
        """
        self.connections = 0
        self._sockets = [socket.create_server(("127.0.0.1", 0))]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    @property
    def dsn(self) -> str:
        return self.url("postgresql")

    def url(self, scheme: str) -> str:
        return f"{scheme}://{self._account}@127.0.0.1:{self._sockets[0].getsockname()[1]}{self._database}"

    def reset(self) -> None:
        self.executed.clear()
        self.turns = self.cycles = self.connections = 0

    @property
    def statements(self) -> list[str]:
        """Statements that read or write; a cursor of the server's is its DECLARE, and none of its FETCHes."""
        texts = [each for text in self.executed for each in split(text)]
        return [
            each
            for each in texts
            if not _OWN.search(each)
            and not re.match(r"(?:FETCH|MOVE)\b", each)
            and (each.startswith("DECLARE") or kind_of(each, "postgresql") in COUNTED)
        ]

    def close(self) -> None:
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(5)

    def _start(self, target, *args) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._sockets[0].accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets.append(each)
            talk = _Talk(self)
            self._start(self._pump, client, server, talk.ask)
            self._start(self._pump, server, client, talk.answer)

    def _pump(self, source: socket.socket, target: socket.socket, hear) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                hear(data)
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


_READY = b"Z\x00\x00\x00\x05"
"""The head of ReadyForQuery, the last message of each answer; one byte follows."""


class _Talk:
    """One connection."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.buffer = b""
        self.started = self.answered = self.ready = False
        self.statements: dict[bytes, str] = {}
        self.portals: dict[bytes, str | None] = {}

    def answer(self, data: bytes) -> None:
        self.answered = self.started
        self.ready = self.ready or (self.started and data[-6:-1] == _READY)

    def ask(self, data: bytes) -> None:
        self.buffer += data
        if not self.started:
            self.start()
        while self.started and len(self.buffer) >= 5:
            (length,) = struct.unpack("!I", self.buffer[1:5])
            if len(self.buffer) < length + 1:
                return
            kind, body = self.buffer[:1], self.buffer[5 : length + 1]
            self.buffer = self.buffer[length + 1 :]
            self.wire.turns += self.answered and kind != b"X"
            self.wire.cycles += self.ready and kind != b"X"
            self.answered = self.ready = False
            self.message(kind, body)

    def start(self) -> None:
        length, code = struct.unpack("!II", self.buffer[:8])
        self.buffer = self.buffer[length:]
        if code >> 16 == 3:  # and no question whether to encrypt
            self.started = True
            self.wire.connections += 1

    def message(self, kind: bytes, body: bytes) -> None:
        match kind:
            case b"Q":
                self.wire.executed.append(body[:-1].decode())
            case b"P":
                name, text, _ = body.split(b"\0", 2)
                self.statements[name] = text.decode()
            case b"B":
                portal, name, _ = body.split(b"\0", 2)
                self.portals[portal] = self.statements[name]
            case b"E":
                portal = body.split(b"\0", 1)[0]
                text = self.portals[portal]
                if portal:  # which is executed again for further rows
                    self.portals[portal] = None
                if text is not None:
                    self.wire.executed.append(text)


@contextmanager
def proxied(url: str) -> Iterator[Wire]:
    """Yield a proxy of the server at `url`, for the time of a `with` block."""
    wire = Wire(url)
    try:
        yield wire
    finally:
        wire.close()


class Asking:
    """A planner that has each statement explained, between savepoints where there is a transaction."""

    def __init__(self) -> None:
        self.plans: list[tuple[str, str]] = []
        self.transactions: list[bool] = []

    def ask(self, entry, parameters, run, *, in_transaction):
        self.transactions.append(in_transaction)
        if in_transaction:
            run("SAVEPOINT perfguard", None)
        self.plans.append((entry.text, str(run(f"EXPLAIN {entry.text}", parameters)[0][0])))
        if in_transaction:
            run("RELEASE SAVEPOINT perfguard", None)

    async def ask_async(self, entry, parameters, run, *, in_transaction):
        self.transactions.append(in_transaction)
        if in_transaction:
            await run("SAVEPOINT perfguard", None)
        self.plans.append((entry.text, str((await run(f"EXPLAIN {entry.text}", parameters))[0][0])))
        if in_transaction:
            await run("RELEASE SAVEPOINT perfguard", None)


class PlanningProbe(QueryProbe):
    """One whose planner is `Asking`."""

    def __init__(self) -> None:
        super().__init__(ROOT)
        self.planner = Asking()

    def _planner(self):
        return self.planner
