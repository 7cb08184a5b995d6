"""What a block of a test asked of databases, for the test to assert on."""

from __future__ import annotations

from collections import Counter

from pytest_perfguard.errors import MeasurementError
from pytest_perfguard.judge.statements import explain
from pytest_perfguard.measure.observation import Observation, log_of
from pytest_perfguard.model import COUNTED, Note, QueryLog, Statement
from pytest_perfguard.model.metric import OF_QUERIES

LIMITED = OF_QUERIES | {"http_calls"}
"""Metrics that a block can be limited by."""


class QueryRecord:
    """What a block asked of databases and, where that was limited, of other servers; to be read once it has ended."""

    def __init__(self, test: str) -> None:
        self._test = test
        self._log: QueryLog | None = None
        self._values: dict[str, int] = {}
        self._notes: tuple[Note, ...] = ()

    def keep(self, seen: Observation) -> None:
        """Take what was read when the block ended."""
        self._log = log_of(seen.readings) or QueryLog(dialect="", driver="", statements=())
        self._values = seen.values
        self._notes = seen.notes

    @property
    def log(self) -> QueryLog:
        """Return everything that was seen, transaction control and the opening of connections included."""
        if self._log is None:
            raise MeasurementError(
                f"a record of perf.queries() was read within its block ({self._test}); read it after the block"
            )
        self._trust("queries")
        return self._log

    def _trust(self, metric: str) -> None:
        """Raise where statements may have gone unseen: a record never tells a silent zero."""
        for note in self._notes:
            if metric in note.undermines:
                raise MeasurementError(f"the record of perf.queries() in {self._test} cannot be trusted: {note}")

    @property
    def count(self) -> int:
        """Return how many statements read or wrote."""
        return self.log.count(COUNTED)

    @property
    def statements(self) -> tuple[Statement, ...]:
        """Return the groups of equal statements that read or wrote, most frequent first."""
        return tuple(statement for statement in self.log.statements if statement.kind in COUNTED)

    @property
    def by_table(self) -> dict[str, int]:
        """Return how many statements named each table; one that names several counts for each."""
        counts: Counter[str] = Counter()
        for statement in self.statements:
            for table in statement.tables:
                counts[table] += statement.count
        return dict(counts)

    def __getattr__(self, name: str) -> int:
        """Return the value of a metric of queries: `reads`, `writes`, `duplicates`, `n_plus_one`, `round_trips` …"""
        if name.startswith("_") or name not in LIMITED:
            raise AttributeError(f"a record of perf.queries() has no {name!r}")
        _ = self.log
        self._trust(name)
        if name not in self._values:
            raise AttributeError(f"{name} was not measured; ask for it: perf.queries({name}=…)")
        return self._values[name]

    def __len__(self) -> int:
        return self.count

    def __str__(self) -> str:
        return "\n".join(explain(self.log))

    def __repr__(self) -> str:
        return f"<queries of {self._test}{'' if self._log is None else f': {self._log.count(COUNTED)}'}>"
