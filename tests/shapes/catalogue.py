"""Shapes of database use that cost too much, their corrected twins, and legitimate code that looks like them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MARK = "# here"


@dataclass(frozen=True)
class Case:
    """A function that uses a database in one way, told apart by the first sentence of its docstring."""

    call: Callable[..., Any]
    subject: Callable[..., Any] | None = None
    """The function that has the line at fault, where that is not `call`."""
    size: int = 0
    """How many objects the data are to have; 0 for the usual few."""

    @property
    def name(self) -> str:
        return inspect.getdoc(self.call).partition("\n")[0].rstrip(".")


@dataclass(frozen=True)
class Shape(Case):
    """A use that is to be reported under `metric`, at the line that ends in `# here`."""

    metric: str = ""
    twins: list[Case] = field(default_factory=list)

    @property
    def function(self) -> str:
        """`path:name` of the function with the line at fault; a statement may also come from a function in it."""
        found = self.subject or self.call
        return f"{Path(inspect.getsourcefile(found)).relative_to(ROOT).as_posix()}:{found.__qualname__}"

    @property
    def line(self) -> int:
        lines, first = inspect.getsourcelines(self.subject or self.call)
        (marked,) = (number for number, text in enumerate(lines, first) if text.rstrip().endswith(MARK))
        return marked


class Catalogue:
    """The shapes of one library, in the order of their definition."""

    def __init__(self) -> None:
        self.shapes: list[Shape] = []
        self.lookalikes: list[Case] = []

    def shape(self, metric: str, *, at: Callable[..., Any] | None = None) -> Callable[[Any], Any]:
        """Enter a function as a shape; `at` is the function that has the line at fault, if it is another one."""

        def enter(function: Any) -> Any:
            self.shapes.append(Shape(function, at, metric=metric))
            return function

        return enter

    def twin(self, function: Any) -> Any:
        """Enter a function as a corrected twin of the last shape."""
        self.shapes[-1].twins.append(Case(function))
        return function

    def lookalike(self, *, size: int = 0) -> Callable[[Any], Any]:
        """Enter a function that a naive rule would blame, with data of `size` objects."""

        def enter(function: Any) -> Any:
            self.lookalikes.append(Case(function, size=size))
            return function

        return enter

    def innocent(self) -> Iterator[Case]:
        """Return everything that nobody should report."""
        for shape in self.shapes:
            yield from shape.twins
        yield from self.lookalikes
