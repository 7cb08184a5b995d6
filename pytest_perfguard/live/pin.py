"""The import pin: the project's own packages are loaded from one tree, whatever is installed.

An editable install, a `.pth` file or a path that somebody inserts would otherwise load the package of the other side,
and the comparison would silently be one of head with head. A finder at the front of `sys.meta_path` loads the named
top-level packages from their folders only, in the worker and in every Python process that its tests start. `leaks` is
the proof of it.

Standard library only, and little of it: a copy of this file is loaded at the start of each of those processes.
"""

# pathlib, contextlib and the like would take longer to import than all of this:
# ruff: noqa: PTH112, PTH118, PTH123, PTH206, BLE001, S112

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec, NamespaceLoader, PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import ModuleType
    from typing import Any

SIDE = "PERFGUARD_SIDE"
"""Environment variable: the name of the side, for fixtures of the user."""

PIN = "PERFGUARD_PIN"
"""Environment variable: the file with the settings of the pin."""

COPY = "_perfguard_pin"
"""The name of this module where it was loaded at the start of a process."""

_ENVIRONMENTS = ("site-packages", "dist-packages")


class Pin:
    """A finder for the pinned packages, and what it has seen."""

    def __init__(self, settings: Mapping[str, Any], file: str = "") -> None:
        self.side: str = settings["side"]
        self.strict: bool = settings["strict"]
        self.folders: dict[str, list[str]] = {}
        for name, folder in settings["pins"]:
            self.folders.setdefault(name, []).append(folder)
        self._own = real(settings["tree"])
        self._foreign = [real(tree) for tree in settings["foreign"]]
        self._file = file
        self._tracked: dict[str, set[str] | None] | None = None
        self._homes = {name: tuple(real(folder) for folder in folders) for name, folders in self.folders.items()}
        self._entries: dict[str, bool] = {}
        self._handled: set[str] = set()
        self._seen: dict[str, int] = {}
        self._leaks: dict[str, str] = {}
        self._missed: dict[str, str] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a pinned module is loaded from; None for all others.

        Raises `ModuleNotFoundError` on a strict side for a module that only somebody else has.
        """
        folders = self.folders.get(name.partition(".")[0])
        if folders is None:
            return None
        search = folders if path is None else [entry for entry in path if not self._is_foreign(entry)]
        spec = PathFinder.find_spec(name, search, target)
        if spec is None:
            return self._find_elsewhere(name, path, target)
        self._handled.add(name)
        if spec.loader is None:
            return self._namespace(name) if path is None else spec
        return _rewritten(spec, name, search, target)

    def invalidate_caches(self) -> None:
        """Forget what is known of entries of search paths."""
        self._entries.clear()

    def leaks(self) -> list[str]:
        """Return the modules that this process has from the wrong tree, each with its file.

        Looks only at modules that were not there the last time.
        """
        for name, module in list(sys.modules.items()):
            # The identity, and not a reference: a module that a test throws away must be free to go.
            if self._seen.get(name) == id(module):
                continue
            self._seen[name] = id(module)
            self._leaks.pop(name, None)
            for file in _files(module):
                if self._is_leak(name, real(file)):
                    self._leaks[name] = file
        return [f"{name} ({file})" for name, file in self._leaks.items() if name in sys.modules]

    def missed(self) -> list[str]:
        """Return the compiled or generated modules that this side lacks, each with where it is."""
        return [f"{name} ({file})" for name, file in self._missed.items()]

    def _is_leak(self, name: str, file: str) -> bool:
        tree = self._owner(file)
        if tree is not None and tree != self._own and self._is_tracked(tree, file):
            return True
        homes = self._homes.get(name.partition(".")[0])
        if homes is None or name in self._handled or tree == self._own:
            return False
        return not any(within(file, home) for home in homes)

    def _owner(self, path: str) -> str | None:
        """Return the tree that a path lies in: the innermost, where one tree contains the other."""
        return max((tree for tree in (self._own, *self._foreign) if within(path, tree)), key=len, default=None)

    def _is_foreign(self, entry: str) -> bool:
        if entry not in self._entries:
            path = real(entry)
            tree = self._owner(path)
            # A virtual environment in the other tree is nobody's: other packages extend a namespace from there.
            self._entries[entry] = tree is not None and tree != self._own and not in_environment(tree, path)
        return self._entries[entry]

    def _is_tracked(self, tree: str, path: str) -> bool:
        """Whether a file or folder in a tree is part of the project, and not generated or of an environment."""
        if in_environment(tree, path):
            return False
        if self._tracked is None:
            try:
                known = read(self._file)["tracked"]
            except (OSError, ValueError):
                known = {}
            self._tracked = {real(top): None if files is None else set(files) for top, files in known.items()}
        files = self._tracked.get(tree)
        part = os.path.relpath(path, tree).replace(os.sep, "/")
        if files is None or any(part[:end] in files for end in _ends(part)):
            return True
        return os.path.isdir(path) and any(file.startswith(f"{part}/") for file in files)

    def _namespace(self, name: str) -> ModuleSpec:
        """Return a namespace package that begins with the project's own portions."""
        portions = self._portions(name).submodule_search_locations or []
        spec = ModuleSpec(name, None, is_package=True)
        # Its path follows later changes of sys.path, as that of every namespace package does.
        loader: Any = NamespaceLoader(name, portions, self._portions)
        spec.submodule_search_locations = loader._path
        return spec

    def _portions(self, name: str, _: object = None) -> ModuleSpec:
        found = ModuleSpec(name, None, is_package=True)
        portions: dict[str, str] = {}
        for spec in (PathFinder.find_spec(name, self.folders[name]), *self._ask_others(name, None)):
            if spec is not None and spec.loader is None:
                for entry in spec.submodule_search_locations or []:
                    if not self._is_foreign(entry):
                        portions.setdefault(real(entry), entry)
        found.submodule_search_locations = list(portions.values())
        return found

    def _find_elsewhere(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        """Decide about a module that is not where the pin looks: it is somebody else's, nobody's, or an error."""
        if not self.strict:
            self._handled.add(name)
            return None
        in_namespace = path is not None and getattr(sys.modules.get(name.rpartition(".")[0]), "__file__", None) is None
        for spec in self._ask_others(name, path, target):
            file = real(_location(spec))
            if self._owner(file) == self._own or (in_namespace and not self._is_foreign(file)):
                self._handled.add(name)
                return spec
        where = next(self._ask_everybody(name, path), None)
        if where is None:
            return None
        raise self._not_found(name, where)

    def _not_found(self, name: str, where: str) -> ModuleNotFoundError:
        file = real(where)
        tree = self._owner(file)
        if tree is not None and self._is_tracked(tree, file):
            reason = "the other side has it: it is new there, or has moved"
        else:
            self._missed[name] = where
            reason = (
                f"{where} belongs to the other side; a compiled or generated module exists only where the project was "
                "built: --perfguard-against-install builds and installs both sides"
            )
        folders = ", ".join(self.folders[name.partition(".")[0]])
        return ModuleNotFoundError(f"no module {name!r} in {self.side} ({folders}): {reason}", name=name)

    def _ask_others(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> Iterator[ModuleSpec]:
        for finder in list(sys.meta_path):
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            try:
                spec = finder.find_spec(name, path, target)
            except Exception:  # it was not made to be asked in this way
                continue
            if spec is not None and _location(spec):
                yield spec

    def _ask_everybody(self, name: str, path: Sequence[str] | None) -> Iterator[str]:
        """Yield where else a module is: for the other finders, in the package that they would load, in other trees."""
        yield from map(_location, self._ask_others(name, path))
        search: Sequence[str] | None = None
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            spec = next(self._ask_others(".".join(parts[:end]), search), None)
            if spec is None:
                break
            if end == len(parts):
                yield _location(spec)
            search = spec.submodule_search_locations or []
        entries = self.folders[parts[0]] if path is None else path
        places = [os.path.relpath(real(entry), self._own) for entry in entries if self._owner(real(entry)) == self._own]
        for tree in self._foreign:
            spec = PathFinder.find_spec(name, [os.path.join(tree, place) for place in places])
            if spec is not None:
                yield _location(spec)


pin: Pin | None = None
"""The pin of this process, in the copy of this module that is loaded at its start."""


def start(settings: Mapping[str, Any], file: str = "") -> None:
    """Pin this process."""
    global pin  # noqa: PLW0603
    if pin is None:
        pin = Pin(settings, file)
        sys.meta_path.insert(0, pin)


def active() -> Pin | None:
    """Return the pin of this process, if it has one."""
    return getattr(sys.modules.get(COPY), "pin", None) or pin


def reassert() -> None:
    """Put the pin in front again, of all finders that were inserted since; start it where the interpreter did not."""
    present = active()
    if present is None and PIN in os.environ:
        start(read(os.environ[PIN]), os.environ[PIN])
        present = pin
    if present is not None and next(iter(sys.meta_path), None) is not present:
        sys.meta_path[:] = [present, *(finder for finder in sys.meta_path if finder is not present)]


def leaks() -> list[str]:
    """Return the modules that this process has from the wrong tree, each with its file; empty without a pin."""
    present = active()
    return present.leaks() if present is not None else []


def missed() -> list[str]:
    """Return the modules that this side lacks because they are compiled or generated, each with where it is."""
    present = active()
    return present.missed() if present is not None else []


def _rewritten(spec: ModuleSpec, name: str, search: Sequence[str], target: ModuleType | None) -> ModuleSpec:
    """Return the spec by which pytest loads the same file, where it rewrites the assertions in it."""
    for finder in list(sys.meta_path):
        if type(finder).__name__ == "AssertionRewritingHook":
            other = finder.find_spec(name, search, target)
            if other is not None and other.origin == spec.origin:
                return other
    return spec


def _files(module: ModuleType) -> list[str]:
    """Return the files that a module says it is from."""
    try:
        space = object.__getattribute__(module, "__dict__")  # a lazy module must not be loaded by a look at it
    except (AttributeError, TypeError):
        return []
    spec = space.get("__spec__")
    files = [space.get("__file__"), getattr(spec, "origin", None) if getattr(spec, "has_location", False) else None]
    return list(dict.fromkeys(file for file in files if isinstance(file, str) and file))


def _location(spec: ModuleSpec) -> str:
    if spec.origin and spec.loader is not None:
        return spec.origin
    return next(iter(spec.submodule_search_locations or []), "")


def real(path: str) -> str:
    """Return the path by which two names of a file are found to be the same."""
    return os.path.normcase(os.path.realpath(path))


def _ends(path: str) -> list[int]:
    """Return where the path ends, and each folder above: a submodule is tracked as a folder."""
    return [len(path), *(place for place, letter in enumerate(path) if letter == "/")]


def within(path: str, folder: str) -> bool:
    """Whether a real path lies in a real folder."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def in_environment(tree: str, path: str) -> bool:
    """Whether a path in a tree belongs to a Python environment that lies in the tree too."""
    parts = os.path.relpath(path, tree).split(os.sep)
    if any(part in _ENVIRONMENTS for part in parts):
        return True
    prefixes = {real(prefix) for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
    return any(prefix != tree and within(prefix, tree) and within(path, prefix) for prefix in prefixes)


def read(file: str) -> dict[str, Any]:
    """Return the settings of a pin from its file."""
    import json

    with open(file, encoding="utf-8") as text:
        settings: dict[str, Any] = json.load(text)
    return settings
