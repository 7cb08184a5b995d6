"""What was asked of others on its way from the sources to the blocks that record: one tape for all threads."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from marshal import dumps
from typing import Any

from pytest_perfguard.model import Note
from pytest_perfguard.probes.watch.callsite import locate, locate_asking
from pytest_perfguard.probes.watch.entry import Entry, make
from pytest_perfguard.probes.watch.paging import PAGED, hashes, may_be_page
from pytest_perfguard.probes.watch.recording import Opening, Planner, Recording


class _Layer:
    """Hides what is executed in it, and is no execution itself."""

    __slots__ = ("_before", "_layers", "busy")

    def __init__(self, layers: ContextVar[Any]) -> None:
        self._layers = layers

    def __enter__(self) -> None:
        self._before = self._layers.get()
        self.busy = True
        self._layers.set(self)

    def __exit__(self, *_error: object) -> None:
        self.busy = False
        self._layers.set(self._before)


class Tape:
    """Hands each statement to every block that is recording; the outermost layer that knows of it wins."""

    __slots__ = (
        "_appends",
        "_layers",
        "_recordings",
        "_row_watchers",
        "carriers",
        "counts_rows",
        "current",
        "planner",
        "simple",
        "stand_ins",
    )

    def __init__(self, name: str = "queries") -> None:
        self._recordings: tuple[Recording, ...] = ()
        self._appends: tuple[Callable[[Entry], None], ...] = ()
        self._layers: ContextVar[Entry | _Layer | None] = ContextVar(f"perfguard_{name}", default=None)
        self.current: Callable[[], Entry | _Layer | None] = self._layers.get
        """Returns the layer that is at work here; one that is not `busy` is no more."""
        self.carriers: dict[type, Callable[[Any, str, Any], Any]] = {}
        """By the types of cursors: what executes a text with parameters on one, past all layers beneath."""
        self.stand_ins: dict[type, type] = {}
        """Types of cursors that are handed out in the place of others, which are their values."""
        self.simple = True
        """Whether nobody wants more than statements and their times."""
        self._row_watchers: list[Callable[[bool], None]] = []
        self.counts_rows = False
        """Whether any block wants to know how many rows came back."""
        self.planner: Planner | None = None
        """Whom a source asks before it executes; None unless a block wants to know of plans."""

    @property
    def recording(self) -> bool:
        """Return whether any block records."""
        return bool(self._recordings)

    def attach(self, recording: Recording) -> None:
        """Let `recording` have every statement from now on."""
        self._set((*self._recordings, recording))

    def detach(self, recording: Recording) -> None:
        """Let `recording` have no more statements."""
        self._set(tuple(other for other in self._recordings if other is not recording))

    def _set(self, recordings: tuple[Recording, ...]) -> None:
        self._recordings = recordings
        self._appends = tuple(recording.entries.append for recording in recordings)
        counts_rows = any(recording.counts_rows for recording in recordings)
        if counts_rows != self.counts_rows:
            self.counts_rows = counts_rows
            for watcher in self._row_watchers:
                watcher(counts_rows)
        self.planner = next((recording.planner for recording in recordings if recording.planner is not None), None)
        self.simple = self.planner is None and not counts_rows

    def watch_rows(self, watcher: Callable[[bool], None]) -> Callable[[], None]:
        """Call `watcher` when rows are to be counted, or no more; return what ends this, and calls it a last time."""
        self._row_watchers.append(watcher)
        if self.counts_rows:
            watcher(True)

        def end() -> None:
            self._row_watchers.remove(watcher)
            if self.counts_rows:
                watcher(False)

        return end

    def hidden(self) -> bool:
        """Return whether this is not to be written down here: a layer above did it, or nobody records."""
        layer = self._layers.get()
        return (layer is not None and layer.busy) or not self._recordings

    def layer(self) -> _Layer:
        """Hide from the layers below what is executed in a `with` block of the result."""
        return _Layer(self._layers)

    def write(self, text: str, parameters: object, dialect: str, driver: str) -> Entry:
        """Write down one execution and return it, for `with entry:` around what carries it out.

        Costs a microsecond or two and never raises. Ask `hidden` before.
        """
        entry = make(Entry)
        entry.text = text
        entry.dialect = dialect
        entry.driver = driver
        entry._layers = self._layers
        try:
            # Much faster than repr, runs no code of the user's; and this version writes the same for what is equal.
            entry._given = dumps(parameters, 0)  # type: ignore[arg-type]
        except ValueError:
            entry._digest = _digest(text, parameters, self)
            paged = PAGED.get(hash(text))
            entry._values = hashes(parameters) if paged or (paged is None and may_be_page(text)) else None
        entry.site = locate_asking(hash(text))
        for append in self._appends:
            append(entry)
        return entry

    def above(self) -> Entry | None:
        """Return what a layer above is executing just now; None where there is none, or where it is no statement."""
        layer = self._layers.get()
        return layer if isinstance(layer, Entry) and layer.busy else None

    def sent(self) -> None:
        """Write down that a driver asked its server for what it, or a layer above, is executing: trips are counted."""
        layer = self._layers.get()
        if isinstance(layer, Entry) and layer.busy:
            layer.trips = layer.sent = layer.sent + 1

    def opened(self, driver: str, connection: Any = None, is_open: Callable[[Any], bool] | None = None) -> None:
        """Write down that a connection was opened.

        With `connection` and `is_open` it is known later whether it was left open; without, it belongs to a pool or to
        an object-relational mapper that closes it in its own time.
        """
        opening = Opening(driver, locate(sys._getframe(1)), _still_open(connection, is_open))
        for recording in self._recordings:
            recording.openings.append(opening)

    def lent(self, driver: str, key: int, nanoseconds: int, in_use: int | None = None) -> None:
        """Write down that a pool gave a connection, known as `key`, after so long; `in_use` as the pool counts them."""
        for recording in self._recordings:
            loans = recording.loans
            loans.waits.append(nanoseconds)
            loans.out[key] = Opening(driver, locate(sys._getframe(1)), lambda: True)
            loans.most = max(loans.most, len(loans.out) if in_use is None else in_use)

    def returned(self, key: int) -> None:
        """Write down that a connection was given back to its pool."""
        for recording in self._recordings:
            recording.loans.out.pop(key, None)

    def remark(self, note: Note) -> None:
        """Add `note` to every block that records."""
        for recording in self._recordings:
            if note not in recording.notes:
                recording.notes.append(note)


def _still_open(connection: Any, is_open: Callable[[Any], bool] | None) -> Callable[[], bool]:
    if connection is None or is_open is None:
        return lambda: False
    try:
        refer: Callable[[], Any] = weakref.ref(connection)
    except TypeError:
        refer = lambda: connection  # noqa: E731 - one that cannot be referred to weakly is kept for the block

    def still_open() -> bool:
        found = refer()
        try:
            return found is not None and is_open(found)
        except Exception:  # noqa: BLE001 - a driver that refuses to say: not one to accuse
            return False

    return still_open


def _digest(text: str, parameters: object, tape: Tape) -> int:
    # The text belongs to it: values may stand in the SQL itself. What a user's __repr__ asks the database is no query
    # of the measured code, and what it raises is no error of it.
    try:
        with tape.layer():
            return hash((text, repr(parameters)))
    except Exception:  # noqa: BLE001
        return hash((text, id(parameters)))
