"""The program of the process that cleans up after a comparison, whatever ended it; standard library alone.

It reads lines of JSON: `["group", pid]`, `["release", pid]`, `["folder", path]`, `["worktree", git_folder, path]`. When
there are no more to come, because the comparison has ended or was killed, it ends the groups, removes the worktrees and
folders, and ends itself. It is started by its path, in isolated mode and without `site`, and imports late: pathlib,
subprocess and shutil would take longer than everything else that starting a comparison needs it for.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PATIENCE = 5.0
"""Seconds for which removing what is in use is tried again."""

_MOMENT = 0.5
"""Seconds in which processes that were killed are gone; those whose parent does not ask for them never are."""

_GLANCE = 2.0
"""Seconds between two looks at whether the comparison lives: a process that it forked may keep the pipe open."""


def main() -> None:
    """Wait for the end of the comparison, then clean up."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK"):
        if hasattr(signal, name):
            with contextlib.suppress(ValueError, OSError):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
    parent, folder = sys.argv[1:]
    clean(_listen(int(parent)).splitlines())
    remove_folder(folder)


def clean(lines: Iterable[bytes], *, groups: bool = True) -> None:
    """End and remove what `lines` name; the processes only with `groups`, for their numbers may be others' by now."""
    import json

    alive: dict[int, bool] = {}
    folders: list[str] = []
    worktrees: list[tuple[str, str]] = []
    for line in lines:
        # The last line may be half a line.
        with contextlib.suppress(ValueError):
            what, *rest = json.loads(line)
            if what == "group":
                alive[rest[0]] = True
            elif what == "release":
                alive.pop(rest[0], None)
            elif what == "folder":
                folders.append(rest[0])
            elif what == "worktree":
                worktrees.append((rest[0], rest[1]))
    for pid in alive if groups else ():
        end_group(pid)
    _wait_for(alive if groups else ())
    for git_folder, path in worktrees:
        remove_worktree(git_folder, path)
    for path in reversed(folders):
        remove_folder(path)


def end_group(pid: int) -> None:
    """End a process and what it has started."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(pid, signal.SIGKILL)
        else:
            import subprocess

            subprocess.run(["taskkill", "/F", "/T", "/PID", str(pid)], capture_output=True, check=False)


def _wait_for(groups: Iterable[int]) -> None:
    """Wait until groups that were ended are gone, for a moment: what they were about to write is still written."""
    deadline = time.monotonic() + _MOMENT
    for pid in groups:
        with contextlib.suppress(OSError):
            while hasattr(os, "killpg") and time.monotonic() < deadline:
                os.killpg(pid, 0)
                time.sleep(0.005)


def remove_worktree(git_folder: str, path: str) -> None:
    """Remove a worktree, and what the repository with this `.git` folder knows of it (gitrepository-layout(5)).

    `git worktree prune` would forget worktrees of the user's too, which are only not mounted; `git worktree remove`
    refuses one that is half made.
    """
    remove_folder(path)
    entries = os.path.join(git_folder, "worktrees")
    wanted = os.path.realpath(os.path.join(path, ".git"))
    with contextlib.suppress(OSError):
        for name in os.listdir(entries):
            entry = os.path.join(entries, name)
            with contextlib.suppress(OSError), open(os.path.join(entry, "gitdir"), encoding="utf-8") as file:
                if os.path.realpath(os.path.join(entry, file.read().strip())) == wanted:
                    remove_folder(entry)
        os.rmdir(entries)


def remove_folder(path: str) -> None:
    """Remove a folder with all that is in it, also what is protected, or in use for another moment."""
    import shutil

    deadline = time.monotonic() + _PATIENCE
    pause = 0.0
    while os.path.lexists(path):
        if sys.version_info >= (3, 12):
            shutil.rmtree(path, onexc=_unprotect)
        else:
            shutil.rmtree(path, onerror=_unprotect)
        if time.monotonic() > deadline:
            return
        time.sleep(pause)
        pause = 0.05


def _unprotect(_: Callable[..., object], path: str, error: object) -> None:
    """Allow everything, for the next attempt."""
    for each in (os.path.dirname(path), path):
        if not os.path.islink(each):
            with contextlib.suppress(OSError):
                os.chmod(each, 0o700)


def _listen(parent: int) -> bytes:
    """Return what the process `parent` says, once it has ended or said all."""
    text = bytearray()
    while True:
        if os.name == "posix":
            import select

            ready, _, _ = select.select([0], [], [], _GLANCE)
            if not ready:
                if os.getppid() != parent:
                    return bytes(text)
                continue
        piece = os.read(0, 1 << 16)
        if not piece:
            return bytes(text)
        text += piece


if __name__ == "__main__":
    main()
