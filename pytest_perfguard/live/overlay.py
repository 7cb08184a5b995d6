"""The tests of one side, laid over the files of the other: both sides run the same tests."""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from pytest_perfguard.live.repository import files_of
from pytest_perfguard.live.trees import copy_file, list_files, remove

_TESTS = ("test", "tests", "tests_*", "*_tests", "test_*")
_PERHAPS_TESTS = ("testing", "bench", "benches", "benchmark", "benchmarks", "perf", "performance", "*_benchmarks")
"""Names of folders that hold tests as a rule, but which packages have, too."""

_TEST_FILES = ("test_*.py", "*_test.py", "conftest.py", "bench_*.py", "*_bench.py")
_CONFIGURATION = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")


def lay_tests(source: Path, target: Path, files: Iterable[PurePosixPath], root: PurePosixPath) -> None:
    """Make the tests of `target` those of `source`: folders of tests, and conftest files; what is gone there, goes.

    `files` are the test files that are to be run and `root` is pytest's root folder, relative to both trees. No package
    is laid over: without a folder of tests, only the test files beside those in `files` are.
    """
    files = list(files)
    areas = {area: None for file in files if (area := find_area(source, file)) is not None}
    for area in areas:
        if not any(area != other and area.is_relative_to(other) for other in areas):
            _replace(source, target, area)
    folders = {file.parent for file in files if not any(file.is_relative_to(area) for area in areas)}
    for folder in sorted(folders):
        for name in sorted({*_tests_in(source, folder), *_tests_in(target, folder)}):
            _replace(source, target, folder / name)
    for folder in sorted({*root.parents, root, *(above for file in files for above in file.parents)}):
        if not any(folder.is_relative_to(area) for area in areas):
            _replace(source, target, folder / "conftest.py")


def lay_configuration(source: Path, target: Path, ini: PurePosixPath | None, root: PurePosixPath) -> None:
    """Make pytest's configuration file in `target` that of `source`; where `ini` says there is none, have none there.

    All paths are relative to both trees. A file that `source` does not have is left as it is.
    """
    if ini is not None:
        if (source / ini).is_file():
            _replace(source, target, ini)
        return
    for folder in (*root.parents, root):
        for name in _CONFIGURATION:
            if (target / folder / name).is_file():
                _replace(source, target, folder / name)


def find_area(top: Path, file: PurePosixPath) -> PurePosixPath | None:
    """Return the folder of tests that a test file of a tree is in, the highest that looks like one, or None."""
    folders = [*reversed(file.parents)][1:]
    certain = [_matches(folder.name, _TESTS) for folder in folders]
    for place, folder in enumerate(folders):
        if certain[place]:
            return folder
        if _matches(folder.name, _PERHAPS_TESTS) and not (any(certain[place:]) or _is_package(top, folder)):
            return folder
    return None


def replace_package(tree: Path, package: PurePosixPath, areas: Iterable[PurePosixPath], installed: Path | None) -> None:
    """Make a package in `tree`, but for the tests in it, what is in the folder `installed`; nothing where that is None.

    `package` is its folder, or its file, relative to the tree; `areas` are the folders of tests.
    """
    areas = list(areas)
    if not (tree / package).is_dir():
        remove(tree / package)
        return
    for path in [path for path in (tree / package).rglob("*") if not path.is_dir() or path.is_symlink()]:
        name = PurePosixPath(path.relative_to(tree).as_posix())
        if not _is_test(name, areas):
            path.unlink()
    if installed is None:
        return
    for path in installed.rglob("*"):
        name = package / path.relative_to(installed).as_posix()
        if path.is_file() and path.parent.name != "__pycache__" and not _is_test(name, areas):
            copy_file(path, tree / name)


def _is_test(name: PurePosixPath, areas: Iterable[PurePosixPath]) -> bool:
    return _matches(name.name, _TEST_FILES) or any(name.is_relative_to(area) for area in areas)


def _is_package(top: Path, folder: PurePosixPath) -> bool:
    """Whether a folder called as those of tests often are is the package itself."""
    if not (top / folder / "__init__.py").is_file():
        return False
    if folder.parent.name in ("src", "lib", "python"):
        return True
    for above in folder.parents:
        try:
            project = tomllib.loads((top / above / "pyproject.toml").read_text("utf-8"))["project"]
            return str(project["name"]).replace("-", "_").casefold() == folder.name.casefold()
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return False


def _tests_in(top: Path, folder: PurePosixPath) -> Iterator[str]:
    if (top / folder).is_dir():
        for path in (top / folder).iterdir():
            if path.is_file() and _matches(path.name, _TEST_FILES):
                yield path.name


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name.casefold(), pattern) for pattern in patterns)


def _replace(source: Path, target: Path, name: PurePosixPath) -> None:
    """Make `name` in `target`, a file or folder, what it is in `source`; nothing, where it is nothing there."""
    remove(target / name)
    inside = f"{name}/"
    if (source / name).is_symlink() or not (source / name).is_dir():
        copy_file(source / name, target / name)
        return
    names = files_of(source, str(name))
    for each in [each for each in list_files(source) if each.startswith(inside)] if names is None else names:
        copy_file(source / each, target / each)
