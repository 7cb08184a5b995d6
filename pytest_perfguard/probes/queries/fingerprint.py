"""What makes two statements the same: their text without values, comments, and the lengths of lists."""

from __future__ import annotations

import re
from functools import lru_cache

from pytest_perfguard.model import StatementKind
from pytest_perfguard.probes.queries.kinds import classify
from pytest_perfguard.probes.queries.tables import find_tables
from pytest_perfguard.probes.queries.tokens import VALUE, cut
from pytest_perfguard.probes.watch.tape import Shape

_CACHED = 4096
_TOO_LONG = 20_000
"""Characters beyond which a text is not worth a place in the cache."""

KEYWORDS = frozenset(
    """
    ABORT ALL ALTER ANALYZE AND ANY ARRAY AS ASC ASYMMETRIC BEGIN BETWEEN BY CALL CASE CASCADE CLOSE COMMIT CONFLICT
    CONSTRAINT COPY CREATE CROSS CURSOR DEALLOCATE DECLARE DEFAULT DELETE DESC DISTINCT DO DROP DUPLICATE ELSE END
    ESCAPE EXCEPT EXECUTE EXISTS EXPLAIN FALSE FETCH FILTER FOR FOREIGN FROM FULL GRANT GROUP HAVING IF IGNORE ILIKE
    IN INDEX INNER INSERT INTERSECT INTERVAL INTO IS ISNULL JOIN KEY LATERAL LEFT LIKE LIMIT LOCK MATERIALIZED MERGE
    NATURAL NOT NOTHING NOTNULL NOWAIT NULL OF OFFSET ON ONLY OR ORDER OUTER OVER PARTITION PRAGMA PREPARE PRIMARY
    RECURSIVE REFERENCES RELEASE REPLACE RETURNING RIGHT ROLLBACK ROWS SAVEPOINT SELECT SET SHARE SHOW SIMILAR SKIP
    SOME START TABLE TEMPORARY THEN TO TRANSACTION TRUE TRUNCATE UNION UNIQUE UPDATE USING VACUUM VALUES VIEW WHEN
    WHERE WINDOW WITH
    """.split()  # noqa: SIM905 - a list of 120 strings is no easier to read
)
"""Words that are written in upper case, so that the same statement from two hands is one."""

_CASES = {form: word for word in KEYWORDS for form in (word, word.lower(), word.capitalize())}
_OPERATORS = frozenset(
    "= < > ! | & ~ ^ # @ * / % + - ? : ; , ( [ { <=> ->> -> #>> #> <> <= >= != == => || && @> <@ << >> :: :=".split()  # noqa: SIM905
)
_BEFORE_SIGN = (_OPERATORS | KEYWORDS) - {VALUE}
_LISTS = frozenset({"IN", "ANY", "ALL", "SOME"})
_CONSTANTS = frozenset({"NULL", "TRUE", "FALSE"})
_TIGHT_BEFORE = frozenset({",", ")", ".", ";", "]", "::", "["})
_TIGHT_AFTER = frozenset({"(", ".", "[", "::"})
_SPACED = (_OPERATORS | KEYWORDS) - _TIGHT_AFTER


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
    raw = cut(sql, dialect)
    tokens, batch = _normalise(raw)
    text = _join(tokens)
    for _ in range(_ROUNDS if "@@" in text or not _AMBIGUOUS.isdisjoint(tokens) else 0):
        again = _join(_normalise(cut(text, dialect))[0])
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


def _normalise(tokens: list[str]) -> tuple[list[str], bool]:
    """Return the tokens without their values, and whether lists or rows of values were cut short."""
    out: list[str] = []
    batch = False
    opened: list[int] = []
    row_end = -1
    keyword = _CASES.get
    for raw in tokens:
        part = keyword(raw, raw)
        if part == VALUE:
            while out and out[-1] in "+-" and (len(out) == 1 or out[-2] in _BEFORE_SIGN):
                out.pop()
        elif part in "([":
            opened.append(len(out))
        elif part in ")]" and opened:
            start = opened.pop()
            before = out[start - 1] if start else ""
            if before == "VALUES" and part == ")":
                out[start:] = [VALUE if item in _CONSTANTS else item for item in out[start:]]
                out.append(part)
                row_end = len(out)
                continue
            if before == "," and start - 1 == row_end and part == ")":
                del out[row_end:]
                batch = True
                continue
            if (before in _LISTS or part == "]") and len(out) > start + 2:
                short = _shorten(out[start + 1 :])
                batch = batch or len(short) < len(out) - start - 1
                out[start + 1 :] = short
        out.append(part)
    while out and out[-1] == ";":
        out.pop()
    _forget_names(out)
    return out, batch


def _shorten(content: list[str]) -> list[str]:
    """Return the first element of a list of nothing but values; any other list as it is."""
    elements: list[list[str]] = [[]]
    depth = 0
    for part in content:
        if part == "," and depth == 0:
            elements.append([])
            continue
        depth += (part == "(") - (part == ")")
        elements[-1].append(part)
    chosen: list[str] | None = None
    for element in elements:
        cast = element[:1] == [VALUE] and (len(element) == 1 or element[1] == "::")
        row = element[:1] == ["("] and set(element) <= {"(", ")", ",", VALUE, "NULL"}
        if not (cast or row or element == ["NULL"]):
            return content
        if chosen is None or (chosen == ["NULL"] and element != ["NULL"]):
            chosen = element
    return chosen or content


def _forget_names(out: list[str]) -> None:
    """Replace names that are made up anew each time: of savepoints, cursors and prepared statements."""
    if len(out) < 2:
        return
    match out[0]:
        case "SAVEPOINT" | "DECLARE" | "PREPARE" | "DEALLOCATE" | "EXECUTE" | "CLOSE" if out[1] not in KEYWORDS:
            out[1] = VALUE
        case "FETCH" | "RELEASE" | "ROLLBACK" if out[-1] not in KEYWORDS and (out[0] != "ROLLBACK" or "TO" in out):
            out[-1] = VALUE


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
