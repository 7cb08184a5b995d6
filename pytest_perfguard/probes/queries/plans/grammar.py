"""What dialects of SQL differ in, as far as indexes and their names are concerned."""

from __future__ import annotations

import re
from typing import NamedTuple

from pytest_perfguard.probes.queries.tokens import KEYWORDS

_RESERVED = KEYWORDS | frozenset(
    """
    ADD ANALYSE ASYMMETRIC AUTHORIZATION BOTH CHECK COLLATE COLLATION COLUMN CONCURRENTLY CURRENT_CATALOG CURRENT_DATE
    CURRENT_ROLE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER DATABASE DEFERRABLE FREEZE FUNCTION GENERATED GLOB GROUPS
    INITIALLY LEADING LOCALTIME LOCALTIMESTAMP MATCH NATURAL OVERLAPS PLACING RANGE REGEXP SESSION_USER SYMMETRIC
    TABLESAMPLE TRAILING TRIGGER USER VARIADIC VERBOSE
    """.split()  # noqa: SIM905 - a list of strings is no easier to read
)
"""Words that are quoted where they are names; quoting one that need not be does no harm."""

_RESERVED_IN_MYSQL = frozenset(
    """
    BIGINT CHANGE CHAR CONDITION CONTINUE CONVERT DECIMAL DESCRIBE DIV DOUBLE EACH ELSEIF ENCLOSED ESCAPED EXIT FLOAT
    FULLTEXT INOUT INT INTEGER ITERATE KEYS KILL LEAVE LINEAR LINES LOAD LONG LOOP MOD MODIFIES NUMERIC OPTIMIZE
    OPTION OUT OUTFILE OVER PRECISION PROCEDURE PURGE RANK READ READS RECURSIVE REQUIRE RESIGNAL RETURN RLIKE ROW
    ROW_NUMBER SCHEMA SEPARATOR SIGNAL SMALLINT SPATIAL SQL SSL STARTING STORED SYSTEM TINYINT UNDO UNLOCK UNSIGNED
    USAGE USE VARCHAR VARYING VIRTUAL WHILE WRITE XOR ZEROFILL
    """.split()  # noqa: SIM905
)


class Grammar(NamedTuple):
    """One family of dialects."""

    name: str
    """The dialect's name in `tokens`."""
    parser: str
    """Its name in sqlglot."""
    quote: str
    simple: re.Pattern[str]
    """Names that need no quotes."""
    of_expressions: frozenset[str] = frozenset()
    """Functions of sqlglot that an index may be made of."""
    beginnings: str = ""
    """What an index must have beside the column to serve LIKE with the beginning of a text."""
    like: bool = True
    """Whether a plain index serves such a LIKE."""
    reserved: frozenset[str] = _RESERVED
    system: frozenset[str] = frozenset()
    """Schemas of the database's own tables."""

    def identifier(self, name: str) -> str:
        """Return `name` as it is written in a statement."""
        if self.simple.fullmatch(name) and name.upper() not in self.reserved:
            return name
        return f"{self.quote}{name.replace(self.quote, self.quote * 2)}{self.quote}"


_FOLDING = frozenset({"LOWER", "UPPER"})

SQLITE = Grammar(
    "sqlite", "sqlite", '"', re.compile(r"[A-Za-z_]\w*", re.ASCII), _FOLDING, " COLLATE NOCASE", like=False
)
POSTGRESQL = Grammar(
    "postgresql", "postgres", '"', re.compile(r"[a-z_][a-z0-9_]*"), _FOLDING, " text_pattern_ops", like=False
)
MYSQL = Grammar(
    "mysql",
    "mysql",
    "`",
    re.compile(r"[A-Za-z_]\w*", re.ASCII),
    reserved=_RESERVED | _RESERVED_IN_MYSQL,
    system=frozenset({"information_schema", "performance_schema", "mysql", "sys"}),
)
