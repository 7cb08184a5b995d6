"""Database statements as a test made them, grouped and without their parameters."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class StatementKind(StrEnum):
    """What a statement does; only reads and writes count against a budget on queries."""

    READ = "read"
    WRITE = "write"
    TRANSACTION = "transaction"
    DDL = "ddl"
    META = "meta"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A group of equal statements from one place in the user's code: no values, no line numbers that would age."""

    fingerprint: str
    kind: StatementKind
    count: int
    distinct: int
    """How many different sets of parameters there were: 1 of many is a duplicate, many of many a potential N+1."""
    tables: tuple[str, ...] = ()
    function: str = ""
    """`path:function` of the first frame in the user's own code, path relative to the root folder."""
    line: int = 0
    """The line in that file, for the reader of a failure; it is not compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryLog:
    """What one call asked of the database: its statements, most frequent first, and dialect and driver."""

    dialect: str
    driver: str
    statements: tuple[Statement, ...]
