"""Where a command works: the project's folder, its store and its history, opened when first asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from pytest_perfguard.cli.inifile import ini_value
from pytest_perfguard.errors import ConfigError, LineageError, StoreError
from pytest_perfguard.model import Header, Note
from pytest_perfguard.model.protocols import Lineage, Store

_MARKS = ("pyproject.toml", ".git")
_LEAST_PREFIX = 4


class Workplace:
    """The project at `root` with runs at `store_path`; tests hand in a store and a lineage of their own."""

    def __init__(
        self, root: Path, store_path: str, *, store: Store | None = None, lineage: Lineage | None = None
    ) -> None:
        self.root = root
        self.store_path = store_path
        if store is not None:
            self.store = store
        if lineage is not None:
            self.lineage = lineage

    @classmethod
    def find(cls, store: str | None = None, *, start: Path | None = None) -> Workplace:
        """Return the workplace around `start`, the current folder by default, with the store that was named, if any."""
        folder = start or Path.cwd()
        root = next(
            (place for place in (folder, *folder.parents) if any((place / mark).exists() for mark in _MARKS)), folder
        )
        named = store or os.environ.get("PERFGUARD_STORE")
        if named:
            return cls(root, named)
        if configured := ini_value(root, "perfguard_store"):
            return cls(root, str(root / configured))
        here = folder / "baselines"
        return cls(root, str(here if here.is_dir() else root / "baselines"))

    @cached_property
    def store(self) -> Store:
        """The store of this project."""
        from pytest_perfguard.baseline.folder import FolderStore

        return FolderStore(Path(self.store_path))

    @cached_property
    def lineage(self) -> Lineage:
        """The history of this project."""
        from pytest_perfguard.baseline.lineage import open_lineage

        lineage, _ = open_lineage(self.root, Path(self.store_path).absolute())
        return lineage

    def notes(self) -> Sequence[Note]:
        """Return what the store left out of its answers so far."""
        return tuple(getattr(self.__dict__.get("store"), "notes", ()))

    def close(self) -> None:
        """Let go of what was opened; a history may hold processes of git."""
        close = getattr(self.__dict__.get("lineage"), "close", None)
        if close is not None:
            close()

    def machine(self, name: str | None) -> str | None:
        """Return the key of the machine class that `name` means; None for None. Raises `ConfigError`."""
        if name is None:
            return None
        if name == "this":
            from pytest_perfguard.baseline.machine import current_machine

            return current_machine(os.environ.get("PERFGUARD_MACHINE") or ini_value(self.root, "perfguard_machine")).key
        classes = sorted({header.machine.key for header in self.store.headers()})
        found = [name] if name in classes else [each for each in classes if name in each]
        if len(found) == 1:
            return found[0]
        what = "more than one machine class matches" if found else "no run is stored of machine class"
        raise ConfigError(f"{what} {name!r} in {self.store_path}; known: {', '.join(found or classes) or 'none'}")

    def runs(self, name: str | None, machine: str | None = None) -> Sequence[Header]:
        """Return the stored runs that `name` means, newest first and at least one: the newest of all for None.

        `name` is a run id, a commit's SHA, the beginning of either, or a git revision. A commit means its clean runs; a
        run of uncommitted changes is found by its run id only. Raises `StoreError`.
        """
        headers = self.store.headers(machine)
        if not headers:
            where = f"of machine class {machine} " if machine else ""
            raise StoreError(f"no run {where}is stored in {self.store_path}; pytest --perfguard-save stores one")
        if name is None:
            return headers[:1]
        meant = _meant(headers, name)
        by_id = [header for header in headers if header.run_id == meant]
        return by_id or self._of_commit(headers, name, meant)

    def _of_commit(self, headers: Sequence[Header], name: str, sha: str) -> Sequence[Header]:
        found = [header for header in headers if sha and header.commit.sha == sha]
        if not found:
            try:
                sha = self.lineage.resolve(name).sha
            except LineageError as error:
                raise StoreError(
                    f"{name!r} is neither a stored run in {self.store_path} nor a revision: {error}; see perfguard list"
                ) from error
            found = [header for header in headers if sha and header.commit.sha == sha]
        clean = [header for header in found if not header.commit.dirty]
        if found and not clean:
            raise StoreError(
                f"of {name!r} only runs with uncommitted changes are stored: "
                f"{', '.join(header.run_id for header in found[:5])}; name one of these run ids"
            )
        if not clean:
            raise StoreError(f"no run of {name!r} is stored in {self.store_path}; see perfguard list")
        return clean


def _meant(headers: Sequence[Header], name: str) -> str:
    """Return the run id or SHA that is `name` or alone begins with it, else an empty text.

    Raises `StoreError` where several begin with it.
    """
    known = {header.run_id for header in headers} | {header.commit.sha for header in headers}
    if name in known:
        return name
    found = sorted(each for each in known if each.startswith(name)) if len(name) >= _LEAST_PREFIX else []
    if len(found) > 1:
        raise StoreError(f"{name!r} is the beginning of more than one: {', '.join(found[:5])}; add a few characters")
    return found[0] if found else ""
