"""Database statements and outgoing requests as a test made them, grouped and without their parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum


class StatementKind(StrEnum):
    """What a statement does; only reads and writes count against a budget on queries."""

    READ = "read"
    WRITE = "write"
    TRANSACTION = "transaction"
    DDL = "ddl"
    META = "meta"
    REQUEST = "request"
    """No statement but an outgoing call over HTTP, with a budget of its own."""
    CONNECTION = "connection"
    """No statement but the opening of a connection, or one that was left open."""


COUNTED = frozenset({StatementKind.READ, StatementKind.WRITE})
"""The kinds that count against a budget on queries."""

MANY = 3
"""Different parameter sets on one way through the code from which on a loop is likely."""

_STAR = re.compile(
    r"(?<!EXISTS\()(?<!EXISTS \()\bSELECT (?:DISTINCT |ALL )?(?:[^()]*, )?(?:[\w.\"`]+\.)?\*(?=,| FROM\b|$)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A group of equal statements from one place in the user's code: no values, and nothing kept that would age."""

    fingerprint: str
    kind: StatementKind
    count: int
    distinct: int
    """How many different sets of parameters there were."""
    tables: tuple[str, ...] = ()
    function: str = ""
    """`path:function` of the first frame in the user's own code, path relative to the root folder."""
    driver: str = ""
    """What executed it: a driver, or a mapper and the driver beneath it ("django+psycopg")."""
    line: int = 0
    """The line in that file, for the reader of a failure; neither compared nor stored, like all that follow."""
    looped: int = 0
    """Most different sets of parameters on one way through the code, statements for many rows at once left out."""
    repeated: int = 0
    """Executions with the same parameters again, and nothing written to its tables in between."""
    rows: int = 0
    """Rows that came back, where they were counted."""
    slowest: float = 0.0
    """Seconds of the slowest execution, where it was timed."""
    growth: tuple[tuple[int, int], ...] = ()
    """Sizes of the data and the count at each, where the same was run at several sizes."""
    advice: tuple[str, ...] = ()
    """What the database says of how it executes it, where it was asked."""

    @property
    def n_plus_one(self) -> bool:
        """Return whether it is a potential N+1: a read, once for each of several sets of parameters."""
        return self.kind is StatementKind.READ and self.looped >= MANY

    @property
    def batchable(self) -> bool:
        """Return whether it writes one row after the other, where one statement could write them all."""
        return self.kind is StatementKind.WRITE and self.looped >= MANY

    @property
    def selects_star(self) -> bool:
        """Return whether it asks for all columns of a table, whichever those are."""
        return self.kind is StatementKind.READ and _STAR.search(self.fingerprint) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryLog:
    """What one call asked of databases and other servers: its statements, most frequent first."""

    dialect: str
    """Dialects of what was counted, joined by ", "."""
    driver: str
    """Drivers of what was counted, joined by ", "."""
    statements: tuple[Statement, ...]

    @property
    def dialects(self) -> frozenset[str]:
        """Return the dialects of what was counted."""
        return frozenset(filter(None, self.dialect.split(", ")))

    @property
    def drivers(self) -> frozenset[str]:
        """Return the drivers of what was counted."""
        return frozenset(filter(None, self.driver.split(", ")))

    def count(self, kinds: Iterable[StatementKind], table: str = "") -> int:
        """Return how many statements of `kinds` there were, with `table` those that name it.

        Names are compared without regard to case; `orders` is also the table of that name in any schema.
        """
        kinds = frozenset(kinds)
        return sum(
            statement.count
            for statement in self.statements
            if statement.kind in kinds and (not table or names_table(statement, table))
        )

    def kept(self) -> QueryLog:
        """Return what is stored of it: neither lines nor what else belongs to one run."""
        return replace(
            self,
            statements=tuple(
                replace(statement, line=0, looped=0, repeated=0, rows=0, slowest=0.0, growth=(), advice=())
                for statement in self.statements
                if statement.kind is not StatementKind.CONNECTION
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSizes:
    """What users declare of their tables, since the tables of a test are always small."""

    big: tuple[tuple[str, int], ...] = ()
    """Tables that have many rows in production, with how many."""
    small: tuple[str, ...] = ()
    """Tables that will always be small: nothing is said of reading all of them."""


def names_table(statement: Statement, table: str) -> bool:
    """Return whether `statement` names `table`, or a table of that name in some schema."""
    wanted = table.casefold()
    return any(name.casefold() == wanted or name.casefold().endswith(f".{wanted}") for name in statement.tables)


def merge_logs(logs: Iterable[QueryLog | None]) -> QueryLog | None:
    """Return one log of what several instruments saw in several runs of the same call.

    Of statements, and of requests over HTTP, it is the list of the last that has any, with what the others knew beside.
    """
    found: list[QueryLog] = []
    given = [log for log in logs if log is not None]
    for over_http in (False, True):
        family = [log for log in given if log.statements and (log.dialect == "http") is over_http]
        if family:
            found.append(_overlay(family))
    if len(found) < 2:
        return found[0] if found else next(iter(given), None)
    return QueryLog(
        dialect=", ".join(sorted(frozenset.union(*(log.dialects for log in found)))),
        driver=", ".join(sorted(frozenset.union(*(log.drivers for log in found)))),
        statements=tuple(statement for log in found for statement in log.statements),
    )


def _overlay(logs: Sequence[QueryLog]) -> QueryLog:
    """Return the last of `logs`, each statement with the most that any of them knew of it."""
    known: dict[tuple[str, str, str, str], Statement] = {}
    for log in logs:
        for each in log.statements:
            key = (each.fingerprint, each.kind, each.function, each.driver)
            other = known.get(key, each)
            known[key] = replace(
                each,
                looped=max(each.looped, other.looped),
                repeated=max(each.repeated, other.repeated),
                rows=max(each.rows, other.rows),
                slowest=max(each.slowest, other.slowest),
                advice=each.advice or other.advice,
            )
    last = logs[-1]
    keys = [(each.fingerprint, each.kind, each.function, each.driver) for each in last.statements]
    return replace(last, statements=tuple(known[key] for key in keys))
