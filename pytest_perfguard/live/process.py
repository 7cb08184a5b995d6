"""The two worker processes of a pair: started together, spoken to one at a time, and never left behind."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Protocol

import psutil

from pytest_perfguard.errors import MeasurementError
from pytest_perfguard.live import layout
from pytest_perfguard.live.sides import Side
from pytest_perfguard.live.wire import Channel, ClosedError, Message, SilentError

ADDRESS = "PERFGUARD_LIVE"
"""The variable that tells a worker where its coordinator listens, and by which word it is known there."""

START_SECONDS = 120.0
"""How long a worker may take until it speaks for the first time."""

_SLICE = 1.0
"""How often a worker that says nothing is looked after."""

_TAIL = 2000
"""Characters of a worker's output that are shown where it died."""


class Groups(Protocol):
    """Who sees to it that no process survives this one."""

    def guard_group(self, pid: int) -> None:
        """Remember a process group."""
        ...

    def release_group(self, pid: int) -> None:
        """Forget a process group that has ended."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How the worker of one side is started."""

    side: Side
    command: tuple[str, ...]
    """What follows the interpreter."""
    environment: Mapping[str, str]
    log: Path
    """Where what it prints outside of tests goes."""


class WorkerDiedError(MeasurementError):
    """A worker ended, or fell silent and was ended, before it had answered."""

    def __init__(self, side: str, why: str) -> None:
        super().__init__(f"on {side}: {why}")
        self.side = side


class Worker:
    """The process of one side."""

    def __init__(self, launch: Launch, groups: Groups) -> None:
        self.side = launch.side
        self._log = launch.log
        self._groups = groups
        self._channel: Channel | None = None
        with launch.log.open("wb") as output:
            self._process = self._start(launch, output)
        groups.guard_group(self._process.pid)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def connect(self, channel: Channel) -> None:
        """Speak to it through `channel` from now on."""
        self._channel = channel

    def ask(self, message: Message, timeout: float) -> Message:
        """Return its answer; raises `WorkerDiedError` where there is none."""
        self.send(message)
        return self.receive(timeout)

    def send(self, message: Message) -> None:
        """Say something that an answer is to be received for later; raises `WorkerDiedError`."""
        if self._channel is None:
            raise WorkerDiedError(self.side.name, f"its process was not started{self._output()}")
        try:
            self._channel.send(message)
        except ClosedError:
            raise WorkerDiedError(self.side.name, f"its process {self._ending()}{self._output()}") from None

    def receive(self, timeout: float) -> Message:
        """Return what it says next; raises `WorkerDiedError` where it says nothing.

        Raises `MeasurementError` where it has imported what belongs to the other side.
        """
        if self._channel is None:
            raise WorkerDiedError(self.side.name, "its process was ended")
        deadline = time.monotonic() + timeout
        while True:
            # In slices: a child of its own that lives on would keep the connection of a dead worker open.
            try:
                said = self._channel.receive(min(_SLICE, max(deadline - time.monotonic(), 0.0)))
            except (ClosedError, ValueError):
                break
            except SilentError:
                if not self.alive:
                    break
                if time.monotonic() >= deadline:
                    self._abort()
                    why = f"it did not come to an end in {timeout:.3g} s and was stopped{self._output()}"
                    raise WorkerDiedError(self.side.name, why) from None
            else:
                return self._checked(said)
        raise WorkerDiedError(self.side.name, f"its process {self._ending()}{self._output()}")

    def _checked(self, said: Message) -> Message:
        """Return a message that tells of no module that belongs to the other side; raises `MeasurementError`."""
        leaks = said.get("leaks")
        if leaks:
            raise MeasurementError(
                f"the tests of {self.side.name} imported {', '.join(leaks)}, so that a side would have been compared "
                "with itself; name the project's packages with --perfguard-against-packages=NAME=FOLDER, or use "
                "--perfguard-against-install"
            )
        return said

    def failed_to_start(self) -> str:
        """Return in words why it never spoke."""
        ending = self._ending() if not self.alive else f"did not speak in {START_SECONDS:g} s"
        return f"its process {ending}{self._output()}"

    def dismiss(self, timeout: float = 10.0) -> None:
        """Have it tear down its fixtures and come to its end by itself."""
        if self._channel is not None and self.alive:
            with contextlib.suppress(ClosedError, SilentError, ValueError):
                # Where it stands in the middle of a test, each answer only ends what it waited for.
                while self._channel.ask({"do": "end"}, timeout)["at"] != "end":
                    pass

    def finish(self, timeout: float = 10.0) -> None:
        """Wait until it has ended by itself; end it where it does not."""
        if self._channel is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout)
        self.end()

    def end(self) -> None:
        """End it and all processes that it has started."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        started = _descendants(self._process.pid)  # also those that made a session of their own
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        elif self.alive:
            self._process.kill()
        for process in started:
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._process.wait()
        self._groups.release_group(self._process.pid)

    def _abort(self) -> None:
        """End it so that it writes down where it stands, where pytest's faulthandler is on."""
        if hasattr(signal, "SIGABRT"):
            with contextlib.suppress(OSError, AttributeError, psutil.Error):
                psutil.Process(self._process.pid).rlimit(psutil.RLIMIT_CORE, (0, 0))  # no core file in the user's tree
            with contextlib.suppress(OSError):
                self._process.send_signal(signal.SIGABRT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
        self.end()

    def _start(self, launch: Launch, output: IO[bytes]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(  # noqa: S603 - the interpreter of the side, and our own module
                [launch.side.python, *launch.command], cwd=launch.side.cwd, env=dict(launch.environment),
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise WorkerDiedError(launch.side.name, f"{launch.side.python} could not be started: {error}") from None

    def _ending(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        code = self._process.poll()
        if code is None:
            return "closed its connection"
        if code < 0:
            try:
                return f"was ended by {signal.Signals(-code).name}"
            except ValueError:  # a signal without a name
                return f"was ended by signal {-code}"
        return f"ended with exit code {code}"

    def _output(self) -> str:
        try:
            text = self._log.read_text("utf-8", errors="replace").strip()
        except OSError:
            return ""
        return f"; the end of what it printed:\n{text[-_TAIL:]}" if text else ""


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def start_pair(launches: Sequence[Launch], groups: Groups, seed: int = 0) -> list[Worker]:
    """Start a worker for each of `launches`, at the same time, and return them when all have spoken.

    `seed` says where both lie in memory. Raises `WorkerDiedError`, and leaves none behind, where one of them does not
    come to that.
    """
    words = [secrets.token_hex(16) for _ in launches]
    workers: list[Worker] = []
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            host, port = server.getsockname()
            with layout.shared(seed) as variables:
                for launch, word in zip(launches, words, strict=True):
                    environment = {**launch.environment, **variables, ADDRESS: f"{host}:{port}:{word}"}
                    workers.append(Worker(replace(launch, environment=environment), groups))
            _connect(server, workers, words)
    except BaseException:
        for worker in workers:
            worker.end()
        raise
    return workers


def _connect(server: socket.socket, workers: Sequence[Worker], words: Sequence[str]) -> None:
    waiting = dict(zip(words, workers, strict=True))
    deadline = time.monotonic() + START_SECONDS
    server.settimeout(0.1)
    while waiting:
        try:
            connection, _ = server.accept()
        except TimeoutError:
            for worker in waiting.values():
                if not worker.alive or time.monotonic() > deadline:
                    raise WorkerDiedError(worker.side.name, worker.failed_to_start()) from None
            continue
        channel = Channel(connection)
        try:
            said: object = channel.receive(5.0)
        except (ClosedError, SilentError, ValueError):
            said = None
        word = str(said.get("word")) if isinstance(said, dict) else ""  # a stranger may say anything
        if word in waiting:
            waiting.pop(word).connect(channel)
        else:
            channel.close()


def call_home() -> Channel:
    """Return the channel to the coordinator that started this process; forgets where it was."""
    host, port, word = os.environ.pop(ADDRESS).split(":")
    channel = Channel(socket.create_connection((host, int(port)), timeout=30))
    channel.send({"word": word})
    return channel
