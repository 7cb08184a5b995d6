"""What building and installing a project depends on, and whether that differs between base and head."""

from __future__ import annotations

import configparser
import contextlib
import fnmatch
import tomllib
from pathlib import Path, PurePosixPath
from typing import Any

from pytest_perfguard.live.repository import git
from pytest_perfguard.model.note import Note

_FILES = (
    "pyproject.toml", "setup.py", "setup.cfg", "requirements*.txt", "requirements/*.txt", "*.lock", "pylock*.toml",
    "CMakeLists.txt", "meson.build", "meson.options", "Cargo.toml", "build.rs", "*.c", "*.cc", "*.cpp", "*.cxx", "*.cu",
    "*.h", "*.hpp", "*.pyx", "*.pxd", "*.pxi", "*.rs", "*.f", "*.f90", "*.go", "*.zig",
)  # fmt: skip
_ASIDE = {"doc", "docs", "example", "examples", ".github", "test", "tests"}
"""Folders of files that are neither built nor installed."""


def changed_builds(top: Path, sha: str) -> list[str]:
    """Return the files that building and installing depends on in which the checkout differs from a commit."""
    changed = git(top, "diff", "--name-only", "--no-renames", "-z", "--no-ext-diff", sha, "--", otherwise="")
    new = git(top, "ls-files", "-z", "--others", "--exclude-standard", otherwise="")
    names = dict.fromkeys((*changed.split("\0"), *new.split("\0")))
    return [name for name in names if name and _matters(top, sha, name)]


def advise(top: Path, sha: str) -> tuple[Note, ...]:
    """Return the advice to install both sides, where something changed that a mere checkout does not follow."""
    changed = changed_builds(top, sha)
    if not changed:
        return ()
    shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
    return (
        Note(
            code="install-advised",
            message=f"base and head differ in {shown}, so that they may have to be built or need other packages",
            remedy="compare with --perfguard-against-install, which installs each side into an environment of its own",
        ),
    )


def find_project(root: Path, top: Path) -> Path:
    """Return the folder that is installed: the nearest around pytest's root folder that says how, else the top."""
    for folder in (root, *root.parents):
        if not folder.is_relative_to(top):
            break
        if any((folder / name).is_file() for name in ("setup.py", "setup.cfg")):
            return folder
        if {"project", "build-system"} & _toml(folder / "pyproject.toml").keys():
            return folder
    return top


def project_name(root: Path, top: Path) -> str:
    """Return the name of the project as a distribution, empty where its files do not say it."""
    folder = find_project(root, top)
    data = _toml(folder / "pyproject.toml")
    with contextlib.suppress(KeyError, TypeError, AttributeError):
        return str(data.get("project", {}).get("name") or data["tool"]["poetry"]["name"])
    return _sections(_read(folder / "setup.cfg")).get("metadata", {}).get("name", "")


def _matters(top: Path, sha: str, name: str) -> bool:
    path = PurePosixPath(name)
    if _ASIDE.intersection(path.parts[:-1]):
        return False
    if not any(fnmatch.fnmatchcase(name, pattern) or path.match(pattern) for pattern in _FILES):
        return False
    if path.name not in ("pyproject.toml", "setup.cfg"):
        return True
    before, after = git(top, "show", f"{sha}:{name}", otherwise=""), _read(top / name)
    meaning = _of_pyproject if path.name == "pyproject.toml" else _of_setup_cfg
    return meaning(before) != meaning(after)


def _of_pyproject(text: str) -> object:
    """Return of a pyproject.toml what building and installing depend on."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return text
    project, poetry = data.get("project", {}), data.get("tool", {}).get("poetry", {})
    return data.get("build-system"), project.get("dependencies"), poetry.get("dependencies")


def _of_setup_cfg(text: str) -> object:
    return {name: values for name, values in _sections(text).items() if name.partition(".")[0] == "options"}


def _sections(text: str) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return {"options": {"": text}}
    return {name: dict(parser.items(name)) for name in parser.sections()}


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError:
        return {}


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""
