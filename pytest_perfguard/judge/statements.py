"""What a log of statements says to the reader of a failure: what was asked, where, and what changed."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from pytest_perfguard.judge.cures import suspect
from pytest_perfguard.model import COUNTED, QueryLog, Statement, StatementKind
from pytest_perfguard.model.queries import names_table
from pytest_perfguard.quantity import Unit, render

_WIDTH = 160
_LISTED = 20

_TELLING: dict[str, Callable[[Statement], object]] = {
    "scaling": lambda each: each.growth,
    "reads": lambda each: each.kind is StatementKind.READ,
    "writes": lambda each: each.kind is StatementKind.WRITE,
    "duplicates": lambda each: each.repeated,
    "n_plus_one": lambda each: each.n_plus_one,
    "batchable": lambda each: each.batchable,
    "select_star": lambda each: each.selects_star,
    "unindexed": lambda each: each.advice,
    "connections_opened": lambda each: each.fingerprint.startswith("connect"),
    "connections_leaked": lambda each: each.fingerprint.startswith("left open"),
    "http_calls": lambda each: each.kind is StatementKind.REQUEST,
}
"""Which statements explain the value of a metric; for other metrics those that count."""

_CONNECTIONS = frozenset({"connections_opened", "connections_leaked", "pool_in_use", "pool_wait_p95"})
_ORDER: dict[str, Callable[[Statement], float]] = {
    "rows": lambda each: -each.rows,
    "query_p95": lambda each: -each.slowest,
    "slowest_query": lambda each: -each.slowest,
    "db_time": lambda each: -each.slowest * each.count,
}


def explain(log: QueryLog, metric: str = "queries", *, table: str = "") -> list[str]:
    """Return what was asked of the database, in lines: totals, then each group of statements with what it suggests.

    A group is `count` times one text from one place; values are never shown. Only groups that explain the value of
    `metric`, and with `table` those that name it, are listed, the weightiest first.
    """
    kinds = {"http_calls": {StatementKind.REQUEST}}.get(metric, COUNTED)
    if metric in _CONNECTIONS:
        kinds = {StatementKind.CONNECTION}
    telling = _TELLING.get(metric, bool)
    chosen = [
        each
        for each in log.statements
        if each.kind in kinds and telling(each) and (not table or names_table(each, table))
    ]
    if metric in _ORDER:
        chosen.sort(key=_ORDER[metric])
    lines = [_total(log)] if metric not in ("http_calls", "scaling") else []
    for statement in chosen[:_LISTED]:
        lines.append(f"{_amount(statement, metric)} × {shorten(statement.fingerprint)}")
        lines.append(f"    at {place(statement)}")
        lines.extend(f"    {suspicion}" for suspicion in suspect(statement))
    if len(chosen) > _LISTED:
        lines.append(f"… and {len(chosen) - _LISTED} more groups of statements")
    return lines


def diff(base: QueryLog, head: QueryLog) -> list[str]:
    """Return which statements and requests are NEW, GONE or CHANGED in number from `base` to `head`, in lines.

    Compared by text: a statement that only moved to another function is no change. Logs of different dialects are not
    compared, since the same code makes other statements there; one line then says so.
    """
    reason = incomparable(base, head)
    if reason:
        return [f"not comparable: {reason}"]
    before, after = _by_text(base), _by_text(head)
    lines: list[str] = []
    for text in sorted(after.keys() - before.keys(), key=lambda text: -_count(after[text])):
        lines.append(f"NEW      {_count(after[text])} × {shorten(text)}")
        for statement in after[text]:
            lines.append(f"    at {place(statement)}")
            lines.extend(f"    {suspicion}" for suspicion in suspect(statement))
    for text in sorted(before.keys() - after.keys(), key=lambda text: -_count(before[text])):
        lines.append(f"GONE     {_count(before[text])} × {shorten(text)}")
        lines.extend(f"    was at {statement.function or _NOWHERE}" for statement in before[text])
    for text in after:
        if text in before and _count(before[text]) != _count(after[text]):
            lines.append(f"CHANGED  {_count(before[text])} → {_count(after[text])} × {shorten(text)}")
            lines.extend(_moved(before[text], after[text]))
    return lines


def incomparable(base: QueryLog, head: QueryLog) -> str:
    """Return why the statements of two logs cannot be compared, empty where they can.

    They can as long as nothing took the place of something else: a database that is asked beside the others, or no
    more, is a change like any other.
    """
    for one, other in ((base.dialects, head.dialects), (base.drivers, head.drivers)):
        if base.statements and one - other and other - one:
            return f"the baseline was made with {_backend(base)}, this run with {_backend(head)}"
    return ""


def _backend(log: QueryLog) -> str:
    return f"{log.dialect} through {log.driver}"


def _amount(statement: Statement, metric: str) -> str:
    if metric == "rows":
        return f"{statement.rows} {'row' if statement.rows == 1 else 'rows'} of {statement.count}"
    if metric == "scaling":
        return " → ".join(str(count) for _, count in statement.growth)
    if metric in _ORDER:
        return f"at most {render(statement.slowest, Unit.SECONDS)}, {statement.count}"
    return str(statement.count)


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
    noun = "statement" if reads + writes == 1 else "statements"
    total = f"{reads + writes} {noun}{where}: {reads} read, {writes} write"
    return f"{total} (not counted: {beside})" if beside else total


_COMPARED = COUNTED | {StatementKind.REQUEST}


def _by_text(log: QueryLog) -> dict[str, list[Statement]]:
    found: defaultdict[str, list[Statement]] = defaultdict(list)
    for statement in log.statements:
        if statement.kind in _COMPARED:
            found[statement.fingerprint].append(statement)
    return found


def _count(statements: Iterable[Statement]) -> int:
    return sum(statement.count for statement in statements)


def _moved(before: Sequence[Statement], after: Sequence[Statement]) -> list[str]:
    old = {statement.function: statement.count for statement in before}
    new = {statement.function: statement for statement in after}
    lines: list[str] = []
    for function, statement in new.items():
        was = old.get(function, 0)
        if was != statement.count:
            lines.append(f"    {was} → {statement.count} at {place(statement)}")
            lines.extend(f"    {suspicion}" for suspicion in suspect(statement))
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
