"""What a statement does, from its normalised tokens."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pytest_perfguard.model import StatementKind

_KINDS = {
    StatementKind.READ: "SELECT VALUES FETCH MOVE HANDLER",
    StatementKind.WRITE: "INSERT UPDATE DELETE REPLACE MERGE UPSERT TRUNCATE LOAD CALL DO EXEC EXECUTE",
    StatementKind.TRANSACTION: "BEGIN COMMIT ROLLBACK SAVEPOINT SAVE RELEASE START END ABORT XA LOCK UNLOCK",
    StatementKind.DDL: "CREATE ALTER DROP RENAME COMMENT GRANT REVOKE REINDEX CLUSTER REFRESH SECURITY REASSIGN",
    StatementKind.META: (
        "PRAGMA EXPLAIN SHOW SET RESET USE DESCRIBE DESC ANALYZE ANALYSE VACUUM ATTACH DETACH LISTEN NOTIFY UNLISTEN"
        " DISCARD CHECKPOINT PREPARE DEALLOCATE DECLARE CLOSE KILL FLUSH OPTIMIZE CHECK REPAIR"
    ),
}
_BY_WORD = {word: kind for kind, words in _KINDS.items() for word in words.split()} | {"": StatementKind.META}
_VERBS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "VALUES"})


_STRONGEST = (StatementKind.WRITE, StatementKind.READ, StatementKind.DDL, StatementKind.META, StatementKind.TRANSACTION)
_AFTER_BEGIN = frozenset(
    """
    TRANSACTION TRAN WORK DEFERRED IMMEDIATE EXCLUSIVE CONCURRENT ISOLATION READ NOT DEFERRABLE DISTRIBUTED
    """.split()  # noqa: SIM905
)


def classify(tokens: Sequence[str]) -> StatementKind:
    """Return the kind of the statement: by its first word, and for WITH by the statements in it.

    Of a text of several statements it is the kind that counts most: a budget must not pass because a write stands
    behind a BEGIN. For the same reason what is not known is a read rather than nothing.
    """
    if ";" not in tokens or tokens[0] == "CREATE":  # a body of a trigger or function
        return _classify_one(tokens)
    found = set()
    start = 0
    for index, part in enumerate([*tokens, ";"]):
        if part == ";":
            if index > start:
                found.add(_classify_one(tokens[start:index]))
            start = index + 1
    return next(filter(found.__contains__, _STRONGEST), StatementKind.META)


def _classify_one(tokens: Sequence[str]) -> StatementKind:
    first = next((part.upper() for part in tokens if part != "("), "")
    second = tokens[1].upper() if len(tokens) > 1 else ""
    match first:
        case "WITH":
            return _classify_with(tokens)
        case "SELECT":
            return _classify_select(tokens)
        case "COPY":
            return StatementKind.READ if "TO" in tokens else StatementKind.WRITE
        case "PREPARE" if second == "TRANSACTION":
            return StatementKind.TRANSACTION
        case "BEGIN" if second and (second not in _AFTER_BEGIN or "ATOMIC" in map(str.upper, tokens[2:3])):
            return StatementKind.WRITE  # a block of a procedural language, which does nobody knows what
    return _BY_WORD.get(first, StatementKind.READ)


def _classify_with(tokens: Sequence[str]) -> StatementKind:
    # A verb stands right after a parenthesis: the body of an expression, or the statement that follows the last one.
    for (before, part), after in zip(pairwise(tokens), [*tokens[2:], ""], strict=False):
        if before in "()" and part in _VERBS and _BY_WORD[part] is StatementKind.WRITE:
            if part == "REPLACE" and after != "INTO":
                continue  # the function of that name
            return StatementKind.WRITE
    return StatementKind.READ


def _classify_select(tokens: Sequence[str]) -> StatementKind:
    if "INTO" not in tokens:
        return StatementKind.READ
    depth = 0
    for part, after in pairwise(tokens):
        depth += (part == "(") - (part == ")")
        if depth == 0 and part == "INTO" and not after.startswith("@"):
            return StatementKind.WRITE  # SELECT … INTO makes a table or a file
    return StatementKind.READ
