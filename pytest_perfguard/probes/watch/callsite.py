"""Where in the user's own code something was asked for: a walk over raw frames, a few microseconds."""

from __future__ import annotations

import os
import re
import site
import sys
import sysconfig
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

_PACKAGE = str(Path(__file__).resolve().parents[2])
_FOREIGN_FOLDERS = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_COMPREHENSIONS = re.compile(r"(?:(?:\.<locals>)?\.?<(?:list|dict|set)comp>)+$")
"""They have frames of their own up to Python 3.11 only."""


class Site(NamedTuple):
    """A place in the code, not yet made readable: that can wait until after the measured call."""

    code: CodeType
    line: int
    path: int
    """Tells ways to this place apart: the same for each turn of a loop, another for each call that is written out.

    A hash of the places in the user's own code from here to what is measured, each once, so that recursion is a loop.
    """


CALLER: ContextVar[Site | None] = ContextVar("perfguard_caller", default=None)
"""Where a coroutine asked asgiref for what is carried out here; kept by the source that watches it."""


def locate(frame: FrameType | None) -> Site | None:
    """Return the first place in the user's own code from `frame` outwards, None where there is none.

    Code of the standard library, of installed packages, of this package and without a file is not the user's. In a
    greenlet (SQLAlchemy's async engines) the walk goes on in the greenlet that waits for it, and where asgiref carries
    something out for a coroutine (Django's asynchronous ORM), at that coroutine.
    """
    found = _first_own(frame)
    if found is None and "greenlet" in sys.modules:
        found = next(filter(None, map(_first_own, _waiting_frames())), None)
    return found


def describe(place: Site | None, root: Path) -> tuple[str, int]:
    """Return `path:function` and the line; the path is relative to `root`, or else to where it is imported from."""
    if place is None:
        return "", 0
    name = _COMPREHENSIONS.sub("", place.code.co_qualname) or "<module>"
    return f"{_relative(place.code.co_filename, root)}:{name}", place.line


_FOREIGN, _USERS, _OURS, _BRIDGE = 0, 1, 2, 3
_BRIDGES = f"{os.sep}asgiref{os.sep}sync.py"
_CROSSING = "thread_handler"
"""The function of asgiref's that is called in the thread: the frames outside of it did not ask for anything."""

_WHOSE: dict[str, int] = {}
"""Verdicts on file names: a process has few of them, and a dictionary is all that a frame may cost."""


def _first_own(frame: FrameType | None) -> Site | None:
    whose = _WHOSE
    while frame is not None:
        code = frame.f_code
        verdict = whose.get(code.co_filename)
        if verdict is None:
            verdict = _judge(code.co_filename)
        if verdict:
            if verdict == _USERS:
                return Site(code, frame.f_lineno, _path(frame))
            if verdict == _BRIDGE and code.co_name == _CROSSING and (caller := CALLER.get()) is not None:
                return caller
        frame = frame.f_back
    return None


def _path(frame: FrameType | None) -> int:
    places: set[tuple[int, int]] = set()
    whose = _WHOSE
    while frame is not None:
        code = frame.f_code
        verdict = whose.get(code.co_filename)
        if verdict is None:
            verdict = _judge(code.co_filename)
        if verdict == _USERS:
            places.add((id(code), frame.f_lasti))
        elif verdict == _OURS:  # what measures: from here on outwards nothing belongs to the measured call
            break
        elif verdict == _BRIDGE and code.co_name == _CROSSING and (caller := CALLER.get()) is not None:
            places.add((id(caller.code), caller.path))
            break
        frame = frame.f_back
    return hash(frozenset(places))


def _judge(filename: str) -> int:
    if filename.startswith(_PACKAGE + os.sep):
        verdict = _OURS
    elif _is_own(filename):
        verdict = _USERS
    else:
        verdict = _BRIDGE if filename.endswith(_BRIDGES) else _FOREIGN
    _WHOSE[filename] = verdict
    return verdict


def _waiting_frames() -> Iterator[FrameType | None]:
    waiting = sys.modules["greenlet"].getcurrent().parent
    while waiting is not None:
        yield waiting.gr_frame
        waiting = waiting.parent


def _foreign_roots() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    roots = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    roots.update(site.getsitepackages())
    roots.update({site.getusersitepackages(), _PACKAGE})
    roots.update([os.path.realpath(root) for root in roots])
    return tuple(os.path.join(root, "") for root in roots if root)  # noqa: PTH118 - a trailing separator


_FOREIGN_ROOTS = _foreign_roots()


def _is_own(filename: str) -> bool:
    return not (
        filename.startswith("<")  # <frozen …>, <string>, <stdin>
        or filename.startswith(_FOREIGN_ROOTS)
        or any(folder in filename for folder in _FOREIGN_FOLDERS)
    )


def _relative(filename: str, root: Path) -> str:
    path = Path(filename)
    for base in (str(root), *sorted(filter(None, sys.path), key=len, reverse=True)):
        if path.is_relative_to(base):
            return path.relative_to(base).as_posix()
    return path.as_posix() if not path.is_absolute() else path.name
