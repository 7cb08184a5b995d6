"""The program of the process that cleans up after a comparison, whatever ended it; standard library alone.

It reads lines of JSON: `["group", pid]`, `["release", pid]`, `["folder", path]`, `["worktree", repository, path]`. When
there are no more to come, because the comparison has ended or was killed, it ends the groups, removes the worktrees and
folders, and ends itself. It is started by its path, in isolated mode and without `site`; pathlib would take too long.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PATIENCE = 5.0
"""Seconds for which removing what is in use is tried again."""


def main() -> None:
    """Wait for the end of the comparison, then clean up."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK"):
        if hasattr(signal, name):
            with contextlib.suppress(ValueError, OSError):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
    groups: dict[int, bool] = {}
    folders: list[str] = []
    worktrees: list[tuple[str, str]] = []
    for line in sys.stdin.buffer:
        with contextlib.suppress(ValueError):
            what, *rest = json.loads(line)
            if what == "group":
                groups[rest[0]] = True
            elif what == "release":
                groups.pop(rest[0], None)
            elif what == "folder":
                folders.append(rest[0])
            elif what == "worktree":
                worktrees.append((rest[0], rest[1]))
    for pid in groups:
        end_group(pid)
    for repository, path in worktrees:
        remove_worktree(repository, path)
    for path in reversed(folders):
        remove_folder(path)


def end_group(pid: int) -> None:
    """End a process and what it has started."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(pid, signal.SIGKILL)
        else:
            subprocess.run(["taskkill", "/F", "/T", "/PID", str(pid)], capture_output=True, check=False)


def remove_worktree(repository: str, path: str) -> None:
    """Remove a worktree and what its repository knows of it."""
    remove_folder(path)
    with contextlib.suppress(OSError):
        subprocess.run(
            ["git", "-C", repository, "worktree", "prune"], capture_output=True, check=False, stdin=subprocess.DEVNULL
        )


def remove_folder(path: str) -> None:
    """Remove a folder with all that is in it, also what is protected, or in use for another moment."""
    deadline = time.monotonic() + _PATIENCE
    while os.path.lexists(path):
        shutil.rmtree(path, onerror=_unprotect)
        if not os.path.lexists(path) or time.monotonic() > deadline:
            return
        time.sleep(0.05)


def _unprotect(function: Callable[[str], object], path: str, _: object) -> None:
    with contextlib.suppress(OSError):
        os.chmod(os.path.dirname(path), stat.S_IRWXU)
        os.chmod(path, stat.S_IRWXU)
        function(path)


if __name__ == "__main__":
    main()
