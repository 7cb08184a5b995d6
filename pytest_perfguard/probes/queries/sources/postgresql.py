"""What the drivers of PostgreSQL have in common: texts in many forms, and statements that are sent together."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from time import perf_counter_ns
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from pytest_perfguard.model import Note
from pytest_perfguard.probes.queries.tokens import VALUE
from pytest_perfguard.probes.watch.entry import Entry
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.tape import Tape

DIALECT = "postgresql"
UNDERMINED = ("queries", "reads", "writes")
"""What cannot be known where a statement may have gone unseen."""

Result = TypeVar("Result")


def text_of(query: object, context: object = None) -> str:
    """Return what `query` says: a text, bytes, or a composed statement that needs `context`, a connection or cursor.

    Never raises: the driver will complain of what is no statement.
    """
    if isinstance(query, str):
        return query
    try:
        if isinstance(query, (bytes, bytearray)):
            return query.decode(errors="replace")
        compose = getattr(query, "as_string", None)
        if compose is not None:
            return str(compose(context))
        strings = getattr(query, "strings", None)  # a template string, t"…"
        return str(query) if strings is None else VALUE.join(strings)
    except Exception:  # noqa: BLE001
        return type(query).__name__


def write(tape: Tape, text: str, parameters: object, driver: str) -> list[Entry]:
    """Write down what one call sends: an entry for each statement of `text`, which the server is asked for at once."""
    texts = split(text) if ";" in text else [text]
    entries = [tape.write(each, parameters, dialect=DIALECT, driver=driver) for each in texts or [text]]
    if len(entries) > 1:
        for entry in entries:
            entry.trips = 0
        # What controls a transaction is not counted: the round trip is that of a statement which is.
        next((each for each in entries if not controls_transaction(each.text)), entries[0]).trips = 1
    return entries


class Carrying:
    """Stands around what carries a call out: its entries share the time, and count unless the driver refused it."""

    __slots__ = ("_began", "_entries")

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries

    def __enter__(self) -> None:
        self._began = perf_counter_ns()

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        passed = (perf_counter_ns() - self._began) // len(self._entries)
        refused = error is not None and _is_refusal(error)
        for entry in self._entries:
            entry.nanoseconds = passed
            if refused and entry.counts is None:
                entry.counts = _never


_REFUSALS = frozenset(
    "InterfaceError ProgrammingError NotSupportedError DataError TypeError ValueError LookupError".split()  # noqa: SIM905
)


def _is_refusal(error: BaseException) -> bool:
    """Return whether a driver raised `error` by itself: the server would have said why, by a number."""
    # asyncpg's own errors have the number of their class, and lack the rest of a server's answer.
    answered = getattr(error, "severity", "") is not None
    if answered and (getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)):
        return False
    return any(kind.__name__ in _REFUSALS for kind in type(error).__mro__)


def _never() -> bool:
    return False


def timed(entry: Entry, steps: Generator[Any, Any, Result]) -> Generator[Any, Any, Result]:
    """Carry `steps` out, and add the time that they take to that of `entry`."""
    began = perf_counter_ns()
    try:
        return (yield from steps)
    finally:
        entry.nanoseconds = max(entry.nanoseconds, 0) + perf_counter_ns() - began


class CountedRows:
    """Rows of parameters on their way to the driver, counted; `fetch` calls what gives the next one."""

    def __init__(self, rows: Iterable[Any], fetch: Callable[..., Any] = lambda function, rows: function(rows)) -> None:
        self._rows = iter(rows)
        self._fetch = fetch
        self.count = 0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        row = self._fetch(next, self._rows)
        self.count += 1
        return row

    def any(self) -> bool:
        """Return whether there were any: without them a driver sends nothing."""
        return self.count > 0


def sized(rows: object) -> object:
    """Return `rows` where they can be looked at without using them up, or else None."""
    return rows if isinstance(rows, (list, tuple)) else None


class Portal(NamedTuple):
    """A cursor of the server's, whose rows are fetched by and by."""

    entry: Entry
    counts_rows: bool
    """Whether its rows are counted here, and by no layer above."""

    def give(self, rows: int) -> None:
        """Take note of rows that came back."""
        if self.counts_rows:
            self.entry.rows += rows


class Portals:
    """The statements of server-side cursors, whose fetches are further round trips of theirs."""

    def __init__(self, tape: Tape, driver: str) -> None:
        self._tape = tape
        self._driver = driver
        self._entries: WeakKeyDictionary[Any, tuple[Entry | None, bool]] = WeakKeyDictionary()

    def open(self, cursor: Any, entry: Entry) -> None:
        """Take note that `entry` opened `cursor`."""
        self._entries[cursor] = entry, True

    def leave(self, cursor: Any) -> None:
        """Take note that a layer above opened `cursor`, and counts its rows."""
        self._entries[cursor] = self._tape.above(), False

    def ask(self, cursor: Any, name: str, *, again: bool = True) -> Portal | None:
        """Add a round trip, unless `again` is false, to the statement of `cursor`; None where nobody is to know.

        One that was opened before the block counts as a statement once.
        """
        if self._tape.hidden():
            return None
        if cursor not in self._entries:
            entry = self._tape.write(f'FETCH FROM "{name}"', None, dialect=DIALECT, driver=self._driver)
            entry.trips = 0
            self.open(cursor, entry)
        found, own = self._entries[cursor]
        if found is None:
            return None
        found.trips += again
        return Portal(found, own and self._tape.counts_rows)


def replace(patches: Patches, kind: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put `make(original)` in the place of a method, in the class that `kind` has it from.

    Raises where there is none: in a version of the driver that is not known, no count is better than a wrong one.
    """
    owner = next((each for each in kind.__mro__ if name in vars(each)), None)
    if owner is None:
        raise AttributeError(f"{kind.__module__}.{kind.__qualname__} has no {name}")
    patches.wrap(owner, name, make)


_CONTROL = re.compile(
    r"\s*(?:BEGIN|START\s+TRANSACTION|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE|PREPARE\s+TRANSACTION)\b",
    re.IGNORECASE,
)


def controls_transaction(text: str) -> bool:
    """Return whether `text` begins, ends or divides a transaction."""
    return _CONTROL.match(text) is not None


_PIECE = re.compile(
    r"""
    (?<![\w$])[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/
  | (?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$
  | (?P<atomic>\bBEGIN\s+ATOMIC\b) | (?P<case>\bCASE\b) | (?P<end>\bEND\b) | (?P<semicolon>;)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_NOTHING = re.compile(r"(?:\s+|--[^\n]*|/\*.*?\*/)*", re.DOTALL)


def split(script: str) -> list[str]:
    """Return the statements of `script` as written, empty ones left out.

    Semicolons in strings, between dollars, and from BEGIN ATOMIC to its END divide nothing.
    """
    statements: list[str] = []
    start = depth = 0
    for match in _PIECE.finditer(script):
        kind = match.lastgroup
        if kind == "atomic" or (kind == "case" and depth):
            depth += 1
        elif kind == "end":
            depth = max(depth - 1, 0)
        elif kind == "semicolon" and not depth:
            statements.append(script[start : match.start()])
            start = match.end()
    statements.append(script[start:])
    return [each.strip() for each in statements if _NOTHING.fullmatch(each) is None]


def unseen_note(code: str, message: str, remedy: str) -> Note:
    """Return the note that statements went past what sees them."""
    return Note(code=code, message=message, remedy=remedy, undermines=UNDERMINED)
