"""psycopg_pool: what it lends, and which connections it opens."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from pytest_perfguard.model import StatementKind as Kind
from pytest_perfguard.probes.queries import QueryTimeProbe
from tests.services.wire_postgresql import ROOT, proxied, read

psycopg_pool = pytest.importorskip("psycopg_pool")

from psycopg_pool import AsyncConnectionPool, AsyncNullConnectionPool, ConnectionPool, NullConnectionPool

pytestmark = pytest.mark.service("postgresql")
HERE = Path(__file__).relative_to(ROOT).as_posix()


@pytest.fixture
def wire(service):
    with proxied(service) as wire:
        yield wire


def test_a_pool_that_is_opened_in_the_block(wire):
    def call():
        with ConnectionPool(wire.dsn, min_size=2, max_size=3, open=False) as pool:
            pool.wait()
            with pool.connection() as one, pool.connection() as two:
                one.execute("SELECT 1")
                two.execute("SELECT 2")
            connection = pool.getconn()
            connection.execute("SELECT 3")  # and left in a transaction
            pool.putconn(connection)

    reading = read(call)
    assert reading.values["queries"] == len(wire.statements) == 3
    assert reading.values["connections_opened"] == wire.connections == 2
    assert reading.values["pool_in_use"] == 2
    assert reading.values["connections_leaked"] == 0
    shown = {each.fingerprint: each.count for each in reading.queries.statements if each.kind is Kind.TRANSACTION}
    assert shown == {"COMMIT": 2}  # what the pool rolls back is its own
    assert reading.queries.driver == "psycopg"
    assert not reading.notes


def test_what_a_pool_asks_by_itself_is_not_counted(wire):
    def configure(connection):
        connection.execute("SELECT 'configure'")
        connection.commit()

    def reset(connection):
        connection.execute("SELECT 'reset'")
        connection.commit()

    def check(connection):
        connection.execute("SELECT 'check'")
        connection.rollback()

    def call():
        with pool.connection() as connection:
            connection.execute("SELECT 1")
        pool.check()

    with ConnectionPool(wire.dsn, min_size=1, open=True, configure=configure, reset=reset, check=check) as pool:
        pool.wait()
        reading = read(call)
        assert reading.values["queries"] == 1
        assert reading.values["connections_opened"] == 0


def test_a_connection_that_was_not_given_back_is_named(wire):
    kept = []
    with ConnectionPool(wire.dsn, min_size=1, open=True) as pool:
        pool.wait()
        reading = read(lambda: kept.append(pool.getconn()))
        assert reading.values["connections_leaked"] == 1
        (leak,) = reading.queries.statements
        assert leak.fingerprint == "left open (psycopg)"
        assert leak.function == f"{HERE}:test_a_connection_that_was_not_given_back_is_named.<locals>.<lambda>"
        pool.putconn(kept[0])


def test_one_that_waits_for_a_connection(wire):
    with ConnectionPool(wire.dsn, min_size=1, max_size=1, open=True) as pool:
        pool.wait()
        lent = threading.Event()

        def hold():
            with pool.connection():
                lent.set()
                threading.Event().wait(0.1)

        def call():
            thread = threading.Thread(target=hold)
            thread.start()
            lent.wait()
            with pool.connection() as connection:
                connection.execute("SELECT 1")
            thread.join()

        reading = read(call, probe=QueryTimeProbe(ROOT))
        assert 50e6 < reading.values["pool_wait_p95"] < 10e9
        assert read(call).values["pool_in_use"] == 1


def test_a_pool_without_connections_of_its_own(wire):
    def call():
        with NullConnectionPool(wire.dsn, max_size=2, open=False) as pool:
            for _ in range(3):
                with pool.connection() as connection:
                    connection.execute("SELECT 1")

    reading = read(call)
    assert reading.values["queries"] == 3
    assert reading.values["connections_opened"] == wire.connections == 3
    assert reading.values["pool_in_use"] == 1
    assert reading.values["connections_leaked"] == 0


def test_async_pools(wire):
    async def main():
        async with AsyncConnectionPool(wire.dsn, min_size=2, open=False) as pool:
            await pool.wait()
            async with pool.connection() as one, pool.connection() as two:
                await asyncio.gather(one.execute("SELECT 1"), two.execute("SELECT 2"))
            await pool.check()
        async with AsyncNullConnectionPool(wire.dsn, max_size=2, open=False) as pool:
            connection = await pool.getconn()
            await connection.execute("SELECT 3")
            await pool.putconn(connection)

    reading = read(lambda: asyncio.run(main()))
    assert reading.values["queries"] == len(wire.statements) == 3
    assert reading.values["connections_opened"] == wire.connections == 3
    assert reading.values["pool_in_use"] == 2
    assert reading.values["connections_leaked"] == 0


def test_nothing_stays_replaced(wire):
    kinds = [ConnectionPool, AsyncConnectionPool, NullConnectionPool, AsyncNullConnectionPool]
    before = {kind: dict(vars(kind)) for kind in kinds}
    with ConnectionPool(wire.dsn, min_size=1, open=True) as pool:
        read(lambda: pool.putconn(pool.getconn()))
    assert {kind: dict(vars(kind)) for kind in kinds} == before
