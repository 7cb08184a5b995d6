"""Plans on real servers, in databases of these tests alone."""

from __future__ import annotations

import asyncio
import re
import uuid
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pytest_perfguard.probes.queries import QueryProbe
from tests.unit.probes.queries.plans.cases import LACKING, ROWS, SERVED, TABLES, ask, check, plain

pytest.importorskip("sqlglot")
sa = pytest.importorskip("sqlalchemy")

SIZES = (8, 5000)
ROOT = Path(__file__).parents[2]
NAME = f"perfguard_plans_{uuid.uuid4().hex[:8]}"


class Server:
    """A connection to a database of its own, filled with so many rows."""

    def __init__(self, dialect, url, connection, rows):
        self.dialect = dialect
        self.url = url
        self.connection = connection
        for table in TABLES:
            self.execute(table)
        for table, make in ROWS.items():
            if rows:
                marks = ", ".join(["%s"] * len(make(0)))
                with closing(connection.cursor()) as cursor:
                    cursor.executemany(f"INSERT INTO {table} VALUES ({marks})", list(map(make, range(1, rows + 1))))
        connection.commit()

    def run(self, text, values=None):
        with closing(self.connection.cursor()) as cursor:
            cursor.execute(text, values)
            return cursor.fetchall() if cursor.description else []

    def execute(self, text):
        self.run(text)
        self.connection.commit()

    def said(self, sql, parameters=None, **more):
        return ask(self.run, self.dialect, sql, parameters, **more)

    def lines(self, sql, parameters=None, **more):
        return plain(self.said(sql, parameters, **more))


@contextmanager
def postgresql(url, rows):
    psycopg = pytest.importorskip("psycopg")
    url = sa.make_url(url)
    name = f"{NAME}_{rows}"
    plain_url = url.set(drivername="postgresql")
    with closing(psycopg.connect(plain_url.render_as_string(hide_password=False), autocommit=True)) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        try:
            own = plain_url.set(database=name).render_as_string(hide_password=False)
            with closing(psycopg.connect(own)) as connection:
                server = Server("postgresql", url.set(database=name), connection, rows)
                connection.autocommit = True
                connection.execute("VACUUM ANALYZE")
                connection.autocommit = False
                yield server
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def mariadb(url, rows):
    pymysql = pytest.importorskip("pymysql")
    url = sa.make_url(url)
    name = f"{NAME}_{rows}"
    connection = pymysql.connect(
        host=url.host, port=url.port or 3306, user=url.username or "root", password=url.password or ""
    )
    with closing(connection):
        with closing(connection.cursor()) as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
            cursor.execute(f"USE {name}")
        try:
            yield Server("mysql", url.set(database=name), connection, rows)
        finally:
            with closing(connection.cursor()) as cursor:
                cursor.execute(f"DROP DATABASE {name}")


MAKERS = {"postgresql": postgresql, "mariadb": mariadb}
_open = {}


@pytest.fixture(scope="module", autouse=True)
def _close():
    yield
    while _open:
        manager, _ = _open.popitem()[1]
        manager.__exit__(None, None, None)


@pytest.fixture
def server(request, service):
    """The server that the test's marker names, with as many rows as the parameter `rows` says, or 8.

    Indexes that a test makes by `execute` are taken away again, and what it has not committed.
    """
    kind = request.node.get_closest_marker("service").args[0]
    rows = request.node.callspec.params.get("rows", 8) if hasattr(request.node, "callspec") else 8
    if (kind, rows) not in _open:
        manager = MAKERS[kind](service, rows)
        _open[kind, rows] = (manager, manager.__enter__())
    found = _open[kind, rows][1]
    made = []

    def execute(text):
        Server.execute(found, text)
        made.append(text)

    found.execute = execute
    yield found
    del found.execute
    found.connection.rollback()
    for text in made:
        name, table = re.match(r"CREATE INDEX (\S+) ON (\S+)", text).groups()
        found.execute(f"DROP INDEX {name}" + (f" ON {table}" if found.dialect == "mysql" else ""))


on_each_server = pytest.mark.parametrize(
    "dialect",
    [
        pytest.param("postgresql", marks=pytest.mark.service("postgresql")),
        pytest.param("mysql", marks=pytest.mark.service("mariadb")),
    ],
)


@on_each_server
@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("name", LACKING)
def test_what_lacks_an_index_and_its_twin(server, dialect, name, rows):
    check(server.run, server.execute, dialect, LACKING[name])


@on_each_server
@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("name", SERVED)
def test_nothing_is_said(server, dialect, name, rows):
    assert server.said(SERVED[name]) == ()


@pytest.mark.service("postgresql")
@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (
            "SELECT * FROM orders WHERE email LIKE 'e1%'",
            ("no index can serve the filter on orders (email LIKE ?)",
             "    CREATE INDEX ix_orders_email ON orders (email text_pattern_ops)"),
        ),
        (
            "SELECT * FROM orders WHERE email LIKE '%secret'",
            ("no plain index can serve the filter on orders (email LIKE ?): the pattern begins with a wildcard",),
        ),
        (
            "SELECT * FROM orders WHERE email ILIKE 'e1%'",
            ("no plain index can serve the filter on orders (email ILIKE ?): it compares without regard to case",),
        ),
        (
            "SELECT * FROM orders WHERE lower(email) = 'secret'",
            ("no index can serve the filter on orders (LOWER(email) = ?)",
             "    CREATE INDEX ix_orders_lower_email ON orders (lower(email))"),
        ),
        (
            "SELECT * FROM orders WHERE id = 1.5",
            ("no plain index can serve the filter on orders (CAST(id AS DECIMAL) = ?): the column is converted to "
             "another type",),
        ),
        (
            "SELECT * FROM orders WHERE customer = 1 OR status = 's1'",
            ("no plain index can serve the filter on orders ((customer = ?) OR (status = ?)): OR over different "
             "columns, which takes an index for each of them",),
        ),
        (
            "SELECT * FROM orders WHERE customer IN (SELECT id FROM customers WHERE country = 'c1')",
            ("no index can serve the filter on customers (country = ?)",
             "    CREATE INDEX ix_customers_country ON customers (country)",
             "no index can serve the join to orders (customer = customers.id)",
             "    CREATE INDEX ix_orders_customer ON orders (customer)"),
        ),
        (
            "SELECT c.id FROM customers c WHERE c.id IN (1, 2)"
            " AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer = c.id AND o.status = 's1')",
            ("no index can serve the join to orders (customer = c.id AND status = ?)",
             "    CREATE INDEX ix_orders_customer_status ON orders (customer, status)"),
        ),
        (
            "SELECT * FROM orders WHERE (customer, status) > (1, 's') ORDER BY customer, status LIMIT 3",
            ("no index can serve the filter on orders (ROW(customer, status) > ROW(?, ?))",
             "    CREATE INDEX ix_orders_customer_status ON orders (customer, status)"),
        ),
        (
            "SELECT * FROM orders WHERE customer = 5 ORDER BY id LIMIT 3",
            ("no index can serve the filter on orders (customer = ?)",
             "    CREATE INDEX ix_orders_customer_id ON orders (customer, id)"),
        ),
        (
            "SELECT o.id FROM unnest(ARRAY[1, 2]) AS wanted JOIN orders o ON o.customer = wanted",
            ("no index can serve the join to orders (customer = wanted.wanted)",
             "    CREATE INDEX ix_orders_customer ON orders (customer)"),
        ),
        # Everything is wanted: a hash join reads both tables once, and no index would be faster.
        ("SELECT * FROM orders o LEFT JOIN items i ON i.order_id = o.id", ()),
        ("SELECT o.id FROM orders o WHERE EXISTS (SELECT 1 FROM items i WHERE i.order_id = o.id)", ()),
        ("SELECT * FROM orders FULL JOIN items ON order_id = orders.id", ()),
        ("SELECT relname FROM pg_class WHERE relpages = 3", ()),
        ("SELECT * FROM orders WHERE customer = NULL", ()),
    ],
)  # fmt: skip
def test_what_postgresql_says_of_conditions(server, sql, said, rows):
    assert server.lines(sql) == said
    for line in said:
        if line.startswith("    "):
            server.execute(line.strip())
    if any(line.startswith("    ") for line in said):
        assert server.said(sql) == ()


@pytest.mark.service("postgresql")
def test_names_schemas_views_and_partitions_of_postgresql(server):
    for text in (
        "CREATE SCHEMA sales",
        'CREATE TABLE sales."My Deals" (id INTEGER PRIMARY KEY, "Who" INTEGER, "order" INTEGER)',
        "CREATE VIEW open_orders AS SELECT id AS number, customer AS who FROM orders WHERE status IS NOT NULL",
        "CREATE TABLE visits (day INTEGER, page INTEGER) PARTITION BY RANGE (day)",
        "CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE visits_2 PARTITION OF visits FOR VALUES FROM (10) TO (20)",
    ):
        server.run(text)
    for sql, said in (
        (
            'SELECT id FROM sales."My Deals" WHERE "Who" = 1 AND "order" = 2',
            ('no index can serve the filter on sales.My Deals ("Who" = ? AND "order" = ?)',
             '    CREATE INDEX "ix_My_Deals_Who_order" ON sales."My Deals" ("Who", "order")'),
        ),
        (
            "SELECT number FROM open_orders WHERE who = 5",
            ("no index can serve the filter on orders (customer = ?)",
             "    CREATE INDEX ix_orders_customer ON orders (customer)"),
        ),
        (
            "SELECT * FROM visits WHERE page = 3",
            ("no index can serve the filter on visits (page = ?)",
             "    CREATE INDEX ix_visits_page ON visits (page)"),
        ),
        (
            "SELECT * FROM orders o JOIN visits v ON v.page = o.created WHERE o.id IN (1, 2)",
            ("no index can serve the join to visits (page = o.created)",
             "    CREATE INDEX ix_visits_page ON visits (page)"),
        ),
    ):  # fmt: skip
        assert server.lines(sql) == said
        with server.connection.transaction(force_rollback=True):
            server.run(said[1])
            assert server.lines(sql) == ()
    server.connection.rollback()


@pytest.mark.service("postgresql")
def test_partial_and_other_indexes_of_postgresql(server):
    server.execute("CREATE INDEX ix_orders_customer ON orders (customer) WHERE status = 's1'")
    assert server.said("SELECT * FROM orders WHERE customer = 5 AND status = 's1'") == ()
    assert server.lines("SELECT * FROM orders WHERE customer = 5")[1] == (
        "    CREATE INDEX ix_orders_customer_2 ON orders (customer)"
    )
    server.execute("CREATE INDEX ix_abs ON orders (abs(created))")
    assert server.said("SELECT * FROM orders WHERE abs(created) = 5") == ()
    server.execute("CREATE INDEX ix_hash ON items USING hash (order_id)")
    assert server.said("SELECT * FROM items WHERE order_id = 5") == ()
    server.execute("CREATE INDEX ix_both ON items (product, parent)")
    assert server.lines("SELECT * FROM items WHERE parent = 5")[0] == (
        "no index can serve the filter on items (parent = ?)"
    )
    assert server.said("SELECT * FROM items WHERE product = 'p1' OR order_id = 3") == ()


def state(server):
    """Whatever a question could leave behind in a session of PostgreSQL."""
    return (
        server.run("SELECT name, setting FROM pg_settings WHERE source = 'session' ORDER BY name"),
        server.run(
            "SELECT relation::regclass::text, mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation IS NOT NULL"
            " AND relation::regclass::text NOT LIKE 'pg_%' ORDER BY 1, 2"
        ),
        server.run("SELECT name FROM pg_prepared_statements"),
        server.run("SELECT xact_start = now(), pg_current_xact_id_if_assigned() FROM pg_stat_activity"
                   " WHERE pid = pg_backend_pid()"),
    )  # fmt: skip


@pytest.mark.service("postgresql")
def test_nothing_is_left_behind_in_a_transaction(server):
    server.run("SET LOCAL work_mem = '5MB'")
    server.run("SELECT id FROM items LIMIT 1")
    before = state(server)
    for sql in ("SELECT * FROM orders WHERE customer = 5 FOR UPDATE", "DELETE FROM orders WHERE customer = 5"):
        assert server.lines(sql)
        assert state(server) == before
    with pytest.raises(Exception, match="does not exist"):
        server.said("SELECT * FROM missing WHERE customer = 5")
    assert state(server) == before
    with pytest.raises(Exception, match="perfguard_plan"):
        server.run("ROLLBACK TO SAVEPOINT perfguard_plan")


@pytest.mark.service("postgresql")
def test_a_transaction_that_has_failed_stays_so(server):
    with pytest.raises(Exception, match="does not exist"):
        server.run("SELECT * FROM missing")
    for in_transaction in (True, False):
        with pytest.raises(Exception, match="aborted"):
            server.said("SELECT * FROM orders WHERE customer = 5", in_transaction=in_transaction)
        assert server.connection.info.transaction_status.name == "INERROR"
    server.connection.rollback()


@pytest.mark.service("postgresql")
def test_autocommit(server):
    server.connection.autocommit = True
    try:
        assert len(server.lines("SELECT * FROM orders WHERE customer = 5", in_transaction=False)) == 2
        assert server.connection.info.transaction_status.name == "IDLE"
        with pytest.raises(Exception, match="does not exist"):
            server.said("SELECT * FROM missing WHERE a = 1", in_transaction=False)
        assert server.connection.info.transaction_status.name == "IDLE"
        # One who begins a transaction by himself: that must not be rolled back.
        server.run("BEGIN")
        server.run("UPDATE orders SET status = 'kept' WHERE id = 1")
        assert len(server.lines("SELECT * FROM orders WHERE customer = 5", in_transaction=False)) == 2
        assert server.run("SELECT status FROM orders WHERE id = 1") == [("kept",)]
        server.run("ROLLBACK")
    finally:
        server.connection.autocommit = False


@pytest.fixture
def hypopg(server):
    if not server.run("SELECT 1 FROM pg_available_extensions WHERE name = 'hypopg'"):
        pytest.skip("hypopg is not installed on the server (postgresql-…-hypopg)")
    server.run("CREATE SCHEMA extra")
    server.run("CREATE EXTENSION hypopg SCHEMA extra")


@pytest.mark.service("postgresql")
@pytest.mark.parametrize("rows", SIZES)
def test_hypopg_proves_what_is_suggested(server, hypopg, rows):
    _, create, proof = server.said("SELECT * FROM orders WHERE created = 5")
    assert create == "    CREATE INDEX ix_orders_created ON orders (created)"
    if rows == 5000:
        assert re.fullmatch(r"    hypopg: with this index the plan uses it \(cost [\d.]+ → [\d.]+\)", proof)
    else:
        assert proof == "    hypopg: with this index the plan uses it once there are more rows than now"
    said = server.said("SELECT * FROM orders o JOIN items i ON i.order_id = o.id WHERE o.created = 5")
    assert sum(line.startswith("    hypopg: with these indexes the plan uses it") for line in said) == 2
    assert server.run("SELECT count(*) FROM extra.hypopg()") == [(0,)]


@pytest.mark.service("postgresql")
def test_hypopg_refuses_and_leaves_the_users_own_indexes(server, hypopg, monkeypatch):
    server.run("SELECT * FROM extra.hypopg_create_index('CREATE INDEX ON items (parent)')")
    before = server.run("SELECT indexrelid FROM extra.hypopg()")
    monkeypatch.setattr(
        "pytest_perfguard.probes.queries.plans.advice._create", lambda *_args: "CREATE INDEX ON orders (email)"
    )
    assert server.said("SELECT * FROM orders WHERE customer = 5") == (
        "no index can serve the filter on orders (customer = ?)",
        "    hypopg: an index on it would not be used",
    )
    monkeypatch.setattr("pytest_perfguard.probes.queries.plans.advice._create", lambda *_args: "CREATE INDEX nonsense")
    assert server.said("SELECT * FROM orders WHERE customer = 5") == (
        "no index can serve the filter on orders (customer = ?)",
        "    CREATE INDEX nonsense",
    )
    assert server.run("SELECT indexrelid FROM extra.hypopg()") == before
    assert server.run("SHOW enable_seqscan") == [("on",)]
    server.run("SELECT extra.hypopg_reset()")


@pytest.mark.service("mariadb")
@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (
            "SELECT * FROM orders WHERE email LIKE 'e1%'",
            ("no index can serve the filter on orders (email LIKE ?)",
             "    CREATE INDEX ix_orders_email ON orders (email)"),
        ),
        (
            "SELECT * FROM orders WHERE email LIKE '%secret'",
            ("no plain index can serve the filter on orders (email LIKE ?): the pattern begins with a wildcard",),
        ),
        (
            "SELECT * FROM orders WHERE lower(email) = 'secret'",
            ("no plain index can serve the filter on orders (LOWER(email) = ?): the column stands in an expression",),
        ),
        (
            "SELECT * FROM orders WHERE email LIKE BINARY 'e1%'",
            ("no plain index can serve the filter on orders (email LIKE ?): it compares bytes, not text",),
        ),
        (
            "SELECT * FROM orders WHERE customer = 1 OR status = 's1'",
            ("no plain index can serve the filter on orders (customer = ? OR status = ?): OR over different columns, "
             "which takes an index for each of them",),
        ),
        (
            "SELECT * FROM orders o LEFT JOIN items i ON i.order_id = o.id",
            ("no index can serve the join to items (order_id = o.id)",
             "    CREATE INDEX ix_items_order_id ON items (order_id)"),
        ),
        (
            "SELECT o.id FROM orders o WHERE EXISTS (SELECT 1 FROM items i WHERE i.order_id = o.id)",
            ("no index can serve the filter on items (order_id = o.id)",
             "    CREATE INDEX ix_items_order_id ON items (order_id)"),
        ),
        (
            "UPDATE orders o JOIN items i ON i.order_id = o.id SET o.status = 'x' WHERE i.product = 'p1'",
            ("no index can serve the filter on items (product = ?)",
             "    CREATE INDEX ix_items_product ON items (product)"),
        ),
        (
            "SELECT * FROM orders WHERE customer <=> NULL",
            ("no index can serve the filter on orders (customer <=> NULL)",
             "    CREATE INDEX ix_orders_customer ON orders (customer)"),
        ),
        (
            "SELECT * FROM orders WHERE customer = 5 ORDER BY id LIMIT 3",
            ("no index can serve the filter on orders (customer = ?)",
             "    CREATE INDEX ix_orders_customer ON orders (customer)"),
        ),
        # MariaDB asks such a subquery for each row, whatever the index.
        ("DELETE FROM items WHERE order_id IN (SELECT id FROM customers WHERE country = 'c1')", ()),
        ("SELECT table_name FROM information_schema.tables WHERE table_rows = 3", ()),
    ],
)  # fmt: skip
def test_what_mariadb_says_of_conditions(server, sql, said, rows):
    assert server.said(sql) == said
    for line in said:
        if line.startswith("    "):
            server.execute(line.strip())
    if any(line.startswith("    ") for line in said):
        assert server.said(sql) == ()


@pytest.mark.service("mariadb")
def test_names_types_and_kinds_of_tables_of_mariadb(server):
    database = server.url.database
    statements = [
        ("SELECT * FROM my_deals WHERE place = 5", "CREATE INDEX ix_My_Deals_place ON `My Deals` (place)"),
        ("SELECT 1 FROM `My Deals` WHERE `the who` = 1 AND `order` = 2",
         "CREATE INDEX ix_My_Deals_the_who_order ON `My Deals` (`the who`, `order`)"),
        ("SELECT 1 FROM `My Deals` WHERE note = 'x'", "CREATE INDEX ix_My_Deals_note ON `My Deals` (note(100))"),
        (f"SELECT 1 FROM {database}.`My Deals` WHERE id = 'x'", "CREATE INDEX ix_My_Deals_id ON `My Deals` (id)"),
    ]  # fmt: skip
    server.run(
        "CREATE TABLE `My Deals` (id INTEGER, done BOOL, place INTEGER, `the who` INTEGER, note TEXT, `order` INTEGER)"
    )
    server.run("CREATE VIEW my_deals AS SELECT * FROM `My Deals` WHERE note IS NOT NULL")
    server.run("CREATE TEMPORARY TABLE scratch (a INTEGER, b INTEGER, KEY (a))")
    try:
        for sql, create in statements:
            assert server.said(sql)[1] == f"    {create}"
            server.run(create)
            assert server.said(sql) == ()
        assert server.said("SELECT 1 FROM `My Deals` WHERE done = 1") == ()
        assert server.said("SELECT * FROM scratch WHERE a = 1") == ()
        assert server.said("SELECT * FROM scratch WHERE b = 1") == ("no index can serve the filter on scratch (b = ?)",)
        server.run("USE information_schema")
        assert server.said(f"SELECT * FROM {database}.orders WHERE customer = 5")[1] == (
            f"    CREATE INDEX ix_orders_customer ON {database}.orders (customer)"
        )
    finally:
        server.run(f"USE {database}")
        for text in ("TEMPORARY TABLE scratch", "VIEW my_deals", "TABLE `My Deals`"):
            server.run(f"DROP {text}")


def read(call):
    probe = QueryProbe(ROOT, metrics=["unindexed"])
    token = probe.start()
    try:
        call()
    finally:
        reading = probe.stop(token)
    return reading


def advised(reading):
    return {statement.fingerprint: plain(statement.advice) for statement in reading.queries.statements}


FOUND = (
    "no index can serve the filter on orders (customer = ?)",
    "    CREATE INDEX ix_orders_customer ON orders (customer)",
)


@on_each_server
@pytest.mark.parametrize("isolation", ["READ COMMITTED", "AUTOCOMMIT"])
def test_by_an_engine(server, dialect, isolation):
    engine = sa.create_engine(server.url, isolation_level=isolation)
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))

    def call():
        with engine.connect() as connection:
            for number in range(5):
                connection.execute(sa.text("SELECT id FROM orders WHERE customer = :c"), {"c": number}).all()
                connection.execute(sa.text("SELECT id FROM orders WHERE id = :c"), {"c": number}).all()
            connection.execute(sa.text("UPDATE orders SET status = 'x' WHERE customer = :c"), {"c": -1})
            found = connection.execute(sa.text("SELECT count(*) FROM orders WHERE status = 'x'")).scalar()
            assert found == 0
            connection.rollback()

    reading = read(call)
    engine.dispose()
    assert reading.values == {"queries": 12, "reads": 11, "writes": 1, "unindexed": 3}
    said = advised(reading)
    assert [lines for text, lines in said.items() if "customer" in text] == [FOUND, FOUND]
    assert [lines for text, lines in said.items() if "WHERE id = " in text] == [()]
    assert not [note for note in reading.notes if "unindexed" in note.undermines]


@pytest.mark.service("postgresql")
@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_by_an_asynchronous_engine(server, driver):
    pytest.importorskip(driver)
    pytest.importorskip("greenlet")
    from sqlalchemy.ext.asyncio import create_async_engine

    async def main():
        engine = create_async_engine(server.url.set(drivername=f"postgresql+{driver}"))
        async with engine.connect() as connection:
            for number in range(3):
                await connection.execute(sa.text("SELECT id FROM orders WHERE customer = :c"), {"c": number})
        await engine.dispose()

    reading = read(lambda: asyncio.run(main()))
    assert reading.values["unindexed"] == 1
    assert FOUND in advised(reading).values()


def dsn(server):
    return server.url.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.mark.service("postgresql")
@pytest.mark.parametrize("autocommit", [False, True])
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg", "psycopg async"])
def test_by_a_driver(server, driver, autocommit):
    module = pytest.importorskip(driver.split()[0])
    sql = "SELECT id FROM orders WHERE customer = %s"

    def call():
        with closing(module.connect(dsn(server))) as connection:
            connection.autocommit = autocommit
            with closing(connection.cursor()) as cursor:
                for number in range(3):
                    cursor.execute(sql, (number,))
                    cursor.fetchall()
            status = connection.info.transaction_status
            assert bool(status) is not autocommit

    async def asynchronously():
        if driver == "asyncpg":
            connection = await module.connect(dsn(server))
            transaction = connection.transaction()
            await (asyncio.sleep(0) if autocommit else transaction.start())
            for number in range(3):
                await connection.fetch("SELECT id FROM orders WHERE customer = $1", number)
            assert connection.is_in_transaction() is not autocommit
        else:
            connection = await module.AsyncConnection.connect(dsn(server), autocommit=autocommit)
            for number in range(3):
                await connection.execute(sql, (number,))
            assert bool(connection.info.transaction_status) is not autocommit
        await connection.close()

    reading = read(call if driver in {"psycopg", "psycopg2"} else lambda: asyncio.run(asynchronously()))
    assert reading.values["unindexed"] == 1
    assert advised(reading)["SELECT id FROM orders WHERE customer = ?"] == FOUND


@pytest.mark.service("postgresql")
def test_a_task_that_is_cancelled_leaves_no_transaction(server):
    """The question is waiting for a lock when its task ends."""
    psycopg = pytest.importorskip("psycopg")
    server.run("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")

    async def main():
        connection = await psycopg.AsyncConnection.connect(dsn(server), autocommit=True)
        task = asyncio.ensure_future(connection.execute("SELECT id FROM orders WHERE customer = 5"))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        status = connection.info.transaction_status.name
        await connection.close()
        return status

    found = []
    read(lambda: found.append(asyncio.run(main())))
    server.connection.rollback()
    assert found == ["IDLE"]


@pytest.mark.service("mariadb")
@pytest.mark.parametrize("cursor_class", ["Cursor", "DictCursor", "SSCursor"])
def test_by_pymysql_what_tells_of_the_statement_before(server, cursor_class):
    pymysql = pytest.importorskip("pymysql")

    def call():
        connection = pymysql.connect(
            host=server.url.host, user=server.url.username, password=server.url.password or "",
            database=server.url.database, cursorclass=getattr(pymysql.cursors, cursor_class),
        )  # fmt: skip
        with closing(connection), closing(connection.cursor()) as cursor:
            cursor.execute("SELECT SQL_CALC_FOUND_ROWS id FROM orders WHERE customer = %s LIMIT 1", (3,))
            cursor.fetchall()
            cursor.execute("SELECT FOUND_ROWS() AS n")
            assert list(cursor.fetchall()) in ([(1,)], [{"n": 1}])
            cursor.execute("UPDATE orders SET status = 'y' WHERE customer = 3")
            assert cursor.rowcount == 1
            cursor.execute("SELECT ROW_COUNT() AS n")
            assert list(cursor.fetchall()) in ([(1,)], [{"n": 1}])
            connection.rollback()

    reading = read(call)
    assert reading.values["unindexed"] == 2
    assert list(advised(reading).values()).count(FOUND) == 2
