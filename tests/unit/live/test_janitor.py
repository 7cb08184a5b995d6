"""Nothing is left behind, in real processes that end in every way there is."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from pytest_perfguard.live import cleaning
from pytest_perfguard.live.janitor import Janitor, sweep
from pytest_perfguard.live.trees import add_worktree

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups and signals of POSIX")

RUN = """
import subprocess, sys, time
from pathlib import Path
from pytest_perfguard.live.janitor import Janitor
from pytest_perfguard.live.trees import add_worktree
with Janitor() as janitor:
    repository, outside = map(Path, sys.argv[1:])
    add_worktree(repository, "HEAD", janitor, "base")
    (janitor.folder / "base" / "new.py").write_text("")
    janitor.guard_folder(outside)
    sleeper = subprocess.Popen(["sh", "-c", "sleep 600 & sleep 600"], start_new_session=True)
    janitor.guard_group(sleeper.pid)
    {more}
    print(sleeper.pid, janitor._process.pid, janitor.folder, flush=True)
    {then}
"""


@pytest.fixture
def temp(tmp_path, monkeypatch, bare_environment):
    """A folder of its own for temporary files."""
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    yield folder
    tempfile.tempdir = None


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "a.py").write_text("")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def git(folder, *command):
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", *identity, *command], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


class Run:
    """A process with a janitor that guards one thing of each kind."""

    def __init__(self, temp, repository, *, more="", then="time.sleep(600)"):
        self.temp, self.repository = temp, repository
        self.outside = temp.parent / "outside"
        self.outside.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN.format(more=more, then=then), str(repository), str(self.outside)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
        )  # fmt: skip
        sleeper, janitor, folder = self.process.stdout.readline().split()
        self.sleeper, self.janitor, self.folder = int(sleeper), int(janitor), Path(folder)

    def left(self):
        """Return all that is there of it."""
        found = [path for path in (self.folder, self.outside) if path.exists()]
        found += [f"worktree {line}" for line in git(self.repository, "worktree", "list").splitlines()[1:]]
        found += [f"entry {path}" for path in self.repository.glob(".git/worktrees")]
        return found + [f"process {pid}" for pid in (self.sleeper, self.janitor) if is_running(pid)]

    def left_at_last(self, seconds=8):
        deadline = time.monotonic() + seconds
        while self.left() and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.left()

    def close(self):
        for pid in (self.sleeper, self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            if is_running(self.janitor):
                os.kill(self.janitor, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()


def is_running(pid):
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.fixture
def run(temp, repository):
    """Start such processes."""
    started = []

    def start(**how):
        started.append(Run(temp, repository, **how))
        if "then" not in how:  # it may be over already
            assert len(started[-1].left()) == 6
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_nothing_is_left_of_a_run_that_a_signal_ends(run, how):
    running = run()
    running.process.send_signal(how)
    assert running.left_at_last() == []


def test_ctrl_c_ends_the_whole_group_but_not_the_janitor(run):
    running = run()
    for _ in range(3):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.process.pid, signal.SIGINT)
    assert running.left_at_last() == []


def test_nothing_is_left_of_a_run_that_leaves_at_once(run):
    assert run(then="import os; os._exit(3)").left_at_last() == []


def test_a_janitor_heeds_no_signal_but_sigkill(run):
    running = run()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(running.janitor, number)
    running.process.kill()
    assert running.left_at_last() == []


def test_a_forked_process_that_lives_on_does_not_keep_the_janitor_waiting(run):
    running = run(more="import os\n    if os.fork() == 0: time.sleep(60); os._exit(0)")
    running.process.kill()
    assert running.left_at_last() == []


def test_a_forked_process_that_ends_removes_nothing(run):
    running = run(more="import os\n    if os.fork() == 0: sys.exit()\n    os.wait()")
    assert len(running.left()) == 6


def test_a_run_whose_janitor_was_killed_cleans_up_itself(run):
    running = run(then="sys.stdout.close(); sys.stdin.readline()")
    os.kill(running.janitor, signal.SIGKILL)
    running.process.wait(20)
    assert running.left_at_last() == []


def test_the_next_run_removes_what_a_killed_janitor_has_left(run):
    running = run()
    os.kill(running.janitor, signal.SIGKILL)
    running.process.kill()
    running.process.wait()
    assert running.folder.exists()
    sweep()
    # Its processes may be others' by now.
    assert running.left() == [f"process {running.sleeper}"]


def test_a_sweep_leaves_the_runs_of_others_alone(run, temp):
    running = run()
    (temp / "perfguard-live-strange").mkdir()
    (temp / "perfguard-live-file").write_text("")
    (temp / "perfguard-live-empty").mkdir()
    (temp / "perfguard-live-empty" / "journal").write_text("\n")
    sweep()
    assert len(running.left()) == 6
    assert len(list(temp.iterdir())) == 4


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can make files of others")
def test_a_sweep_believes_nothing_that_somebody_else_has_written(temp, tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    planted = temp / "perfguard-live-planted"
    planted.mkdir()
    (planted / "journal").write_text("999999 1.0\n" + json.dumps(["folder", str(precious)]) + "\n")
    os.chown(planted, 12345, 12345)
    sweep()
    assert precious.exists()


def test_a_folder_that_is_gone_already_and_a_second_close_do_no_harm(temp, repository):
    with Janitor() as janitor:
        gone = temp / "gone"
        janitor.guard_folder(gone)
        janitor.guard_group(2**22 - 1)
        janitor.guard_worktree(repository / ".git", janitor.folder / "never made")
        janitor.close()
        assert not janitor.folder.exists()
    janitor.close()
    janitor.guard_folder(temp)
    janitor.close()
    assert list(temp.iterdir()) == []


def test_a_worktree_is_forgotten_by_its_repository_alone(temp, repository, tmp_path):
    mine = tmp_path / "base"
    git(repository, "worktree", "add", "-q", "--detach", str(mine))
    missing = tmp_path / "not mounted"
    git(repository, "worktree", "add", "-q", "--detach", str(missing))
    missing.rename(tmp_path / "elsewhere")
    with Janitor() as janitor:
        tree = add_worktree(repository, "HEAD", janitor, "base")
        git(repository, "worktree", "lock", str(tree))
    known = git(repository, "worktree", "list", "--porcelain")
    assert str(mine) in known
    assert str(missing) in known
    assert str(tree) not in known
    assert mine.exists()


def test_a_worktree_that_is_half_made_is_forgotten(temp, repository):
    with Janitor() as janitor:
        tree = add_worktree(repository, "HEAD", janitor, "base")
        (tree / ".git").unlink()
    assert not (repository / ".git" / "worktrees").exists()


def test_what_is_protected_is_removed(temp, tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("")
    with Janitor() as janitor:
        folder = janitor.folder / "a" / "b"
        folder.mkdir(parents=True)
        (folder / "file").write_text("")
        (folder / "link").symlink_to(kept)
        for path, mode in ((folder / "file", 0o400), (folder, 0o500), (folder.parent, 0o000)):
            path.chmod(mode)
    assert list(temp.iterdir()) == []
    assert (kept / "file").exists()


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    folder = tmp_path / "one"
    folder.mkdir()
    cleaning.clean([json.dumps(["folder", str(folder)]).encode(), b'["folder", "/a'])
    assert not folder.exists()


def test_it_starts_at_once(temp):
    with Janitor():
        pass
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        janitor = Janitor()
        seconds.append(time.perf_counter() - started)
        janitor.close()
    assert min(seconds) < 0.05
