"""How commands print: tables, styled lines, sparklines, times."""

from __future__ import annotations

import codecs
import io
import os
import shutil
import sys
from collections.abc import Iterable, Sequence

from pytest_perfguard.report.terminal import ASCII, Line

_COLOURS = {"red": "31", "green": "32", "yellow": "33"}
_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.,-=+*#"
_FALL_BACK = "perfguard"
_LEAST_SPAN = 0.1
"""A sparkline is at least this high, relative to its values: noise of a few per cent is to look flat."""


def prepare_streams() -> None:
    """Let standard output and error show what their encoding lacks in ASCII, or as "?", rather than raise."""
    codecs.register_error(_FALL_BACK, _fall_back)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_FALL_BACK)


def _fall_back(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(ASCII.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = ()) -> str:
    """Return a plain table; the columns named in `right` are aligned to the right."""
    from tabulate import tabulate

    sided = frozenset(right)
    text: str = tabulate(
        [list(row) for row in rows],
        headers=list(headers),
        tablefmt="simple",
        disable_numparse=True,
        colalign=["right" if header in sided else "left" for header in headers],
    )
    return "\n".join(line.rstrip() for line in text.splitlines())


def width() -> int:
    """Return how many columns there are to print into."""
    return shutil.get_terminal_size((100, 24)).columns


def print_lines(lines: Iterable[Line]) -> None:
    """Print styled lines, in colour where standard output is a terminal and NO_COLOR is not set."""
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for line in lines:
        print(paint(line) if coloured else line.text)


def paint(line: Line) -> str:
    """Return a line with the escape codes of its style."""
    colour = _COLOURS.get(line.style)
    return f"\x1b[{colour}m{line.text}\x1b[0m" if colour else line.text


def sparkline(values: Sequence[float], *, encoding: str | None = None) -> str:
    """Return one sign a value, low to high, of block elements or, where `encoding` lacks them, ASCII signs."""
    signs = _BLOCKS
    try:
        _BLOCKS.encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        signs = _ASCII
    low, high = min(values), max(values)
    span = max(high - low, _LEAST_SPAN * max(abs(low), abs(high)))
    if span <= 0:
        return signs[0] * len(values)
    floor = (low + high - span) / 2
    top = len(signs) - 1
    return "".join(signs[min(round((value - floor) / span * top), top)] for value in values)


def moment(created: str) -> str:
    """Return an ISO time as it is shown in tables: to the minute, in UTC."""
    return created.replace("T", " ")[:16]
