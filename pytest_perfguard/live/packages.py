"""Which top-level packages a project has, and which folder of a tree holds each of them."""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from pytest_perfguard.errors import ConfigError
from pytest_perfguard.live.installed import find_owners, normalise, read_environment
from pytest_perfguard.live.roots import read_configuration

_USUAL = ("src", "lib", "python", "")
"""Folders of a project that hold packages where nothing says so."""

_NO_PACKAGES = {"setup", "conftest", "noxfile", "__main__", "__init__", "build", "dist"}
_ENVIRONMENTS = {"site-packages", "dist-packages"}


def find_packages(
    tree: Path,
    *,
    project: Path,
    tracked: Sequence[str],
    names: Sequence[str] = (),
    override: Sequence[str] = (),
    loaded: Sequence[tuple[str, str]] = (),
    other: Path | None = None,
) -> tuple[tuple[str, str], ...]:
    """Return the top-level names of a tree's packages, each with the folder that it is imported from.

    `project` is pytest's root folder in the tree; `tracked` are the project's files, relative to the tree, with `/`.
    `names` are wanted in any case: found nowhere, they are pinned to all folders where they could be. `override` is
    what the user adds, "name" or "name=folder". `loaded` are modules of this process with their files; they, and what
    is installed here, belong to the tree `other`, where that is not this one. A name that has several folders is a
    namespace package. Raises `ConfigError` for an override that cannot be right.
    """
    files = _Files(tracked)
    home = _relative(project, tree) or ""
    said = read_configuration(project)
    given = dict(_parse_override(entry) for entry in override)
    certain, suggested = read_environment(other or tree, said.project)
    imported = _imported(loaded, other or tree, files)
    special = [*(posixpath.normpath(posixpath.join(home, root)) for root in said.roots), *certain.roots]
    usual = [posixpath.join(above, root) for above in dict.fromkeys((home, "")) for root in _USUAL]
    usual = [root.rstrip("/") for root in usual if not files.is_package(root)]
    roots = list(dict.fromkeys("" if root == "." else root for root in (*special, *usual)))

    found = {name for root in roots for name in files.children(root, portions=root not in {"", home})}
    found -= _ambiguous(found, roots, files) | _shadowed(found, home, said.project, files)
    pins: dict[str, list[str]] = {}
    for name, folder in given.items():
        places = [_holder(folder, name, (home, ""), other or tree, files)] if folder else files.locate(name, roots)
        if not places and name not in names:
            raise ConfigError(
                f"--perfguard-against-packages: {name!r} is in none of {', '.join(root or '.' for root in roots)} of "
                f"{tree}: write {name}=FOLDER, the folder that holds it"
            )
        pins[name] = places or roots
    for name in found.union(imported, said.names, suggested.names, certain.names, names):
        first = imported.get(name, [])
        places = files.locate(name, [*first, *roots])
        if places or name in imported or name in certain.names or name in names:
            pins.setdefault(name, places or [*first, *roots])
    return tuple((name, str(tree / root)) for name in sorted(pins) for root in dict.fromkeys(pins[name]))


class _Files:
    """The Python files of a tree, by folder."""

    def __init__(self, tracked: Iterable[str]) -> None:
        self._files: dict[str, set[str]] = {}
        self._folders: dict[str, set[str]] = {}
        for path in tracked:
            folder, _, name = path.rpartition("/")
            if name.endswith(".py") and not _ENVIRONMENTS.intersection(path.split("/")):
                self._files.setdefault(folder, set()).add(name)
        for folder in list(self._files):
            below = folder
            while below:
                above, _, name = below.rpartition("/")
                self._folders.setdefault(above, set()).add(name)
                below = above

    def __contains__(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        return name in self._files.get(folder, ()) or name in self._folders.get(folder, ())

    def is_package(self, folder: str) -> bool:
        """Whether a folder is a regular package itself."""
        return "__init__.py" in self._files.get(folder, ())

    def modules(self, folder: str) -> set[str]:
        """Return the modules in a folder that are no tests."""
        names = {name.removesuffix(".py") for name in self._files.get(folder, ())}
        return {name for name in names if not _is_test(name)}

    def children(self, folder: str, *, portions: bool) -> set[str]:
        """Return the names that can be imported from a folder, with or without those of namespace packages."""
        packages = {
            name for name in self._folders.get(folder, ()) if portions or self.is_package(posixpath.join(folder, name))
        }
        names = self.modules(folder) | packages
        return {name for name in names if name.isidentifier()} - _NO_PACKAGES - sys.stdlib_module_names

    def locate(self, name: str, folders: Iterable[str]) -> list[str]:
        """Return the folder that holds a package or module, or those that hold the portions of a namespace package."""
        portions = []
        for folder in folders:
            if self.is_package(posixpath.join(folder, name)) or f"{name}.py" in self._files.get(folder, ()):
                return [folder]
            if name in self._folders.get(folder, ()):
                portions.append(folder)
        return portions

    def inserted(self) -> set[str]:
        """Return the folders that pytest puts on the import path for the test files in them."""
        found = set()
        for folder, names in self._files.items():
            if any(name == "conftest.py" or _is_test(name.removesuffix(".py")) for name in names):
                while self.is_package(folder) and folder:
                    folder = folder.rpartition("/")[0]  # noqa: PLW2901 - the first that is no package
                found.add(folder)
        return found


def _imported(loaded: Iterable[tuple[str, str]], tree: Path, files: _Files) -> dict[str, list[str]]:
    """Return the modules that are the project's, each with the folder that it was imported from."""
    imported: dict[str, list[str]] = {}
    for name, file in loaded:
        place = _relative(Path(file), tree)
        if not place or name in _NO_PACKAGES or _is_test(name) or _ENVIRONMENTS & set(place.split("/")):
            continue
        folder, _, last = place.removesuffix("/__init__.py").rpartition("/")
        compiled = any(last == name + suffix for suffix in EXTENSION_SUFFIXES)
        if (place in files or compiled) and last.partition(".")[0] == name:
            imported[name] = [folder]
    return imported


def _ambiguous(names: Iterable[str], roots: Sequence[str], files: _Files) -> set[str]:
    """Return the modules that tests may mean for a helper beside them, which pytest would find first."""
    beside = set().union(*(files.modules(folder) for folder in files.inserted() - set(roots)))
    return {name for name in beside.intersection(names) if any(name in files.modules(root) for root in roots)}


def _shadowed(names: Iterable[str], home: str, project: str, files: _Files) -> set[str]:
    """Return the names at the top of the project that belong to something else that is installed."""
    if not project:
        return set()
    tops = files.children(home, portions=False) | files.children("", portions=False)
    places = [Path(entry) for entry in sys.path if _ENVIRONMENTS & set(Path(entry).parts)]
    return {
        name
        for name in tops.intersection(names)
        if any((place / name / "__init__.py").is_file() or (place / f"{name}.py").is_file() for place in places)
        and normalise(project) not in (owners := find_owners(name))
        and owners
    }


def _parse_override(entry: str) -> tuple[str, str]:
    name, _, folder = (part.strip() for part in entry.partition("="))
    if not name.isidentifier():
        raise ConfigError(
            f"--perfguard-against-packages: {entry!r} is no package: write NAME or NAME=FOLDER with a top-level name"
        )
    return name, folder


def _holder(folder: str, name: str, homes: Iterable[str], tree: Path, files: _Files) -> str:
    """Return the folder that the user means, relative to the tree: it holds the package, or is the package's own."""
    inside = _relative(Path(folder), tree) if Path(folder).is_absolute() else None
    candidates = (
        [inside] if inside is not None else [posixpath.normpath(posixpath.join(home, folder)) for home in homes]
    )
    candidates = ["" if candidate == "." else candidate for candidate in candidates]
    for candidate in candidates:
        if files.locate(name, [candidate]):
            return candidate
        above, _, last = candidate.rpartition("/")
        if last == name and files.locate(name, [above]):
            return above
    return candidates[0]


def _relative(path: Path, tree: Path) -> str | None:
    """Return a path relative to the tree, with `/`; None where it is outside of it."""
    for one, top in ((path, tree), (path.resolve(), tree.resolve())):
        if one.is_relative_to(top):
            place = one.relative_to(top).as_posix()
            return "" if place == "." else place
    return None


def _is_test(name: str) -> bool:
    return name.startswith("test_") or name.endswith("_test")
