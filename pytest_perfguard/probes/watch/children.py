"""Child processes: what they ask nobody here can see, so that they are named."""

from __future__ import annotations

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
    message="the measured call started a process with multiprocessing, and what that asks a database cannot be seen",
    remedy="measure what the process does by a call of its own, or run it in a thread for the test",
    undermines=("queries", "reads", "writes", "http_calls"),
)
_PROGRAM = Note(
    code="child-program",
    message="the measured call started a Python program, and what that asks a database cannot be seen",
    remedy="measure what the program does by a call of its own",
)
