"""The instrument that counts database statements."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.model import Note, QueryLog, Statement, StatementKind
from pytest_perfguard.model.metric import QUERIES, READS, WRITES, Metric
from pytest_perfguard.model.protocols import Reading
from pytest_perfguard.probes.queries import drivers
from pytest_perfguard.probes.watch.callsite import describe
from pytest_perfguard.probes.queries.fingerprint import Shape, analyse
from pytest_perfguard.probes.watch.importing import ImportWatch
from pytest_perfguard.probes.watch.source import Source
from pytest_perfguard.probes.queries.sources.sqlalchemy import SQLAlchemySource
from pytest_perfguard.probes.queries.sources.sqlite3 import Sqlite3Source, open_connections
from pytest_perfguard.probes.watch.tape import Entry, Recording, Tape

_COUNTED = (StatementKind.READ, StatementKind.WRITE)


class QueryProbe:
    """Counts the statements of a call, in all its threads, and groups them by text and by place in the user's code.

    `root` is the folder that paths are shown relative to; the working directory by default. A block in which no
    statement could have been seen is a `ProbeError`, never a count of 0.
    """

    metrics: tuple[Metric, ...] = (QUERIES, READS, WRITES)
    intrusive = True
    warmup = 1
    rounds = 1
    wants_result = False

    def __init__(self, root: Path | None = None) -> None:
        self._root = root or Path.cwd()

    def start(self) -> Recording:
        """Record from now on; libraries that are imported later in the block are watched from their import on."""
        recording = Recording()
        _HUB.enter(recording)
        return recording

    def stop(self, token: Recording, result: object = None) -> Reading:
        """End the recording, and return counts, the log and what limits them."""
        _HUB.leave(token)
        entries = [entry for entry in token.entries if entry.counts is None or entry.counts()]
        blind = _check_backends(entries)
        groups = [(entry, _shape(entry)) for entry in entries]
        kinds = Counter(entry.kind or shape.kind for entry, shape in groups)
        covered = any(entry.dialect == "sqlite" and entry.driver != "sqlite3" for entry in entries)
        notes = [note for note in token.notes if not (covered and note.code == "unseen-connection")]
        reads, writes = (kinds[kind] for kind in _COUNTED)
        return Reading(
            values={QUERIES.name: reads + writes, READS.name: reads, WRITES.name: writes},
            queries=_log(groups, self._root),
            notes=(*notes, *([_uninstrumented(blind)] if blind else [])),
        )


class _Hub:
    """Holds the sources in place for as long as one block at least records."""

    def __init__(self, sources: tuple[Source, ...]) -> None:
        self.sources = sources
        self._tape = Tape()
        self._lock = threading.RLock()
        self._depth = 0
        self._undo: dict[str, Callable[[], None]] = {}
        self._watch = ImportWatch({source.module: self._install_loaded for source in sources})

    def enter(self, recording: Recording) -> None:
        with self._lock:
            self._tape.attach(recording)
            self._depth += 1
            if self._depth > 1:
                return
            self._watch.start()
            try:
                self._install_loaded()
            except Exception as error:
                self.leave(recording)
                raise ProbeError(f"statements cannot be watched here: {error}; report this as a bug") from error

    def leave(self, recording: Recording) -> None:
        with self._lock:
            self._depth -= 1
            try:
                if self._depth == 0:
                    self._watch.stop()
                    while self._undo:
                        self._undo.popitem()[1]()
            finally:
                self._tape.detach(recording)

    def _install_loaded(self) -> None:
        with self._lock:
            for source in self.sources:
                if self._depth and source.name not in self._undo and source.installed():
                    self._undo[source.name] = source.install(self._tape)


_HUB = _Hub((Sqlite3Source(), SQLAlchemySource()))


def _check_backends(entries: list[Entry]) -> list[str]:
    """Return the drivers that are loaded and could not be seen; raise where nothing could have been seen at all."""
    blind = drivers.loaded()
    names = " and ".join(source.name for source in _HUB.sources)
    if not any(source.installed() for source in _HUB.sources):
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
        raise ProbeError(
            f"no statement was seen, but {', '.join(blind)} is loaded, whose statements cannot be counted; "
            f"known: {names}. Reach the database through one of them, or take the budget on queries away"
        )
    return blind


def _shape(entry: Entry) -> Shape:
    return analyse(entry.sql, entry.dialect)


def _log(groups: list[tuple[Entry, Shape]], root: Path) -> QueryLog:
    found: dict[tuple[str, StatementKind, str], _Group] = {}
    for entry, shape in groups:
        function, line = describe(entry.site, root)
        key = (shape.fingerprint, entry.kind or shape.kind, function)
        group = found.setdefault(key, _Group(shape.tables, line))
        group.count += 1
        group.parameters.add(entry.digest)
    statements = [
        Statement(
            fingerprint=text,
            kind=kind,
            count=group.count,
            distinct=len(group.parameters),
            tables=group.tables,
            function=function,
            line=group.line,
        )
        for (text, kind, function), group in found.items()
    ]
    statements.sort(key=lambda statement: (-statement.count, statement.fingerprint, statement.function))
    counted = [entry for entry, shape in groups if (entry.kind or shape.kind) in _COUNTED]
    telling: list[Any] = counted or [entry for entry, _ in groups]
    return QueryLog(
        dialect=", ".join(sorted({entry.dialect for entry in telling})),
        driver=", ".join(sorted({entry.driver for entry in telling})),
        statements=tuple(statements),
    )


class _Group:
    __slots__ = ("count", "line", "parameters", "tables")

    def __init__(self, tables: tuple[str, ...], line: int) -> None:
        self.count = 0
        self.line = line
        self.parameters: set[int] = set()
        self.tables = tables


def _uninstrumented(names: list[str]) -> Note:
    return Note(
        code="uninstrumented",
        message=f"{', '.join(names)} is loaded, and what it asks a database by itself is not counted",
        remedy="reach the database through SQLAlchemy or sqlite3 where the count matters",
    )
