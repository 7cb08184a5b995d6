"""psycopg2 against what really goes to the server."""

from __future__ import annotations

import gc
import io
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from pytest_perfguard.model import StatementKind as Kind
from pytest_perfguard.probes.queries.sources import psycopg2 as source
from tests.services.wire_postgresql import ROOT, PlanningProbe, proxied, read

psycopg2 = pytest.importorskip("psycopg2")

from psycopg2 import connect, extensions, extras, pool, sql

pytestmark = pytest.mark.service("postgresql")
HERE = Path(__file__).relative_to(ROOT).as_posix()


class OwnConnection(extensions.connection):
    def cursor(self, *args, **kwargs):
        return super().cursor(*args, **kwargs)


class OwnCursor(extensions.cursor):
    def execute(self, query, vars=None):  # noqa: A002 - psycopg2's name
        return super().execute(query, vars)


class OwnDicts(extras.RealDictCursor):
    pass


def make_connection(dsn):
    return extensions.connection(dsn)


def make_cursor(*args):
    return extensions.cursor(*args)


@pytest.fixture
def wire(service):
    with proxied(service) as wire:
        yield wire


@pytest.fixture
def table(service):
    name = f"psycopg2_{uuid.uuid4().hex[:8]}"
    with closing(connect(f"postgresql://{service.partition('://')[2]}")) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(f"CREATE TABLE {name} (a int, b text)")
        cursor.execute(f"INSERT INTO {name} SELECT g, 'x' FROM generate_series(1, 10) g")
        yield name
        cursor.execute(f"DROP TABLE {name}")


@pytest.fixture
def opened(wire):
    """A connection of psycopg2's own type that was open before."""
    with closing(connect(wire.dsn)) as connection:
        assert type(connection) is extensions.connection
        yield connection


def texts(wire, table):
    with closing(connect(wire.dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.execute(b"SELECT %s", (2,))
        cursor.execute(query=sql.SQL("SELECT a FROM {} WHERE a = %s").format(sql.Identifier(table)), vars=(1,))
        cursor.execute("SELECT 3; SELECT ';' ; SELECT 5")
        cursor.callproc("lower", ["A"])


def copied(wire, table):
    with closing(connect(wire.dsn)) as connection, connection.cursor() as cursor:
        cursor.copy_expert(f"COPY {table} TO STDOUT", io.StringIO())
        cursor.copy_to(io.StringIO(), table)
        cursor.copy_from(io.StringIO("11\ty\n"), table)


def of_server(wire, table):
    with closing(connect(wire.dsn)) as connection:
        for factory in (None, extras.DictCursor, extras.RealDictCursor, extras.NamedTupleCursor):
            with connection.cursor("one", factory) as cursor:
                cursor.itersize = 4
                cursor.execute(f"SELECT a FROM {table} WHERE a < %s", (100,))
                assert len(list(cursor)) == 10


def factories(wire, table):
    for options in (
        {"connection_factory": OwnConnection},
        {"connection_factory": extras.DictConnection},
        {"connection_factory": extras.NamedTupleConnection},
        {"connection_factory": extensions.connection},
        {"connection_factory": make_connection},
        {"cursor_factory": OwnCursor},
        {"cursor_factory": OwnDicts},
        {"cursor_factory": make_cursor},
    ):
        with closing(connect(wire.dsn, **options)) as connection:
            connection.cursor().execute("SELECT 1")

    class New(extensions.cursor):
        pass

    with closing(connect(wire.dsn)) as connection:
        for factory in (extras.DictCursor, OwnCursor, extensions.cursor, New):
            connection.cursor(cursor_factory=factory).execute("SELECT 2")


def in_thread(wire, table):
    def ask(number):
        with closing(connect(wire.dsn)) as connection:
            connection.cursor().execute("SELECT %s", (number,))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ThreadPoolExecutor(2) as executor:
        list(executor.map(ask, range(4)))


def row_by_row(wire, table):
    with closing(connect(wire.dsn)) as connection:
        for number in range(3):
            connection.cursor().execute(f"INSERT INTO {table} VALUES (%s, 'x')", (number,))


@pytest.mark.parametrize(
    "way", [texts, copied, of_server, factories, in_thread, row_by_row], ids=lambda way: way.__name__
)
def test_opened_in_the_block(wire, table, way):
    reading = read(way, wire, table)
    assert reading.values["queries"] == len(wire.statements) > 0
    assert reading.values["connections_opened"] == wire.connections
    assert reading.values["connections_leaked"] == 0
    assert (reading.queries.dialect, reading.queries.driver) == ("postgresql", "psycopg2")
    assert not reading.notes
    assert {statement.function.partition(":")[0] for statement in reading.queries.statements} == {HERE}


def test_opened_before(wire, table, opened):
    with (
        closing(connect(wire.dsn, cursor_factory=OwnDicts)) as dicts,
        closing(connect(wire.dsn, connection_factory=OwnConnection)) as own,
        closing(connect(wire.dsn, connection_factory=extras.DictConnection)) as rows,
        closing(connect(wire.dsn)) as made,
        closing(connect(wire.dsn)) as plain,
    ):
        made.cursor_factory = make_cursor
        plain.cursor_factory = extensions.cursor
        early = dicts.cursor()
        execute = early.execute

        def call():
            for connection in (opened, dicts, own, rows, made, plain):
                with connection.cursor() as cursor:
                    cursor.execute(f"SELECT a FROM {table}")
                    assert len(cursor.fetchall()) == 10
            early.execute("SELECT 1 AS one")
            assert early.fetchone() == {"one": 1}
            execute("SELECT 2")

        wire.reset()
        reading = read(call)
        assert reading.values["queries"] == len(wire.statements) == 8
        assert reading.values["connections_opened"] == 0
        assert not reading.notes
        assert opened.cursor_factory is None
        assert made.cursor_factory is make_cursor
        assert plain.cursor_factory is extensions.cursor
        assert type(opened.cursor()) is extensions.cursor


def test_cursors_that_cannot_be_seen_are_named_if_they_were_used(wire, opened):
    cursor = opened.cursor()
    cursor.execute("SELECT 0")
    assert not read(lambda: opened.cursor().execute("SELECT 1")).notes
    (note,) = read(lambda: cursor.execute("SELECT 0")).notes
    assert note.code == "unseen-cursor"
    assert {"queries", "reads", "writes"} <= set(note.undermines)
    assert note.message.startswith("1 psycopg2 cursor executed")


def test_connections_that_were_opened_past_connect_are_named(wire):
    kept = []

    def call():
        kept.append(extensions.connection(wire.dsn))
        kept[0].cursor().execute("SELECT 1")

    (note,) = read(call).notes
    assert note.code == "unseen-opening"
    assert "queries" in note.undermines
    kept[0].close()


def test_cursors_of_a_fixture_are_seen_if_they_are_watched_from_the_beginning(wire):
    end = source.watch_connections()
    try:
        with closing(connect(wire.dsn)) as connection:
            cursor = connection.cursor()
            reading = read(lambda: cursor.execute("SELECT 1"))
            assert reading.values["queries"] == 1
            assert not reading.notes
    finally:
        end()
    assert type(psycopg2._connect).__name__ == "builtin_function_or_method"


def test_executemany_is_one_statement_and_a_round_trip_for_each_row(wire, table, opened):
    def call(rows):
        opened.cursor().executemany(f"INSERT INTO {table} VALUES (%s, %s)", rows)

    rows = [(number, "x") for number in range(3)]
    for given, count in ((rows, 3), (iter(rows), 3), ([], 0)):
        wire.reset()
        reading = read(call, given)
        assert len(wire.statements) == reading.values["round_trips"] == count
        assert reading.values["writes"] == bool(count)
        assert not any(statement.batchable for statement in reading.queries.statements)
    opened.rollback()
    with opened.cursor(cursor_factory=extras.NamedTupleCursor) as cursor, opened.cursor() as plain:
        sql_text = f"INSERT INTO {table} VALUES (%s, %s)"
        reading = read(lambda: cursor.executemany(query=sql_text, vars=rows))
        assert (reading.values["writes"], reading.values["round_trips"]) == (1, 3)
        reading = read(lambda: plain.executemany(sql_text, vars_list=rows))
        assert reading.notes  # it is of the plain type
    opened.rollback()


def test_what_an_iterator_of_rows_asks_itself_is_counted(wire, table, opened):
    def rows():
        with closing(connect(wire.dsn)) as other, other.cursor() as cursor:
            for number in range(3):
                cursor.execute("SELECT %s, 'x'", (number,))
                yield cursor.fetchone()

    reading = read(lambda: opened.cursor().executemany(f"INSERT INTO {table} VALUES (%s, %s)", rows()))
    assert (reading.values["reads"], reading.values["writes"]) == (3, 1)
    opened.rollback()


def test_pages_of_rows_count_as_they_are_sent(wire, table, opened):
    rows = [(number, "x;") for number in range(250)]

    def call():
        cursor = opened.cursor()
        extras.execute_batch(cursor, f"INSERT INTO {table} VALUES (%s, %s)", rows)
        extras.execute_values(cursor, f"INSERT INTO {table} VALUES %s", rows)
        extras.execute_values(cursor, f"INSERT INTO {table} VALUES %s RETURNING a", rows[:5], fetch=True)

    wire.reset()
    reading = read(call)
    sent = [text for text in wire.executed if "INSERT" in text]
    assert reading.values["queries"] == reading.values["round_trips"] == len(sent) == 3 + 3 + 1
    assert reading.values["rows"] == 5
    assert len(reading.queries.statements) == 2
    assert not any(statement.batchable for statement in reading.queries.statements)
    opened.rollback()


def test_fetches_of_a_server_side_cursor_are_round_trips(wire, table, opened):
    def call():
        with opened.cursor("iterated") as cursor:
            cursor.itersize = 3
            cursor.execute(f"SELECT a FROM {table}")
            assert len(list(cursor)) == 10
        with opened.cursor("fetched", scrollable=True) as cursor:
            cursor.execute(f"SELECT a FROM {table}")
            cursor.fetchone()
            cursor.fetchmany(3)
            cursor.scroll(1)
            assert len(cursor.fetchall()) == 5

    wire.reset()
    reading = read(call)
    trips = [text for text in wire.executed if text.startswith(("DECLARE", "FETCH", "MOVE"))]
    assert reading.values["queries"] == 2
    assert reading.values["round_trips"] == len(trips) == 1 + 5 + 1 + 4
    assert reading.values["rows"] == 10 + 9
    opened.rollback()


def test_a_server_side_cursor_that_was_opened_before_is_a_read(wire, table, opened):
    cursor = opened.cursor("before", extras.DictCursor)
    cursor.execute(f"SELECT a FROM {table}")

    def call():
        cursor.fetchmany(3)
        cursor.fetchmany(3)

    reading = read(call)
    assert (reading.values["reads"], reading.values["round_trips"], reading.values["rows"]) == (1, 2, 6)
    cursor.close()


def test_rows(wire, table):
    def call():
        with closing(connect(wire.dsn)) as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT a FROM {table}")
            cursor.execute(f"UPDATE {table} SET b = 'y'")
            cursor.execute(f"INSERT INTO {table} VALUES (11, 'x'), (12, 'y') RETURNING a")
            cursor.copy_to(io.StringIO(), table)
            cursor.copy_expert(f"COPY {table} TO STDOUT", io.StringIO())
            cursor.copy_from(io.StringIO("13\tz\n"), table)

    assert read(call).values["rows"] == 10 + 2 + 12 + 12


def test_what_controls_transactions_is_shown_where_something_is_sent(wire):
    def call():
        with closing(connect(wire.dsn)) as connection:
            connection.commit()
            connection.rollback()
            with connection:
                connection.cursor().execute("SELECT 1")
            connection.commit()
            connection.cursor().execute("SELECT 1")
            connection.rollback()
            connection.autocommit = True
            connection.cursor().execute("SELECT 1")
            connection.commit()

    reading = read(call)
    shown = {each.fingerprint: each.count for each in reading.queries.statements if each.kind is Kind.TRANSACTION}
    assert shown == {"COMMIT": 1, "ROLLBACK": 1}
    assert reading.values["queries"] == 3


def test_connections_left_open_are_named(wire):
    kept = []

    def call():
        kept.append(connect(wire.dsn))
        connect(wire.dsn).close()

    reading = read(call)
    assert (reading.values["connections_opened"], reading.values["connections_leaked"]) == (2, 1)
    assert any(each.fingerprint == "left open (psycopg2)" for each in reading.queries.statements)
    kept[0].close()


@pytest.mark.parametrize("kind", [pool.SimpleConnectionPool, pool.ThreadedConnectionPool])
def test_pools(wire, kind):
    def call():
        lender = kind(1, 3, wire.dsn)
        first, second = lender.getconn(), lender.getconn()
        first.cursor().execute("SELECT 1")
        lender.putconn(first)
        lender.putconn(second)
        lender.getconn()
        lender.closeall()

    reading = read(call)
    assert reading.values["queries"] == 1
    assert reading.values["connections_opened"] == wire.connections == 2
    assert reading.values["pool_in_use"] == 2
    assert reading.values["connections_leaked"] == 1  # one was not given back
    assert not any(each.kind is Kind.TRANSACTION for each in reading.queries.statements)


@pytest.mark.parametrize("autocommit", [False, True])
def test_plans_are_asked_for_and_counted_nowhere(wire, table, opened, autocommit):
    opened.autocommit = autocommit
    probe = PlanningProbe()

    def call():
        with opened.cursor(cursor_factory=extras.RealDictCursor) as cursor:
            cursor.execute(f"SELECT a FROM {table} WHERE a = %s", (1,))
            assert cursor.fetchall() == [{"a": 1}]
            cursor.executemany(f"INSERT INTO {table} VALUES (%s, %s)", [(1, "x")])

    assert read(call, probe=probe).values["queries"] == 2
    ((_, plan),) = probe.planner.plans
    assert plan.startswith("Seq Scan")
    assert probe.planner.transactions == [not autocommit]
    opened.rollback()


def test_over_sqlalchemy_each_statement_counts_once(wire, table):
    sa = pytest.importorskip("sqlalchemy")
    engine = sa.create_engine(wire.url("postgresql+psycopg2"))
    rows = sa.text(f"SELECT a FROM {table}")

    def call():
        with engine.connect() as connection:
            connection.execute(rows).all()
            connection.execute(sa.text(f"INSERT INTO {table} VALUES (:a, 'x')"), [{"a": 11}, {"a": 12}])
            with connection.connection.dbapi_connection.cursor() as cursor:
                cursor.execute("SELECT 'beside'")  # on a connection that SQLAlchemy opened
            streamed = connection.execution_options(stream_results=True, yield_per=4).execute(rows)
            assert len(streamed.all()) == 12
        with closing(connect(wire.dsn)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 'raw'")

    try:
        with engine.connect():
            pass
        wire.reset()
        reading = read(call)
    finally:
        engine.dispose()
    assert (reading.values["reads"], reading.values["writes"]) == (4, 1)
    assert len(wire.statements) == 4 + 2
    assert {each.driver for each in reading.queries.statements} == {"sqlalchemy+psycopg2", "psycopg2"}
    fetches = sum(text.startswith("FETCH") for text in wire.executed)
    inserts = sum("INSERT" in text for text in wire.executed)
    assert reading.values["round_trips"] == 4 + inserts + fetches
    assert not reading.notes


def test_nothing_stays_replaced(wire, table, opened):
    def watched():
        kinds = [extensions.connection, extensions.cursor]
        for kind in kinds:
            kinds.extend(kind.__subclasses__())
        return {**{kind: dict(vars(kind)) for kind in kinds}, psycopg2: dict(vars(psycopg2)), pool: dict(vars(pool))}

    read(texts, wire, table)  # makes the subclasses that are handed out
    gc.collect()
    before = watched()
    read(texts, wire, table)
    gc.collect()
    assert watched() == before


def test_what_the_driver_refuses_is_not_counted_and_what_the_server_refuses_is(wire, opened):
    def call():
        with opened.cursor() as cursor:
            with pytest.raises(IndexError):
                cursor.execute("SELECT %s", ())
            with pytest.raises(psycopg2.errors.UndefinedColumn):
                cursor.execute("SELECT nothing")
        with pytest.raises(psycopg2.InterfaceError):
            cursor.execute("SELECT 1")

    wire.reset()
    assert read(call).values["queries"] == len(wire.statements) == 1
    opened.rollback()
