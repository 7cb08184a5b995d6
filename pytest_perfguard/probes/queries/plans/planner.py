"""Whom a source asks before it executes: what no index can serve, found out once for each statement."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.model import Note, StatementKind
from pytest_perfguard.probes.queries.fingerprint import analyse
from pytest_perfguard.probes.queries.log import Finding
from pytest_perfguard.probes.queries.plans.dialogue import Rows, converse, converse_async
from pytest_perfguard.probes.watch.entry import Entry, Shape

_MYSQL = ("mysql", "mariadb")
_DIALECTS = ("sqlite", "postgresql", *_MYSQL)
_TRIES = 3
"""How often a statement is asked about whose plan tells nothing, as where a condition is false for these values."""
_OF_THE_LAST = re.compile(r"\b(?:FOUND_ROWS|ROW_COUNT|LAST_INSERT_ID) ?\(", re.IGNORECASE)
"""Functions of MySQL that tell of the statement before: it must not be a question of ours."""

_Key = tuple[str, str, str]


class IndexPlanner:
    """Asks SQLite, PostgreSQL, MariaDB and MySQL for plans, and finds filters and joins that no index can serve.

    `big_tables` says how many rows tables have in real life, which is said with the finding. `ignored` names tables,
    with or without their schema, and columns as `table.column`, that are small or not worth an index; `*` stands for
    any text. sqlglot is needed; without it making one is a `ProbeError`.
    """

    def __init__(self, *, big_tables: Mapping[str, int] | None = None, ignored: Collection[str] = ()) -> None:
        try:
            from pytest_perfguard.probes.queries.plans.explain import Explainer
        except ModuleNotFoundError as error:
            if error.name is None or not error.name.startswith("sqlglot"):
                raise
            raise ProbeError(
                "plans cannot be read without sqlglot; install it (pip install sqlglot, or pytest-perfguard with its "
                "extra: pytest-perfguard[plans]), or take the budget on `unindexed` away"
            ) from error
        self._explain = Explainer(big_tables or {}, ignored).explain
        self._known: dict[_Key, Finding | None] = {}
        self._tries: Counter[_Key] = Counter()
        self._unasked: set[str] = set()

    def ask(
        self, entry: Entry, parameters: object, run: Callable[[str, object], Rows], *, in_transaction: bool
    ) -> None:
        """Find out by `run`, where it is not known yet, what `entry` lacks, and keep it there; never raises.

        Transactions, settings and locks are afterwards what they were before.
        """
        key = self._key(entry)
        if key is None:
            return
        if key not in self._known:
            lines: tuple[str, ...] | None = None
            with suppress(Exception):  # one that fails, fails again as the user's own
                lines = converse(self._explain(entry.dialect, entry.text, parameters, in_transaction), run)
            self._keep(key, lines)
        entry.finding = self._known.get(key)

    async def ask_async(
        self,
        entry: Entry,
        parameters: object,
        run: Callable[[str, object], Awaitable[Rows]],
        *,
        in_transaction: bool,
    ) -> None:
        """Do the same through an asynchronous driver."""
        key = self._key(entry)
        if key is None:
            return
        if key not in self._known:
            lines: tuple[str, ...] | None = None
            with suppress(Exception):
                lines = await converse_async(self._explain(entry.dialect, entry.text, parameters, in_transaction), run)
            self._keep(key, lines)
        entry.finding = self._known.get(key)

    def notes(self) -> tuple[Note, ...]:
        """Return what limits the findings: databases that cannot be asked."""
        return tuple(
            Note(
                code="no-plans",
                message=f"{dialect} cannot be asked for plans: filters and joins without an index were not seen there",
                remedy=f"known: {', '.join(_DIALECTS)}",
                undermines=("unindexed",),
            )
            for dialect in sorted(self._unasked)
        )

    def _key(self, entry: Entry) -> _Key | None:
        """Return under which key the finding of `entry` is kept; None where there is nothing to ask."""
        if entry.shape is not None or entry.batch:
            return None
        shape = analyse(entry.text, entry.dialect)
        if shape.kind is StatementKind.DDL:  # what was said of indexes may be true no more
            self._known.clear()
            self._tries.clear()
        if not _is_asked(shape, entry.kind or shape.kind):
            return None
        if entry.dialect not in _DIALECTS:
            self._unasked.add(entry.dialect)
            return None
        return (entry.driver, entry.dialect, shape.fingerprint)

    def _keep(self, key: _Key, lines: tuple[str, ...] | None) -> None:
        if lines is None:
            self._tries[key] += 1
            if self._tries[key] < _TRIES:
                return
        self._known[key] = Finding(lines) if lines else None


def _is_asked(shape: Shape, kind: StatementKind) -> bool:
    """Return whether it reads tables: as a query, or to find what it changes."""
    text = shape.fingerprint
    first = text.lstrip("( ").split(" ", 1)[0].upper()
    if not shape.tables or ";" in text:  # of several statements EXPLAIN would only hold for the first
        return False
    if kind is StatementKind.READ:
        return first in {"SELECT", "WITH"} and _OF_THE_LAST.search(text) is None
    return kind is StatementKind.WRITE and first in {"UPDATE", "DELETE", "WITH"} and " WHERE " in text
