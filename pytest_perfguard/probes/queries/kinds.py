"""What a statement does, from its normalised tokens."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pytest_perfguard.model import StatementKind

_KINDS = {
    StatementKind.READ: "SELECT VALUES FETCH MOVE HANDLER",
    StatementKind.WRITE: "INSERT UPDATE DELETE REPLACE MERGE UPSERT TRUNCATE LOAD CALL DO EXEC EXECUTE",
    StatementKind.TRANSACTION: "BEGIN COMMIT ROLLBACK SAVEPOINT RELEASE START END ABORT XA LOCK UNLOCK",
    StatementKind.DDL: "CREATE ALTER DROP RENAME COMMENT GRANT REVOKE REINDEX CLUSTER REFRESH SECURITY REASSIGN",
    StatementKind.META: (
        "PRAGMA EXPLAIN SHOW SET RESET USE DESCRIBE DESC ANALYZE ANALYSE VACUUM ATTACH DETACH LISTEN NOTIFY UNLISTEN"
        " DISCARD CHECKPOINT PREPARE DEALLOCATE DECLARE CLOSE KILL FLUSH OPTIMIZE CHECK REPAIR"
    ),
}
_BY_WORD = {word: kind for kind, words in _KINDS.items() for word in words.split()}
_VERBS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "VALUES"})


def classify(tokens: Sequence[str]) -> StatementKind:
    """Return the kind of the statement: by its first word, and for WITH by the statements in it.

    What is not known counts as a read rather than as nothing: a budget must not pass because a word is new.
    """
    first = next((part.upper() for part in tokens if part != "("), "")
    if not first:
        return StatementKind.META
    if first == "WITH":
        return _classify_with(tokens)
    if first == "SELECT":
        return _classify_select(tokens)
    if first == "COPY":
        return StatementKind.READ if "TO" in tokens else StatementKind.WRITE
    if first == "PREPARE" and "TRANSACTION" in tokens[:2]:
        return StatementKind.TRANSACTION
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
