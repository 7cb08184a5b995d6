"""SQLAlchemy's pools, rows and transaction control, as the probes see them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.pool import Pool, QueuePool

from pytest_perfguard.model import StatementKind as Kind
from pytest_perfguard.probes.queries import QueryProbe, QueryTimeProbe

ROOT = Path(__file__).parents[4]
PROBE = QueryProbe(ROOT, ["rows", "connections_opened", "connections_leaked", "pool_in_use", "round_trips"])


@pytest.fixture
def engine(tmp_path):
    engine = sa.create_engine(f"sqlite:///{tmp_path}/db", poolclass=QueuePool, pool_size=2, max_overflow=0)
    yield engine
    engine.dispose()


def read(call, probe=PROBE):
    token = probe.start()
    try:
        call()
    finally:
        reading = probe.stop(token)
    return reading


def ask(engine, text="SELECT 1"):
    with engine.connect() as connection:
        return connection.execute(sa.text(text)).all()


def test_openings_are_counted_once_and_not_when_a_pool_gives_what_it_has(engine):
    first, second = read(lambda: ask(engine)), read(lambda: ask(engine))
    assert first.values["connections_opened"] == 1
    assert second.values["connections_opened"] == 0
    assert first.values["connections_leaked"] == second.values["connections_leaked"] == 0
    (opening,) = [each for each in first.queries.statements if each.kind is Kind.CONNECTION]
    assert opening.fingerprint == "connect (sqlalchemy+pysqlite)"
    assert opening.function.endswith(":ask")


def test_what_is_not_given_back_is_a_leak_with_its_place(engine):
    kept = []

    def leak():
        kept.append(engine.connect())

    reading = read(leak)
    assert reading.values["connections_leaked"] == 1
    (left,) = [each for each in reading.queries.statements if each.fingerprint.startswith("left open")]
    assert left.function.endswith(":test_what_is_not_given_back_is_a_leak_with_its_place.<locals>.leak")
    kept.pop().close()
    assert read(lambda: ask(engine)).values["connections_leaked"] == 0


def test_most_in_use_and_how_long_one_waits(engine):
    both = threading.Barrier(2)

    def hold():
        with engine.connect():
            both.wait(10)

    def hold_two():
        threads = [threading.Thread(target=hold) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    reading = read(hold_two)
    assert reading.values["pool_in_use"] == 2
    released = threading.Event()

    def wait():
        first, second = engine.connect(), engine.connect()
        timer = threading.Timer(0.05, lambda: (released.set(), first.close()))
        timer.start()
        engine.connect().close()  # gets what the timer gives back
        assert released.is_set()
        timer.join()
        second.close()

    assert read(wait, QueryTimeProbe(ROOT)).values["pool_wait_p95"] >= 30_000_000


def test_rows_are_those_that_came(engine):
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 7) SELECT i FROM n"

    def some():
        assert len(ask(engine, numbers)) == 7
        with engine.connect() as connection:
            assert connection.execute(sa.text(numbers)).first() == (1,)
            assert connection.execute(sa.text(numbers)).fetchmany(3) == [(1,), (2,), (3,)]
            assert [row.i for row in connection.execute(sa.text(numbers))] == [*range(1, 8)]
            assert connection.execution_options(yield_per=2).execute(sa.text(numbers)).scalars().all() == [*range(1, 8)]

    assert read(some).values["rows"] == 7 + 1 + 3 + 7 + 7


def test_transaction_control_stands_beside_the_count(engine):
    def work():
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE IF NOT EXISTS t (a)"))
            with connection.begin_nested():
                connection.execute(sa.text("INSERT INTO t VALUES (1)"))
        with orm.Session(engine) as session:
            session.execute(sa.text("SELECT a FROM t"))
            session.rollback()

    reading = read(work)
    assert (reading.values["queries"], reading.values["round_trips"]) == (2, 2)
    control = {each.fingerprint: each.count for each in reading.queries.statements if each.kind is Kind.TRANSACTION}
    assert control == {"SAVEPOINT ?": 1, "RELEASE SAVEPOINT ?": 1, "COMMIT": 1, "ROLLBACK": 1}


def test_nothing_stays_patched(engine):
    record = sa.pool.base._ConnectionRecord
    before = [dict(vars(kind)) for kind in (Pool, DefaultDialect, record, sa.pool.base._ConnectionFairy)]
    read(lambda: ask(engine))
    assert [dict(vars(kind)) for kind in (Pool, DefaultDialect, record, sa.pool.base._ConnectionFairy)] == before
