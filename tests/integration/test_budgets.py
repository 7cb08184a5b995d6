"""Budgets: what holds passes, what does not fails its test, and says why."""

from __future__ import annotations

import pytest

DATABASE = """
    import sqlite3
    import pytest

    @pytest.fixture
    def db():
        connection = sqlite3.connect(":memory:")
        connection.execute("create table item (id integer)")
        connection.executemany("insert into item values (?)", [(n,) for n in range(3)])
        yield connection
        connection.close()
"""


def test_exact_budgets_gate_with_and_without_workers(either):
    either.write(
        conftest=DATABASE,
        test_it="""
        import pytest

        def each_item(db):
            for (item,) in db.execute("select id from item").fetchall():
                db.execute("select id from item where id = ?", (item,)).fetchone()

        @pytest.mark.perf_budget(queries=4, writes=0, time="10 s")
        def test_within(db):
            each_item(db)

        @pytest.mark.perf_budget(queries=3)
        def test_over(db):
            each_item(db)

        @pytest.mark.perf_budget(reads="1")
        def test_over_by_fixture(perf, db):
            perf(each_item, db)

        @pytest.mark.perf_budget(result_size="1 kB", retained=0)
        def test_size(perf):
            perf(lambda: list(range(10_000)))
        """,
    )
    inner = either.run("--junitxml=junit.xml", code=1)
    assert inner.outcomes == {"passed": 1, "failed": 3}
    assert inner.judged("test_within", "queries") == ("passed", False)
    assert inner.judged("test_within", "writes") == ("passed", False)
    assert inner.judged("test_within", "time") == ("passed", False)
    assert inner.judged("test_over", "queries") == ("over budget", True)
    assert inner.judged("test_over_by_fixture", "reads") == ("over budget", True)
    assert inner.judged("test_size", "result_size") == ("over budget", True)
    assert inner.judged("test_size", "retained") == ("passed", False)
    assert inner.value("queries", "test_within") == 4
    # The message names the statement, its place, and where the budget was set; and nothing of perfguard's own code.
    inner.result.stdout.fnmatch_lines(
        [
            "queries of test_it.py::test_over is over its budget: 4, budget 3; "
            "budget from marker on test_it.py::test_over",
            "*3 × SELECT*",
            "*at test_it.py:5 each_item",
            "*potential N+1: 3 different parameter sets*",
        ],
        consecutive=False,
    )
    inner.result.stdout.no_fnmatch_line("*guard.py*")
    inner.result.stdout.no_fnmatch_line("*Traceback*")


def test_time_gates_alone_and_beside_workers_only_on_request(either):
    either.write(
        test_it="""
        import time, pytest

        @pytest.mark.perf_budget(time="1 ms")
        def test_body():
            time.sleep(0.02)

        @pytest.mark.perf_budget(time="1 us")
        def test_fixture(perf):
            perf(sorted, list(range(1000)))

        @pytest.mark.perf_budget(time="10 s", cpu="10 s", wall="10 s")
        def test_within(perf):
            perf(sorted, [3, 1, 2])
        """
    )
    inner = either.run()
    contended = bool(either.workers)
    assert inner.code == (0 if contended else 1)
    for test in ("test_body", "test_fixture"):
        assert inner.judged(test, "time") == ("over budget", not contended)
    assert [verdict["outcome"] for verdict in inner.verdicts("test_within")] == ["passed"] * 3
    assert inner.measured("test_within")["contended"] is contended
    assert inner.report["header"]["workers"] == (2 if contended else 0)
    if contended:
        gated = either.run("--perfguard-gate-contended", code=1)
        assert gated.outcomes == {"failed": 2, "passed": 1}


def test_a_time_that_cannot_be_trusted_is_invalid_and_fails_on_request(project):
    project.write(
        test_it="""
        import sys, pytest

        @pytest.mark.perf_budget(time="1 ns")
        def test_traced(perf):
            sys.settrace(lambda *_: None)
            try:
                perf(sorted, [3, 1, 2])
            finally:
                sys.settrace(None)
        """
    )
    inner = project.run(code=0)
    assert inner.judged("test_traced", "time") == ("invalid", False)
    assert "a trace function" in inner.verdicts("test_traced")[0]["sentence"]
    assert project.run("--perfguard-fail-on=invalid", code=1).judged("test_traced", "time") == ("invalid", True)


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        (
            "perf_budget(tme='1 s')",
            "unknown budget 'tme' (marker on test_it.py::test_wrong); did you mean 'time'? known: *",
        ),
        ("perf_budget(time='1 parsec')", "*parsec*marker on test_it.py::test_wrong*"),
        ("perf_budget(queries='many')", "*many*marker on test_it.py::test_wrong*"),
        ("perf_budget()", "perf_budget sets no limit (marker on test_it.py::test_wrong)*"),
        ("perf_budget('1 s')", "perf_budget takes no positional arguments*name the metric*"),
        (
            "perf_budget(result_size='1 kB')",
            "result_size of test_it.py::test_wrong has a budget*call perf(function, …)*",
        ),
        ("perf('slow')", "*perf takes no positional arguments*if `perf` is a marker of your own*another name"),
        ("perf(reason='x')", "*unknown keyword of perf 'reason'*if `perf` is a marker of your own*another name"),
        ("perf(rounds=0)", "rounds is outside of 1 to *"),
        ("perf(metrics='spead')", "unknown metric 'spead' (marker on test_it.py::test_wrong)*"),
    ],
)
def test_a_wrong_marker_fails_its_test_and_no_other(project, marker, message):
    project.write(
        test_it=f"""
        import pytest

        @pytest.mark.{marker}
        def test_wrong():
            pass

        @pytest.mark.perf_budget(time="10 s")
        def test_right():
            pass

        def test_unguarded():
            pass
        """
    )
    inner = project.run("--strict-markers", code=1)
    assert inner.outcomes in ({"errors": 1, "passed": 2}, {"failed": 1, "passed": 2})
    inner.result.stdout.fnmatch_lines([f"perfguard: {message}"])
    assert inner.judged("test_right") == ("passed", False)
