"""The instruments that read database statements: how many, which, and how long they take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.model import Note, StatementKind
from pytest_perfguard.model import metric as metrics_of
from pytest_perfguard.model.metric import QUERIES, READS, WRITES, Metric
from pytest_perfguard.model.protocols import Reading
from pytest_perfguard.model.queries import TableSizes
from pytest_perfguard.probes.queries import drivers
from pytest_perfguard.probes.queries.log import Finding, Read, make_log, percentile, read, repetitions
from pytest_perfguard.probes.queries.sources import SOURCES
from pytest_perfguard.probes.queries.sources.sqlite3 import open_connections
from pytest_perfguard.probes.watch.children import CHILDREN
from pytest_perfguard.probes.watch.crossing import Portals, Tasks
from pytest_perfguard.probes.watch.entry import Entry
from pytest_perfguard.probes.watch.hub import Hub
from pytest_perfguard.probes.watch.recording import Opening, Planner, Recording

_COUNTED = (StatementKind.READ, StatementKind.WRITE)

_OF_GROUPS = frozenset({"n_plus_one", "batchable", "select_star"})

_HUB = Hub(SOURCES, beside=(*CHILDREN, Tasks(), Portals()))


class QueryProbe:
    """Counts the statements of a call, in all its threads, and groups them by text and by place in the user's code.

    `root` is the folder that paths are shown relative to; the working directory by default. `metrics` are names of
    those wanted beside queries, reads and writes. A block in which no statement could have been seen is a `ProbeError`,
    never a count of 0.
    """

    intrusive = True
    warmup = 1
    rounds = 1
    wants_result = False

    def __init__(self, root: Path | None = None, metrics: Iterable[str] = (), tables: TableSizes | None = None) -> None:
        self._root = root or Path.cwd()
        self._tables = tables or TableSizes()
        wanted = [metrics_of.BUILTIN[name] for name in sorted(set(metrics)) if name in _EXACT]
        self.metrics: tuple[Metric, ...] = tuple(dict.fromkeys((QUERIES, READS, WRITES, *wanted)))
        self._names = frozenset(metric.name for metric in self.metrics)
        self.early = "connections_leaked" in self._names

    def start(self) -> Recording:
        """Record from now on; libraries that are imported later in the block are watched from their import on."""
        recording = Recording(counts_rows="rows" in self._names, planner=self._planner())
        _HUB.enter(recording)
        return recording

    def stop(self, token: Recording, result: object = None) -> Reading:
        """End the recording, and return counts, the log and what limits them."""
        _HUB.leave(token)
        leaked = [opening for opening in (*token.openings, *token.loans.out.values()) if opening.is_open()]
        reads = read(token.entries)
        unasked: tuple[Note, ...] = getattr(token.planner, "notes", tuple)()
        notes = (*_limits(token, reads), *unasked)
        log = make_log(reads, self._root, opened=token.openings, leaked=leaked)
        return Reading(values=self._values(token, reads, leaked), queries=log, notes=notes)

    def _planner(self) -> Planner | None:
        if "unindexed" not in self._names:
            return None
        from pytest_perfguard.probes.queries.plans import IndexPlanner

        return IndexPlanner(big_tables=dict(self._tables.big), ignored=self._tables.small)

    def _values(self, token: Recording, reads: list[Read], leaked: list[Opening]) -> dict[str, int]:
        kinds = Counter(each.kind for each in reads)
        counted = [each for each in reads if each.kind in _COUNTED]
        values = {
            "queries": len(counted),
            "reads": kinds[StatementKind.READ],
            "writes": kinds[StatementKind.WRITE],
            "round_trips": sum(each.entry.trips for each in counted),
            "rows": sum(each.entry.rows for each in counted),
            "unindexed": len({each.shape.fingerprint for each in counted if isinstance(each.entry.finding, Finding)}),
            "connections_opened": len(token.openings),
            "connections_leaked": len(leaked),
            "pool_in_use": token.loans.most,
        }
        if "duplicates" in self._names:
            values["duplicates"] = len(repetitions(reads))
        if not self._names.isdisjoint(_OF_GROUPS):
            statements = make_log(counted, self._root, opened=(), leaked=()).statements
            values["n_plus_one"] = sum(statement.n_plus_one for statement in statements)
            values["batchable"] = sum(statement.batchable for statement in statements)
            values["select_star"] = sum(statement.count for statement in statements if statement.selects_star)
        return {name: value for name, value in values.items() if name in self._names}


class QueryTimeProbe:
    """Times the statements of a call: the slowest, the 95 % quantile, all together; and waits for pools' connections.

    The time of a statement is what the driver takes until it returns, its rows fetched or not. `root` and errors are as
    for `QueryProbe`.
    """

    metrics: ClassVar[tuple[Metric, ...]] = (
        metrics_of.QUERY_P95, metrics_of.SLOWEST_QUERY, metrics_of.DB_TIME, metrics_of.POOL_WAIT_P95,
    )  # fmt: skip
    intrusive = True
    warmup = 1
    rounds = 5
    wants_result = False

    def __init__(self, root: Path | None = None) -> None:
        self._root = root or Path.cwd()

    def start(self) -> Recording:
        """Record from now on."""
        recording = Recording()
        _HUB.enter(recording)
        return recording

    def stop(self, token: Recording, result: object = None) -> Reading:
        """End the recording, and return times and the log."""
        _HUB.leave(token)
        reads = read(token.entries)
        notes = _limits(token, reads)
        times = [each.entry.nanoseconds for each in reads if each.kind in _COUNTED and each.entry.nanoseconds >= 0]
        untimed = sum(each.kind in _COUNTED and each.entry.nanoseconds < 0 for each in reads)
        values = {
            "query_p95": percentile(times, 0.95),
            "slowest_query": max(times, default=0),
            "db_time": sum(times),
            "pool_wait_p95": percentile(token.loans.waits, 0.95),
        }
        log = make_log(reads, self._root, opened=(), leaked=())
        return Reading(values=values, queries=log, notes=(*notes, *([_untimed(untimed)] if untimed else [])))


_EXACT = metrics_of.OF_QUERIES - {metric.name for metric in QueryTimeProbe.metrics}


def _limits(token: Recording, reads: list[Read]) -> tuple[Note, ...]:
    """Return what limits a recording; raise where nothing could have been seen at all."""
    entries = [each.entry for each in reads]
    blind = _check_backends(entries)
    covered = any(entry.dialect == "sqlite" and entry.driver != "sqlite3" for entry in entries)
    notes = [note for note in token.notes if not (covered and note.code == "unseen-connection")]
    return (*notes, *([_uninstrumented(blind)] if blind else []))


def _check_backends(entries: list[Entry]) -> list[str]:
    """Return the drivers that are loaded and could not be seen; raise where nothing could have been seen at all."""
    blind = drivers.loaded()
    installed = _HUB.installed()
    if not installed:
        names = ", ".join(source.name for source in _HUB.sources)
        beside = f" (loaded: {', '.join(blind)})" if blind else ""
        raise ProbeError(
            f"no library is loaded whose statements can be counted{beside}; known: {names}. "
            "Use one of them in the measured call, or take the budget on queries away"
        )
    if not blind:
        return []
    seen = {entry.driver.rpartition("+")[2] for entry in entries}
    blind = drivers.uncovered(blind, seen)
    if not blind:
        return []
    engines = drivers.engine_drivers()
    blind = drivers.uncovered(blind, engines)
    if blind and not entries and not engines and not open_connections():
        known = ", ".join(source.name for source in _HUB.sources)
        raise ProbeError(
            f"no statement was seen, but {', '.join(blind)} is loaded, whose statements cannot be counted; "
            f"known: {known}. Reach the database through one of them, or take the budget on queries away"
        )
    return blind


def _uninstrumented(names: list[str]) -> Note:
    return Note(
        code="uninstrumented",
        message=f"{', '.join(names)} is loaded, and what it asks a database by itself is not counted",
        remedy="reach the database through a library that is watched (SQLAlchemy, Django, psycopg …) where the count "
        "matters",
    )


def _untimed(count: int) -> Note:
    return Note(
        code="untimed-statements",
        message=f"{count} statements were seen by a trace of their database, which does not tell how long they take",
        remedy="open the connection in the measured call, or in a fixture of a test that has a query budget",
        undermines=tuple(metric.name for metric in QueryTimeProbe.metrics[:3]),
    )
