"""What the drivers of MySQL and MariaDB have in common: their texts, and the methods of their synchronous cursors."""

from __future__ import annotations

import functools
import re
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from pytest_perfguard.probes.watch.entry import Entry
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.sending import Sending
from pytest_perfguard.probes.watch.tape import Tape

DIALECT = "mysql"
"""Of every bare driver: which of the two servers it talks to it does not say, and their texts are read alike.

SQLAlchemy names the dialect after the URL, and so says "mysql" of both as well, unless it is told "mariadb".
"""

MULTI_STATEMENTS = 1 << 16
"""The flag of a connection that lets one text hold several statements."""

_Ask = Callable[[Any, Entry, object], None]
_INSIDE = re.compile(r";(?=\s*[^\s;])")
_PIECES = re.compile(
    r"'(?:[^'\\]|\\.|'')*'?|\"(?:[^\"\\]|\\.|\"\")*\"?|`(?:[^`]|``)*`?|--(?=\s|\Z)[^\n]*|\#[^\n]*|/\*.*?(?:\*/|\Z)|;",
    re.DOTALL,
)
_COMMENTS = re.compile(r"(?:\s|--(?=\s|\Z)[^\n]*|\#[^\n]*|/\*(?!M?!).*?(?:\*/|\Z))*", re.DOTALL)
_WITH_BODY = re.compile(
    r"\s*(?:CREATE\b[^;(]*?\b(?:PROCEDURE|FUNCTION|TRIGGER|EVENT|PACKAGE)\b|BEGIN\s+NOT\s+ATOMIC\b)", re.IGNORECASE
)


def to_text(query: object) -> str:
    """Return `query` as text, whatever it is; never raises."""
    if isinstance(query, str):
        return query
    if isinstance(query, (bytes, bytearray)):
        return query.decode("utf-8", "replace")
    return type(query).__name__  # a driver refuses it


def split(text: str) -> list[str]:
    """Return the statements of `text`, without those that are nothing but a comment; the body of a procedure is one."""
    if _INSIDE.search(text) is None:
        return [text]
    found: list[str] = []
    start = 0
    for match in _PIECES.finditer(text):
        if match.group() != ";" or _WITH_BODY.match(text, start):
            continue
        found.append(text[start : match.start()])
        start = match.end()
    found.append(text[start:])
    return [piece for piece in found if _COMMENTS.fullmatch(piece) is None] or [text]


def write(tape: Tape, driver: str, query: object, parameters: object = None, *, several: bool = False) -> Entry:
    """Write `query` down and return its entry.

    With `several`, a text may hold more than one statement: those after the first have entries of their own, which are
    no further trips and take no time.
    """
    text = to_text(query)
    first, *others = split(text) if several else [text]
    entry = tape.write(first, parameters, dialect=DIALECT, driver=driver)
    for other in others:
        also = tape.write(other, parameters, dialect=DIALECT, driver=driver)
        also.counts = lambda: entry.counts is None
        also.trips = also.nanoseconds = 0
    return entry


def argument(position: int, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return what a method was called with, None where it was left out."""
    return args[position] if len(args) > position else kwargs.get(name)


def is_empty(rows: object) -> bool:
    """Return whether there are no rows for `executemany`, which then sends nothing."""
    return isinstance(rows, (list, tuple)) and not rows


def call_text(procedure: object, arguments: object) -> str:
    """Return the text of the statement that calls a stored procedure."""
    count = len(arguments) if isinstance(arguments, (list, tuple)) else 0
    return f"CALL `{to_text(procedure).replace('`', '``')}`({', '.join('?' * count)})"


class RowCounts:
    """Adds what cursors fetch to the entries of what they executed last, for as long as anybody wants to know."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._entries: weakref.WeakKeyDictionary[Any, Entry] = weakref.WeakKeyDictionary()

    def follow(self, cursor: Any, entry: Entry) -> None:
        """Let `entry` have the rows that `cursor` fetches from now on."""
        if self._tape.counts_rows:
            with suppress(TypeError):  # a class of the user's that cannot be a key
                self._entries[cursor] = entry

    def add(self, cursor: Any, count: int) -> None:
        """Count rows of `cursor`."""
        with suppress(TypeError):
            entry = self._entries.get(cursor)
            if entry is not None:
                entry.rows += count

    def watch(self, patches: Callable[[Patches], None]) -> Callable[[], None]:
        """Let `patches` be in place only while rows are counted; return what ends it."""
        placed = Patches()

        def switch(on: bool) -> None:
            if on:
                patches(placed)
            else:
                placed.undo()

        return self._tape.watch_rows(switch)


class SyncCursors:
    """Makes the methods of synchronous cursors write down what they execute."""

    def __init__(self, tape: Tape, driver: str, rows: RowCounts, ask: _Ask) -> None:
        self._tape = tape
        self._driver = driver
        self._rows = rows
        self._ask = ask

    def wrap(self, patches: Patches, cursor: Any) -> None:
        """Replace the methods of the class `cursor`."""
        patches.wrap(cursor, "execute", self._execute)
        patches.wrap(cursor, "executemany", self._executemany)
        patches.wrap(cursor, "callproc", self._callproc)

    def _execute(self, original: Callable[..., Any]) -> Callable[..., Any]:
        tape = self._tape

        @functools.wraps(original)
        def execute(cursor: Any, *args: Any, **kwargs: Any) -> Any:
            if tape.hidden():
                return original(cursor, *args, **kwargs)
            parameters = argument(1, "args", args, kwargs)
            several = bool(getattr(cursor.connection, "client_flag", 0) & MULTI_STATEMENTS)
            query = argument(0, "query", args, kwargs)
            entry = write(tape, self._driver, query, parameters, several=several)
            if tape.planner is not None:
                self._ask(cursor, entry, parameters)
            self._rows.follow(cursor, entry)
            with Sending(entry):
                return original(cursor, *args, **kwargs)

        return execute

    def _executemany(self, original: Callable[..., Any]) -> Callable[..., Any]:
        tape = self._tape

        @functools.wraps(original)
        def executemany(cursor: Any, *args: Any, **kwargs: Any) -> Any:
            rows = argument(1, "args", args, kwargs)
            if is_empty(rows) or tape.hidden():
                return original(cursor, *args, **kwargs)
            entry = write(tape, self._driver, argument(0, "query", args, kwargs), rows)
            entry.batch = True
            self._rows.follow(cursor, entry)
            with Sending(entry, doubtful=not isinstance(rows, (list, tuple))):
                return original(cursor, *args, **kwargs)

        return executemany

    def _callproc(self, original: Callable[..., Any]) -> Callable[..., Any]:
        tape = self._tape

        @functools.wraps(original)
        def callproc(cursor: Any, *args: Any, **kwargs: Any) -> Any:
            if tape.hidden():
                return original(cursor, *args, **kwargs)
            parameters = argument(1, "args", args, kwargs)
            text = call_text(argument(0, "procname", args, kwargs), parameters)
            entry = write(tape, self._driver, text, parameters)
            self._rows.follow(cursor, entry)
            with Sending(entry):
                return original(cursor, *args, **kwargs)

        return callproc


def stating(tape: Tape, driver: str, text: str, original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that writes `text` down, which `original` sends."""

    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if tape.hidden():
            return original(self, *args, **kwargs)
        with Sending(write(tape, driver, text)):
            return original(self, *args, **kwargs)

    return method


def opening(
    tape: Tape, driver: str, is_open: Callable[[Any], bool], original: Callable[..., Any]
) -> Callable[..., Any]:
    """Return a method that opens a connection; what `original` executes meanwhile belongs to that."""

    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        outermost = not tape.hidden()
        with tape.layer():
            result = original(self, *args, **kwargs)
        if outermost:
            tape.opened(driver, self, is_open)
        return result

    return method
