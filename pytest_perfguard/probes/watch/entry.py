"""One execution as it is written down, and what is kept of its text."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from marshal import loads
from time import perf_counter_ns
from typing import Any, NamedTuple

from pytest_perfguard.model import StatementKind
from pytest_perfguard.probes.watch.callsite import Site
from pytest_perfguard.probes.watch.paging import hashes


class Shape(NamedTuple):
    """What is kept of a text, once its values are gone."""

    fingerprint: str
    kind: StatementKind
    tables: tuple[str, ...] = ()
    batch: bool = False
    """Whether it asks for many things at once: a list of values, rows of values."""


class Entry:
    """One execution, as cheaply as it can be written down; texts are read after the measured call.

    As a context manager it takes the time, and hides from the layers below what is executed meanwhile. Tasks that
    inherit it in their context outlive it, hence `busy`.
    """

    kind: StatementKind | None = None
    """Set where the source knows better than the text."""
    counts: Callable[[], bool] | None = None
    """Asked after the measured call where a source could not tell; None where there is no doubt."""
    shape: Callable[[], Shape] | None = None
    """Reads the text where it is no SQL; None where it is."""
    batch: bool = False
    """Whether the caller handed many rows over at once: it is no loop of the caller's, however many there are."""
    trips: int = 1
    """How often the server was asked and waited for."""
    sent: int = 0
    """How often a driver said so by `Tape.sent`; 0 where it says nothing."""
    rows: int = 0
    """Rows that came back; kept only where `Tape.counts_rows`."""
    nanoseconds: int = -1
    """Time until the driver returned; -1 where nobody took it."""
    finding: object = None
    """What a planner found."""
    unit: int = 0
    """Number of what a mapper carries out in one go (a flush), for its caller's one word; 0 for none."""
    busy: bool = False
    _given: bytes | None = None
    """The parameters as they were, written down; None where that is not possible."""
    _digest: int | None = None
    _values: dict[int | str, int] | None = None

    def __init__(
        self, text: str, digest: int, site: Site | None, dialect: str, driver: str, layers: ContextVar[Any]
    ) -> None:
        self.text = text
        self._digest = digest
        self.site = site
        self.dialect = dialect
        self.driver = driver
        self._layers = layers

    @property
    def digest(self) -> int:
        """Return what tells parameters apart."""
        if self._digest is None:
            self._digest = hash((self.text, self._given))
        return self._digest

    @digest.setter
    def digest(self, value: int) -> None:
        self._digest = value

    @property
    def values(self) -> dict[int | str, int] | None:
        """Return hashes of the parameters by position or name, for texts that ask for one page of a list."""
        return self._values if self._given is None else hashes(loads(self._given))  # noqa: S302 - our own

    def __enter__(self) -> Entry:
        layers = self._layers
        self._before = layers.get()
        self.busy = True
        layers.set(self)
        self._began = perf_counter_ns()
        return self

    def __exit__(self, _kind: object, _error: object, _trace: object) -> None:
        self.nanoseconds = perf_counter_ns() - self._began
        self.busy = False
        self._layers.set(self._before)


make: Callable[[type[Entry]], Entry] = object.__new__
"""Faster than calling the class; `Tape.write` sets what `__init__` would."""
