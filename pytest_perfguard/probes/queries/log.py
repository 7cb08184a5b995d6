"""From single executions to what is said of them: groups of equal statements, and counts."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pytest_perfguard.model import COUNTED, QueryLog, Statement, StatementKind
from pytest_perfguard.model.queries import MANY
from pytest_perfguard.probes.queries.fingerprint import analyse
from pytest_perfguard.probes.queries.pages import may_be_page, series
from pytest_perfguard.probes.watch.callsite import Site, describe
from pytest_perfguard.probes.watch.entry import Entry, Shape
from pytest_perfguard.probes.watch.recording import Opening


class Read(NamedTuple):
    """An entry with what its text says."""

    entry: Entry
    shape: Shape
    kind: StatementKind


def read(entries: Iterable[Entry]) -> list[Read]:
    """Return the entries that count, in their order, with the shapes of their texts."""
    found = []
    shapes: dict[tuple[str, str], Shape] = {}
    for entry in entries:
        if entry.counts is not None and not entry.counts():
            continue
        if entry.shape is not None:
            shape = entry.shape()
        else:
            key = (entry.text, entry.dialect)
            known = shapes.get(key)
            shape = shapes.setdefault(key, analyse(*key)) if known is None else known
        found.append(Read(entry, shape, entry.kind or shape.kind))
    return found


def make_log(reads: Sequence[Read], root: Path, *, opened: Iterable[Opening], leaked: Iterable[Opening]) -> QueryLog:
    """Return the groups of equal statements from one place, most frequent first, and openings of connections."""
    groups: dict[tuple[str, StatementKind, str, str], _Group] = {}
    repeated = set(repetitions(reads))
    places: dict[int, _Place] = {}
    known: dict[tuple[int, int, int, str], _Group] = {}
    for number, (entry, shape, kind) in enumerate(reads):
        place = places.get(id(entry.site)) or places.setdefault(id(entry.site), _Place.of(entry.site, root))
        near = (id(shape), id(place), id(kind), entry.driver)  # much faster to hash
        group = known.get(near)
        if group is None:
            key = (shape.fingerprint, kind, place.function, entry.driver)
            group = known[near] = groups.setdefault(key, _Group(shape))
        group.add(entry, shape, place, again=number in repeated)
    statements = [
        *(group.statement(*key) for key, group in groups.items()),
        *_connections("connect", opened, root),
        *_connections("left open", leaked, root),
    ]
    statements.sort(key=lambda statement: (-statement.count, statement.fingerprint, statement.function))
    telling = [entry for entry, _, kind in reads if kind in COUNTED] or [entry for entry, _, _ in reads]
    return QueryLog(
        dialect=", ".join(sorted({entry.dialect for entry in telling})),
        driver=", ".join(sorted({entry.driver for entry in telling})),
        statements=tuple(statements),
    )


_VOLATILE = re.compile(
    r"\b(?:nextval|currval|setval|lastval|random|rand|uuid\w*|gen_random_uuid|now|clock_timestamp|current_timestamp"
    r"|statement_timestamp|last_insert_id|last_insert_rowid|changes|(?:pg_)?sleep|set_config|txid_current\w*"
    r"|\w*lock\w*)\s?\("
    r"|\b(?:current_(?:timestamp|date|time|user)|localtime(?:stamp)?|sysdate)\b"
    r"|\b(?:date|time|datetime|julianday|unixepoch)\s?\(\s?\?"  # of 'now', which is a value like any other
    r"|\bFOR (?:NO KEY |KEY )?(?:UPDATE|SHARE)\b",
    re.IGNORECASE,
)
"""What gives another answer each time, or is asked for its effect."""


def repetitions(reads: Sequence[Read]) -> list[int]:
    """Return the places in `reads` of those that ask again, in vain: equal, and nothing of theirs written in between.

    A roll-back and a change of tables count as writing everything, and so does a write to nobody knows what. A pipeline
    or batch is left out, since its answers are not known before it is sent.
    """
    again: list[int] = []
    written: Counter[str] = Counter()
    seen: dict[tuple[str, int], tuple[int, ...]] = {}
    known: dict[int, tuple[list[str], bool]] = {}
    for number, (entry, shape, kind) in enumerate(reads):
        if id(shape) not in known:
            volatile = _VOLATILE.search(shape.fingerprint) is not None
            known[id(shape)] = [table.casefold() for table in shape.tables], volatile
        tables, volatile = known[id(shape)]
        if kind is StatementKind.READ:
            if volatile or (entry.shape is None and not tables):  # SQL that asks no table: SELECT 1
                continue
            state = (written[""], *(written[table] for table in tables))
            key = (shape.fingerprint, entry.digest)
            if seen.get(key) == state:
                again.append(number)
            seen[key] = state
        elif kind is StatementKind.WRITE:
            written.update(tables or [""])
        elif kind is StatementKind.DDL or shape.fingerprint.startswith("ROLLBACK"):
            written[""] += 1
    return again


def percentile(values: Sequence[int], share: float) -> int:
    """Return the smallest of `values` that at least `share` of them do not exceed; 0 of none."""
    return sorted(values)[math.ceil(share * len(values)) - 1] if values else 0


class _Place(NamedTuple):
    """A site, made readable."""

    function: str
    line: int
    path: int

    @classmethod
    def of(cls, site: Site | None, root: Path) -> _Place:
        return cls(*describe(site, root), 0 if site is None else site.path)


class _Group:
    def __init__(self, shape: Shape) -> None:
        self._tables = shape.tables
        self._paged = may_be_page(shape.fingerprint)
        self._count = self._repeated = self._rows = self._slowest = 0
        self._first_line = self._repeated_line = 0
        self._digests: set[int] = set()
        self._ways: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
        """What differs from turn to turn, by the way through the code and the line that it ends at."""
        self._advice: dict[str, None] = {}

    def add(self, entry: Entry, shape: Shape, place: _Place, *, again: bool) -> None:
        self._first_line = self._first_line or place.line
        if again:
            self._repeated_line = self._repeated_line or place.line
        self._count += 1
        self._repeated += again
        self._rows += entry.rows
        self._slowest = max(self._slowest, entry.nanoseconds)
        self._digests.add(entry.digest)
        if not (entry.batch or shape.batch):
            self._ways[place.path, place.line].add(self._turn(entry))
        if isinstance(entry.finding, Finding):
            self._advice.update(dict.fromkeys(entry.finding.lines))

    def _turn(self, entry: Entry) -> int:
        """Return what is equal for all that one turn of a loop asks for: a list in pages, the writes of one flush."""
        if entry.unit:
            return -entry.unit
        page = series(entry) if self._paged else None
        return entry.digest if page is None else page

    def statement(self, fingerprint: str, kind: StatementKind, function: str, driver: str) -> Statement:
        (_, line), turns = max(self._ways.items(), key=lambda way: len(way[1]), default=((0, 0), ()))
        if len(turns) < MANY:  # no loop to point at
            line = self._repeated_line or self._first_line
        return Statement(
            fingerprint=fingerprint,
            kind=kind,
            count=self._count,
            distinct=len(self._digests),
            tables=self._tables,
            function=function,
            driver=driver,
            line=line,
            looped=len(turns),
            repeated=self._repeated,
            rows=self._rows,
            slowest=max(self._slowest, 0) * 1e-9,
            advice=tuple(self._advice),
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """What a database says of a statement that it could execute better, in lines."""

    lines: tuple[str, ...]


def _connections(what: str, openings: Iterable[Opening], root: Path) -> list[Statement]:
    counts: Counter[tuple[str, str, int]] = Counter(
        (opening.driver, *describe(opening.site, root)) for opening in openings
    )
    return [
        Statement(
            fingerprint=f"{what} ({driver})",
            kind=StatementKind.CONNECTION,
            count=count,
            distinct=1,
            function=function,
            driver=driver,
            line=line,
        )
        for (driver, function, line), count in counts.items()
    ]
