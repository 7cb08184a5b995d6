"""Temporary git repositories with the workloads in them, whose commits differ in the work that they do."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from processes import HERE

UNITS = 100
"""Pieces of work that a workload does where nothing is injected."""
WORKLOADS = 16
"""Tests of the suite."""


class Repository:
    """A repository of the workloads in `folder`; the places beside it are free to use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, folder: Path) -> Repository:
        """Return a new repository with one commit."""
        shutil.copytree(HERE / "workloads", folder, ignore=shutil.ignore_patterns("__pycache__", ".asv"))
        made = cls(folder)
        made._git("init", "--quiet", "--initial-branch=main")
        made.commit("First")
        return made

    def commit(self, subject: str, *, percent: float = 0.0) -> str:
        """Commit the workloads with so much more work than at first and return the commit.

        With 0 % it changes a text file alone: what is measured stays the same.

        Raises `ValueError` where that is no whole number of pieces of work, so that no other size is injected.
        """
        units = UNITS * (100 + percent) / 100
        if units != round(units):
            raise ValueError(f"{percent:g} % of {UNITS} pieces of work is not a whole number of them")
        lines = f'"""How many pieces of work each workload does."""\n\nUNITS = {round(units)}\n'
        (self.folder / "bench_subject" / "size.py").write_text(lines, encoding="utf-8")
        (self.folder / "CHANGES.txt").write_text(f"{subject}\n", encoding="utf-8")
        self._git("add", "--all")
        self._git("-c", "user.name=bench", "-c", "user.email=bench@example.org", "-c", "commit.gpgsign=false",
                  "commit", "--quiet", "--message", subject)  # fmt: skip
        self._forget_bytecode()
        return self.head()

    def head(self) -> str:
        """Return the commit that the files are of."""
        return self._git("rev-parse", "HEAD").strip()

    def checkout(self, commit: str) -> None:
        """Put the main branch, and with it the files, on `commit`."""
        self._git("checkout", "--quiet", "-B", "main", commit)
        self._forget_bytecode()

    def clone(self, place: Path) -> Repository:
        """Return the clone of this repository in `place`, for who wants a folder to itself; it is made if need be."""
        if not place.exists():
            command = ["git", "clone", "--quiet", str(self.folder), str(place)]
            subprocess.run(command, check=True, capture_output=True)
        return Repository(place)

    def _forget_bytecode(self) -> None:
        # It is told apart by size and second of the source: two commits within a second would share it.
        for folder in self.folder.rglob("__pycache__"):
            shutil.rmtree(folder)

    def _git(self, *arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def repository() -> Iterator[Repository]:
    """Give a repository in a temporary folder, that is removed with all that lies beside it."""
    with tempfile.TemporaryDirectory(prefix="perfguard-bench-") as name:
        yield Repository.create(Path(name) / "project")
