from __future__ import annotations

import asyncio
import gc
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from pytest_perfguard.model import StatementKind as Kind
from pytest_perfguard.probes.queries import QueryProbe
from pytest_perfguard.probes.queries.sources import mysql
from pytest_perfguard.probes.queries.sources.aiomysql import AiomysqlSource
from pytest_perfguard.probes.queries.sources.mysqlclient import MysqlclientSource
from pytest_perfguard.probes.queries.sources.pymysql import PymysqlSource
from pytest_perfguard.probes.watch.hub import Hub
from pytest_perfguard.probes.watch.recording import Recording

pytestmark = pytest.mark.service("mariadb")

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).relative_to(ROOT).as_posix()
PROBE = QueryProbe(
    ROOT,
    metrics=[
        "round_trips",
        "rows",
        "n_plus_one",
        "batchable",
        "connections_opened",
        "connections_leaked",
        "pool_in_use",
    ],
)
SOURCES = {"pymysql": PymysqlSource, "MySQLdb": MysqlclientSource, "aiomysql": AiomysqlSource}
NAMES = {"pymysql": "pymysql", "MySQLdb": "mysqlclient", "aiomysql": "aiomysql"}
COUNTERS = ("Questions", "Com_select", "Com_insert", "Com_update", "Com_delete", "Com_call_procedure", "Com_commit")


@pytest.fixture(params=["pymysql", "MySQLdb"])
def driver(request):
    module = pytest.importorskip(request.param)
    pytest.importorskip(f"{request.param}.connections")
    return module


@pytest.fixture
def aiomysql():
    return pytest.importorskip("aiomysql")


@pytest.fixture
def login(service):
    url = sa.make_url(service)
    return {
        "host": url.host,
        "port": url.port or 3306,
        "user": url.username,
        "password": url.password or "",
        "database": url.database,
    }


@pytest.fixture
def table(driver, login):
    """A table and a procedure of this test alone."""
    yield from make_table(driver, login)


@pytest.fixture
def atable(aiomysql, login):
    yield from make_table(pytest.importorskip("pymysql"), login)


def make_table(driver, login):
    name = f"pg_{uuid.uuid4().hex[:8]}"
    with closing(driver.connect(**login)) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, name VARCHAR(100))")
        cursor.execute(f"CREATE PROCEDURE {name}_call(a INTEGER) SELECT a + 1")
        connection.commit()
        yield name
        connection.rollback()
        cursor.execute(f"DROP PROCEDURE {name}_call")
        cursor.execute(f"DROP TABLE {name}")


def record(call, *args):
    token = PROBE.start()
    try:
        call(*args)
    finally:
        reading = PROBE.stop(token)
    return reading


def status(connection):
    """The server's own count of what this connection has asked, without what reads it."""
    with closing(connection.cursor()) as cursor:
        cursor.execute("SHOW SESSION STATUS")
        found = {name: int(value) for name, value in cursor.fetchall() if name in COUNTERS}
    found["Questions"] -= 1
    return found


async def astatus(connection):
    async with connection.cursor() as cursor:
        await cursor.execute("SHOW SESSION STATUS")
        found = {name: int(value) for name, value in await cursor.fetchall() if name in COUNTERS}
    found["Questions"] -= 1
    return found


def asked(before, after):
    return {name: after[name] - before[name] - (name == "Questions") for name in before}


def counts(reading, *kinds):
    return sum(group.count for group in reading.queries.statements if group.kind in kinds)


def agrees(reading, truth, *, many=0, together=0):
    """Whether the counts are the server's; `many` are statements of executemany beyond the first, `together` those
    that were sent with another."""
    writes = truth["Com_insert"] + truth["Com_update"] + truth["Com_delete"] + truth["Com_call_procedure"]
    return (
        reading.values["reads"] == truth["Com_select"]
        and reading.values["writes"] == writes - many
        and reading.values["round_trips"] == truth["Com_select"] + writes - together
        and counts(reading, Kind.READ, Kind.WRITE, Kind.TRANSACTION, Kind.META) == truth["Questions"] - many
    )


def test_every_method_as_often_as_the_server_says(driver, login, table):
    with closing(driver.connect(**login)) as connection:

        class Loud(driver.cursors.DictCursor):
            def execute(self, query, args=None):
                return super().execute(f"{query} /* loud */", args)

        class Own(driver.cursors.Cursor):
            def execute(self, query, args=None):
                return self._query(query % args if isinstance(query, str) else query)

        def call():
            cursor = connection.cursor()
            cursor.execute(f"INSERT INTO {table} VALUES (%s, %s)", (1, "a"))
            cursor.execute(query=f"INSERT INTO {table} VALUES (2, 'b')")
            cursor.execute(f"SELECT name FROM {table} WHERE id = %(id)s", {"id": 1})
            assert cursor.fetchall() == (("a",),)
            cursor.execute(bytearray(b"SELECT 1"))
            connection.cursor(Loud).execute(f"SELECT 2 FROM {table} WHERE id = %s", [1])
            own = connection.cursor(Own)
            own.execute(f"SELECT 3 FROM {table} WHERE id = %s" if driver.__name__ == "pymysql" else b"SELECT 3", (1,))
            stream = connection.cursor(driver.cursors.SSCursor)
            stream.execute(f"SELECT id FROM {table}")
            assert stream.fetchall() in ([(1,), (2,)], ((1,), (2,)))
            stream.close()
            connection.query("SELECT 4")
            if driver.__name__ == "MySQLdb":
                connection.store_result()
            connection.begin()
            cursor.execute(f"DELETE FROM {table} WHERE id = 2")
            connection.rollback()
            connection.commit()
            connection.show_warnings()

        before = status(connection)
        reading = record(call)
        truth = asked(before, status(connection))
        assert agrees(reading, truth)
        assert (truth["Com_select"], truth["Com_insert"], truth["Com_delete"], truth["Questions"]) == (6, 2, 1, 13)
        assert reading.queries.dialect == "mysql"
        assert reading.queries.driver == NAMES[driver.__name__]
        controls = {group.fingerprint for group in reading.queries.statements if group.kind is Kind.TRANSACTION}
        assert controls == {"BEGIN", "ROLLBACK", "COMMIT"}
        assert {group.line > 0 and group.function.startswith(f"{HERE}:") for group in reading.queries.statements} == {
            True
        }
        assert {group.slowest > 0 for group in reading.queries.statements} == {True}


def test_executemany_is_one_batch_with_the_trips_it_took(driver, login, table):
    with closing(driver.connect(**login)) as connection:
        cursor = connection.cursor()

        def call():
            cursor.max_stmt_length = 200
            cursor.executemany(f"INSERT INTO {table} VALUES (%s, %s)", [(n, "x" * 50) for n in range(20)])
            cursor.executemany(f"UPDATE {table} SET name = %s WHERE id = %s", (("y", n) for n in range(5)))
            assert cursor.executemany(f"INSERT INTO {table} VALUES (%s, %s)", []) is None

        before = status(connection)
        reading = record(call)
        truth = asked(before, status(connection))
        sent = truth["Com_insert"] + truth["Com_update"]
        assert truth["Com_insert"] > 3
        assert truth["Com_update"] == 5
        assert agrees(reading, truth, many=sent - 2)
        assert (reading.values["queries"], reading.values["batchable"]) == (2, 0)


def test_a_procedure_is_one_statement(driver, login, table):
    with closing(driver.connect(**login)) as connection, closing(connection.cursor()) as cursor:

        def call():
            assert list(cursor.callproc(f"{table}_call", (4,))) == [4]
            assert cursor.fetchall() == ((5,),)
            while cursor.nextset():
                pass

        before = status(connection)
        reading = record(call)
        truth = asked(before, status(connection))
        assert (truth["Com_call_procedure"], truth["Questions"]) == (1, 2)
        assert (reading.values["writes"], reading.values["round_trips"], reading.values["rows"]) == (1, 2, 1)
        assert reading.queries.statements[0].fingerprint == f"CALL `{table}_call`(?)"


def test_only_what_was_sent_counts(driver, login, table):
    with closing(driver.connect(**login)) as connection, closing(connection.cursor()) as cursor:

        def call():
            with pytest.raises(driver.ProgrammingError):
                cursor.execute("SELECT %s, %s", (1,))
            with pytest.raises(TypeError):
                cursor.execute()
            with pytest.raises(driver.ProgrammingError):
                cursor.execute(f"SELECT missing, FROM {table}")
            with pytest.raises(driver.OperationalError):
                cursor.execute(f"SELECT missing FROM {table}")

        before = status(connection)
        reading = record(call)
        assert asked(before, status(connection))["Questions"] == 2
        assert reading.values["queries"] == 2


def test_each_of_several_statements_in_one_text(driver, login, table):
    options = {"client_flag": mysql.MULTI_STATEMENTS} if driver.__name__ == "pymysql" else {}
    with closing(driver.connect(**login, **options)) as connection, closing(connection.cursor()) as cursor:

        def call():
            cursor.execute(f"SELECT 1; INSERT INTO {table} VALUES (7, ';''\\';'); -- ;\n SELECT /* ; */ %s;", (";",))
            while cursor.nextset():
                pass

        before = status(connection)
        reading = record(call)
        truth = asked(before, status(connection))
        assert (truth["Com_select"], truth["Com_insert"]) == (2, 1)
        assert (reading.values["reads"], reading.values["writes"], reading.values["round_trips"]) == (2, 1, 1)


def test_rows_that_came_back(driver, login, table):
    with closing(driver.connect(**login)) as connection, closing(connection.cursor()) as cursor:
        cursor.executemany(f"INSERT INTO {table} VALUES (%s, 'x')", [(n,) for n in range(10)])

        def call():
            cursor.execute(f"SELECT * FROM {table}")
            cursor.fetchone()
            named = connection.cursor(driver.cursors.DictCursor)
            named.execute(f"SELECT * FROM {table} WHERE id < 4")
            named.fetchall()
            for kind in (driver.cursors.SSCursor, driver.cursors.SSDictCursor):
                stream = connection.cursor(kind)
                stream.execute(f"SELECT * FROM {table} WHERE id < 5")
                stream.fetchone()
                stream.fetchmany(2)
                list(stream)
                stream.close()
            cursor.execute(f"UPDATE {table} SET name = 'y'")

        assert record(call).values["rows"] == 10 + 4 + 5 + 5


def test_connections(driver, login):
    kept = []

    class Mine(driver.connections.Connection):
        pass

    def call():
        with closing(driver.connect(**login, autocommit=True, init_command="SET @a = 1")) as connection:
            connection.cursor().execute("SELECT 1")
        kept.append(driver.connections.Connection(**login))
        Mine(**login).close()
        with pytest.raises(driver.OperationalError):
            driver.connect(**{**login, "port": 1, "host": "127.0.0.1"})

    reading = record(call)
    kept.pop().close()
    assert (reading.values["connections_opened"], reading.values["connections_leaked"]) == (3, 1)
    assert reading.values["queries"] == counts(reading, Kind.READ, Kind.META, Kind.TRANSACTION) == 1


def ways():
    def sync(ask):
        ask(0)

    def thread(ask):
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

    def pool(ask):
        with ThreadPoolExecutor(2) as executor:
            list(executor.map(ask, range(4)))

    def executor_of_a_loop(ask):
        async def main():
            loop = asyncio.get_running_loop()
            await asyncio.gather(*(loop.run_in_executor(None, ask, number) for number in range(3)))

        asyncio.run(main())

    return [pytest.param(way, times, id=way.__name__) for way, times in
            ((sync, 1), (thread, 3), (pool, 4), (executor_of_a_loop, 3))]  # fmt: skip


@pytest.mark.parametrize(("way", "times"), ways())
@pytest.mark.parametrize("opened", ["before", "within", "early import"])
def test_threads_early_imports_and_open_connections(driver, login, way, times, opened):
    early = driver.connect  # as a module has it that imported the name
    lock = threading.Lock()
    truth = []
    before = driver.connect(**login) if opened == "before" else None
    execute = before.cursor().execute if before else None  # bound before anything was watched

    def ask(number):
        connection = before or (early if opened == "early import" else sys.modules[driver.__name__].connect)(**login)
        with lock:
            start = status(connection)
            with closing(connection.cursor()) as cursor:
                cursor.execute("SELECT %s", (number,))
                cursor.fetchall()
            if execute:
                execute(f"SELECT 2, {number}")
            truth.append(asked(start, status(connection))["Com_select"])
        if before is None:
            connection.close()

    reading = record(way, ask)
    if before:
        before.close()
    assert reading.values["reads"] == sum(truth) == times * (2 if before else 1)
    assert {group.function for group in reading.queries.statements if group.kind is Kind.READ} == {
        f"{HERE}:test_threads_early_imports_and_open_connections.<locals>.ask"
    }


def test_n_plus_one_has_its_line(driver, login, table):
    with closing(driver.connect(**login)) as connection, closing(connection.cursor()) as cursor:

        def call():
            for number in range(5):
                cursor.execute(f"SELECT name FROM {table} WHERE id = %s", (number,))

        reading = record(call)
    (group,) = reading.queries.statements
    assert (group.count, group.distinct, group.looped) == (5, 5, 5)
    assert group.line == call.__code__.co_firstlineno + 2
    assert group.tables == (table,)


def test_no_value_is_kept(driver, login, table):
    with closing(driver.connect(**login)) as connection, closing(connection.cursor()) as cursor:

        def call():
            cursor.execute(f"SELECT * FROM {table} WHERE name = %s", ("hunter2",))
            cursor.executemany(f"INSERT INTO {table} VALUES (%s, %s)", [(1, "hunter2"), (2, "hunter2")])
            connection.query(f"UPDATE {table} SET name = 'hunter2'")

        reading = record(call)
        connection.rollback()
    assert reading.values["queries"] == 3
    assert "hunter2" not in repr(reading)


@pytest.mark.parametrize("name", ["pymysql", "mysqldb"])
def test_sqlalchemy_counts_once_and_the_driver_beside_it_too(service, name):
    pytest.importorskip({"mysqldb": "MySQLdb"}.get(name, name))
    engine = sa.create_engine(sa.make_url(service).set(drivername=f"mysql+{name}"))

    def call():
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
            connection.execute(sa.text("DO :a"), [{"a": 1}, {"a": 2}, {"a": 3}])
            raw = connection.connection.driver_connection.cursor()
            raw.execute("SELECT 2")
            raw.close()
            connection.commit()

    reading = record(call)
    engine.dispose()
    assert (reading.values["reads"], reading.values["writes"]) == (2, 1)
    assert reading.values["round_trips"] == 2 + 3  # executemany, which sends each by itself
    assert reading.values["connections_opened"] == 1
    drivers = {group.driver for group in reading.queries.statements if group.kind is Kind.READ}
    assert drivers == {f"sqlalchemy+{name}", {"mysqldb": "mysqlclient"}.get(name, name)}


@pytest.mark.parametrize("name", list(SOURCES))
def test_nothing_stays_patched(service, login, name):
    module = pytest.importorskip(name)
    pytest.importorskip(f"{name}.connections" if name != "aiomysql" else name)
    owners = [
        owner
        for part in ("cursors", "connections", "connection", "pool", "_mysql")
        if (found := getattr(module, part, None)) is not None
        for owner in (found, *(each for each in vars(found).values() if isinstance(each, type)))
    ]
    before = [dict(vars(owner)) for owner in owners]

    def call():
        assert [dict(vars(owner)) for owner in owners] != before

    record(call)
    assert [dict(vars(owner)) for owner in owners] == before


class Planner:
    """Explains everything, and keeps what came of it."""

    def __init__(self):
        self.found = []

    def ask(self, entry, parameters, run, *, in_transaction):
        with suppress(Exception):
            self.found.append((entry.text, in_transaction, len(run(f"EXPLAIN {entry.text}", parameters)[0])))

    async def ask_async(self, entry, parameters, run, *, in_transaction):
        with suppress(Exception):
            self.found.append((entry.text, in_transaction, len((await run(f"EXPLAIN {entry.text}", parameters))[0])))


def planned(source, call):
    hub = Hub((source(),))
    recording = Recording(planner=Planner())
    hub.enter(recording)
    try:
        result = call()
    finally:
        hub.leave(recording)
    return recording.planner.found, recording.entries, result


def test_the_planner_is_asked_on_the_same_connection_before(driver, login, table):
    with closing(driver.connect(**login)) as connection:

        def call():
            cursor = connection.cursor(driver.cursors.DictCursor)
            cursor.execute(f"SELECT name FROM {table} WHERE id = %s", (1,))
            assert not cursor.fetchall()
            cursor.executemany(f"INSERT INTO {table} VALUES (%s, %s)", [(n, "x") for n in range(3)])
            stream = connection.cursor(driver.cursors.SSCursor)
            stream.execute(f"SELECT id FROM {table}")
            assert stream.fetchone() == (0,)
            if driver.__name__ == "MySQLdb":
                stream.execute(f"SELECT 1 + id FROM {table}")  # the rest of the rows goes unread
            return stream.fetchall()

        found, entries, rows = planned(SOURCES[driver.__name__], call)
    texts = [f"SELECT name FROM {table} WHERE id = %s", f"SELECT id FROM {table}"]
    assert [(text, in_transaction) for text, in_transaction, _ in found] == [(text, True) for text in texts]
    assert {columns for _, _, columns in found} == {10}
    assert len(entries) == len(texts) + 1 + (driver.__name__ == "MySQLdb")
    assert list(rows) in ([(1,), (2,)], [(1,), (2,), (3,)])


def test_the_planner_does_not_ask_while_an_unbuffered_cursor_is_active(login, table):
    driver = pytest.importorskip("pymysql")
    with closing(driver.connect(**login)) as connection:

        def call():
            stream = connection.cursor(driver.cursors.SSCursor)
            stream.execute("SELECT 1 UNION ALL SELECT 2")
            with pytest.warns(UserWarning, match="left incomplete"):  # the driver's own
                connection.cursor().execute("SELECT 3")

        found, entries, _ = planned(PymysqlSource, call)
    assert [text for text, _, _ in found] == ["SELECT 1 UNION ALL SELECT 2"]
    assert len(entries) == 2


def test_connections_of_the_c_type_are_named(login):
    module = pytest.importorskip("MySQLdb")
    pytest.importorskip("MySQLdb.connections")

    def call():
        connection = module._mysql.connect(**login)
        connection.query("SELECT 1")
        connection.close()

    (note,) = [note for note in record(call).notes if note.code == "unseen-connection"]
    assert "queries" in note.undermines


def test_asynchronous_methods_as_often_as_the_server_says(aiomysql, login, atable):
    class Own(aiomysql.Cursor):
        async def execute(self, query, args=None):
            await self._query(query)

    async def main():
        login["db"] = login.pop("database")
        connection = await aiomysql.connect(**login)
        early = connection.commit
        before = await astatus(connection)
        token = PROBE.start()
        async with connection.cursor() as cursor:
            await cursor.execute(f"INSERT INTO {atable} VALUES (%s, %s)", (1, "hunter2"))
            await cursor.execute(query=f"SELECT name FROM {atable} WHERE id = %(id)s", args={"id": 1})
            assert await cursor.fetchall() == (("hunter2",),)
            await cursor.executemany(f"INSERT INTO {atable} VALUES (%s, %s)", [(n, "x") for n in range(2, 20)])
            await cursor.executemany(f"UPDATE {atable} SET name = %s WHERE id = %s", [("y", n) for n in range(4)])
            await cursor.execute(f"SELECT 1; DELETE FROM {atable} WHERE id = 3")
            while await cursor.nextset():
                pass
            with pytest.raises(TypeError):
                await cursor.execute("SELECT %s, %s", (1,))
        async with connection.cursor(Own) as cursor:
            await cursor.execute("SELECT 2")
        async with connection.cursor(aiomysql.SSDictCursor) as cursor:
            await cursor.execute(f"SELECT id FROM {atable} WHERE id < 5")
            assert await cursor.fetchone() == {"id": 1}
            assert len(await cursor.fetchmany(1)) == 1
            assert len(await cursor.fetchall()) == 1
        await connection.query("SELECT 4")
        await connection.begin()
        await connection.rollback()
        await early()
        reading = PROBE.stop(token)
        truth = asked(before, await astatus(connection))
        connection.close()
        return reading, truth

    reading, truth = asyncio.run(main())
    assert agrees(reading, truth, many=3, together=1)
    assert (truth["Com_select"], truth["Com_insert"], truth["Com_update"], truth["Com_commit"]) == (5, 2, 4, 1)
    assert reading.values["rows"] == 1 + 1 + 1 + 3 + 1
    assert (reading.queries.dialect, reading.queries.driver) == ("mysql", "aiomysql")
    assert {group.function for group in reading.queries.statements} <= {
        f"{HERE}:test_asynchronous_methods_as_often_as_the_server_says.<locals>.{name}"
        for name in ("main", "Own.execute")
    }
    assert "hunter2" not in repr(reading)


def test_an_asynchronous_procedure(aiomysql, login, atable):
    async def main():
        login["db"] = login.pop("database")
        async with aiomysql.connect(**login) as connection, connection.cursor() as cursor:
            await cursor.callproc(f"{atable}_call", (4,))
            assert await cursor.fetchall() == ((5,),)

    reading = record(lambda: asyncio.run(main()))
    assert (reading.values["writes"], reading.values["round_trips"], reading.values["rows"]) == (1, 2, 1)
    assert (reading.values["connections_opened"], reading.values["connections_leaked"]) == (1, 0)


@pytest.mark.parametrize("where", ["task", "thread"])
@pytest.mark.parametrize("opened", ["before", "within", "early import"])
def test_asynchronous_tasks_threads_and_open_connections(aiomysql, login, where, opened):
    from aiomysql import connect as early

    login["db"] = login.pop("database")

    async def ask(number, connection=None):
        own = connection or await (early if opened == "early import" else aiomysql.connect)(**login)
        before = await astatus(own)
        async with own.cursor() as cursor:
            await cursor.execute("SELECT %s", (number,))
        truth = asked(before, await astatus(own))["Com_select"]
        await own.ensure_closed()
        return truth

    async def main():
        connections = [await aiomysql.connect(**login) if opened == "before" else None for _ in range(3)]
        token = PROBE.start()
        truth = await asyncio.gather(*(asyncio.create_task(ask(n, connections[n])) for n in range(3)))
        return sum(truth), PROBE.stop(token)

    if where == "task":
        truth, reading = asyncio.run(main())
    else:
        with ThreadPoolExecutor(1) as executor:
            truth, reading = executor.submit(lambda: asyncio.run(main())).result()
    assert reading.values["reads"] == truth == 3
    (group,) = [group for group in reading.queries.statements if group.kind is Kind.READ]
    assert group.function.endswith("<locals>.ask")


def test_a_pool_lends_and_its_connections_are_no_leak(aiomysql, login):
    login["db"] = login.pop("database")

    async def main():
        pool = await aiomysql.create_pool(minsize=1, maxsize=2, **login)

        async def ask(number):
            async with pool.acquire() as connection, connection.cursor() as cursor:
                await cursor.execute("SELECT %s", (number,))
                await asyncio.sleep(0.01)

        token = PROBE.start()
        await asyncio.gather(*(ask(number) for number in range(5)))
        kept = await pool.acquire()
        waits = list(token.loans.waits)
        reading = PROBE.stop(token)
        pool.release(kept)
        pool.close()
        await pool.wait_closed()
        return reading, waits

    reading, waits = asyncio.run(main())
    assert (reading.values["reads"], reading.values["pool_in_use"]) == (5, 2)
    assert (reading.values["connections_opened"], reading.values["connections_leaked"]) == (1, 1)
    assert len(waits) == 6
    assert max(waits) > 5_000_000


def test_the_asynchronous_planner_asks_before(aiomysql, login, atable):
    login["db"] = login.pop("database")

    async def main():
        async with aiomysql.connect(**login, autocommit=True) as connection:
            async with connection.cursor(aiomysql.DictCursor) as cursor:
                await cursor.execute(f"SELECT name FROM {atable} WHERE id = %s", (1,))
                assert not await cursor.fetchall()
            async with connection.cursor(aiomysql.SSCursor) as cursor:
                await cursor.execute("SELECT 1 UNION ALL SELECT 2")
                with pytest.warns(UserWarning, match="left incomplete"):
                    await ask(connection)

    async def ask(connection):
        cursor = await connection.cursor()
        await cursor.execute("SELECT 3")

    found, entries, _ = planned(AiomysqlSource, lambda: asyncio.run(main()))
    assert found == [
        (f"SELECT name FROM {atable} WHERE id = %s", False, 10),
        ("SELECT 1 UNION ALL SELECT 2", False, 10),
    ]
    assert len(entries) == 3


def test_sqlalchemy_over_aiomysql_counts_once(aiomysql, service, login):
    pytest.importorskip("greenlet", reason="async engines of SQLAlchemy need greenlet")
    from sqlalchemy.ext.asyncio import create_async_engine

    login["db"] = login.pop("database")

    async def main():
        engine = create_async_engine(sa.make_url(service).set(drivername="mysql+aiomysql"))
        async with engine.connect() as connection:
            await connection.execute(sa.text("SELECT 1"))
            await connection.execute(sa.text("DO :a"), [{"a": 1}, {"a": 2}])
        await engine.dispose()
        async with aiomysql.connect(**login) as connection, connection.cursor() as cursor:
            await cursor.execute("SELECT 2")

    reading = record(lambda: asyncio.run(main()))
    gc.collect()
    assert (reading.values["reads"], reading.values["writes"], reading.values["round_trips"]) == (2, 1, 4)
    assert reading.values["connections_opened"] == 2
    assert {group.driver for group in reading.queries.statements if group.kind is Kind.READ} == {
        "sqlalchemy+aiomysql",
        "aiomysql",
    }
