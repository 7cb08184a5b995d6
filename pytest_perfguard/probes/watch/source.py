"""What a source of statements is: one library, or one driver, that this package knows how to watch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from pytest_perfguard.probes.watch.tape import Tape


@runtime_checkable
class Source(Protocol):
    """One library whose statements can be seen."""

    name: str
    module: str
    """The module whose import completes the library: from then on `installed` may be true."""

    def installed(self) -> bool:
        """Return whether the library is loaded in this process; imports nothing."""
        ...

    def install(self, tape: Tape) -> Callable[[], None]:
        """Make every statement of the library run past `tape`, and return what undoes it without a trace."""
        ...
