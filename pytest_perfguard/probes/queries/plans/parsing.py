"""Reads statements and conditions by sqlglot, without their values."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from pytest_perfguard.probes.queries.fingerprint import fingerprint
from pytest_perfguard.probes.queries.plans.grammar import Grammar
from pytest_perfguard.probes.queries.tokens import VALUE, cut, scan

PLAIN, OPEN, UNKNOWN = "?", "%?", "_?"
"""What stands for a value: any; a pattern that begins with a wildcard; a pattern of which nothing is known."""

_PATTERNED = frozenset({"LIKE", "ILIKE", "GLOB", "~~", "~~*"})
_WILDCARDS = "%_*?["
_PLACEHOLDER = re.compile(r"\?(?P<number>\d*)|%s|%\((?P<quoted>[^)]*)\)s|[:$@](?P<name>\w+)")


def parse(sql: str, grammar: Grammar, parameters: object = None) -> exp.Expression | None:
    """Return the tree of `sql` with strings in the place of its values; None where sqlglot cannot read it.

    A pattern of LIKE is told by the string for it: `OPEN` where it begins with a wildcard.
    """
    patterns = _patterns(sql, grammar, parameters)
    parts: list[str] = []
    pending = False
    for token in cut(fingerprint(sql, grammar.name), grammar.name):
        if token == VALUE:
            parts.append(f"'{next(patterns, UNKNOWN) if pending else PLAIN}'")
            pending = False
        else:
            pending = pending or token.upper() in _PATTERNED
            parts.append(token)
    return _read(" ".join(parts), grammar)


def _read(text: str, grammar: Grammar) -> exp.Expression | None:
    logger = logging.getLogger("sqlglot")
    before, logger.disabled = logger.disabled, True  # what it cannot read is no business of the user's log
    try:
        found = sqlglot.parse_one(text, dialect=grammar.parser)
    except (SqlglotError, RecursionError, ValueError):
        return None
    finally:
        logger.disabled = before
    return found if isinstance(found, exp.Expression) and not isinstance(found, exp.Command) else None


def _patterns(sql: str, grammar: Grammar, parameters: object) -> Iterator[str]:
    """Yield for each LIKE, in the order of the text, what is known of the beginning of its pattern."""
    place = 0
    pending = False
    for token in scan(sql, grammar.name):
        placeholder = _PLACEHOLDER.fullmatch(token)
        quoted = token[0] == "'" or (token[0] == '"' and grammar.name == "mysql")
        if token.upper() in _PATTERNED:
            pending = True
        if pending and (quoted or placeholder):
            yield _kind(token[1:-1] if placeholder is None else _value(placeholder, place, parameters))
            pending = False
        place += placeholder is not None


def _kind(value: object) -> str:
    if not isinstance(value, str) or not value:
        return UNKNOWN
    return OPEN if value[0] in _WILDCARDS else PLAIN


def _value(placeholder: re.Match[str], place: int, parameters: object) -> object:
    number, quoted, name = placeholder.group("number", "quoted", "name")
    if isinstance(parameters, Mapping):
        return parameters.get(quoted or name)
    if isinstance(parameters, Sequence) and not isinstance(parameters, str | bytes):
        index = int(number) - 1 if number else place
        return parameters[index] if 0 <= index < len(parameters) else None
    return None
