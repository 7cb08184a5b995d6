"""Functions that leak memory, each with what leaks, who holds it and where; and clean ones that look like them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

Span = tuple[str, int, int]
"""A file as it may be shown, and the first and the last line in it."""


@dataclass(frozen=True)
class Case:
    """Code that is called again and again, told apart by the first sentence of its builder's docstring.

    `build` makes what the code works on anew and gives the call to repeat: it returns it, or yields it and cleans up
    afterwards. A call may be a coroutine function.
    """

    build: Callable[[], Any]

    @property
    def name(self) -> str:
        return self.build.__name__

    @property
    def title(self) -> str:
        return inspect.getdoc(self.build).partition("\n")[0].rstrip(".")

    @contextmanager
    def opened(self) -> Iterator[Callable[[], Any]]:
        """Give the call to repeat, on objects of its own, and clean up."""
        if not inspect.isgeneratorfunction(self.build):
            yield self.build()
            return
        steps = self.build()
        try:
            yield next(steps)
        finally:
            next(steps, None)


@dataclass(frozen=True)
class Leak(Case):
    """A function each of whose calls leaves something behind for good."""

    words: tuple[str, ...]
    """Regular expressions for what an explanation must contain: the owner, or the type of what has no owner."""
    at: tuple[Any, ...]
    """Classes and functions that the owner is defined in, (module, name of a global), or "builder" for the case itself;
    empty where it has no code in Python."""
    blocks: int = 1
    """Blocks of memory that stay of each call, at least; or, if `bare`, items or bytes."""
    bare: bool = False
    """Whether no block stays: a container grows by what exists anyway, or memory that Python knows nothing of."""

    @property
    def spans(self) -> tuple[Span, ...]:
        """Return the lines that a right place is within."""
        return tuple(_span(self.build if each == "builder" else each) for each in self.at)

    def named_in(self, text: str) -> bool:
        """Return whether a text has all of the owner's words."""
        return all(re.search(word, text) for word in self.words)

    def located_in(self, text: str) -> bool:
        """Return whether a text has a `path:line` within the owner's code."""
        places = [(path, int(line)) for path, line in re.findall(r"([\w./\\<>-]+\.py):(\d+)", text)]
        return not self.at or any(
            (file.endswith("/" + path.lstrip("./")) or path == file) and first <= line <= last
            for path, line in places
            for file, first, last in self.spans
        )


@dataclass(frozen=True)
class Clean(Case):
    """A function that a naive rule would blame, and that keeps nothing for good."""

    fills: int = 0
    """Calls after which a cache with a limit is full; 0 where there is none that fills slowly."""
    disturbs: bool = False
    """Whether a tool around the test may keep something of each call: an answer "cannot be told" is right as well."""


class Catalogue:
    """Cases on one subject, in the order of their definition."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.leaks: list[Leak] = []
        self.cleans: list[Clean] = []

    def leak(self, *words: str, at: Any = (), blocks: int = 1, bare: bool = False) -> Callable[[Any], Any]:
        """Enter a builder as one whose call leaks `blocks` each time, with what explains it."""
        places = tuple(at) if isinstance(at, list) else (at,) if at else ()

        def enter(build: Any) -> Any:
            self.leaks.append(Leak(build, words, places, blocks, bare))
            return build

        return enter

    def clean(self, *, fills: int = 0, disturbs: bool = False) -> Callable[[Any], Any]:
        """Enter a builder as one whose call leaks nothing."""

        def enter(build: Any) -> Any:
            self.cleans.append(Clean(build, fills, disturbs))
            return build

        return enter


def _span(owner: Any) -> Span:
    if isinstance(owner, tuple):
        module, name = owner
        lines, first = inspect.getsourcelines(module)
        (line,) = (
            number
            for number, text in enumerate(lines, max(first, 1))
            if re.match(rf"(?:global )?{re.escape(name)}\b[^=]*=", text)
        )
        return inspect.getsourcefile(module), line, line
    lines, first = inspect.getsourcelines(owner)
    return inspect.getsourcefile(owner), first, first + len(lines) - 1
