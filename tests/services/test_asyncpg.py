"""asyncpg against what really goes to the server."""

from __future__ import annotations

import asyncio
import io
import threading
import uuid
from pathlib import Path

import pytest

from pytest_perfguard.model import StatementKind as Kind
from tests.services.wire_postgresql import ROOT, PlanningProbe, proxied, read

asyncpg = pytest.importorskip("asyncpg")

from asyncpg import connect, create_pool

pytestmark = pytest.mark.service("postgresql")
HERE = Path(__file__).relative_to(ROOT).as_posix()


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


@pytest.fixture
def wire(service):
    with proxied(service) as wire:
        yield wire


@pytest.fixture
def table(service, loop):
    name = f"asyncpg_{uuid.uuid4().hex[:8]}"
    url = f"postgresql://{service.partition('://')[2]}"

    async def execute(text):
        connection = await connect(url)
        await connection.execute(text)
        await connection.close()

    loop.run_until_complete(
        execute(
            f"CREATE TABLE {name} (a int, b text); INSERT INTO {name} SELECT g, 'x' FROM generate_series(1, 10) g;"
            f"CREATE TYPE {name}_mood AS ENUM ('good', 'bad')"
        )
    )
    yield name
    loop.run_until_complete(execute(f"DROP TABLE {name}; DROP TYPE {name}_mood"))


@pytest.fixture
def opened(wire, loop):
    """A connection that was open before."""
    connection = loop.run_until_complete(connect(wire.dsn))
    yield connection
    loop.run_until_complete(connection.close())


async def fetches(wire, table):
    connection = await connect(wire.dsn)
    assert len(await connection.fetch(f"SELECT a FROM {table}")) == 10
    await connection.fetchrow(f"SELECT a FROM {table} WHERE a = $1", 1)
    await connection.fetchval(f"SELECT a FROM {table} WHERE a = $1", 2)
    await connection.execute("SELECT 1")
    await connection.execute("SELECT 2; SELECT ';'; SELECT 4")
    await connection.execute(f"INSERT INTO {table} VALUES ($1, $2)", 11, "y")
    await connection.fetchval(f"SELECT 'good'::{table}_mood")  # asyncpg looks the type up
    await connection.close()


async def prepared(wire, table):
    connection = await connect(wire.dsn, statement_cache_size=0)
    statement = await connection.prepare(f"SELECT a FROM {table} WHERE a < $1")
    await statement.fetch(5)
    await statement.fetchval(5)
    await statement.fetchrow(5)
    await statement.explain(5)
    await connection.close()


async def cursors(wire, table):
    connection = await connect(wire.dsn)
    async with connection.transaction():
        assert len([row async for row in connection.cursor(f"SELECT a FROM {table}", prefetch=4)]) == 10
        cursor = await connection.cursor(f"SELECT a FROM {table} WHERE a < $1", 100)
        await cursor.fetchrow()
        await cursor.fetch(2)
        await cursor.forward(3)
        statement = await connection.prepare(f"SELECT b FROM {table} WHERE a < $1")
        assert len([row async for row in statement.cursor(4)]) == 3
        async with connection.transaction():
            await connection.execute("SELECT 1")
    await connection.close()


async def copied(wire, table):
    connection = await connect(wire.dsn)
    await connection.copy_from_table(table, output=io.BytesIO())
    await connection.copy_from_query(f"SELECT a FROM {table} WHERE a < $1", 5, output=io.BytesIO())
    await connection.copy_to_table(table, source=io.BytesIO(b"1\tx\n"))
    await connection.copy_records_to_table(table, records=[(1, "x")])
    await connection.close()


async def tasks(wire, table):
    async def ask(number):
        connection = await connect(wire.dsn)
        await connection.fetchval("SELECT $1::int", number)
        await connection.close()

    await asyncio.gather(*map(ask, range(4)))
    thread = threading.Thread(target=lambda: asyncio.run(ask(5)))
    thread.start()
    thread.join()
    await asyncio.to_thread(lambda: asyncio.run(ask(6)))


async def pooled(wire, table):
    async with create_pool(wire.dsn, min_size=1, max_size=2) as pool:
        await pool.fetch("SELECT 1")
        async with pool.acquire() as connection:
            await connection.execute("SELECT 2")


@pytest.mark.parametrize("way", [fetches, prepared, cursors, copied, tasks, pooled], ids=lambda way: way.__name__)
def test_opened_in_the_block(wire, table, loop, way):
    reading = read(lambda: loop.run_until_complete(way(wire, table)))
    assert reading.values["queries"] == len(wire.statements) > 0
    assert reading.values["connections_opened"] == wire.connections
    assert reading.values["connections_leaked"] == 0
    assert (reading.queries.dialect, reading.queries.driver) == ("postgresql", "asyncpg")
    assert not reading.notes
    assert {statement.function.partition(":")[0] for statement in reading.queries.statements} == {HERE}


def test_opened_before(wire, table, loop, opened):
    fetch, execute = opened.fetch, opened.execute
    statement = loop.run_until_complete(opened.prepare("SELECT $1::int"))

    async def call():
        await fetch(f"SELECT a FROM {table}")
        await execute("SELECT 2")
        await statement.fetch(1)
        await opened.fetchval("SELECT 3")

    wire.reset()
    reading = read(lambda: loop.run_until_complete(call()))
    assert reading.values["queries"] == len(wire.statements) == 4


def test_many_rows_are_one_statement_and_one_round_trip_if_there_are_any(wire, table, loop, opened):
    async def call(rows):
        statement = await opened.prepare(f"INSERT INTO {table} VALUES ($1, $2)")
        await statement.executemany(rows)
        await opened.executemany(f"INSERT INTO {table} VALUES ($1, $2)", rows)

    rows = [(number, "x") for number in range(3)]
    for given, count in ((rows, 3), ([], 0)):
        wire.reset()
        reading = read(lambda given=given: loop.run_until_complete(call(given)))
        assert len(wire.statements) == 2 * count
        assert reading.values["writes"] == reading.values["round_trips"] == 2 * bool(count)
        assert not any(statement.batchable for statement in reading.queries.statements)
    reading = read(
        lambda: loop.run_until_complete(
            opened.fetchmany(f"INSERT INTO {table} VALUES ($1, $2) RETURNING a", iter(rows))
        )
    )
    assert (reading.values["writes"], reading.values["rows"]) == (1, 3)


def test_what_an_iterator_of_records_asks_itself_is_counted(wire, table, loop, opened):
    async def records():
        for number in range(3):
            yield await opened.fetchval("SELECT $1::int", number), "x"

    async def call():
        connection = await connect(wire.dsn)
        await connection.copy_records_to_table(table, records=records())
        await connection.close()

    reading = read(lambda: loop.run_until_complete(call()))
    assert (reading.values["reads"], reading.values["writes"]) == (3, 1)


def test_further_fetches_of_a_cursor_are_round_trips(wire, table, loop, opened):
    async def call():
        async with opened.transaction():
            assert len([row async for row in opened.cursor(f"SELECT a FROM {table}", prefetch=3)]) == 10
            cursor = await opened.cursor(f"SELECT a FROM {table}")
            await cursor.fetch(2)
            await cursor.forward(2)
            await cursor.fetchrow()

    loop.run_until_complete(call())  # what is prepared once
    wire.reset()
    reading = read(lambda: loop.run_until_complete(call()))
    assert reading.values["queries"] == 2
    assert reading.values["round_trips"] == 4 + 4
    # Beside them: BEGIN, COMMIT, and preparing and closing, which is not fetching.
    assert wire.turns >= 8
    assert reading.values["rows"] == 10 + 3


def test_a_cursor_that_was_opened_before_is_a_read(wire, table, loop, opened):
    async def begin():
        transaction = opened.transaction()
        await transaction.start()
        return transaction, await opened.cursor(f"SELECT a FROM {table}")

    async def call():
        await cursor.fetch(3)
        await cursor.fetch(3)

    transaction, cursor = loop.run_until_complete(begin())
    reading = read(lambda: loop.run_until_complete(call()))
    assert (reading.values["reads"], reading.values["round_trips"], reading.values["rows"]) == (1, 2, 6)
    loop.run_until_complete(transaction.rollback())


def test_rows_and_round_trips_of_statements_that_were_prepared(wire, table, loop, opened):
    async def call():
        await opened.fetch(f"SELECT a FROM {table}")
        await opened.fetchrow(f"SELECT a FROM {table}")
        await opened.execute(f"SELECT a FROM {table} WHERE a < 4")
        await opened.execute(f"UPDATE {table} SET b = 'y'")
        await opened.copy_from_table(table, output=io.BytesIO())

    loop.run_until_complete(call())
    wire.reset()
    reading = read(lambda: loop.run_until_complete(call()))
    assert reading.values["rows"] == 10 + 1 + 3 + 10
    assert reading.values["round_trips"] == reading.values["queries"] == wire.turns == 5


def test_what_controls_transactions_is_shown(wire, loop, opened):
    async def call():
        async with opened.transaction(), opened.transaction():
            await opened.fetch("SELECT 1")
        transaction = opened.transaction()
        await transaction.start()
        await transaction.rollback()

    reading = read(lambda: loop.run_until_complete(call()))
    shown = {each.fingerprint: each.count for each in reading.queries.statements if each.kind is Kind.TRANSACTION}
    assert shown == {"BEGIN": 2, "SAVEPOINT ?": 1, "RELEASE SAVEPOINT ?": 1, "COMMIT": 1, "ROLLBACK": 1}
    assert reading.values["queries"] == 1


def test_pools_lend_and_take_back(wire, loop):
    asked = []

    async def init(connection):
        await connection.execute("SELECT 'init'")

    async def setup(connection):
        asked.append(await connection.fetchval("SELECT 'setup'"))

    async def call():
        async with create_pool(wire.dsn, min_size=2, max_size=3, init=init, setup=setup) as pool:
            async with pool.acquire() as one, pool.acquire() as two:
                await asyncio.gather(one.fetchval("SELECT 1"), two.fetchval("SELECT 2"))
            connection = await pool.acquire()
            await pool.release(connection)

    reading = read(lambda: loop.run_until_complete(call()))
    assert len(asked) == 3
    assert reading.values["queries"] == 2 + 3
    assert reading.values["connections_opened"] == wire.connections == 2
    assert reading.values["connections_leaked"] == 0
    assert reading.values["pool_in_use"] == 2


def test_what_was_left_open_or_not_given_back_is_named(wire, loop):
    kept = []

    async def call():
        kept.append(await connect(wire.dsn))
        kept.append(await create_pool(wire.dsn, min_size=1, max_size=2))
        kept.append(await kept[1].acquire())
        await (await connect(wire.dsn)).close()

    async def end():
        await kept[1].release(kept[2])
        await kept[1].close()
        await kept[0].close()

    reading = read(lambda: loop.run_until_complete(call()))
    assert (reading.values["connections_opened"], reading.values["connections_leaked"]) == (3, 2)
    leaks = [each for each in reading.queries.statements if each.fingerprint.startswith("left open")]
    assert sum(each.count for each in leaks) == 2
    loop.run_until_complete(end())


@pytest.mark.parametrize("options", [{}, {"statement_cache_size": 0}, {"max_cacheable_statement_size": 5}])
def test_plans_are_asked_for_and_counted_nowhere(wire, table, loop, options):
    probe = PlanningProbe()

    async def call():
        connection = await connect(wire.dsn, **options)
        assert len(await connection.fetch(f"SELECT a FROM {table} WHERE a < $1", 4)) == 3
        assert await connection.execute(f"SELECT b FROM {table}") == "SELECT 10"
        async with connection.transaction():
            assert len([row async for row in connection.cursor(f"SELECT a, b FROM {table} WHERE a < $1", 4)]) == 3
        statement = await connection.prepare(f"SELECT b, a FROM {table}")
        assert len(await statement.fetch()) == 10
        await connection.executemany(f"INSERT INTO {table} VALUES ($1, $2)", [(1, "x")])
        await connection.close()

    assert read(lambda: loop.run_until_complete(call()), probe=probe).values["queries"] == 5
    assert len(probe.planner.plans) == 4
    assert all(plan.startswith("Seq Scan") for _, plan in probe.planner.plans)
    assert probe.planner.transactions == [False, False, True, False]


def test_over_sqlalchemy_each_statement_counts_once(wire, table, loop):
    sa = pytest.importorskip("sqlalchemy")
    pytest.importorskip("greenlet", reason="async engines of SQLAlchemy need greenlet")
    from sqlalchemy.ext.asyncio import create_async_engine

    rows = sa.text(f"SELECT a FROM {table}")

    async def call():
        engine = create_async_engine(wire.url("postgresql+asyncpg"))
        async with engine.connect() as connection:
            assert len((await connection.execute(rows)).all()) == 10
            await connection.execute(sa.text(f"INSERT INTO {table} VALUES (:a, 'x')"), [{"a": 11}, {"a": 12}])
            async with connection.stream(rows) as streamed:
                assert len([row async for row in streamed]) == 12
            raw = (await connection.get_raw_connection()).driver_connection
            await raw.fetchval("SELECT 'beside'")
            await connection.commit()
        await engine.dispose()
        connection = await connect(wire.dsn)
        await connection.fetchval("SELECT 'raw'")
        await connection.close()

    reading = read(lambda: loop.run_until_complete(call()))
    assert (reading.values["reads"], reading.values["writes"]) == (4, 1)
    assert {each.driver for each in reading.queries.statements} == {"sqlalchemy+asyncpg", "asyncpg"}
    assert reading.values["connections_opened"] == wire.connections == 2
    assert reading.values["rows"] == 10 + 12 + 1 + 1
    assert not reading.notes


def test_nothing_stays_replaced(wire, table, loop, opened):
    modules = [asyncpg.connection, asyncpg.connect_utils, asyncpg.utils, asyncpg.pool, asyncpg.protocol]
    kinds = [each for module in modules for each in vars(module).values() if isinstance(each, type)]
    kinds.append(asyncpg.protocol.Protocol)

    def held():
        return {each: {name: value for name, value in vars(each).items() if name != "_uid"} for each in kinds + modules}

    before = held()
    read(lambda: loop.run_until_complete(pooled(wire, table)))
    assert held() == before


def test_what_the_driver_refuses_is_not_counted_and_what_the_server_refuses_is(wire, loop, opened):
    async def call():
        with pytest.raises(asyncpg.DataError):
            await opened.fetch("SELECT $1::int", "x")
        with pytest.raises(asyncpg.UndefinedColumnError):
            await opened.execute("SELECT nothing")

    wire.reset()
    assert read(lambda: loop.run_until_complete(call())).values["queries"] == len(wire.statements) == 1
