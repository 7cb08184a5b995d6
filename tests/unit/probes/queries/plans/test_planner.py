from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from contextvars import ContextVar

import pytest

from pytest_perfguard.model import StatementKind
from pytest_perfguard.probes.queries.log import Finding
from pytest_perfguard.probes.queries.plans import IndexPlanner
from pytest_perfguard.probes.queries.plans.dialogue import Question, cells, converse, converse_async
from pytest_perfguard.probes.watch.entry import Entry, Shape

LAYERS = ContextVar("layers", default=None)
SCAN = "SELECT * FROM t WHERE a = 1"
FOUND = ("no index can serve the filter on t (a = ?)", "    CREATE INDEX ix_t_a ON t (a)")


def entry(sql, dialect="sqlite", driver="sqlite3"):
    return Entry(sql, 0, None, dialect, driver, LAYERS)


@pytest.fixture
def planner():
    pytest.importorskip("sqlglot")
    return IndexPlanner()


class Database:
    def __init__(self, row_factory=None):
        self.connection = sqlite3.connect(":memory:")
        self.connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b TEXT)")
        self.connection.row_factory = row_factory
        self.asked = []

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.connection.close()

    def run(self, text, values):
        self.asked.append(text)
        return self.connection.execute(text, values or ()).fetchall()

    async def run_async(self, text, values):
        await asyncio.sleep(0)
        return self.run(text, values)


@pytest.fixture
def db():
    with Database() as database:
        yield database


def find(planner, db, sql, **more):
    found = entry(sql, **more)
    planner.ask(found, None, db.run, in_transaction=False)
    return found.finding


def test_each_statement_is_asked_about_once_and_every_entry_has_the_finding(planner, db):
    first = find(planner, db, SCAN)
    count = len(db.asked)
    assert first == Finding(FOUND)
    assert find(planner, db, "select * from t where a = 2") == first
    assert len(db.asked) == count
    assert find(planner, db, "SELECT * FROM t WHERE id = 1") is None
    assert find(planner, db, "SELECT * FROM t WHERE id = 2") is None
    assert len(db.asked) == count + 1
    assert find(planner, db, SCAN, driver="aiosqlite") == first  # another driver may be on another database
    assert len(db.asked) == 2 * count + 1


def test_asynchronously(planner, db):
    found = entry(SCAN)
    asyncio.run(planner.ask_async(found, None, db.run_async, in_transaction=False))
    assert found.finding == Finding(FOUND)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t (a) SELECT a FROM t WHERE a = 1",
        "UPDATE t SET a = 1",
        "DELETE FROM t",
        "SELECT 1",
        "PRAGMA table_info(t)",
        "BEGIN",
        "EXPLAIN SELECT * FROM t WHERE a = 1",
        "VALUES (1)",
        f"{SCAN}; DELETE FROM t",
        "SELECT found_rows() FROM t WHERE a = 1",
        "",
    ],
)
def test_what_is_not_asked_about(planner, db, sql):
    assert find(planner, db, sql) is None
    assert db.asked == []


def test_neither_are_batches_nor_what_is_no_sql(planner, db):
    batch = entry(SCAN)
    batch.batch = True
    command = entry("GET x")
    command.shape = lambda: Shape("GET ?", StatementKind.READ)
    for each in (batch, command):
        planner.ask(each, None, db.run, in_transaction=False)
    assert db.asked == []


def test_it_never_raises_and_gives_up_after_some_failures(planner, db):
    for _ in range(5):
        assert find(planner, db, "SELECT * FROM missing WHERE a = 1") is None
    assert len(db.asked) == 3


def test_a_change_of_tables_makes_findings_void(planner, db):
    assert find(planner, db, SCAN) is not None
    sql = "CREATE INDEX ix ON t (a)"
    assert find(planner, db, sql) is None
    db.connection.execute(sql)
    assert find(planner, db, SCAN) is None


def test_databases_that_cannot_be_asked_are_named(planner, db):
    assert planner.notes() == ()
    assert find(planner, db, SCAN, dialect="mssql", driver="pyodbc") is None
    (note,) = planner.notes()
    assert note.undermines == ("unindexed",)
    assert "mssql" in note.message
    assert db.asked == []


def test_sqlglot_is_loaded_only_where_plans_are_wanted_and_missed_by_name():
    code = """
        import sys
        from pytest_perfguard.probes.queries import QueryProbe
        import sqlite3
        probe = QueryProbe()
        probe.stop(probe.start())
        print("sqlglot" in sys.modules)
        sys.modules["sqlglot"] = None
        QueryProbe(metrics=["unindexed"]).start()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "False\n"
    assert "ProbeError: plans cannot be read without sqlglot; install it (pip install sqlglot" in done.stderr


def as_dictionary(cursor, row):
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


@pytest.mark.parametrize("factory", [sqlite3.Row, as_dictionary, lambda _cursor, row: list(row)])
def test_rows_of_any_kind(planner, factory):
    with Database(factory) as db:
        assert find(planner, db, SCAN) == Finding(FOUND)


def test_texts_as_bytes(planner, db):
    db.connection.text_factory = bytes
    assert find(planner, db, SCAN) == Finding(FOUND)
    assert cells([(b"\xff", 1), {"a": bytearray(b"x")}]) == [("\ufffd", 1), ("x",)]
    assert cells(None) == []


def dialogue(log):
    try:
        rows = yield Question("ask")
    except BaseException as error:
        log.append(type(error).__name__)
        yield Question("undo")
        raise
    return rows


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, asyncio.CancelledError])
def test_what_fails_or_is_interrupted_is_put_right(error):
    log = []

    def run(text, _values):
        log.append(text)
        if text == "ask":
            raise error

    async def run_async(text, values):
        return run(text, values)

    with pytest.raises(error):
        converse(dialogue(log), run)
    assert log == ["ask", error.__name__, "undo"]
    log.clear()
    coroutine = converse_async(dialogue(log), run_async)
    with pytest.raises(error):
        coroutine.send(None)
    assert log == ["ask", error.__name__, "undo"]


def test_an_interruption_is_raised_whatever_a_dialogue_makes_of_it():
    def forgiving():
        try:
            yield Question("ask")
        except BaseException:  # noqa: BLE001
            yield Question("more")
        return 1

    def run(text, _values):
        if text == "ask":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        converse(forgiving(), run)


def test_a_coroutine_that_nobody_waits_for_is_closed_without_a_word(planner):
    async def never(_text, _values):
        await asyncio.get_running_loop().create_future()

    async def main():
        waiting = planner.ask_async(
            entry("SELECT * FROM t WHERE a = 1", "postgresql"), None, never, in_transaction=True
        )
        with closing(waiting):
            waiting.send(None)

    asyncio.run(main())
