"""Cuts SQL of any dialect into tokens; never raises, whatever the text is."""

from __future__ import annotations

import re
from functools import cache

VALUE = "?"
"""The token of every literal and placeholder."""

_BACKSLASH = frozenset({"mysql", "mariadb"})
"""Dialects with backslash escapes, `#` comments and (by default) strings in double quotes."""

_WORDS = frozenset("abcdefghijklmnopqrstuvwxyz_ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_NAME_START = _WORDS | frozenset("0123456789")
_VALUES = frozenset("0123456789?")
_LONG_VALUES = frozenset("0123456789?'.%$")

# Most frequent first: a word that is no string's prefix, then punctuation.
_COMMON = r"""
    [^\W\d][\w$]*+(?!&?') | [,()=] | \.(?![0-9]) | /\*.*?(?:\*/|\Z) | {comment}
  | [xXbBnN]?{string} | [uU]&{string} | [eE]'(?:[^'\\]|\\.|'')*'? {double}
  | "(?:[^"]|"")*" | `(?:[^`]|``)*`
  | @@[\w.$]+ | [^\W\d][\w$]*
  | 0[xX][0-9a-fA-F]+ | (?:[0-9][0-9_]*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?
  | %\(\w[^)]*\)s | %s | \?[0-9]* | :: | := | :\w+ | [$@]\w+
  | <=> | ->> | -> | \#>> | \#> | <> | <= | >= | != | == | => | \|\| | && | @> | <@ | << | >>
  | .
"""
_DOLLAR = r"\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$ | "
"""PostgreSQL's quotes; apart from the rest since the second group makes matching slower."""


@cache
def _pattern(backslash: bool, dollar: bool) -> re.Pattern[str]:
    body = (
        _COMMON.replace("{comment}", r"--(?=\s|$)[^\n]* | \#[^\n]*" if backslash else r"--[^\n]*")
        .replace("{string}", r"'(?:[^'\\]|\\.|'')*'?" if backslash else r"'(?:[^']|'')*'?")
        .replace("{double}", r'| "(?:[^"\\]|\\.|"")*"?' if backslash else "")
    )
    return re.compile(rf"\s*({_DOLLAR if dollar else ''}{body})", re.VERBOSE | re.DOTALL)


def cut(sql: str, dialect: str = "") -> list[str]:
    """Return words and operators as written, `VALUE` for each literal and placeholder; no comments, no white space.

    A string or comment that is never closed reaches to the end.
    """
    backslash = dialect in _BACKSLASH
    if "$" in sql and not backslash:
        raw = [match.group(1) for match in _pattern(False, True).finditer(sql)]
    else:
        raw = _pattern(backslash, False).findall(sql)
    tokens: list[str] = []
    keep = tokens.append
    for token in raw:
        first = token[0]
        if first in _WORDS:
            keep(VALUE if "'" in token else token)
        elif len(token) == 1:
            if first in _VALUES or first == "'" or (first == '"' and backslash):
                keep(VALUE)
            elif not first.isspace():  # white space at the very end
                keep(token)
        elif _is_comment(token, backslash):
            continue
        elif (
            first in _LONG_VALUES
            or (first == '"' and backslash)
            or (first in ":@" and token[1] in _NAME_START and not (first == "@" and backslash))
        ):
            keep(VALUE)
        else:
            keep(token)
    return tokens


def _is_comment(token: str, backslash: bool) -> bool:
    return token[:2] in {"--", "/*"} or (backslash and token[0] == "#")


def split(script: str) -> list[str]:
    """Return the statements of an SQLite script as written, empty ones left out.

    A trigger's body holds semicolons: everything from CREATE TRIGGER to its END is one statement.
    """
    statements: list[str] = []
    words: list[str] = []
    start = depth = 0
    trigger = False
    for match in _pattern(False, False).finditer(script):
        word = match.group(1).upper()
        if word == ";" and not trigger:
            if words:
                statements.append(script[start : match.start(1)].strip())
            start, words, depth = match.end(), [], 0
            continue
        if word.isspace() or _is_comment(word, False):
            continue
        words.append(word)
        if word == "TRIGGER" and words[0] == "CREATE" and len(words) <= 3:
            trigger = True
        elif trigger and word in {"BEGIN", "CASE"}:
            depth += 1
        elif trigger and word == "END":
            depth -= 1
            trigger = depth > 0
    return [*statements, script[start:].strip()] if words else statements
