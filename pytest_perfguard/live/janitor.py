"""Nothing of a comparison is left behind: a process of its own cleans up, however this one ends."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from pytest_perfguard.live import cleaning

_PREFIX = "perfguard-live-"
_OWNER = "owner"
"""The file in a run's folder that says whose it is: process id and its time of creation."""


class Janitor:
    """Remembers, outside of this process, what is to be ended and removed; does so when it is closed.

    Its process is in no process group of the terminal's, so that Ctrl-C does not reach it. What a janitor that was
    killed itself has left is removed by the next one.
    """

    def __init__(self) -> None:
        sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
        """The folder for everything that the run writes; it is removed with all that is in it."""
        (self.folder / _OWNER).write_text(_identity(os.getpid()), encoding="utf-8")
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter and our own file
            [sys.executable, "-I", "-S", cleaning.__file__],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tempfile.gettempdir(),
            start_new_session=True,
        )  # fmt: skip
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

    def guard_worktree(self, repository: Path, path: Path) -> None:
        """See to it that a worktree is removed, and forgotten by its repository, at the end."""
        (self.folder / f"{path.name}.repository").write_text(str(repository), encoding="utf-8")
        self._tell("worktree", str(repository), str(path))

    def close(self) -> None:
        """Clean up, and wait until that is done; again is allowed."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _tell(self, *words: object) -> None:
        assert self._process.stdin is not None
        # A janitor that was killed is no reason to end a run: the next one will find what is left.
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps(words).encode() + b"\n")
            self._process.stdin.flush()


def sweep() -> None:
    """Remove what runs have left whose process, and whose janitor, were killed."""
    with contextlib.suppress(OSError):
        for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            with contextlib.suppress(OSError):
                owner = (folder / _OWNER).read_text("utf-8")
                if owner and owner != _identity(int(owner.split()[0])):
                    repositories = [path.read_text("utf-8") for path in folder.glob("*.repository")]
                    shutil.rmtree(folder, ignore_errors=True)
                    for repository in repositories:
                        cleaning.remove_worktree(repository, str(folder))


def _identity(pid: int) -> str:
    """Return what tells a process from a later one of the same number; empty where there is none."""
    import psutil

    try:
        return f"{pid} {psutil.Process(pid).create_time()}"
    except psutil.Error:
        return ""
