"""The files of both sides on disk: a worktree or a copy for base, with head's tests laid over it."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from pytest_perfguard.errors import LineageError
from pytest_perfguard.live.against import git
from pytest_perfguard.live.janitor import Janitor
from pytest_perfguard.model.note import Note

_TEST_FOLDERS = ("test", "tests", "testing", "bench", "benches", "benchmark", "benchmarks", "perf", "performance")
_TEST_PATTERNS = ("tests_*", "*_tests", "test_*")
_TEST_FILES = ("test_*.py", "*_test.py", "conftest.py", "bench_*.py", "*_bench.py")
_CONFIGURATION = ("pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "pyproject.toml", "tox.ini", "setup.cfg")
_JUNK = (
    ".git", ".hg", ".venv", "venv", "env", "node_modules", "__pycache__", ".tox", ".nox", "build", "dist",
    ".mypy_cache", ".ruff_cache", ".pytest_cache", "*.egg-info",
)  # fmt: skip
_BUILD_FILES = (
    "pyproject.toml", "setup.py", "setup.cfg", "requirements*.txt", "requirements/*", "*.lock", "pdm.lock",
    "CMakeLists.txt", "meson.build", "Cargo.toml", "*.c", "*.cc", "*.cpp", "*.h", "*.hpp", "*.pyx", "*.pxd", "*.rs",
    "*.f90",
)  # fmt: skip
"""What a change of means that a checkout alone may not be what would be installed."""


def add_worktree(top: Path, sha: str, janitor: Janitor, name: str) -> Path:
    """Return a worktree of `sha` in the janitor's folder; raises `LineageError` where git cannot make one."""
    path = janitor.folder / name
    janitor.guard_worktree(top, path)
    git(top, "worktree", "add", "--detach", "--force", str(path), sha)
    return path


def copy_tree(source: Path, target: Path) -> Path:
    """Copy a checkout as it is, with changes and new files, without what git ignores; without git all but the usual."""
    target.mkdir(parents=True)
    names = files_of(source)
    if names is None:
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(*_JUNK), symlinks=True, dirs_exist_ok=True)
        return target
    for name in names:
        _copy(source / name, target / name)
    return target


def files_of(tree: Path, *within: str) -> list[str] | None:
    """Return the files of a checkout, tracked and new, that exist; None where it is no git checkout."""
    try:
        listed = git(tree, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *within)
    except LineageError:
        return None
    return [name for name in dict.fromkeys(listed.split("\0")) if name and os.path.lexists(tree / name)]


def tracked_in(tree: Path) -> list[str] | None:
    """Return the files that are tracked in a checkout, None where it is none."""
    try:
        return [name for name in git(tree, "ls-files", "-z", "--cached").split("\0") if name]
    except LineageError:
        return None


def lay_tests(source: Path, target: Path, files: Iterable[Path], root: Path) -> None:
    """Make the tests of `target` those of `source`: whole folders of tests, conftest files, and pytest's configuration.

    `files` are the test files in `source` that are to be run, `root` is pytest's root folder there.
    """
    areas = {area for file in files for area in _areas(source, file)}
    for area in sorted(areas):
        _replace(source, target, area)
    folders = {folder for file in files for folder in _parents(source, file)}
    for folder in sorted({*folders, *_parents(source, root / "x")}):
        _replace(source, target, folder / "conftest.py")
    for name in _CONFIGURATION:
        for folder in {root, source}:
            _replace(source, target, (folder / name).relative_to(source))


def copy_generated(source: Path, target: Path) -> list[str]:
    """Copy modules that git ignores into packages of `target` that lack them, such as `_version.py`; return which."""
    try:
        listed = git(source, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--", "*.py")
    except LineageError:
        return []
    tracked = {str(PurePosixPath(name).parent) for name in tracked_in(target) or [] if name.endswith(".py")}
    copied = []
    for name in listed.split("\0"):
        folder = str(PurePosixPath(name).parent)
        if name and folder != "." and folder in tracked and not (target / name).exists():
            _copy(source / name, target / name)
            copied.append(name)
    return copied


def fill_submodules(source: Path, target: Path) -> Iterator[Note]:
    """Copy submodules that stand at the same commit on both sides, and tell of the others, which stay empty."""
    links = [line.split() for line in git(target, "ls-files", "--stage", otherwise="").splitlines()]
    for mode, sha, _, name in (fields for fields in links if len(fields) == 4):
        if mode != "160000":
            continue
        here = git(source, "ls-files", "--stage", "--", name, otherwise="").split()
        if len(here) > 1 and here[1] == sha and any((source / name).iterdir() if (source / name).is_dir() else ()):
            shutil.copytree(
                source / name, target / name, ignore=shutil.ignore_patterns(".git"), symlinks=True, dirs_exist_ok=True
            )
        else:
            yield Note(
                code="empty-submodule",
                message=f"the submodule {name} stands at another commit in base and is empty there",
                remedy="give --perfguard-against the path of a checkout that has it",
            )


def changed_builds(top: Path, sha: str) -> list[str]:
    """Return the files by which base and head may have to be built or installed anew."""
    changed = git(top, "diff", "--name-only", "-z", "--no-ext-diff", sha, "--", otherwise="").split("\0")
    return [name for name in changed if name and _is_build_file(top, sha, name)]


def digest(tree: Path) -> str:
    """Return a hash of all that is in a tree."""
    value = hashlib.sha256()
    for path in sorted(tree.rglob("*")):
        if path.is_file() and ".git" not in path.parts:
            value.update(str(path.relative_to(tree)).encode("utf-8", "surrogateescape") + b"\0" + path.read_bytes())
    return value.hexdigest()


def _is_build_file(top: Path, sha: str, name: str) -> bool:
    path = PurePosixPath(name)
    if not any(fnmatch.fnmatch(name, pattern) or path.match(pattern) for pattern in _BUILD_FILES):
        return False
    if path.name != "pyproject.toml":
        return True
    return _building(git(top, "show", f"{sha}:{name}", otherwise="")) != _building(
        (top / name).read_text("utf-8") if (top / name).is_file() else ""
    )


def _building(text: str) -> object:
    """Return of a pyproject.toml what building and installing depend on."""
    import tomllib

    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return text
    project = data.get("project", {})
    poetry = data.get("tool", {}).get("poetry", {})
    return data.get("build-system"), project.get("dependencies"), poetry.get("dependencies")


def _areas(top: Path, file: Path) -> Iterator[Path]:
    """Return the folder of tests that a test file is in, or what belongs to tests beside it."""
    folders = _parents(top, file)
    for folder in folders:  # from the top down
        name = folder.name.casefold()
        if name in _TEST_FOLDERS or any(fnmatch.fnmatch(name, pattern) for pattern in _TEST_PATTERNS):
            yield folder
            return
    yield file.relative_to(top)
    for path in sorted(file.parent.iterdir()):
        if path.is_file() and any(fnmatch.fnmatch(path.name, pattern) for pattern in _TEST_FILES):
            yield path.relative_to(top)


def _parents(top: Path, file: Path) -> Sequence[Path]:
    """Return the folders from `top` down to that of `file`, relative to `top`; none where it is elsewhere."""
    try:
        inside = file.relative_to(top)
    except ValueError:
        return []
    return [*reversed(inside.parents)]


def _replace(source: Path, target: Path, name: Path) -> None:
    """Make `name` in `target`, a file or folder, what it is in `source`; nothing, where it is nothing there."""
    there = target / name
    if there.is_dir() and not there.is_symlink():
        shutil.rmtree(there)
    elif os.path.lexists(there):
        there.unlink()
    if not (source / name).is_dir():
        if os.path.lexists(source / name):
            _copy(source / name, there)
        return
    names = files_of(source, str(name))
    if names is None:
        shutil.copytree(source / name, there, ignore=shutil.ignore_patterns(*_JUNK), symlinks=True)
        return
    for each in names:
        _copy(source / each, target / each)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir() and not source.is_symlink():  # a submodule
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(".git"), symlinks=True, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target, follow_symlinks=False)
