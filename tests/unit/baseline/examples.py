"""Values that the tests of this folder share."""

from __future__ import annotations

from pytest_perfguard.model import (
    BUILTIN,
    Commit,
    Header,
    Key,
    Machine,
    Measurement,
    QueryLog,
    Series,
    Statement,
    StatementKind,
)

TIME, MEMORY, QUERIES = BUILTIN["time"], BUILTIN["memory"], BUILTIN["queries"]
MACHINE = Machine(
    system="linux",
    architecture="x86_64",
    processor="Example CPU",
    processors=4,
    implementation="cpython",
    python="3.12",
)
LOG = QueryLog(
    dialect="sqlite",
    driver="pysqlite",
    statements=(Statement(fingerprint="SELECT ?", kind=StatementKind.READ, count=3, distinct=3, tables=("orders",)),),
)

# Those of the golden files, which know nothing of metrics that came later.
METRICS = (
    "time", "wall", "cpu", "reference", "memory", "retained", "result_size", "queries", "reads", "writes",
)  # fmt: skip


def header(run_id: str = "r1", *, sha: str = "a" * 40, machine: Machine = MACHINE, hour: int = 0, **commit) -> Header:
    return Header(
        run_id=run_id,
        created=f"2026-01-{1 + hour // 24:02d}T{hour % 24:02d}:00:00Z",
        commit=Commit(**{"sha": sha, "tree": f"tree-{sha[:4]}", "branch": "main", "subject": "x", **commit}),
        machine=machine,
        versions=(("python", "3.12.1"),),
        metrics=tuple(BUILTIN[name] for name in METRICS),
    )


def measurement(test: str, *times: int, name: str = "", iterations: int = 1, **fields) -> Measurement:
    series = [Series(metric=TIME, values=times, iterations=iterations)] if times else []
    return Measurement(key=Key(test=test, name=name), series=(*series, Series(metric=QUERIES, values=(3,))), **fields)
