"""What a log of statements says to the reader of a failure: repetitions, their cures, and what changed."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from pytest_perfguard.model import QueryLog, Statement, StatementKind

_COUNTED = frozenset({StatementKind.READ, StatementKind.WRITE})
_MANY = 3
"""Different parameter sets from one place that make a loop likely."""
_WIDTH = 160
_LISTED = 20


def explain(log: QueryLog) -> list[str]:
    """Return what was asked of the database, in lines: totals, then each group of statements with what it suggests.

    A group is `count` times one text from one place; values are never shown. Suspicions are of repetition only, and
    say so: reads with 3 or more sets of parameters are a potential N+1, writes of that kind can be batched, and more
    executions than sets of parameters are duplicates.
    """
    lines = [_total(log)]
    counted = [statement for statement in log.statements if statement.kind in _COUNTED]
    for statement in counted[:_LISTED]:
        lines.append(f"{statement.count} × {shorten(statement.fingerprint)}")
        lines.append(f"    at {place(statement)}")
        lines.extend(f"    {suspicion}" for suspicion in suspect(statement, log.driver))
    if len(counted) > _LISTED:
        lines.append(f"… and {len(counted) - _LISTED} more groups of statements")
    return lines


def suspect(statement: Statement, driver: str = "") -> list[str]:
    """Return what the repetition of a statement suggests, with the cure that `driver` offers; empty for nothing."""
    found: list[str] = []
    orm = "sqlalchemy" in driver
    verb = statement.fingerprint.split(" ", 1)[0]
    if statement.distinct >= _MANY and statement.kind is StatementKind.READ:
        cure = (
            "load the relationship with selectinload() or joinedload(), or ask for all rows with IN"
            if orm
            else "ask for all rows in one statement, with a JOIN or with IN"
        )
        found.append(f"potential N+1: {statement.distinct} different parameter sets from one place; {cure}")
    if statement.distinct >= _MANY and statement.kind is StatementKind.WRITE:
        cure = (
            f"use Session.add_all() with one flush, or pass a list to execute({verb.lower()}(…), [...])"
            if orm
            else "use executemany()"
        )
        found.append(f"batchable: one {verb} for each of {statement.distinct} parameter sets from one place; {cure}")
    if statement.count > statement.distinct:
        again = statement.count - statement.distinct
        found.append(f"duplicate: {again} of {statement.count} with the same parameters again; keep the first result")
    return found


def diff(base: QueryLog, head: QueryLog) -> list[str]:
    """Return which reads and writes are NEW, GONE or CHANGED in number from `base` to `head`, in lines.

    Compared by text: a statement that only moved to another function is no change. Logs of different dialects are not
    compared, since the same code makes other statements there; one line then says so.
    """
    if base.dialect and head.dialect and base.dialect != head.dialect:
        return [
            f"not comparable: the baseline's statements were made on {base.dialect}, these on {head.dialect}; "
            f"save a baseline on {head.dialect}"
        ]
    before, after = _by_text(base), _by_text(head)
    lines: list[str] = []
    for text in sorted(after.keys() - before.keys(), key=lambda text: -_count(after[text])):
        lines.append(f"NEW      {_count(after[text])} × {shorten(text)}")
        for statement in after[text]:
            lines.append(f"    at {place(statement)}")
            lines.extend(f"    {suspicion}" for suspicion in suspect(statement, head.driver))
    for text in sorted(before.keys() - after.keys(), key=lambda text: -_count(before[text])):
        lines.append(f"GONE     {_count(before[text])} × {shorten(text)}")
        lines.extend(f"    was at {statement.function or _NOWHERE}" for statement in before[text])
    for text in after:
        if text in before and _count(before[text]) != _count(after[text]):
            lines.append(f"CHANGED  {_count(before[text])} → {_count(after[text])} × {shorten(text)}")
            lines.extend(_moved(before[text], after[text], head.driver))
    return lines


def shorten(sql: str, width: int = _WIDTH) -> str:
    """Return a fingerprint in at most about `width` characters: its columns go first, FROM and WHERE last."""
    if len(sql) <= width:
        return sql
    start = _clause(sql, "FROM")
    if sql.startswith("SELECT ") and start > 0:
        columns, rest = sql[len("SELECT ") : start].strip(), sql[start:]
        first = columns.split(",", 1)[0]
        sql = f"SELECT {first}, … {rest}" if len(first) < min(len(columns), 40) else f"SELECT … {rest}"
    elif sql.startswith(("INSERT", "REPLACE")):
        sql = re.sub(r"\(([^(),]+),[^()]*\)", r"(\1, …)", sql)
    if len(sql) <= width:
        return sql
    where = _clause(sql, "WHERE")
    if where < 0:
        return f"{sql[: width - 1]}…"
    head = sql[:where].rstrip()
    tail = sql[where:]
    room = max(width - min(len(tail), width // 2) - 3, width // 3)
    if len(head) > room:
        head = f"{head[:room]} …"
    left = width - len(head) - 1
    return f"{head} {tail if len(tail) <= left else tail[: max(left - 1, 0)] + '…'}"


def place(statement: Statement) -> str:
    """Return where in the user's code a statement comes from: `path:line function`."""
    path, _, function = statement.function.rpartition(":")
    return f"{path}:{statement.line} {function}" if path else _NOWHERE


_NOWHERE = "no frame of your own code (a thread of a library)"


def _total(log: QueryLog) -> str:
    counts: Counter[StatementKind] = Counter()
    for statement in log.statements:
        counts[statement.kind] += statement.count
    reads, writes = counts[StatementKind.READ], counts[StatementKind.WRITE]
    where = f" on {log.dialect}" if log.dialect else ""
    beside = ", ".join(
        f"{counts[kind]} {kind}"
        for kind in (StatementKind.TRANSACTION, StatementKind.DDL, StatementKind.META)
        if counts[kind]
    )
    total = f"{reads + writes} statements{where}: {reads} read, {writes} write"
    return f"{total} (not counted: {beside})" if beside else total


def _by_text(log: QueryLog) -> dict[str, list[Statement]]:
    found: defaultdict[str, list[Statement]] = defaultdict(list)
    for statement in log.statements:
        if statement.kind in _COUNTED:
            found[statement.fingerprint].append(statement)
    return found


def _count(statements: Iterable[Statement]) -> int:
    return sum(statement.count for statement in statements)


def _moved(before: Sequence[Statement], after: Sequence[Statement], driver: str) -> list[str]:
    old = {statement.function: statement.count for statement in before}
    new = {statement.function: statement for statement in after}
    lines: list[str] = []
    for function, statement in new.items():
        was = old.get(function, 0)
        if was != statement.count:
            lines.append(f"    {was} → {statement.count} at {place(statement)}")
            lines.extend(f"    {suspicion}" for suspicion in suspect(statement, driver))
    lines.extend(
        f"    {was} → 0, was at {function or _NOWHERE}" for function, was in old.items() if function not in new
    )
    return lines


def _clause(sql: str, word: str) -> int:
    """Return where the outermost `word` stands, -1 for nowhere; what is in parentheses or quotes is passed over."""
    depth = 0
    for match in re.finditer(rf'"(?:[^"]|"")*"|`[^`]*`|[()]|\b{word}\b', sql):
        found = match.group()
        depth += (found == "(") - (found == ")")
        if found == word and depth == 0:
            return match.start()
    return -1
