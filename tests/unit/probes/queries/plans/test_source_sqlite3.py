"""What sqlite3's source asks is seen by nobody, and changes nothing on the connection."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

pytest.importorskip("sqlglot")

from pytest_perfguard.model.queries import TableSizes
from pytest_perfguard.probes.queries import QueryProbe, drivers, watch_connections


@pytest.fixture(autouse=True)
def _no_other_drivers(monkeypatch):
    monkeypatch.setattr(drivers, "loaded", list)


def read(call, *args, **more):
    probe = QueryProbe(metrics=["unindexed"], **more)
    token = probe.start()
    try:
        call(*args)
    finally:
        reading = probe.stop(token)
    return reading


@pytest.fixture
def db():
    end = watch_connections()
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b TEXT)")
        yield connection
    end()


def test_findings_are_advice_on_the_statement_and_count_once(db):
    def call():
        for number in range(4):
            db.execute("SELECT id FROM t WHERE a = ?", (number,)).fetchall()
            db.cursor().execute("SELECT id FROM t WHERE id = ?", (number,)).fetchall()
            db.execute("UPDATE t SET a = 1 WHERE b = 'x'")

    reading = read(call)
    assert reading.values == {"queries": 12, "reads": 8, "writes": 4, "unindexed": 2}
    assert reading.notes == ()
    advice = {statement.fingerprint: statement.advice for statement in reading.queries.statements if statement.advice}
    assert advice == {
        "SELECT id FROM t WHERE a = ?": (
            "no index can serve the filter on t (a = ?)",
            "    CREATE INDEX ix_t_a ON t (a)",
        ),
        "UPDATE t SET a = ? WHERE b = ?": (
            "no index can serve the filter on t (b = ?)",
            "    CREATE INDEX ix_t_b ON t (b)",
        ),
    }


def test_nothing_of_the_users_is_disturbed(db):
    seen = []
    db.row_factory, db.text_factory = sqlite3.Row, bytes
    db.execute("INSERT INTO t (a, b) VALUES (1, 'x')")
    db.commit()
    db.set_trace_callback(seen.append)
    rows = []

    def call():
        rows.extend(db.execute("SELECT b FROM t WHERE a = :a", {"a": 1}))
        assert not db.in_transaction
        pending = db.execute("SELECT id FROM t")
        db.execute("UPDATE t SET a = 2 WHERE b = 'y'")
        assert db.in_transaction
        assert len(pending.fetchall()) == 1
        db.rollback()

    reading = read(call)
    assert reading.values["unindexed"] == 2
    assert [tuple(row) for row in rows] == [(b"x",)]
    assert isinstance(rows[0], sqlite3.Row)
    assert (db.row_factory, db.text_factory) == (sqlite3.Row, bytes)
    assert not any("EXPLAIN" in text or "pragma" in text for text in seen)
    assert [text.split()[0] for text in seen if not text.startswith("--")] == [
        "SELECT", "SELECT", "BEGIN", "UPDATE", "ROLLBACK",
    ]  # fmt: skip
    seen.clear()
    db.execute("SELECT 1")
    assert seen == ["SELECT 1"]


def test_an_error_is_the_users_own(db):
    def call():
        with pytest.raises(sqlite3.OperationalError, match="no such table: missing"):
            db.execute("SELECT * FROM missing WHERE a = 1")
        with pytest.raises(sqlite3.ProgrammingError):
            db.execute("SELECT * FROM t WHERE a = ?", ())
        closed = sqlite3.connect(":memory:")
        closed.close()
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            closed.execute("SELECT * FROM t WHERE a = 1")

    assert read(call).values["unindexed"] == 0


def test_a_connection_that_was_open_before_is_named():
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a)")
        reading = read(connection.execute, "SELECT * FROM t WHERE a = 1")
    assert reading.values["unindexed"] == 0
    assert [note.undermines for note in reading.notes if note.code == "no-plans"] == [("unindexed",)]


def test_tables_that_are_declared(db):
    def call():
        db.execute("SELECT id FROM t WHERE a = 1")

    reading = read(call, tables=TableSizes(big=(("t", 2_000_000),)))
    assert reading.queries.statements[0].advice[0].endswith("(a = ?), declared to have 2,000,000 rows")
    assert read(call, tables=TableSizes(small=("t",))).values["unindexed"] == 0
