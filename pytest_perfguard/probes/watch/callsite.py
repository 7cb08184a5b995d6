"""Where in the user's own code something was asked for: a walk over raw frames, a few microseconds."""

from __future__ import annotations

import os
import re
import site
import sys
import sysconfig
from contextvars import ContextVar
from itertools import islice
from pathlib import Path
from sys import _getframe
from types import CodeType, FrameType
from typing import Any, NamedTuple

PACKAGE = str(Path(__file__).resolve().parents[2])
_FOREIGN_FOLDERS = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_COMPREHENSIONS = re.compile(r"(?:(?:\.<locals>)?\.?<(?:list|dict|set)comp>)+$")
"""They have frames of their own up to Python 3.11 only."""


class Site(tuple[Any, ...]):
    """A place in the code, not yet made readable: that can wait until after the measured call.

    Codes and offsets, one after the other, of the frames in the user's own code, from the place itself to what is
    measured, through the tasks and threads that lie between.
    """

    __slots__ = ()

    @property
    def code(self) -> CodeType:
        """Return the code of the function."""
        code: CodeType = self[0]
        return code

    @property
    def line(self) -> int:
        """Return the line in its file, 0 where it has none."""
        offset = self[1]
        return next((line or 0 for start, end, line in self[0].co_lines() if start <= offset < end), 0)

    @property
    def path(self) -> int:
        """Return what tells ways to this place apart: the same for each turn of a loop, others for calls written out.

        A hash of the places on the way, each once, so that recursion is a loop.
        """
        pairs = zip(self[::2], self[1::2], strict=True)
        return hash(frozenset((id(code), _call(code, offset)) for code, offset in pairs))

    def once(self) -> Site:
        """Return it with each place once: a task that starts itself anew would make it longer with each start."""
        pairs = dict.fromkeys(zip(self[::2], self[1::2], strict=True))
        return Site(part for pair in pairs for part in pair)


def _call(code: CodeType, offset: int) -> object:
    """Return what tells one call in a code from others: its place in the file, or else in the code.

    Python 3.11 has two instructions for a call, and is at the one or at the other as it learns what is called.
    """
    position = next(islice(code.co_positions(), offset // 2, None), None)
    return offset if position is None or position[2] is None else position


CALLER: ContextVar[Site | None] = ContextVar("perfguard_caller", default=None)
"""Where what runs here, as another task or in another thread, was asked for; kept by `crossing`."""


def locate(frame: FrameType | None) -> Site | None:
    """Return the first place in the user's own code from `frame` outwards, None where there is none.

    Code of the standard library, of installed packages, of this package, of templates and without a file is not the
    user's. In a greenlet (SQLAlchemy's async engines) the walk goes on in the greenlet that waits for it, and where a
    task or a call in another thread began, at what asked for it.
    """
    whose = _WHOSE
    trail: list[Any] = []
    waiting: Any = None
    while True:
        while frame is not None:
            code = frame.f_code
            try:
                verdict = whose[code.co_filename]
            except KeyError:
                verdict = _judge(code.co_filename)
            if verdict == _USERS:
                trail.append(code)
                trail.append(frame.f_lasti)
            elif verdict == _OURS:
                if trail:  # what measures: from here on outwards nothing belongs to the measured call
                    return Site(trail)
            elif verdict == _BRIDGE and code.co_name in _CROSSINGS and CALLER.get() is not None:
                break
            frame = frame.f_back
        waiting = _outer_greenlet(waiting)
        if waiting is None:
            break
        frame = waiting.gr_frame
    caller = CALLER.get()
    if caller is not None:
        trail += caller
    return Site(trail) if trail else None


class _Way(NamedTuple):
    """How something was asked before."""

    depth: int
    """Of the library's outermost frame, as `locate_asking` sees it."""
    library: CodeType
    offset: int
    frames: tuple[tuple[CodeType, int | None], ...]
    """Codes of all frames outside of that one, up to what measures, and offsets of the user's: those of others make no
    difference."""
    site: Site | None
    """None where the walk did not end at what measures, and has to be made again."""


def locate_asking(text: int) -> Site | None:
    """Return what `locate` does of the caller's caller, who asks something whose hash is `text`.

    A library's frames are passed over where the same was asked from as deep before, and by the same instruction of the
    library: to look at a frame is dear, to count it is not. What was asked on the same way as before gets the same
    object.
    """
    known = _WAYS.get(text)
    if known is None:
        return _learn(text)
    depth, library, place, frames, site = known
    try:
        frame: Any = _getframe(depth)
    except ValueError:  # not so deep this time
        return _learn(text)
    if frame.f_code is not library or frame.f_lasti != place:
        return _learn(text)
    if site is None:
        return locate(frame.f_back)
    for code, offset in frames:
        frame = frame.f_back
        if frame is None or frame.f_code is not code or (offset is not None and frame.f_lasti != offset):
            return _learn(text)
    return site


_WAYS: dict[int, _Way] = {}
"""The last way of each text, by its hash."""
_TEXTS = 10_000


def _learn(text: int) -> Site | None:
    """Return where `locate_asking` was called from, and remember the way."""
    nearest: FrameType | None = _getframe(3)
    depth, library = 1, None
    while nearest is not None and _whose(nearest) != _USERS:
        if _is_crossing(nearest):
            return locate(nearest)
        depth, library = depth + 1, nearest
        nearest = nearest.f_back
    site = locate(nearest)
    if nearest is None or library is None or site is None:
        return site
    frames: list[tuple[CodeType, int | None]] = []
    frame: FrameType | None = nearest
    while frame is not None and _whose(frame) != _OURS and not _is_crossing(frame):
        frames.append((frame.f_code, frame.f_lasti if _whose(frame) == _USERS else None))
        frame = frame.f_back
    if len(_WAYS) > _TEXTS:
        _WAYS.clear()
    if frame is not None and _whose(frame) == _OURS:
        _WAYS[text] = _Way(depth, library.f_code, library.f_lasti, (*frames, (frame.f_code, None)), site)
    else:
        _WAYS[text] = _Way(depth, library.f_code, library.f_lasti, (), None)
    return site


def describe(place: Site | None, root: Path) -> tuple[str, int]:
    """Return `path:function` and the line; the path is relative to `root`, or else to where it is imported from."""
    if place is None:
        return "", 0
    name = _COMPREHENSIONS.sub("", place.code.co_qualname) or "<module>"
    return f"{relative(place.code.co_filename, root)}:{name}", place.line


_FOREIGN, _USERS, _OURS, _BRIDGE = 0, 1, 2, 3
_BRIDGES = (f"{os.sep}asgiref{os.sep}sync.py", f"{os.sep}asyncio{os.sep}events.py")
_CROSSINGS = frozenset({"thread_handler", "_run"})
"""Functions of asgiref's and of event loops: the frames outside of them did not ask for anything."""

_WHOSE: dict[str, int] = {}
"""Verdicts on file names: a process has few of them, and a dictionary is all that a frame may cost."""


def _is_crossing(frame: FrameType) -> bool:
    return _whose(frame) == _BRIDGE and frame.f_code.co_name in _CROSSINGS


def _whose(frame: FrameType) -> int:
    filename = frame.f_code.co_filename
    try:
        return _WHOSE[filename]
    except KeyError:
        return _judge(filename)


def _judge(filename: str) -> int:
    if filename.startswith(PACKAGE + os.sep):
        verdict = _OURS
    elif is_own(filename):
        verdict = _USERS
    else:
        verdict = _BRIDGE if filename.endswith(_BRIDGES) else _FOREIGN
    _WHOSE[filename] = verdict
    return verdict


def _outer_greenlet(waiting: Any) -> Any:
    """Return the greenlet that waits for `waiting`, or for the one that runs; None where there is none."""
    if waiting is None:
        if "greenlet" not in sys.modules:
            return None
        waiting = sys.modules["greenlet"].getcurrent()
    return waiting.parent


def _foreign_roots() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    roots = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    roots.update(site.getsitepackages())
    roots.update({site.getusersitepackages(), PACKAGE})
    roots.update([os.path.realpath(root) for root in roots])
    return tuple(os.path.join(root, "") for root in roots if root)  # noqa: PTH118 - a trailing separator


_FOREIGN_ROOTS = _foreign_roots()


_SOURCES = frozenset({".py", ".pyw", ""})
"""What Jinja makes of a template has the template's name, and lines that are not the template's."""


def is_own(filename: str) -> bool:
    """Return whether a file is the user's, and neither the standard library's, an installed package's nor ours."""
    return not (
        filename.startswith("<")  # <frozen …>, <string>, <stdin>
        or os.path.splitext(filename)[1] not in _SOURCES  # noqa: PTH122 - nothing but text
        or filename.startswith(_FOREIGN_ROOTS)
        or any(folder in filename for folder in _FOREIGN_FOLDERS)
    )


def relative(filename: str, root: Path) -> str:
    """Return `filename` relative to `root`, or else to where it is imported from."""
    path = Path(filename)
    for base in (str(root), *sorted(filter(None, sys.path), key=len, reverse=True)):
        if path.is_relative_to(base):
            return path.relative_to(base).as_posix()
    return path.as_posix() if not path.is_absolute() else path.name
