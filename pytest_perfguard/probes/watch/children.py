"""Child processes: what they ask nobody here can see, so that they are named."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

from pytest_perfguard.model import Note
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.tape import Tape


class ForkedProcesses:
    """Remarks that the measured call started a process of `multiprocessing`, executors of processes included."""

    name = "multiprocessing"
    module = "multiprocessing.process"

    def installed(self) -> bool:
        """Return whether processes can be started in that way."""
        return hasattr(sys.modules.get("multiprocessing.process"), "BaseProcess")

    def install(self, tape: Tape) -> Callable[[], None]:
        """Watch the start of processes."""
        patches = Patches()
        patches.wrap(
            sys.modules["multiprocessing.process"].BaseProcess, "start", lambda original: _start(original, tape)
        )
        return patches.undo


class Executors:
    """Remarks that the measured call gave work to a process that was there before."""

    name = "executors"
    module = "concurrent.futures.process"

    def installed(self) -> bool:
        """Return whether there can be such executors."""
        return hasattr(sys.modules.get("concurrent.futures.process"), "ProcessPoolExecutor")

    def install(self, tape: Tape) -> Callable[[], None]:
        """Watch what is submitted."""
        patches = Patches()
        executor = sys.modules["concurrent.futures.process"].ProcessPoolExecutor
        patches.wrap(executor, "submit", lambda original: _remarking(original, tape))
        return patches.undo


class Pools:
    """Remarks that the measured call gave work to a pool of processes that was there before."""

    name = "pools"
    module = "multiprocessing.pool"

    def installed(self) -> bool:
        """Return whether there can be such pools."""
        return hasattr(sys.modules.get("multiprocessing.pool"), "ThreadPool")

    def install(self, tape: Tape) -> Callable[[], None]:
        """Watch what every use of a pool asks first."""
        patches = Patches()
        module: Any = sys.modules["multiprocessing.pool"]
        patches.wrap(module.Pool, "_check_running", lambda original: _checking(original, module.ThreadPool, tape))
        return patches.undo


class Forks:
    """Remarks that the measured call forked."""

    name = "fork"
    module = "os"

    def installed(self) -> bool:
        """Return whether this system forks."""
        return hasattr(os, "fork")

    def install(self, tape: Tape) -> Callable[[], None]:
        """Watch `os.fork`."""
        patches = Patches()
        patches.wrap(os, "fork", lambda original: _remarking(original, tape))
        return patches.undo


class Programs:
    """Remarks that the measured call started a Python program."""

    name = "subprocess"
    module = "subprocess"

    def installed(self) -> bool:
        """Return whether programs can be started in that way."""
        return hasattr(sys.modules.get("subprocess"), "Popen")

    def install(self, tape: Tape) -> Callable[[], None]:
        """Watch the start of programs."""
        patches = Patches()
        patches.wrap(sys.modules["subprocess"].Popen, "__init__", lambda original: _popen(original, tape))
        return patches.undo


def _remarking(original: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    @functools.wraps(original)
    def give_work(*args: Any, **kwargs: Any) -> Any:
        tape.remark(_PROCESS)
        return original(*args, **kwargs)

    return give_work


def _checking(original: Callable[..., Any], threads: type, tape: Tape) -> Callable[..., Any]:
    def _check_running(self: Any) -> Any:
        if not isinstance(self, threads):
            tape.remark(_PROCESS)
        return original(self)

    return _check_running


def _start(original: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    def start(self: Any) -> Any:
        tape.remark(_PROCESS)
        return original(self)

    return start


def _popen(original: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it stands in for one
        if "python" in _program(args[0] if args else kwargs.get("args")).rpartition("/")[2]:
            tape.remark(_PROGRAM)
        original(self, *args, **kwargs)

    return __init__


def _program(command: object) -> str:
    try:
        return str(command if isinstance(command, (str, bytes)) else next(iter(command), ""))  # type: ignore[call-overload]
    except TypeError:  # a path
        return str(command)


_PROCESS = Note(
    code="child-process",
    message="the measured call gave work to another process, and what that asks a database cannot be seen",
    remedy="measure what the process does by a call of its own, or run it in a thread for the test",
    undermines=("queries", "reads", "writes", "http_calls"),
)
_PROGRAM = Note(
    code="child-program",
    message="the measured call started a Python program, and what that asks a database cannot be seen",
    remedy="measure what the program does by a call of its own",
)

CHILDREN = (ForkedProcesses(), Executors(), Pools(), Forks(), Programs())
"""All that can be known of."""
