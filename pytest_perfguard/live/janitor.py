"""Nothing of a comparison is left behind: a process of its own cleans up, however this one ends."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from pytest_perfguard.live import cleaning

_PREFIX = "perfguard-live-"
_JOURNAL = "journal"
"""The file in a run's folder that says whose it is (process id and time of creation), then what is to be removed."""


class Janitor:
    """Remembers, outside of this process, what is to be ended and removed; does so when it is closed.

    Its process is in no process group of the terminal's, so that Ctrl-C does not reach it. What a janitor that was
    killed itself has left is removed by the next one.
    """

    def __init__(self) -> None:
        sweep()
        self._lines: list[bytes] = []
        self._owner = os.getpid()
        self.folder = Path(tempfile.gettempdir()).resolve() / f"{_PREFIX}{secrets.token_hex(6)}"
        """The folder for everything that the run writes; it is removed with all that is in it."""
        with _undisturbed():
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter and our own file
                [sys.executable, "-I", "-S", cleaning.__file__, str(self._owner), str(self.folder)],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                cwd=tempfile.gettempdir(), start_new_session=True,
            )  # fmt: skip
            # Not before: we may be killed at any moment.
            self.folder.mkdir(mode=0o700)
            (self.folder / _JOURNAL).write_text(f"{_identity(self._owner)}\n", encoding="utf-8")
            self.guard_folder(self.folder)

    def guard_group(self, pid: int) -> None:
        """See to it that a process group does not outlive the run."""
        self._tell("group", pid)

    def release_group(self, pid: int) -> None:
        """Forget a process group that has ended, whose number may be another's soon."""
        self._tell("release", pid)

    def guard_folder(self, path: Path) -> None:
        """See to it that a folder is removed at the end."""
        self._tell("folder", str(path))

    def guard_worktree(self, git_folder: Path, path: Path) -> None:
        """See to it that a worktree is removed at the end, and forgotten by the repository with this `.git` folder."""
        self._tell("worktree", str(git_folder), str(path))

    def close(self) -> None:
        """Clean up, and wait until that is done; again is allowed."""
        if self._owner != os.getpid():
            return  # a forked process that comes to its end has nothing to clean up
        assert self._process.stdin is not None
        if self._process.stdin.closed:
            self._process.wait()
            return
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        if self._process.wait() != 0:
            cleaning.clean(self._lines)  # it was killed, or could not be started

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _tell(self, *words: object) -> None:
        assert self._process.stdin is not None
        line = json.dumps(words).encode() + b"\n"
        self._lines.append(line)
        with contextlib.suppress(OSError), (self.folder / _JOURNAL).open("ab") as journal:
            journal.write(line)
        # A janitor that was killed is no reason to end a run: its work is done by `close`, or by the next one.
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(line)
            self._process.stdin.flush()


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Put off signals, here and in a process that is started: it has not said yet that it ignores them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def sweep() -> None:
    """Remove what runs have left whose process, and whose janitor, were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, ValueError):
            if not _is_ours(folder):
                continue  # what somebody else has put there must not tell us what to remove
            owner, *lines = (folder / _JOURNAL).read_bytes().splitlines()
            if owner and owner.decode() != _identity(int(owner.split()[0])):
                cleaning.clean(lines, groups=False)


def _is_ours(folder: Path) -> bool:
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and (not hasattr(os, "getuid") or found.st_uid == os.getuid())


def _identity(pid: int) -> str:
    """Return what tells a process from a later one of the same number; empty where there is none."""
    import psutil

    try:
        return f"{pid} {psutil.Process(pid).create_time()}"
    except psutil.Error:
        return ""
