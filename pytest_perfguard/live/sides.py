"""The two sides of a comparison: which files, which interpreter, which packages each of them uses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_perfguard.model.commit import Commit
from pytest_perfguard.model.note import Note


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two programs that are compared."""

    name: str
    """Either "base" or "head"."""
    tree: Path
    """Top of the checkout that its files are in."""
    root: Path
    """pytest's root folder in it."""
    cwd: Path
    """The folder that pytest is started in."""
    python: str
    """Its interpreter."""
    pins: tuple[tuple[str, str], ...] = ()
    """Top-level names of the project's packages, each with the folder that it must be imported from."""
    strict: bool = False
    """Whether a module of a pinned package that is not there is an error, and never somebody else's."""
    foreign: tuple[str, ...] = ()
    """The other side's trees: nothing that is tracked there may be imported here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a user asked for, and what is known of the tree that it was asked in."""

    against: str
    """As it was written."""
    root: Path
    """pytest's root folder."""
    cwd: Path
    """pytest's invocation folder."""
    ini: Path | None
    """pytest's configuration file, if there is one."""
    tests: str
    """Whose tests both sides run: "head" or "base"."""
    files: tuple[Path, ...]
    """The files with the tests to be run, absolute."""
    packages: tuple[str, ...] = ()
    """The project's packages as the user gave them: "name" or "name=folder"."""
    install: bool = False
    """Whether each side is installed into an environment of its own."""
    loaded: tuple[tuple[str, str], ...] = ()
    """Top-level modules that are imported in this process, each with its file or folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Both sides, made ready."""

    base: Side
    head: Side
    commit: Commit
    """Of base; empty for what is no revision."""
    reason: str
    """What base is, in words: "origin/main", "merge base with main", "release 1.2.3"."""
    home: Path
    """The top of the user's own tree, which its paths and arguments name."""
    notes: tuple[Note, ...] = ()
