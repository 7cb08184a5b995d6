"""Which tables a text of SQL names, from its normalised tokens."""

from __future__ import annotations

from collections.abc import Sequence

_BEFORE_NAME = frozenset({"FROM", "JOIN", "STRAIGHT_JOIN", "INTO", "UPDATE", "TABLE"})
_SKIPPED = frozenset({"ONLY", "LATERAL", "IF", "NOT", "EXISTS", "IGNORE", "OR", "REPLACE"})
_CLAUSE = frozenset(
    """
    WHERE GROUP ORDER HAVING LIMIT OFFSET UNION EXCEPT INTERSECT SET VALUES RETURNING ON USING SELECT WINDOW FOR ;
    """.split()  # noqa: SIM905
)
_BEFORE_PARENTHESIS = _SKIPPED | {"FROM", "JOIN", "STRAIGHT_JOIN", "USING", ","}
_BEFORE_NAME_AT_START = frozenset({"INSERT", "REPLACE", "TRUNCATE", "COPY"})
_WITH_USING = frozenset({"DELETE", "MERGE"})
"""Statements in which USING leads to tables, not to the columns of a join."""
_VERBS = frozenset({"SELECT", "DELETE", "UPDATE", "INSERT", "MERGE", "REPLACE"})
_NOT_A_VERB = frozenset({"FOR", "DO", "KEY", "ON", "THEN"})
"""What stands before the UPDATE of FOR UPDATE, DO UPDATE, ON DUPLICATE KEY UPDATE …"""
_NO_NAME = _CLAUSE | _VERBS | _BEFORE_NAME
_QUOTES = frozenset('"`[')
_TELLING = _BEFORE_NAME | _CLAUSE | {"(", ")", ","}


def find_tables(tokens: Sequence[str]) -> tuple[str, ...]:
    """Return the names after FROM, JOIN, INTO, UPDATE and the like, each once, without those that WITH defines."""
    local = _names_of_with(tokens)
    found: dict[str, None] = {}
    first = tokens[0] if tokens else ""
    if first in _BEFORE_NAME_AT_START and "INTO" not in tokens[:5]:
        _take(tokens, 1, found, local, call=True)
    statements = [True]  # for each open parenthesis: whether a statement, and no function's arguments, stands in it
    listing = [False]  # … and whether it is in a FROM list, where a comma leads to another table
    for index, part in enumerate(tokens):
        if part not in _TELLING:
            continue
        if part == "(":
            inner = tokens[index + 1] if index + 1 < len(tokens) else ""
            before = tokens[index - 1] if index else ""
            statements.append(
                inner in _VERBS or inner in {"WITH", "("} or (listing[-1] and before in _BEFORE_PARENTHESIS)
            )
            listing.append(listing[-1] and statements[-1] and inner not in _VERBS)
        elif part == ")":
            if len(statements) > 1:
                statements.pop()
                listing.pop()
        elif part == "," and listing[-1]:
            _take(tokens, index + 1, found, local, call=False)
        elif part in _CLAUSE and part not in {"ON", "USING"}:
            listing[-1] = False
        if not statements[-1] or not (part in _BEFORE_NAME or (part == "USING" and first in _WITH_USING)):
            continue
        before = tokens[index - 1] if index else ""
        if (part == "FROM" and (before == "DISTINCT" or (first == "COPY" and len(statements) == 1))) or (
            part == "UPDATE" and before in _NOT_A_VERB
        ):
            continue
        listing[-1] = part not in {"INTO", "UPDATE", "TABLE"}
        _take(tokens, index + 1, found, local, call=part in {"INTO", "TABLE"})
    return tuple(found)


def _take(tokens: Sequence[str], index: int, found: dict[str, None], local: frozenset[str], *, call: bool) -> None:
    while index < len(tokens) and tokens[index] in _SKIPPED:
        index += 1
    if index < len(tokens) and tokens[index] == "(":
        index += 1  # FROM (a JOIN b …)
    name: list[str] = []
    while index < len(tokens) and _is_name(tokens[index]):
        name.append(_unquote(tokens[index]))
        if index + 1 >= len(tokens) or tokens[index + 1] != ".":
            break
        index += 2
    following = tokens[index + 1] if index + 1 < len(tokens) else ""
    if name and (call or following != "(") and not (len(name) == 1 and name[0].lower() in local):
        found[".".join(name)] = None


def _is_name(part: str) -> bool:
    return (part[0] in _QUOTES and len(part) > 2) or ((part[0].isalnum() or part[0] in "_#") and part not in _NO_NAME)


def _unquote(part: str) -> str:
    return part[1:-1] if part[0] in _QUOTES else part


def _names_of_with(tokens: Sequence[str]) -> frozenset[str]:
    if "WITH" not in tokens:
        return frozenset()
    names: set[str] = set()
    depth = 0
    for index, part in enumerate(tokens):
        depth += (part == "(") - (part == ")")
        if part != "AS" or index == 0:
            continue
        opening = index + 1
        while opening < len(tokens) and tokens[opening] in {"NOT", "MATERIALIZED"}:
            opening += 1
        if tokens[opening : opening + 1] != ["("]:
            continue
        start = index - 1
        while start > 0 and tokens[start] == ")":  # name(column, …) AS (
            while start > 0 and tokens[start] != "(":
                start -= 1
            start -= 1
        names.add(_unquote(tokens[start]).lower())
    return frozenset(names)
