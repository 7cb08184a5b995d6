"""What a call leaves in the folder for temporary files, told apart from what other processes put there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

_PYTEST = "pytest-of-"


@dataclass(slots=True, kw_only=True, eq=False)
class Watch:
    """The names that `tempfile` has given since the watch began, and what was in the folder then."""

    folder: str
    there: frozenset[str]
    """All entries that there were."""
    ours: frozenset[str]
    """Those of earlier watches that were still there."""
    names: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Paths of entries that are new since a watch began."""

    left: tuple[str, ...]
    """Those that this process has made with `tempfile`."""
    gone: int
    """How many that an earlier watch has found are gone meanwhile."""
    unclear: tuple[str, ...]
    """Those of the same user of which it is not known which process has made them."""


@final
class _Recorder:
    """Stands before `tempfile`'s random names and tells them to the watches that are open."""

    def __init__(self, names: Iterator[str]) -> None:
        self.names = names

    def __iter__(self) -> _Recorder:
        return self

    def __next__(self) -> str:
        name = next(self.names)
        for watch in _open:
            watch.names.add(name)
        return name

    def __getattr__(self, name: str) -> Any:
        return getattr(self.names, name)


_open: list[Watch] = []
_left: set[str] = set()
"""Paths that earlier watches have found and that were there when they were last looked for."""


def open_watch() -> Watch:
    """Begin to note the names that `tempfile` gives, in all threads; raises `OSError` where they cannot be known.

    The names are random and drawn from one source in the process (`tempfile._name_sequence`), also by those who have
    imported single functions: an entry with such a name was made by this process.
    """
    source: Any = tempfile
    if not hasattr(source, "_name_sequence"):
        raise OSError("the tempfile module of this Python does not tell the names that it gives")
    folder = tempfile.gettempdir()
    there = frozenset(os.listdir(folder))  # noqa: PTH208 - names
    _left.intersection_update([path for path in _left if os.path.lexists(path)])
    watch = Watch(folder=folder, there=there, ours=frozenset(_left))
    if not _open:
        source._name_sequence = _Recorder(source._get_candidate_names())
    _open.append(watch)
    return watch


def close_watch(watch: Watch) -> None:
    """Stop noting names for `watch`; nothing is left of the last one."""
    source: Any = tempfile
    _open.remove(watch)
    if not _open and isinstance(source._name_sequence, _Recorder):
        source._name_sequence = source._name_sequence.names


def look(watch: Watch) -> Found:
    """Return what is new since `watch` began; raises `OSError` where the folder cannot be read."""
    names = watch.names
    entries = [entry for entry in os.listdir(watch.folder) if entry not in watch.there]  # noqa: PTH208 - names
    left = [entry for entry in entries if any(name in entry for name in names)] if names else []
    paths = tuple(str(Path(watch.folder, entry)) for entry in sorted(left))
    others = sorted(entry for entry in {*entries}.difference(left) if not entry.startswith(_PYTEST))
    unclear = [str(Path(watch.folder, entry)) for entry in others]
    _left.update(paths)
    return Found(
        left=paths,
        gone=sum(not os.path.lexists(path) for path in watch.ours),
        unclear=tuple(path for path in unclear if _is_own(path)),
    )


def _is_own(path: str) -> bool:
    try:
        return not hasattr(os, "getuid") or Path(path).lstat().st_uid == os.getuid()
    except OSError:
        return False
