"""What makes two statements the same: their text without values, comments, and the lengths of lists."""

from __future__ import annotations

import re
from functools import lru_cache

from pytest_perfguard.model import StatementKind
from pytest_perfguard.probes.queries.kinds import classify
from pytest_perfguard.probes.queries.tables import find_tables
from pytest_perfguard.probes.queries.tokens import KEYWORDS, OPERATORS, VALUE, cut
from pytest_perfguard.probes.watch.entry import Shape

_CACHED = 4096
_TOO_LONG = 20_000
"""Characters beyond which a text is not worth a place in the cache."""

_BETWEEN_VALUES = OPERATORS | {":", ";", ",", "(", "[", "{"}
_BEFORE_EXPRESSION = frozenset(
    """
    ALL AND BETWEEN BY CASE DEFAULT DISTINCT ELSE ESCAPE FETCH HAVING ILIKE IN INTERVAL IS LIKE LIMIT NOT OFFSET ON OR
    RETURNING ROWS SELECT SET THEN TO VALUES WHEN WHERE
    """.split()  # noqa: SIM905
)
_BEFORE_SIGN = _BETWEEN_VALUES | _BEFORE_EXPRESSION
_BEFORE_TEST = frozenset({"IS", "NOT", "ON", "WHERE", "AND", "OR", "WHEN", "HAVING", "DEFAULT"})
"""After these TRUE and FALSE are no values but make a condition another one."""
_LISTS = frozenset({"IN", "ANY", "ALL", "SOME"})
_BOOLEANS = frozenset({"TRUE", "FALSE"})
_CONSTANTS = _BOOLEANS | {"NULL"}
_OF_ROW = frozenset({"(", ")", ",", VALUE, "NULL"})
_TIGHT_BEFORE = frozenset({",", ")", ".", ";", "]", "::", "["})
_TIGHT_AFTER = frozenset({"(", ".", "[", "::"})
_SPACED = (_BETWEEN_VALUES | KEYWORDS | {VALUE}) - _TIGHT_AFTER - {"CAST", "ROW"}
_TELLING = frozenset({VALUE, "(", "[", ")", "]"}) | _BOOLEANS


def fingerprint(sql: str, dialect: str = "") -> str:
    """Return `sql` with `?` for each value, with lists of values cut to one, and in one way of writing.

    Columns, conditions and quoted identifiers stay as they are. It never raises, and the fingerprint of a fingerprint
    is itself. `dialect` is SQLAlchemy's name of it; it decides what quotes and backslashes mean.
    """
    return analyse(sql, dialect).fingerprint


def tables(sql: str, dialect: str = "") -> tuple[str, ...]:
    """Return the names of the tables that `sql` names, in the order of their first appearance."""
    return analyse(sql, dialect).tables


def kind_of(sql: str, dialect: str = "") -> StatementKind:
    """Return what `sql` does."""
    return analyse(sql, dialect).kind


def analyse(sql: str, dialect: str = "") -> Shape:
    """Return the shape of `sql`; the shapes of the last few thousand short texts are remembered."""
    return _analyse(sql, dialect) if len(sql) > _TOO_LONG else _analyse_cached(sql, dialect)


def _analyse(sql: str, dialect: str) -> Shape:
    tokens, batch = _normalise(cut(sql, dialect), dialect)
    text = _join(tokens)
    for _ in range(_ROUNDS if "@@" in text or not _AMBIGUOUS.isdisjoint(tokens) else 0):
        again = _join(_normalise(cut(text, dialect), dialect)[0])
        if again == text:
            break
        text = again
    return Shape(text, classify(tokens), find_tables(tokens), batch or _OF_ARRAY.search(text) is not None)


_OF_ARRAY = re.compile(r"\b(?:ANY|(?i:unnest|json_each|json_table|openjson))\s?\(\?")
"""One placeholder that stands for many values."""


_AMBIGUOUS = frozenset("#:%$@+-\\")
"""Tokens that may read otherwise beside what a first pass has put there; a fingerprint is its own fingerprint."""
_ROUNDS = 4

_analyse_cached = lru_cache(maxsize=_CACHED)(_analyse)


def _normalise(tokens: list[str], dialect: str) -> tuple[list[str], bool]:
    """Return the tokens without their values, and whether lists or rows of values were cut short."""
    out: list[str] = []
    lists = _Lists(out)
    for token in tokens:
        part = token
        if part not in _TELLING:
            pass
        elif part == VALUE:
            while out and out[-1] in "+-" and (len(out) == 1 or out[-2] in _BEFORE_SIGN):
                out.pop()
        elif part in _BOOLEANS:
            part = part if out and out[-1] in _BEFORE_TEST else VALUE
        elif part in "([":
            lists.open()
        elif lists.close(part):
            continue
        out.append(part)
    while out and out[-1] == ";":
        out.pop()
    merged = out.count("WHEN") > 1 and _merge_arms(out)
    _forget_names(out, dialect)
    return out, lists.shortened or merged


class _Lists:
    """Cuts lists and rows of values short at the end of `out`, each when it closes."""

    def __init__(self, out: list[str]) -> None:
        self.shortened = False
        self._out = out
        self._starts: list[int] = []
        self._depths = [0]
        self._row_end = -1

    def open(self) -> None:
        self._starts.append(len(self._out))
        self._depths.append(0)

    def close(self, part: str) -> bool:
        """Return whether all that was opened is gone: a row like the one before."""
        if not self._starts:
            return False
        out, start, depth = self._out, self._starts.pop(), self._depths.pop() + 1
        self._depths[-1] = max(self._depths[-1], depth)
        if depth > _DEEPEST or len(out) == start + 1 or start == 0:
            return False
        before = out[start - 1]
        if part == "]" or before in _LISTS:
            short = _shorten(out[start + 1 :])
            self.shortened |= len(short) < len(out) - start - 1
            out[start + 1 :] = short
            return False
        lead = start - 2 if before == "ROW" else start - 1
        if out[lead] == "VALUES":
            out[start:] = [VALUE if item in _CONSTANTS else item for item in out[start:]]
            self._row_end = len(out) + 1
        elif lead == self._row_end and out[lead] == "," and "SELECT" not in out[start:]:
            del out[lead:]
            self.shortened = True
            return True
        return False


_DEEPEST = 4
"""Parentheses in parentheses up to which a list is read: what holds it may be read again each time it closes."""


def _shorten(content: list[str]) -> list[str]:
    """Return one element of a list of values, or of one expression with other values; any other list as it is."""
    elements: list[list[str]] = [[]]
    depth = 0
    for part in content:
        if part == "," and depth == 0:
            elements.append([])
            continue
        depth += (part in "([") - (part in ")]")
        elements[-1].append(part)
    telling = [element for element in elements if element != ["NULL"]] or elements[:1]
    first = telling[0]
    if all(map(_is_value, telling)):
        return first
    repeated = VALUE in first and "SELECT" not in first and elements.count(first) == len(elements)
    return first if repeated else content


def _is_value(element: list[str]) -> bool:
    if element[:1] == [VALUE]:
        return len(element) == 1 or element[1] == "::"
    return element == ["NULL"] or (element[:1] == ["("] and _OF_ROW.issuperset(element))


def _merge_arms(out: list[str]) -> bool:
    """Keep one of equal arms of a CASE that follow each other: a bulk update has one for each row.

    Return whether an UPDATE lost any.
    """
    merged: list[str] = []
    starts: list[int] = []
    arms: list[list[str]] = []
    for part in out:
        if part == "CASE":
            starts.append(-1)
            arms.append([])
        elif starts and part in {"WHEN", "ELSE", "END"}:
            start = starts[-1]
            if start >= 0:
                arm = merged[start:]
                if VALUE in arm and arm == arms[-1]:
                    del merged[start:]
                arms[-1] = arm
            starts[-1] = len(merged) if part == "WHEN" and len(starts) <= _DEEPEST else -1
            if part == "END":
                starts.pop()
                arms.pop()
        merged.append(part)
    shorter = len(merged) < len(out)
    out[:] = merged
    return shorter and out[0] == "UPDATE"


def _forget_names(out: list[str], dialect: str) -> None:
    """Replace names that are made up anew each time: of savepoints, cursors and prepared statements."""
    start = 0
    while start < len(out):
        end = _next(out, ";", start)
        if end - start > 1 and out[start] in _NAMING:
            place = _place_of_name(out, start, end, dialect)
            if place is not None and out[place] not in KEYWORDS:
                out[place] = VALUE
        start = end + 1


_NAMING = frozenset(
    """
    CLOSE DEALLOCATE DECLARE EXECUTE FETCH PRAGMA PREPARE RELEASE ROLLBACK SAVE SAVEPOINT
    """.split()  # noqa: SIM905
)
_NO_NAME = frozenset({"PROCEDURE", "BLOCK", "IMMEDIATE"})


def _next(tokens: list[str], part: str, start: int) -> int:
    try:
        return tokens.index(part, start)
    except ValueError:
        return len(tokens)


def _place_of_name(out: list[str], start: int, end: int, dialect: str) -> int | None:
    match out[start]:
        case "EXECUTE" if dialect == "mssql" or out[start + 1].upper() in _NO_NAME:
            return None
        case "SAVEPOINT" | "DECLARE" | "PREPARE" | "DEALLOCATE" | "EXECUTE" | "CLOSE":
            return start + 1
        case "PRAGMA":  # a passphrase may be in the quotes of a name
            return end - 1 if out[end - 1][0] == '"' else None
        case "ROLLBACK" if "TO" not in out[start:end] and dialect != "mssql":
            return None
    return end - 1


def _join(tokens: list[str]) -> str:
    parts: list[str] = []
    previous = "("
    for part in tokens:
        tight = part in _TIGHT_BEFORE or previous in _TIGHT_AFTER or (part == "(" and previous not in _SPACED)
        if tight and previous != ":":  # a lone colon would become another token with what follows it
            parts.append(part)
        else:
            parts.append(f" {part}")
        previous = part
    return "".join(parts)
