"""The way from the measured call to where memory was allocated, as one line for the reader of a failure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from pytest_perfguard.probes.watch.callsite import PACKAGE, is_own, relative

Frame = tuple[str, str, int]
"""Function, file and line."""

_COMPREHENSIONS = frozenset({"<listcomp>", "<dictcomp>", "<setcomp>"})
"""They have frames of their own up to Python 3.11 only."""

_FIRST, _LAST = 2, 4
"""Places of the user's own that are shown of a long way, from its beginning and from its end."""


def describe_route(frames: Iterable[Frame], root: Path) -> str:
    """Return `path:line function → …` from the outermost to the innermost of `frames`, which come innermost first.

    Frames of this package, and what is outside of them, are cut off. The user's own are shown, each place once, and
    then how they entered a library; what goes on within libraries is not. Paths are relative to `root`, or else to
    where they are imported from. A call with no Python code in it has no way.
    """
    way: list[Frame] = []
    for frame in frames:
        if _is_ours(frame[1]):
            break
        if frame[0] not in _COMPREHENSIONS:
            way.append(frame)
    way.reverse()
    own = [place for place, frame in enumerate(way) if is_own(frame[1])]
    after = own[-1] + 1 if own else 0
    shown = [*dict.fromkeys(way[place] for place in own), *way[after : after + 1]]
    return " → ".join(_shorten([f"{relative(path, root)}:{line} {name}" for name, path, line in shown]))


def _is_ours(path: str) -> bool:
    return path.startswith((PACKAGE + os.sep, "<perfguard "))


def _shorten(places: Sequence[str]) -> Sequence[str]:
    if not places:
        return ("the call itself, in C",)
    if len(places) <= _FIRST + _LAST + 1:
        return places
    return (*places[:_FIRST], "…", *places[-_LAST:])
