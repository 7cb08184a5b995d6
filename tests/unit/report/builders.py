from __future__ import annotations

import math
from dataclasses import replace

from pytest_perfguard.model import (
    BUILTIN,
    Baseline,
    Commit,
    Contest,
    Effect,
    Header,
    Interval,
    Key,
    Machine,
    Measurement,
    Note,
    Outcome,
    QueryLog,
    Run,
    Series,
    Statement,
    StatementKind,
    StoredRun,
    Verdict,
)
from pytest_perfguard.quantity import Unit

MACHINE = Machine(
    system="linux", architecture="x86_64", processor="EPYC", processors=2, implementation="cpython", python="3.12"
)
OTHER_MACHINE = Machine(
    system="linux", architecture="arm64", processor="Graviton", processors=4, implementation="cpython", python="3.12"
)
COMMIT = Commit(sha="1a2b3c4d5e6f" + "0" * 28, tree="f" * 40, branch="main", subject="Base", time=1_700_000_000)
HEAD = Commit(sha="b" * 40, tree="e" * 40, parents=(COMMIT.sha,), branch="topic", subject="Head", time=1_700_000_100)


def header(run_id="run-head", *, commit=HEAD, machine=MACHINE, created="2026-01-31T12:00:00Z", notes=()):
    return Header(
        run_id=run_id, created=created, commit=commit, machine=machine, notes=notes,
        versions=(("python", "3.12.1"), ("numpy", "2.0")), metrics=(BUILTIN["time"], BUILTIN["queries"]), hash_seed="0",
    )  # fmt: skip


def baseline(**changes):
    fields = {
        "runs": (StoredRun(header=header("run-base", commit=COMMIT), records=()),),
        "commit": COMMIT,
        "reason": "merge base with main",
        "distance": 2,
    }
    return Baseline(**{**fields, **changes})


def compared(test, outcome, change, *, fails=None, detectable=0.25, width=0.1, **more):
    return Verdict(
        key=Key(test=test), metric="time", unit=Unit.SECONDS, outcome=outcome, sentence=f"{test}: {outcome}.",
        value=Interval(value=0.010 * (1 + change), low=0.009, high=0.012, confidence=0.99), baseline=0.010,
        effect=Effect(change=change, low=change - width, high=change + width, confidence=0.99, detectable=detectable),
        fails=outcome is Outcome.REGRESSED if fails is None else fails, **more,
    )  # fmt: skip


def contest(**changes):
    fields = {
        "base": COMMIT,
        "reason": "merge base with main",
        "pairs": 9,
        "seconds": 48.04,
        "pinned": True,
        "blocks": 5120,
        "dropped": 14,
        "steal": 0.012,
    }
    return Contest(**{**fields, **changes})


def duelled(test, outcome, change, *, pairs=12, detectable=0.016, seconds=4.5, width=0.01, **more):
    """A verdict of a live comparison."""
    verdict = compared(test, outcome, change, detectable=detectable, width=width, **more)
    return replace(verdict, effect=replace(verdict.effect, pairs=pairs, seconds=seconds))


def budgeted(test, value, limit, *, metric="queries", unit=Unit.COUNT):
    over = value > limit
    return Verdict(
        key=Key(test=test), metric=metric, unit=unit, outcome=Outcome.OVER_BUDGET if over else Outcome.PASSED,
        sentence=f"{test} made {value} queries.", limit=float(limit), fails=over,
        value=Interval(value=float(value), low=float(value), high=float(value), confidence=1.0),
    )  # fmt: skip


def measured(test, *times, queries=3, name="", notes=()):
    return Measurement(
        key=Key(test=test, name=name),
        series=(
            Series(metric=BUILTIN["time"], values=times or (5_000_000_000, 6_000_000_001), iterations=4),
            Series(metric=BUILTIN["queries"], values=(queries,)),
        ),
        queries=QueryLog(
            dialect="sqlite",
            driver="sqlite3",
            statements=(
                Statement(fingerprint="SELECT ?", kind=StatementKind.READ, count=3, distinct=1, tables=("t",)),
            ),
        ),
        notes=notes,
    )


def full_run():
    """A run with every field in use, also numbers that JSON lacks."""
    note = Note(code="weak", message="Few runs", remedy="save more")
    zero = compared("tests/test_a.py::test_zero", Outcome.REGRESSED, math.inf, detectable=None)
    return Run(
        header=header(notes=(note,)),
        measurements=(
            measured("tests/test_b.py::test_b", notes=(note,)),
            measured("tests/test_a.py::test_a", 7, name="x"),
        ),
        verdicts=(
            compared("tests/test_b.py::test_b", Outcome.REGRESSED, 0.5, details=("more | of it",), notes=(note,)),
            budgeted("tests/test_a.py::test_a", 5, 3),
            compared("tests/test_a.py::test_a", Outcome.UNCHANGED, 0.001),
            zero,
            duelled("tests/test_c.py::test_c", Outcome.IMPROVED, -0.2),
        ),
        contest=contest(notes=(note,)),
        baseline=baseline(foreign=("other Python",), weak=True, history=(StoredRun(header=header("h"), records=()),)),
        notes=(note,),
    )  # fmt: skip
