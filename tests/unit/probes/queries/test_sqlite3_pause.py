"""What a layer above has written down is kept from SQLite's trace, which is dear; nothing else is lost sight of."""

from __future__ import annotations

import gc
import sqlite3
import threading
from contextlib import closing

import pytest

from pytest_perfguard.probes.queries import QueryProbe, watch_connections
from pytest_perfguard.probes.queries.sources import sqlite3_trace
from pytest_perfguard.probes.queries.sources.sqlite3_trace import follows

sa = pytest.importorskip("sqlalchemy")
PROBE = QueryProbe()


@pytest.fixture
def engine():
    end = watch_connections()
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
    with engine.connect() as connection:
        connection.execute(sa.text("CREATE TABLE t (a)"))
    yield engine
    engine.dispose()
    end()


def raw(engine):
    with engine.connect() as connection:
        return connection.connection.dbapi_connection


def select(engine, times):
    with engine.connect() as connection:
        for _ in range(times):
            connection.execute(sa.text("SELECT a FROM t")).all()


def count(work):
    token = PROBE.start()
    try:
        work()
    finally:
        reading = PROBE.stop(token)
    return reading.values["queries"]


def test_the_trace_is_off_while_sqlalchemy_executes(engine, monkeypatch):
    called = []
    monkeypatch.setattr(sqlite3_trace._Trace, "__call__", lambda self, sql: called.append(sql))
    assert count(lambda: select(engine, 5)) == 5
    assert called.count("SELECT a FROM t") == 0
    assert not follows(raw(engine))


def test_it_is_on_again_for_what_sees_nothing_else(engine):
    plain = raw(engine)

    def work():
        select(engine, 3)
        sqlite3.Cursor(plain).execute("SELECT a FROM t")
        select(engine, 3)
        assert follows(plain)

    assert count(work) == 7


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_callback_of_the_users_is_called_for_everything(engine, when):
    seen = []
    plain = raw(engine)
    if when == "before":
        plain.set_trace_callback(seen.append)

    def work():
        select(engine, 2)
        if when == "meanwhile":
            plain.set_trace_callback(seen.append)
            seen.extend(["SELECT a FROM t"] * 2)
        select(engine, 3)

    assert count(work) == 5
    select(engine, 1)
    assert seen.count("SELECT a FROM t") == 6
    assert seen.append in gc.get_referents(plain)


def test_a_statement_that_fails_leaves_it_on(engine):
    plain = raw(engine)

    def work():
        with engine.connect() as connection, pytest.raises(sa.exc.OperationalError):
            connection.execute(sa.text("SELECT nothing FROM t"))
        select(engine, 1)
        with engine.connect() as connection, pytest.raises(sa.exc.OperationalError):
            connection.execute(sa.text("SELECT nothing FROM t"))
        assert follows(plain)

    assert count(work) == 3
    assert not follows(plain)


def test_a_block_that_ends_meanwhile_leaves_nothing(engine):
    plain = raw(engine)
    begun, go_on = threading.Event(), threading.Event()

    def wait():
        begun.set()
        return go_on.wait(10)

    plain.create_function("wait", 0, wait)
    select(engine, 1)
    token = PROBE.start()
    select(engine, 2)

    def ask():
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT wait()")).all()

    thread = threading.Thread(target=ask)
    thread.start()
    assert begun.wait(10)
    PROBE.stop(token)
    go_on.set()
    thread.join(10)
    assert not follows(plain)


def test_a_connection_that_takes_the_place_of_another_is_followed_by_itself(engine):
    def work():
        for _ in range(50):  # some of them at the same address
            with closing(sqlite3.connect(":memory:")) as connection:
                connection.execute("SELECT 1")
                sqlite3.Cursor(connection).execute("SELECT 2")
                assert follows(connection)
            del connection

    assert count(work) == 100
