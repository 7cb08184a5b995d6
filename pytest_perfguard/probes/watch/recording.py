"""What one block has seen: executions, connections that were opened or lent, and remarks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

from pytest_perfguard.model import Note
from pytest_perfguard.probes.watch.callsite import Site
from pytest_perfguard.probes.watch.entry import Entry


class Opening(NamedTuple):
    """A connection that was opened."""

    driver: str
    site: Site | None
    is_open: Callable[[], bool]
    """Whether it is open still; False where it is a pool's own, which keeps it open on purpose."""


class Loans:
    """Connections that pools lent, as one block saw it."""

    def __init__(self) -> None:
        self.waits: list[int] = []
        """Nanoseconds until each was given."""
        self.most = 0
        """Most connections that were lent at one time."""
        self.out: dict[int, Opening] = {}
        """Those that were not given back, by a key of the source's."""


class Planner(Protocol):
    """Asks a database how it would execute a statement, before it does; never raises."""

    def ask(
        self,
        entry: Entry,
        parameters: object,
        run: Callable[[str, object], Sequence[Sequence[Any]]],
        *,
        in_transaction: bool,
    ) -> None:
        """Ask by `run`, which executes a text on the same connection and returns all rows; keep `Entry.finding`."""
        ...

    async def ask_async(
        self,
        entry: Entry,
        parameters: object,
        run: Callable[[str, object], Awaitable[Sequence[Sequence[Any]]]],
        *,
        in_transaction: bool,
    ) -> None:
        """Do the same through an asynchronous driver."""
        ...


class Recording:
    """What one block has seen, and what it wants to see beyond statements."""

    __slots__ = ("counts_rows", "entries", "loans", "notes", "openings", "planner")

    def __init__(self, *, counts_rows: bool = False, planner: Planner | None = None) -> None:
        self.entries: list[Entry] = []
        self.notes: list[Note] = []
        self.openings: list[Opening] = []
        self.loans = Loans()
        self.counts_rows = counts_rows
        self.planner = planner
