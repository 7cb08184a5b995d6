"""Statements on their way from the sources to the blocks that record: one tape a process, for all its threads."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import NamedTuple

from pytest_perfguard.model import Note, StatementKind
from pytest_perfguard.probes.watch.callsite import Site, locate


class Entry(NamedTuple):
    """One execution, as cheaply as it can be written down; texts are read after the measured call."""

    sql: str
    digest: int
    """Tells parameters apart; the parameters themselves are not kept."""
    site: Site | None
    dialect: str
    driver: str
    kind: StatementKind | None
    """Set where the source knows better than the text."""
    counts: Callable[[], bool] | None
    """Asked after the measured call where a source could not tell; None where there is no doubt."""


class Recording:
    """What one block has seen."""

    __slots__ = ("entries", "notes")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.notes: list[Note] = []


class _Layer:
    """An execution that has been written down; tasks that inherit it in their context outlive it."""

    __slots__ = ("_before", "busy")

    def __enter__(self) -> None:
        self._before = _LAYER.get()
        self.busy = True
        _LAYER.set(self)

    def __exit__(self, *_error: object) -> None:
        self.busy = False
        _LAYER.set(self._before)


_LAYER: ContextVar[_Layer | None] = ContextVar("perfguard_layer", default=None)


class Tape:
    """Hands each statement to every block that is recording; the outermost layer that knows of it wins."""

    __slots__ = ("_recordings", "handled")

    def __init__(self) -> None:
        self._recordings: tuple[Recording, ...] = ()
        self.handled: set[int] = set()
        """Ids of driver connections at work for a layer above, in threads that its context does not reach."""

    @property
    def recording(self) -> bool:
        """Return whether any block records."""
        return bool(self._recordings)

    def attach(self, recording: Recording) -> None:
        """Let `recording` have every statement from now on."""
        self._recordings = (*self._recordings, recording)

    def detach(self, recording: Recording) -> None:
        """Let `recording` have no more statements."""
        self._recordings = tuple(other for other in self._recordings if other is not recording)

    def hidden(self) -> bool:
        """Return whether a layer above has written down what is being executed here."""
        layer = _LAYER.get()
        return layer is not None and layer.busy

    def layer(self) -> _Layer:
        """Hide from the layers below what is executed in a `with` block of the result."""
        return _Layer()

    def write(
        self,
        sql: str,
        parameters: object,
        *,
        dialect: str,
        driver: str,
        kind: StatementKind | None = None,
        counts: Callable[[], bool] | None = None,
    ) -> None:
        """Write down one execution; costs a few microseconds and never raises."""
        recordings = self._recordings
        if not recordings:
            return
        entry = Entry(sql, _digest(sql, parameters, self), locate(sys._getframe(1)), dialect, driver, kind, counts)
        for recording in recordings:
            recording.entries.append(entry)

    def remark(self, note: Note) -> None:
        """Add `note` to every block that records."""
        for recording in self._recordings:
            if note not in recording.notes:
                recording.notes.append(note)


_PLAIN = frozenset({int, float, str, bytes, bool, type(None)})


def _digest(sql: str, parameters: object, tape: Tape) -> int:
    # The text belongs to it: values may stand in the SQL itself.
    kind = type(parameters)
    if parameters is None or (kind is tuple and _PLAIN.issuperset(map(type, parameters))):  # type: ignore[call-overload]
        return hash((sql, repr(parameters)))
    # What a user's __repr__ asks the database is no query of the measured code, and what it raises is no error of it.
    try:
        with tape.layer():
            return hash((sql, repr(parameters)))
    except Exception:  # noqa: BLE001
        return hash((sql, id(parameters)))
