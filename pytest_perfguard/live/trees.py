"""The files of a side on disk: a worktree of a revision, or a copy of a checkout as it stands."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import stat
import tarfile
from collections.abc import Collection, Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path, PurePosixPath

from pytest_perfguard.live.janitor import Janitor
from pytest_perfguard.live.repository import files_of, find_sha, git, ignored_in, read_archive
from pytest_perfguard.model.note import Note

_CACHES = {
    ".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", ".tox", ".nox", ".eggs", ".mypy_cache",
    ".ruff_cache", ".pytest_cache", ".hypothesis", "__pypackages__", "site-packages",
}  # fmt: skip
_BUILDS = {"build", "dist"}
"""Folders that are only left out at the top of a project: further down they may be packages."""

_MODULES = ("*.py", *(f"*{suffix}" for suffix in EXTENSION_SUFFIXES))
_POINTER = b"version https://git-lfs.github.com/spec/"
_NO_HOOKS = ("-c", f"core.hooksPath={os.devnull}")


def add_worktree(top: Path, sha: str, janitor: Janitor, name: str) -> Path:
    """Return a worktree of `sha` in the janitor's folder; raises `LineageError` where git cannot make one."""
    return _add_worktree(top, sha, janitor, name)


def copy_checkout(top: Path, janitor: Janitor, name: str) -> Path:
    """Return a copy of the checkout at `top` as it stands: changed and new files, and modules that git ignores.

    It is a worktree of the same repository, so that whatever asks git for a version gets an answer; where there is no
    repository, or no commit yet, it is a mere copy.
    """
    if files_of(top) is None or not find_sha(top, "HEAD"):
        return copy_tree(top, janitor.folder / name)
    path = _add_worktree(top, "HEAD", janitor, name, "--no-checkout")
    copy_tree(top, path)
    git(path, "read-tree", "HEAD", otherwise="")
    return path


def copy_tree(source: Path, target: Path) -> Path:
    """Copy the files of a folder: what git does not ignore, and modules; without git everything but the usual caches.

    Nothing in `source` is touched. Files that vanish meanwhile are left out.
    """
    target.mkdir(parents=True, exist_ok=True)
    for name in list_files(source):
        copy_file(source / name, target / name)
    for name in _generated(source, source):
        copy_file(source / name, target / name)
    return target


def list_files(tree: Path) -> list[str]:
    """Return the files of a tree, relative, with `/`: those that git does not ignore, or all but the usual caches."""
    names = files_of(tree)
    return list(_walk(tree)) if names is None else names


def copy_generated(source: Path, target: Path) -> list[str]:
    """Copy modules that git ignores into packages of `target` that lack them, such as `_version.py`; return which.

    Extension modules stay behind: they would be another revision's code.
    """
    copied = []
    for name in _generated(source, target):
        if name.endswith(".py") and not os.path.lexists(target / name):
            copy_file(source / name, target / name)
            copied.append(name)
    return copied


def fill_submodules(source: Path, target: Path) -> Iterator[Note]:
    """Fill the submodules of a worktree from those of `source`, and tell of those that stay empty."""
    for line in git(target, "ls-files", "--stage", "-z", otherwise="").split("\0"):
        fields, _, name = line.partition("\t")
        if not fields.startswith("160000 "):
            continue
        sha = fields.split()[1]
        if (source / name / ".git").exists() and find_sha(source / name, sha):
            tar = io.BytesIO(read_archive(source / name, sha))
            with tarfile.open(fileobj=tar) as archive:
                archive.extractall(target / name, filter="data")
        else:
            yield Note(
                code="empty-submodule",
                message=f"the submodule {name} is empty in base: its commit {sha[:12]} is not in this clone",
                remedy="run `git submodule update --init` there, or give --perfguard-against the path of a checkout "
                "that has it",
            )


def fill_pointers(source: Path, target: Path) -> Iterator[Note]:
    """Fill files that Git LFS has left as pointers from `source`, where they are the same, and tell of the others."""
    attributes = git(target, "ls-files", "-z", "--", ":(glob)**/.gitattributes", otherwise="").split("\0")
    if not any("filter=lfs" in _read(target / name) for name in attributes if name):
        return
    left = []
    for line in git(target, "ls-files", "--stage", "-z", otherwise="").split("\0"):
        fields, _, name = line.partition("\t")
        if not fields.startswith("100") or not _is_pointer(target / name):
            continue
        here = git(source, "ls-files", "--stage", "--", f":(literal){name}", otherwise="").partition("\t")[0]
        if here == fields and (source / name).is_file() and not _is_pointer(source / name):
            copy_file(source / name, target / name)
        else:
            left.append(name)
    if left:
        yield Note(
            code="lfs-pointers",
            message=f"base has only pointers to {listed(left)}, whose content is with Git LFS",
            remedy="install Git LFS and run `git lfs fetch --all`, where the tests need them",
        )


def digest(tree: Path) -> str:
    """Return a hash of all files that are in a tree, whatever its place and its time."""
    value = hashlib.sha256()
    for path in sorted(path for path in tree.rglob("*") if path.relative_to(tree).parts[0] != ".git"):
        if path.is_symlink():
            content = os.fsencode(path.readlink())
        elif path.is_file():
            content = hashlib.sha256(path.read_bytes()).digest()
        else:
            continue
        value.update(os.fsencode(path.relative_to(tree).as_posix()) + b"\0" + content + b"\0")
    return value.hexdigest()


def copy_file(source: Path, target: Path) -> None:
    """Copy a file, a link as such, or a whole submodule; nothing where it is nothing of these."""
    with contextlib.suppress(FileNotFoundError):
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = source.lstat().st_mode
        if stat.S_ISDIR(mode):  # a submodule, or a repository inside of the other
            for name in _walk(source):
                copy_file(source / name, target / name)
            target.mkdir(exist_ok=True)
        elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
            shutil.copy2(source, target, follow_symlinks=False)


def remove(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _add_worktree(top: Path, sha: str, janitor: Janitor, name: str, *options: str) -> Path:
    path = janitor.folder / name
    shared = Path(git(top, "rev-parse", "--git-common-dir"))
    janitor.guard_worktree((top / shared).resolve(), path)
    # Hooks are made for the user's own checkout, and may do anything.
    git(top, *_NO_HOOKS, "worktree", "add", "--detach", "--force", *options, str(path), sha, janitor=janitor)
    return path


def _generated(source: Path, target: Path) -> list[str]:
    """Return the modules that git ignores in `source` and that lie in folders of `target` with modules of its own."""
    folders = {_folder(name) for name in list_files(target) if name.endswith(".py")}
    return [
        name
        for name in ignored_in(source, *_MODULES)
        if (_folder(name) in folders and _folder(name) != "." and not _CACHES.intersection(name.split("/")))
    ]


def _folder(name: str) -> str:
    return str(PurePosixPath(name).parent)


def _walk(tree: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(tree):
        here = Path(folder)
        left_out = _CACHES | _BUILDS if here == tree else _CACHES
        links = [name for name in folders if (here / name).is_symlink()]
        folders[:] = [
            name for name in folders
            if name not in left_out and name not in links and not name.endswith(".egg-info")
            and not (here / name / "pyvenv.cfg").exists()
        ]  # fmt: skip
        # The `.git` of a submodule is a file, which names a folder of the repository around it.
        yield from ((here / name).relative_to(tree).as_posix() for name in (*names, *links) if name != ".git")


def _is_pointer(path: Path) -> bool:
    try:
        if path.is_symlink() or path.stat().st_size > 1024:
            return False
        return path.read_bytes().startswith(_POINTER)
    except OSError:
        return False


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""


def listed(names: Collection[str]) -> str:
    """Return names for a sentence, the first few of them."""
    return ", ".join([*names][:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
