"""psycopg 3 against what really goes to the server."""

from __future__ import annotations

import asyncio
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_perfguard.model import StatementKind as Kind
from pytest_perfguard.probes.queries import QueryProbe
from tests.services.wire_postgresql import ROOT, PlanningProbe, proxied, read

psycopg = pytest.importorskip("psycopg")

from psycopg import connect, sql

pytestmark = pytest.mark.service("postgresql")
HERE = Path(__file__).relative_to(ROOT).as_posix()


@pytest.fixture
def wire(service):
    with proxied(service) as wire:
        yield wire


@pytest.fixture
def table(service):
    name = f"psycopg_{uuid.uuid4().hex[:8]}"
    url = f"postgresql://{service.partition('://')[2]}"
    with connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {name} (a int, b text)")
        connection.execute(f"INSERT INTO {name} SELECT g, 'x' FROM generate_series(1, 10) g")
        yield name
        connection.execute(f"DROP TABLE {name}")


@pytest.fixture
def opened(wire):
    """A connection that was open before, with a cursor and a method of it."""
    with connect(wire.dsn) as connection:
        cursor = connection.cursor()
        yield connection, cursor, cursor.execute


def texts(wire, table, opened):
    with connect(wire.dsn) as connection:
        connection.execute("SELECT 1")
        connection.execute(b"SELECT 2")
        connection.execute(sql.SQL("SELECT a FROM {} WHERE a = %s").format(sql.Identifier(table)), (1,))
        connection.execute("SELECT 3; SELECT ';' ; SELECT 5")


def cursors(wire, table, opened):
    with connect(wire.dsn) as connection:
        psycopg.ClientCursor(connection).execute("SELECT %s; SELECT 2", (1,))
        psycopg.RawCursor(connection).execute("SELECT $1::int", (1,))
        with connection.cursor(binary=True) as cursor:
            cursor.execute("SELECT %s", (1,))
    with connect(wire.dsn, cursor_factory=type("Own", (psycopg.Cursor,), {})) as connection:
        connection.execute("SELECT 3")


def repeated(wire, table, opened):
    with connect(wire.dsn) as connection:
        for number in range(8):  # prepared from the fifth on
            connection.execute(f"SELECT a FROM {table} WHERE a = %s", (number,))
        connection.execute("SELECT 1", prepare=True)


def streamed(wire, table, opened):
    with connect(wire.dsn) as connection:
        assert len(list(connection.cursor().stream(f"SELECT a FROM {table}"))) == 10


def copied(wire, table, opened):
    with connect(wire.dsn) as connection:
        with connection.cursor().copy(f"COPY {table} TO STDOUT") as copy:
            assert len(list(copy.rows())) == 10
        with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
            copy.write_row((11, "y"))


def of_server(wire, table, opened):
    with connect(wire.dsn) as connection:
        with connection.cursor("one") as cursor:
            cursor.execute(f"SELECT a FROM {table} WHERE a < %s", (6,))
            assert cursor.fetchone() == (1,)
            assert len(cursor.fetchall()) == 4
        with connection.cursor("two", scrollable=True) as cursor:
            cursor.itersize = 4
            cursor.execute(f"SELECT a FROM {table}")
            assert len(list(cursor)) == 10
            cursor.scroll(-2)


def open_before(wire, table, opened):
    connection, cursor, execute = opened
    connection.execute("SELECT 1")
    cursor.execute("SELECT 2")
    execute("SELECT 3")


def in_thread(wire, table, opened):
    def ask(number):
        with connect(wire.dsn) as connection:
            connection.execute("SELECT %s::int", (number,))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(ask, range(4)))


def in_pipeline(wire, table, opened):
    with connect(wire.dsn) as connection, connection.pipeline() as pipeline:
        connection.execute("SELECT 1")
        connection.execute("SELECT 2")
        pipeline.sync()
        assert connection.execute("SELECT 3").fetchall() == [(3,)]
        with connection.transaction():
            connection.execute("SELECT 4")


def in_transactions(wire, table, opened):
    with connect(wire.dsn, autocommit=True) as connection:
        with connection.transaction():
            connection.execute("SELECT 1")
            with connection.transaction(force_rollback=True):
                connection.execute("SELECT 2")
        connection.execute(f"BEGIN; INSERT INTO {table} VALUES (99, 'x'); ROLLBACK")


def of_types(wire, table, opened):
    with connect(wire.dsn) as connection:
        psycopg.types.TypeInfo.fetch(connection, "text")  # the user asks for it


WAYS = (
    *(texts, cursors, repeated, streamed, copied, of_server),
    *(open_before, in_thread, in_pipeline, in_transactions, of_types),
)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_sync(wire, table, opened, way):
    wire.reset()
    reading = read(way, wire, table, opened)
    assert reading.values["queries"] == len(wire.statements) > 0
    assert reading.values["connections_opened"] == wire.connections
    assert reading.values["connections_leaked"] == 0
    assert reading.queries.dialect == "postgresql"
    assert reading.queries.driver == "psycopg"
    assert not reading.notes
    assert {statement.function.partition(":")[0] for statement in reading.queries.statements} == {HERE}


async def async_texts(wire, table, opened):
    async with await psycopg.AsyncConnection.connect(wire.dsn) as connection:
        await (await connection.execute("SELECT 1")).fetchall()
        await psycopg.AsyncClientCursor(connection).execute("SELECT %s; SELECT 2", (1,))
        await psycopg.AsyncRawCursor(connection).execute("SELECT $1::int", (1,))
        async with connection.transaction():
            await connection.execute(sql.SQL("SELECT a FROM {}").format(sql.Identifier(table)))


async def async_cursors(wire, table, opened):
    async with await psycopg.AsyncConnection.connect(wire.dsn) as connection:
        async with connection.cursor() as cursor:
            assert len([row async for row in cursor.stream(f"SELECT a FROM {table}")]) == 10
            async with cursor.copy(f"COPY {table} TO STDOUT") as copy:
                assert len([row async for row in copy.rows()]) == 10
        async with connection.cursor("one") as cursor:
            await cursor.execute(f"SELECT a FROM {table}")
            assert len([row async for row in cursor]) == 10
        async with connection.pipeline():
            await connection.execute("SELECT 1")
            await connection.execute("SELECT 2")


async def async_tasks(wire, table, opened):
    async def ask(number):
        async with await psycopg.AsyncConnection.connect(wire.dsn) as connection:
            await connection.execute("SELECT %s::int", (number,))

    def ask_in_thread():
        with connect(wire.dsn) as connection:
            connection.execute("SELECT 'thread'")

    await asyncio.gather(*map(ask, range(4)))
    await asyncio.get_running_loop().run_in_executor(None, ask_in_thread)
    await asyncio.to_thread(ask_in_thread)


@pytest.mark.parametrize("way", [async_texts, async_cursors, async_tasks], ids=lambda way: way.__name__)
def test_async(wire, table, way):
    reading = read(lambda: asyncio.run(way(wire, table, None)))
    assert reading.values["queries"] == len(wire.statements) > 0
    assert reading.values["connections_opened"] == wire.connections
    assert reading.values["connections_leaked"] == 0
    assert not reading.notes


def test_async_connection_that_was_open_before(wire):
    async def main():
        async with await psycopg.AsyncConnection.connect(wire.dsn) as connection:
            cursor = connection.cursor()
            execute = cursor.execute
            wire.reset()
            probe = QueryProbe(ROOT)
            token = probe.start()
            try:
                await execute("SELECT 1")
                await connection.execute("SELECT 2")
            finally:
                reading = probe.stop(token)
            assert reading.values["queries"] == len(wire.statements) == 2

    asyncio.run(main())


@pytest.mark.parametrize("rows", [[(1, "a"), (2, "b"), (3, "c")], []], ids=["rows", "none"])
@pytest.mark.parametrize("lazily", [False, True])
def test_executemany_is_one_statement_and_one_round_trip_if_there_are_rows(wire, table, opened, rows, lazily):
    connection, cursor, _ = opened

    def call():
        cursor.executemany(f"INSERT INTO {table} VALUES (%s, %s)", iter(rows) if lazily else rows)

    wire.reset()
    reading = read(call)
    assert len(wire.statements) == len(rows)
    assert reading.values["writes"] == reading.values["round_trips"] == reading.values["queries"] == bool(rows)
    assert not any(statement.batchable for statement in reading.queries.statements)
    connection.rollback()


def test_what_an_iterator_of_rows_asks_itself_is_counted(wire, table, opened):
    def rows():
        with connect(wire.dsn) as other:
            for number in range(3):
                yield other.execute("SELECT %s::int, 'x'", (number,)).fetchone()

    wire.reset()
    reading = read(lambda: opened[1].executemany(f"INSERT INTO {table} VALUES (%s, %s)", rows()))
    assert (reading.values["reads"], reading.values["writes"]) == (3, 1)
    opened[0].rollback()


def test_statements_of_a_pipeline_are_one_round_trip_until_it_waits(wire):
    with connect(wire.dsn, autocommit=True) as connection:

        def call():
            with connection.pipeline() as pipeline:
                for number in range(5):
                    connection.execute("SELECT %s::int", (number,))
                pipeline.sync()
                connection.execute("SELECT 1")
                connection.execute("SELECT 2").fetchall()
                connection.cursor().executemany("SELECT %s::int", [(1,), (2,)], returning=True)
                connection.execute("SELECT 3")

        wire.reset()
        reading = read(call)
    assert reading.values["queries"] == 9
    assert reading.values["round_trips"] == 4
    assert wire.turns >= 4  # the driver may wait once more, to learn what it knows
    assert reading.values["rows"] == 5 + 2 + 2 + 1


def test_fetches_of_a_server_side_cursor_are_round_trips(wire, table):
    with connect(wire.dsn) as connection:

        def call():
            with connection.cursor("one") as cursor:
                cursor.itersize = 3
                cursor.execute(f"SELECT a FROM {table}")
                assert len(list(cursor)) == 10

        reading = read(call)
        fetches = sum(text.startswith("FETCH") for text in wire.executed)
        assert fetches == 4
        assert reading.values == {
            "queries": 1, "reads": 1, "writes": 0, "round_trips": 1 + fetches, "rows": 10,
            "connections_opened": 0, "connections_leaked": 0, "pool_in_use": 0,
        }  # fmt: skip


def test_a_server_side_cursor_that_was_opened_before_is_a_read(wire, table, opened):
    cursor = opened[0].cursor("before")
    cursor.execute(f"SELECT a FROM {table}")

    def call():
        cursor.fetchmany(3)
        cursor.fetchmany(3)

    reading = read(call)
    assert (reading.values["reads"], reading.values["round_trips"], reading.values["rows"]) == (1, 2, 6)
    cursor.close()


def test_rows(wire, table, opened):
    connection, cursor, _ = opened

    def call():
        cursor.execute(f"SELECT a FROM {table}")
        cursor.execute(f"SELECT a FROM {table} WHERE a = 1")
        cursor.execute(f"UPDATE {table} SET b = 'y'")
        cursor.execute(f"INSERT INTO {table} VALUES (11, 'x'), (12, 'y') RETURNING a")
        list(cursor.stream(f"SELECT a FROM {table}"))
        with cursor.copy(f"COPY {table} TO STDOUT") as copy:
            list(copy.rows())
        with cursor.copy(f"COPY {table} FROM STDIN") as copy:
            copy.write_row((13, "z"))

    reading = read(call)
    assert reading.values["rows"] == 10 + 1 + 2 + 12 + 12
    connection.rollback()


def test_what_controls_transactions_is_shown_where_something_is_sent(wire):
    with connect(wire.dsn) as connection:

        def call():
            connection.commit()
            connection.rollback()
            connection.execute("SELECT 1")
            connection.commit()
            connection.commit()
            connection.execute("SELECT 1")
            connection.rollback()
            with connection.transaction(), connection.transaction():
                pass

        reading = read(call)
    shown = {each.fingerprint: each.count for each in reading.queries.statements if each.kind is Kind.TRANSACTION}
    assert shown == {"COMMIT": 2, "ROLLBACK": 1, "BEGIN": 1, "SAVEPOINT ?": 1, "RELEASE ?": 1}
    assert reading.values["queries"] == 2


def test_connections_left_open_are_named(wire):
    kept = []

    def call():
        kept.append(connect(wire.dsn))
        connect(wire.dsn).close()
        with pytest.raises(psycopg.OperationalError):
            connect("postgresql://127.0.0.1:1/nothing")

    reading = read(call)
    assert (reading.values["connections_opened"], reading.values["connections_leaked"]) == (2, 1)
    (leak,) = [each for each in reading.queries.statements if each.fingerprint == "left open (psycopg)"]
    assert leak.function == f"{HERE}:test_connections_left_open_are_named.<locals>.call"
    kept[0].close()


def test_a_loop_is_found_with_its_line(wire, table, opened):
    def call():
        for number in range(4):
            opened[1].execute(f"SELECT a FROM {table} WHERE a = %s", (number,))

    (statement,) = read(call).queries.statements
    assert (statement.count, statement.distinct, statement.n_plus_one) == (4, 4, True)
    assert statement.function == f"{HERE}:test_a_loop_is_found_with_its_line.<locals>.call"


@pytest.mark.parametrize("autocommit", [False, True])
def test_plans_are_asked_for_and_counted_nowhere(wire, table, autocommit):
    probe = PlanningProbe()

    def call():
        with connect(wire.dsn, autocommit=autocommit) as connection:
            connection.execute(f"SELECT a FROM {table} WHERE a = %s", (1,))
            psycopg.RawCursor(connection).execute(f"SELECT a FROM {table} WHERE a = $1", (1,))
            psycopg.ClientCursor(connection).execute(f"SELECT a FROM {table} WHERE a = %s", (1,))
            connection.cursor().executemany(f"INSERT INTO {table} VALUES (%s, %s)", [(1, "x")])
            with connection.pipeline():
                connection.execute("SELECT 1")
            connection.rollback()

    assert read(call, probe=probe).values["queries"] == 5
    assert len(probe.planner.plans) == 3
    assert all(plan.startswith("Seq Scan") for _, plan in probe.planner.plans)
    assert probe.planner.transactions == [not autocommit] * 3


def test_plans_of_async_connections(wire, table):
    probe = PlanningProbe()

    async def main():
        async with await psycopg.AsyncConnection.connect(wire.dsn) as connection:
            rows = await (await connection.execute(f"SELECT a FROM {table} WHERE a = %s", (1,))).fetchall()
            assert rows == [(1,)]

    assert read(lambda: asyncio.run(main()), probe=probe).values["queries"] == 1
    ((_, plan),) = probe.planner.plans
    assert plan.startswith("Seq Scan")


def test_nothing_stays_replaced(wire, table, opened):
    kinds = {
        each
        for kind in vars(psycopg).values()
        if isinstance(kind, type)
        for each in kind.__mro__
        if each.__module__.startswith("psycopg")
    }
    before = {kind: dict(vars(kind)) for kind in kinds}
    read(texts, wire, table, opened)
    assert {kind: dict(vars(kind)) for kind in kinds} == before


def test_over_sqlalchemy_each_statement_counts_once(wire, table):
    sa = pytest.importorskip("sqlalchemy")
    engine = sa.create_engine(wire.url("postgresql+psycopg"))
    rows = sa.text(f"SELECT a FROM {table}")

    def call():
        with engine.connect() as connection:
            connection.execute(rows).all()
            connection.execute(sa.text(f"INSERT INTO {table} VALUES (:a, 'x')"), [{"a": 11}, {"a": 12}])
            raw = connection.connection.dbapi_connection
            raw.execute("SELECT 'beside'")  # on a connection that SQLAlchemy opened
            streamed = connection.execution_options(stream_results=True, yield_per=4).execute(rows)
            assert len(streamed.all()) == 12
        with connect(wire.dsn) as connection:
            connection.execute("SELECT 'raw'")

    try:
        with engine.connect():
            pass
        wire.reset()
        reading = read(call)
    finally:
        engine.dispose()
    assert (reading.values["reads"], reading.values["writes"]) == (4, 1)
    assert len(wire.statements) == 4 + 2
    assert {each.driver for each in reading.queries.statements} == {"sqlalchemy+psycopg", "psycopg"}
    fetches = sum(text.startswith("FETCH") for text in wire.executed)
    assert reading.values["round_trips"] == 5 + fetches
    assert reading.values["connections_opened"] == 1
    assert reading.values["rows"] == 10 + 1 + 12 + 1


def test_over_sqlalchemys_async_engine_each_statement_counts_once(wire, table):
    sa = pytest.importorskip("sqlalchemy")
    pytest.importorskip("greenlet", reason="async engines of SQLAlchemy need greenlet")
    from sqlalchemy.ext.asyncio import create_async_engine

    async def main():
        engine = create_async_engine(wire.url("postgresql+psycopg"))
        async with engine.connect() as connection:
            await connection.execute(sa.text(f"SELECT a FROM {table}"))
            async with connection.stream(sa.text(f"SELECT a FROM {table}")) as rows:
                assert len([row async for row in rows]) == 10
            raw = (await connection.get_raw_connection()).driver_connection
            await raw.execute("SELECT 'beside'")
        async with await psycopg.AsyncConnection.connect(wire.dsn) as connection:
            await connection.execute("SELECT 'raw'")
        await engine.dispose()

    reading = read(lambda: asyncio.run(main()))
    assert reading.values["queries"] == 4
    assert reading.values["connections_opened"] == 2


def test_what_the_driver_refuses_is_not_counted_and_what_the_server_refuses_is(wire, opened):
    def call():
        with pytest.raises(psycopg.ProgrammingError):
            opened[0].execute("SELECT %s", ())
        with pytest.raises(psycopg.OperationalError):
            closed.execute("SELECT 1")
        with pytest.raises(psycopg.errors.UndefinedColumn):
            opened[0].execute("SELECT nothing")

    closed = connect(wire.dsn)
    cursor = closed.cursor()
    closed.close()
    closed = cursor
    wire.reset()
    assert read(call).values["queries"] == len(wire.statements) == 1
    opened[0].rollback()
