from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest

from pytest_perfguard.config.resolve import resolve
from pytest_perfguard.engine import Engine
from pytest_perfguard.errors import PerfguardError
from pytest_perfguard.model import BUILTIN, Baseline, Key, Measurement, Method, Outcome, Record, Series, StoredRun
from pytest_perfguard.model.task import Task
from pytest_perfguard.registry import Registry
from tests.unit.baseline.examples import header

A, B, C = ("a" * 40, "b" * 40, "c" * 40)


class Line:
    """A history of three commits."""

    def distance(self, sha):
        return [C, B, A].index(sha)

    def head(self):
        return header(sha=C).commit


def counted(test, **counts):
    series = tuple(Series(metric=BUILTIN[name], values=(count,)) for name, count in counts.items())
    return Measurement(key=Key(test=test), series=series)


def stored(sha, *measurements, machine):
    records = tuple(map(Record.of, measurements))
    return StoredRun(header=replace(header(sha[0], sha=sha), machine=machine), records=records)


@pytest.fixture
def engine(tmp_path):
    def make(compare="auto"):
        settings = resolve(options={"perfguard_compare": compare}, environment={}, ini={}, ini_path="")
        return Engine(settings, root=tmp_path, registry=Registry(root=tmp_path))

    return make


def test_what_the_baseline_lacks_is_compared_with_the_nearest_older_commit_that_has_it(engine):
    engine = engine()
    engine._history = (Line(), ())
    newer = stored(B, counted("one", queries=1), machine=engine.machine)
    older = stored(A, counted("one", queries=9, reads=9), counted("two", queries=1), machine=engine.machine)
    engine.baseline = Baseline(runs=(newer,), older=(older,), commit=newer.header.commit, distance=1)
    found = [counted("one", queries=1, reads=9), counted("two", queries=20), counted("three", queries=1)]
    verdicts = [
        verdict
        for each in found
        for verdict in engine.judge(Task(test=each.key.test, budgets=(), method=Method()), [each])
    ]
    assert [(verdict.key.test, verdict.metric, verdict.outcome) for verdict in verdicts] == [
        ("one", "queries", Outcome.UNCHANGED),
        ("one", "reads", Outcome.UNCHANGED),
        ("two", "queries", Outcome.REGRESSED),
        ("three", "queries", Outcome.NO_BASELINE),
    ]
    assert verdicts[2].fails
    assert "1 at aaaaaaaaaaaa (2 commits back, the baseline at bbbbbbbbbbbb does not have it)" in verdicts[2].sentence
    [note] = [note for note in engine.finish(found, verdicts).notes if note.code == "partial-baseline"]
    assert note.message == (
        "the baseline at bbbbbbbbbbbb has 1 of 3 measurements of this run; "
        "compared otherwise: 1 with older commits and 1 with nothing"
    )
    assert engine.finish(found[:1], verdicts).notes == ()


def test_a_named_baseline_is_checked_and_the_automatic_one_is_not(engine, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for wanted in (None, "auto"):
        quiet = engine(wanted)
        quiet.check()
        assert not {"store", "_history"} & vars(quiet).keys()
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    named = engine("HEAD")
    named.check()
    named.close()
    for wanted in ("nonsense", "HEAD~9", str(tmp_path)):
        named = engine(wanted)
        with pytest.raises(PerfguardError):
            named.check()
        named.close()
