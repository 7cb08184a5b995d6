"""Environments of base and head where projects are installed, and what a side takes from its own."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import tempfile
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path, PurePosixPath

from pytest_perfguard.errors import ConfigError
from pytest_perfguard.live import install, trees
from pytest_perfguard.live.builds import find_project, project_name
from pytest_perfguard.live.install import Installed
from pytest_perfguard.live.janitor import Janitor
from pytest_perfguard.live.overlay import replace_package
from pytest_perfguard.live.sides import Side

_SUFFIXES = (".py", ".so", ".pyd")


def install_checkout(
    tree: Path, root: PurePosixPath, *, janitor: Janitor, progress: Callable[[str], None]
) -> Installed:
    """Return an environment with the project of a tree that nobody else uses, since building leaves files in it.

    `root` is pytest's root folder in it. Raises `MeasurementError` where it cannot be installed.
    """
    key = trees.digest(tree)
    return install.install_tree(
        find_project(tree / root, tree), key=key, python=sys.executable, cache=_cache(), progress=progress,
        janitor=janitor,
    )  # fmt: skip


def install_release(
    version: str, root: Path, home: Path, *, janitor: Janitor, progress: Callable[[str], None]
) -> Installed:
    """Return an environment with a release of the project; raises `ConfigError` where that has no name."""
    return install.install_release(
        distribution_name(root, home), version, python=sys.executable, cache=_cache(), progress=progress,
        janitor=janitor,
    )  # fmt: skip


def distribution_name(root: Path, home: Path) -> str:
    """Return the project's name on a package index; raises `ConfigError` where it has none."""
    name = project_name(root, home) or _installed_from(find_project(root, home))
    if not name:
        raise ConfigError(
            f"release: (--perfguard-against) needs the project's name on the package index, and neither pyproject.toml "
            f"nor setup.cfg in {find_project(root, home)} says it; add [project] name"
        )
    return name


def move_in(
    side: Side, installed: Installed, inner: Collection[PurePosixPath], areas: Collection[PurePosixPath]
) -> Side:
    """Return a side that uses what is installed: its interpreter, and the packages that are in the environment.

    Where a package holds tests that are to be run (`inner` are their files), they could not be imported as parts of it
    from elsewhere: what is installed is put round them instead, in the tree of the side.
    """
    folder = installed.packages_folder
    pins = dict(side.pins)
    held = held_by(folder, pins)
    for name in held:
        package = _package(side, name)
        if package is not None and any(file.is_relative_to(package) for file in inner):
            replace_package(side.tree, package, areas, folder / name)
        else:
            pins[name] = str(folder)
    others = [pin for pin in side.pins if pin[0] not in held]
    return replace(side, python=installed.python, pins=(*((name, pins[name]) for name in held), *others), strict=True)


def held_by(folder: Path, names: Collection[str]) -> list[str]:
    """Return the top-level names of the distributions in a folder of packages that have one of `names`."""
    found = {name for name in names if (folder / name).is_dir() or any(folder.glob(f"{name}.*"))}
    for distribution in importlib.metadata.distributions(path=[str(folder)]):
        files = [file for file in distribution.files or () if file.suffix in _SUFFIXES and ".." not in file.parts]
        tops = {file.parts[0].partition(".")[0] for file in files}
        if found & tops:
            found |= {top for top in tops if top.isidentifier()}
    return sorted(found)


def strip(side: Side, names: Collection[str], areas: Collection[PurePosixPath]) -> None:
    """Remove packages from the tree of a side, but for the tests in them."""
    for name in names:
        package = _package(side, name)
        if package is not None:
            replace_package(side.tree, package, areas, None)


def inner_files(side: Side, files: Collection[PurePosixPath]) -> list[PurePosixPath]:
    """Return the files that lie in packages of a side, relative to its tree."""
    packages = [package for name, _ in side.pins if (package := _package(side, name)) is not None]
    return [file for file in files if any(package in file.parents for package in packages)]


def _package(side: Side, name: str) -> PurePosixPath | None:
    """Return the folder or file of a pinned package in the side's tree, relative to it."""
    for pinned, folder in side.pins:
        if pinned == name and Path(folder).is_relative_to(side.tree):
            for place in (Path(folder, name), Path(folder, f"{name}.py")):
                if place.exists():
                    return PurePosixPath(place.relative_to(side.tree).as_posix())
    return None


def _installed_from(folder: Path) -> str:
    for distribution in importlib.metadata.distributions():
        origin = distribution.read_text("direct_url.json") or ""
        if f'"{folder.resolve().as_uri()}"' in origin:
            return str(distribution.metadata["Name"])
    return ""


def _cache() -> Path:
    """Return the folder for environments: the user's, or one of the user's own among the temporary ones."""
    chosen = os.environ.get("PERFGUARD_CACHE")
    folder = Path(chosen) if chosen else install.cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        if chosen:
            raise ConfigError(f"PERFGUARD_CACHE={chosen} is no folder that can be written to; name another") from None
    owner = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir()) / f"pytest-perfguard-{owner}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if hasattr(os, "getuid") and folder.lstat().st_uid != os.getuid():
        raise ConfigError(f"{folder} belongs to somebody else; set PERFGUARD_CACHE to a folder for environments")
    return folder
