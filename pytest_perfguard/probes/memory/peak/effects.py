"""Notices, in a copy of the process, that a call is about to change the world outside: that may happen only once."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
PROGRAM = "it starts a program"
"""The call starts a program: its memory is looked at in the process itself."""
_FILES = "it changes files"
_NETWORK = "it uses the network"
_OWN = (os.devnull, "/proc/self/clear_refs")
_EVENTS = {
    **dict.fromkeys(("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn"), PROGRAM),
    **dict.fromkeys(("os.mkdir", "os.rmdir", "os.rename", "os.remove", "os.link", "os.symlink", "os.truncate"), _FILES),
    **dict.fromkeys(("os.chmod", "os.chown", "os.utime", "os.setxattr", "os.removexattr", "os.lockf"), _FILES),
    **dict.fromkeys(("fcntl.flock", "fcntl.lockf", "sqlite3.connect", "tempfile.mkstemp", "tempfile.mkdtemp"), _FILES),
    **dict.fromkeys(("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"), _NETWORK),
    **dict.fromkeys(("os.kill", "os.killpg", "os.forkpty", "syslog.syslog"), "it acts on other processes"),
}


def forbid(report: Callable[[str], None]) -> None:
    """Have `report` called before this process, a copy that ends soon, changes anything outside of itself.

    By audit events (PEP 578): files opened for writing, made, moved or removed; connections; programs started; signals
    sent. Changes that C code makes without them are not seen, as nothing sees them. There is no way back.
    """
    sys.dont_write_bytecode = True

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING and not isinstance(path, int) and path not in _OWN:
                report(_FILES)
        elif event in _EVENTS and arguments != (":memory:",):
            report(_EVENTS[event])

    with contextlib.suppress(ImportError):  # multiprocessing starts interpreters by it, without an event
        import _posixsubprocess

        start: Any = _posixsubprocess.fork_exec

        def fork_exec(*arguments: Any) -> Any:
            report(PROGRAM)
            return start(*arguments)

        _posixsubprocess.fork_exec = fork_exec
    sys.addaudithook(hear)
