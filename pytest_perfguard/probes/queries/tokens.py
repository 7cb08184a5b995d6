"""Cuts SQL of any dialect into tokens; never raises, whatever the text is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

VALUE = "?"
"""The token of every literal and placeholder."""

KEYWORDS = frozenset(
    """
    ABORT ALL ALTER ANALYZE AND ANY ARRAY AS ASC ASYMMETRIC BEGIN BETWEEN BY CALL CASCADE CASE CAST CLOSE COLLATE COMMIT
    CONFLICT CONSTRAINT COPY CREATE CROSS CURRENT CURSOR DEALLOCATE DECLARE DEFAULT DELETE DESC DISTINCT DO DROP
    DUPLICATE ELSE END ESCAPE EXCEPT EXECUTE EXISTS EXPLAIN FALSE FETCH FILTER FOLLOWING FOR FOREIGN FROM FULL GRANT
    GROUP HAVING IF IGNORE ILIKE IN INDEX INNER INSERT INTERSECT INTERVAL INTO IS ISNULL JOIN KEY LATERAL LEFT LIKE
    LIMIT LOCK LOCKED MATERIALIZED MERGE NATURAL NOT NOTHING NOTNULL NOWAIT NULL NULLS OF OFFSET ON ONLY OR ORDER OUTER
    OVER PARTITION PRAGMA PRECEDING PREPARE PRIMARY RECURSIVE REFERENCES RELEASE REPLACE RETURNING RIGHT ROLLBACK ROW
    ROWS SAVEPOINT SELECT SET SHARE SHOW SIMILAR SKIP SOME START STRAIGHT_JOIN TABLE TEMPORARY THEN TO TRANSACTION TRUE
    TRUNCATE UNBOUNDED UNION UNIQUE UPDATE USING VACUUM VALUES VIEW WHEN WHERE WINDOW WITH
    """.split()  # noqa: SIM905 - a list of 140 strings is no easier to read
)
"""Words that are written in upper case, so that the same statement from two hands is one."""

_LONG = "<=> ->> #>> <-> <#> !~~* ~~* !~* !~~ -|- <<| |>> &<| |&> ||/ <<= >>="
_SHORT = "-> #> #- <> <= >= != == => || && @> <@ << >> ~* !~ ~~ ^@ &< &> |/ :: :="
_OF_POSTGRESQL = "@-@ ?| ?& ?- ?# @@ @?"
OPERATORS = frozenset(f"{_LONG} {_SHORT} {_OF_POSTGRESQL} = < > ! | & ~ ^ # @ * / % + -".split())
"""What stands between two values, or before one."""

_MYSQL = frozenset({"mysql", "mariadb"})
"""Dialects with backslash escapes, `#` comments and (by default) strings in double quotes."""
_POSTGRESQL = frozenset({"postgresql", "cockroachdb", "redshift"})
_NESTING = _POSTGRESQL | {"mssql"}
"""Dialects in which a comment may hold comments."""
_BRACKETS = frozenset({"sqlite", "mssql"})
"""Dialects with names in brackets."""
_OTHERS = _MYSQL | _BRACKETS | {"oracle"}
"""Dialects without PostgreSQL's dollar quotes."""

_PLAIN = r"'[^']*+(?:''[^']*+)*+'?"
_ESCAPED = r"'[^'\\]*+(?:(?:\\.?|'')[^'\\]*+)*+'?"
_DOUBLE = r'"[^"\\]*+(?:(?:\\.?|"")[^"\\]*+)*+"?'
_NUMBER = (
    r"0[xX][0-9a-fA-F_]++ | 0[bB][01_]++ | 0[oO][0-7_]++"
    r" | (?:[0-9][0-9_]*+(?:\.[0-9_]*+)?|\.[0-9][0-9_]*+)(?:[eE][+-]?[0-9]++)?"
)

# What makes matching slower, and stands in few texts: a sign of it, and its pattern.
_DOLLAR_QUOTES = r"\$(?:\$|[^\W\d])", r"\$(?P<tag>(?:[^\W\d]\w*+)?)\$.*?(?:\$(?P=tag)\$|\Z)"
_ORACLES_QUOTES = (
    r"[qQ]'",
    r"[nN]?[qQ]'(?:\[.*?(?:\]'|\Z) | \{.*?(?:\}'|\Z) | \(.*?(?:\)'|\Z) | <.*?(?:>'|\Z)"
    r" | (?P<end>\S).*?(?:(?P=end)'|\Z))",
)
_EXECUTED_COMMENTS = r"/\*M?!", r"/\*M?![0-9]*+ | \*/"


def _pattern(dialect: str) -> str:
    """Return the pattern of a token, most frequent first: a word that is no string's prefix, then punctuation."""
    mysql, postgresql = dialect in _MYSQL, dialect in _POSTGRESQL
    parts = [
        r"\#{0,2}+[^\W\d][\w$\#@]*+(?!')" if dialect == "mssql" else r"[a-zA-Z_][a-zA-Z_0-9]*+(?![$&'\x80-\U0010ffff])",
        r"[,()] | =(?![=>])",
        r"\.(?![0-9]++(?:[eE][+-]?[0-9]++)?(?![\w$]))" if mysql else r"\.(?![0-9])",
        _DOUBLE if mysql else r'"[^"]*+(?:""[^"]*+)*+"',
        r"`[^`]*+(?:``[^`]*+)*+`",
        r"--(?=\s|\Z)[^\n]*+ | \#[^\n]*+" if mysql else r"--[^\n]*+",
    ]
    if dialect in _BRACKETS:
        parts.append(r"\[[^\]]*+(?:\]\][^\]]*+)*+\]?" if dialect == "mssql" else r"\[[^\]]*+\]?")
    if dialect in _NESTING:  # one that holds others is left to `_leave_out_nested`
        parts.append(r"/\*[^*/]*+(?:(?:\*(?!/)|/(?!\*))[^*/]*+)*+\*/ | /\*")
    else:
        parts.append(r"/\*.*?(?:\*/|\Z)")
    if mysql:
        parts.append(rf"[xXbBnN]?{_ESCAPED}(?:\s*+{_ESCAPED})*+")
    else:
        further = rf"(?:[^\S\n]*+\n\s*+{_PLAIN})*+" if postgresql else ""
        parts.append(rf"[xXbBnN]?{_PLAIN}{further} | [uU]&{_PLAIN} | [eE]{_ESCAPED}{further}")
    parts.append(r"@@ | \?[|&\#-] | @-@ | @\?" if postgresql else r"@@[\w.$]++ | \?[0-9]++")
    parts.append(r"[^\W\d][\w$]*+")
    if mysql:  # a name may begin with a digit
        parts.append(r"(?!0[xXbB]|[0-9]++[eE][+-]?[0-9])[0-9]++[^\W\d][\w$]*+")
    parts.append(rf"{_NUMBER} | %\([^()]{{1,200}}+\)[sbt](?!\w) | %{'[sbt]' if postgresql else 's'}(?!\w) | %%")
    parts += [re.escape(each) + (r"(?!\w)" if each[-1] == "@" else "") for each in f"{_LONG} {_SHORT}".split()]
    parts.append(rf"(?<![\w\])]):\w++ | {'[$]' if postgresql else '[$@]'}\w++ | .")
    return " | ".join(parts)


class _Lexer(dict[str, str]):
    """The tokens of one dialect; as a dictionary, what each is read as, since nearly all have been read before."""

    def __init__(self, dialect: str) -> None:
        self._mysql = dialect in _MYSQL
        self._nests = dialect in _NESTING
        self._number = re.compile(_NUMBER, re.VERBOSE).fullmatch
        pattern = _pattern(dialect)
        sign, rare = (
            _EXECUTED_COMMENTS if self._mysql
            else _ORACLES_QUOTES if dialect == "oracle"
            else _DOLLAR_QUOTES if dialect not in _OTHERS
            else ("", "")
        )  # fmt: skip
        self.pattern = re.compile(rf"\s*+({pattern})", re.VERBOSE | re.DOTALL)
        self._rare = re.compile(rf"\s*+({rare} | {pattern})", re.VERBOSE | re.DOTALL) if rare else self.pattern
        self._has_rare = re.compile(sign).search if sign else None

    def scan(self, sql: str) -> list[str]:
        sql = sql.rstrip()
        if self._has_rare is not None and self._has_rare(sql):
            pattern = self._rare
            found = [match[1] for match in pattern.finditer(sql)]
        else:
            pattern = self.pattern
            found = pattern.findall(sql)
        return list(_leave_out_nested(sql, pattern)) if self._nests and "/*" in found else found

    def cut(self, sql: str) -> list[str]:
        return list(filter(None, map(self.__getitem__, self.scan(sql))))

    def __missing__(self, token: str) -> str:
        found = self._read(token)
        # Nothing of a comment or a value is remembered, and of the rest not without end.
        if (found and found != VALUE and len(token) <= _LONGEST) or len(token) <= 2:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[token] = found
        return found

    def _read(self, token: str) -> str:  # noqa: PLR0911 - one answer for each way to begin
        first, rest = token[0], token[1:]
        if first.isalpha() or first == "_":
            if "'" in rest:
                return VALUE
            upper = token.upper() if token.isascii() else token
            return upper if upper in KEYWORDS else token
        if first == "'" or (first == "?" and (not rest or rest.isdecimal())):
            return VALUE
        if first in "0123456789":
            return token if self._mysql and not self._number(token) else VALUE
        if first == "%":
            return VALUE if rest and rest != "%" else "%"
        if first in ".$:" or (first == "@" and not self._mysql):
            return VALUE if rest and (rest[0].isalnum() or rest[0] in "_$") else token
        if first in "-/#*":
            comment = rest.startswith({"-": "-", "/": "*", "*": "/"}.get(first, "")) and (self._mysql or first != "#")
            return "" if comment else token
        return VALUE if first == '"' and self._mysql else token


_LONGEST = 100
_REMEMBERED = 10_000


@cache
def _lexer(dialect: str) -> _Lexer:
    return _Lexer(dialect)


def cut(sql: str, dialect: str = "") -> list[str]:
    """Return keywords in upper case, names and operators as written, `VALUE` for each literal and placeholder.

    Comments and white space are left out. A string or comment that is never closed reaches to the end.
    """
    return _lexer(dialect).cut(sql)


def scan(sql: str, dialect: str = "") -> list[str]:
    """Return the tokens as written, comments and the text of literals included."""
    return _lexer(dialect).scan(sql)


_EDGE = re.compile(r"/\*|\*/")


def _leave_out_nested(sql: str, pattern: re.Pattern[str]) -> Iterator[str]:
    """Yield the tokens of a text with comments in comments, which no pattern can tell the end of."""
    place = 0
    while match := pattern.match(sql, place):
        place = match.end()
        if match[1] != "/*":
            yield match[1]
            continue
        depth = 1
        while depth:
            edge = _EDGE.search(sql, place)
            if edge is None:
                return
            depth += 1 if edge[0] == "/*" else -1
            place = edge.end()


def split(script: str) -> list[str]:
    """Return the statements of an SQLite script as written, empty ones left out.

    A trigger's body holds semicolons: everything from CREATE TRIGGER to its END is one statement.
    """
    statements: list[str] = []
    words: list[str] = []
    start = depth = 0
    trigger = False
    lexer = _lexer("sqlite")
    for match in lexer.pattern.finditer(script.rstrip()):
        word = lexer[match[1]].upper()
        if word == ";" and not trigger:
            if words:
                statements.append(script[start : match.start(1)].strip())
            start, words, depth = match.end(), [], 0
            continue
        if not word:
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
