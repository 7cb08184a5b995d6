from __future__ import annotations

from pathlib import Path

from pytest_perfguard.cli.workplace import Workplace
from pytest_perfguard.errors import LineageError
from pytest_perfguard.model import BUILTIN, Commit, Header, Key, Machine, Record, StoredRun, Summary

LAPTOP = Machine(
    system="linux", architecture="x86_64", processor="Core", processors=8, implementation="cpython", python="3.12",
    label="laptop",
)  # fmt: skip
SERVER = Machine(
    system="linux", architecture="x86_64", processor="EPYC", processors=2, implementation="cpython", python="3.12",
    label="server",
)  # fmt: skip
TEST = "tests/test_orders.py::test_list"
OTHER = "tests/test_orders.py::test_one"


def sha(digit: str) -> str:
    return digit * 40


def stored(run_id, digit, minute, *, time=10e-3, queries=3, machine=LAPTOP, dirty=False, tests=(TEST,), name=""):
    """One run: `time` in seconds and `queries` for each of `tests`; four calls in a round."""
    nanoseconds = round(time * 4e9)
    summaries = (
        Summary(
            metric="time", rounds=20, iterations=4, minimum=nanoseconds - 4000, low=nanoseconds,
            median=nanoseconds * 2, high=nanoseconds * 3, value=time,
        ),
        Summary(
            metric="wall", rounds=20, iterations=4, minimum=nanoseconds, low=nanoseconds,
            median=nanoseconds, high=nanoseconds, value=time,
        ),
        Summary(
            metric="queries", rounds=1, iterations=1, minimum=queries, low=queries, median=queries, high=queries,
            value=float(queries),
        ),
    )  # fmt: skip
    commit = Commit(
        sha=sha(digit), tree=sha(digit), branch="main", subject=f"Commit {digit}", dirty=dirty,
        dirty_tree="d" * 8 if dirty else "",
    )  # fmt: skip
    return StoredRun(
        header=Header(
            run_id=run_id, created=f"2026-01-31T12:{minute:02}:00Z", commit=commit, machine=machine,
            metrics=(BUILTIN["time"], BUILTIN["wall"], BUILTIN["queries"]), versions=(("python", "3.12.1"),),
        ),
        records=tuple(Record(key=Key(test=test, name=name), summaries=summaries) for test in tests),
    )  # fmt: skip


class MemoryStore:
    """Keeps runs in a list, as the protocol asks."""

    def __init__(self, *runs: StoredRun) -> None:
        self.runs = sorted(runs, key=lambda each: each.header.created)

    def headers(self, machine=None):
        return [run.header for run in reversed(self.runs) if machine in (None, run.header.machine.key)]

    def load(self, headers):
        by_id = {run.header.run_id: run for run in self.runs}
        return [by_id[header.run_id] for header in headers]

    def samples(self, header):
        return {}

    def history(self, test, metric, machine=None):
        return [
            (run.header, record.key, summary.value)
            for run in self.runs
            if machine in (None, run.header.machine.key)
            for record in run.records
            if record.key.test == test and (summary := record.get(metric))
        ]

    def save(self, header, measurements):
        raise NotImplementedError

    def delete(self, headers, *, samples_only=False):
        raise NotImplementedError


class Line:
    """A history of commits, nearest first, with names for some."""

    def __init__(self, digits: str, **names: str) -> None:
        self.digits = digits
        self.names = names

    def head(self):
        return Commit(sha=sha(self.digits[0]))

    def resolve(self, revision):
        if revision not in self.names:
            raise LineageError(f"no revision {revision!r}")
        return Commit(sha=sha(self.names[revision]))

    def base(self):
        return None

    def ancestors(self, limit=500):
        return [sha(digit) for digit in self.digits][:limit]

    def distance(self, commit):
        return self.digits.find(commit[0]) if commit[0] in self.digits else None

    def trunk(self):
        return "main"


def workplace(*runs: StoredRun, line: Line | None = None) -> Workplace:
    return Workplace(Path(), "baselines", store=MemoryStore(*runs), lineage=line or Line("cba", HEAD="c", main="b"))
