"""Projects with a base and a head, comparisons of them side by side, and what these may not leave behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil

from .conftest import git

PLUGINS = ("pytest_asyncio.plugin", "anyio.pytest_plugin")


def compare(project, *args, against="HEAD", limit="1s", **how):
    """Run a comparison in a process of its own; with the usual limit only the first pair runs."""
    return project.run(f"--perfguard-against={against}", f"--perfguard-max-time={limit}", *args, apart=True, **how)


def own_temp(project, monkeypatch, name="own temp"):
    """Give what this test starts a temporary folder of its own, in the project's folder's neighbourhood."""
    folder = project.path.parent / f"{project.path.name}-{name.replace(' ', '-')}"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def start(project, temp, *args):
    """Start a comparison and return its process, whose temporary folder is `temp`."""
    command = [sys.executable, "-m", "pytest", "-p", "perfguard", "-p", "no:cacheprovider", *args]
    return subprocess.Popen(
        command, cwd=project.path, env={**os.environ, "TMPDIR": str(temp)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def left(project, *temps):
    """Return what a comparison with these temporary folders has left: processes, folders and worktrees."""
    found = [f"file {path}" for temp in temps for path in temp.iterdir()]
    for temp in temps:
        # Of those below this folder: another comparison of the same project may have its own.
        found += [
            f"worktree {line}" for line in git(project.path, "worktree", "list").splitlines() if str(temp) in line
        ]
        entries = project.path.glob(".git/worktrees/*/gitdir")
        found += [f"entry {path}" for path in entries if str(temp) in path.read_text("utf-8")]
    return found + [f"process {process}" for process in processes(*temps)]


def left_within(seconds, project, *temps):
    """Return what is left at last, after at most so many seconds."""
    deadline = time.monotonic() + seconds
    while (found := left(project, *temps)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def processes(*temps):
    """Return the processes whose temporary folder is one of these, whoever their parent is by now."""
    wanted = {str(temp) for temp in temps}
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TMPDIR") in wanted and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found
