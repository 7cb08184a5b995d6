from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

pytest.importorskip("sqlglot")

from pytest_perfguard.probes.queries.plans import IndexPlanner
from tests.unit.probes.queries.plans.cases import LACKING, ROWS, SERVED, TABLES, ask, check


@pytest.fixture
def db():
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for table in TABLES:
            connection.execute(table)
        yield connection


def fill(db, rows):
    for table, make in ROWS.items():
        marks = ", ".join("?" * len(make(0)))
        db.executemany(f"INSERT INTO {table} VALUES ({marks})", map(make, range(rows)))


def said(db, sql, parameters=None, **more):
    return ask(lambda text, values: db.execute(text, values or ()).fetchall(), "sqlite", sql, parameters, **more)


@pytest.mark.parametrize("rows", [0, 8, 5000])
@pytest.mark.parametrize("name", LACKING)
def test_what_lacks_an_index_and_its_twin(db, name, rows):
    fill(db, rows)
    check(lambda text, values: db.execute(text, values or ()).fetchall(), db.execute, "sqlite", LACKING[name])


@pytest.mark.parametrize("rows", [0, 8, 5000])
@pytest.mark.parametrize("name", SERVED)
def test_nothing_is_said(db, name, rows):
    fill(db, rows)
    assert said(db, SERVED[name]) == ()


@pytest.mark.parametrize("rows", [8, 5000])
@pytest.mark.parametrize("name", [name for name in LACKING if name != "row"])
def test_statistics_change_nothing(db, name, rows):
    fill(db, rows)
    db.execute("ANALYZE")
    check(lambda text, values: db.execute(text, values or ()).fetchall(), db.execute, "sqlite", LACKING[name])


@pytest.mark.parametrize(
    ("sql", "parameters", "line", "index"),
    [
        (
            "SELECT * FROM orders WHERE email LIKE ?", ("%x",),
            "no plain index can serve the filter on orders (email LIKE ?): the pattern begins with a wildcard", "",
        ),
        (
            "SELECT * FROM orders WHERE email LIKE '%' || :part || '%'", {"part": "x"},
            "no plain index can serve the filter on orders (email LIKE ? || ? || ?): the pattern begins with a wildcard",  # noqa: E501
            "",
        ),
        (
            "SELECT * FROM orders WHERE customer + 1 = 5", None,
            "no plain index can serve the filter on orders (customer + ? = ?): the column stands in an expression", "",
        ),
        (
            "SELECT * FROM orders WHERE customer = ? OR status = ?", (1, "s1"),
            "no plain index can serve the filter on orders (customer = ? OR status = ?): OR over different columns, "
            "which takes an index for each of them", "",
        ),
        (
            "SELECT * FROM orders WHERE ? IS NULL OR customer = ?", (1, 1),
            "no plain index can serve the filter on orders (? IS NULL OR customer = ?): one side of the OR cannot be "
            "served", "",
        ),
        (
            "SELECT * FROM orders WHERE customer = created", None,
            "no plain index can serve the filter on orders (customer = created): it compares columns of one row", "",
        ),
        (
            "SELECT * FROM orders WHERE email LIKE ?", ("x%",),
            "no index can serve the filter on orders (email LIKE ?)",
            "CREATE INDEX ix_orders_email ON orders (email COLLATE NOCASE)",
        ),
        (
            "SELECT * FROM orders WHERE email GLOB 'x*'", None,
            "no index can serve the filter on orders (email GLOB ?)", "CREATE INDEX ix_orders_email ON orders (email)",
        ),
        (
            "SELECT * FROM orders WHERE lower(email) = ?", ("x",),
            "no index can serve the filter on orders (LOWER(email) = ?)",
            "CREATE INDEX ix_orders_lower_email ON orders (lower(email))",
        ),
        (
            "SELECT * FROM orders WHERE (customer, status) > (?, ?) ORDER BY customer, status LIMIT 3", (1, "s"),
            "no index can serve the filter on orders ((customer, status) > (?, ?))",
            "CREATE INDEX ix_orders_customer_status ON orders (customer, status)",
        ),
        (
            "SELECT * FROM orders WHERE customer > ? OR (customer = ? AND status > ?)", (1, 1, "s"),
            "no index can serve the filter on orders (customer > ? OR (customer = ? AND status > ?))",
            "CREATE INDEX ix_orders_customer ON orders (customer)",
        ),
        (
            "SELECT * FROM orders WHERE customer IN (SELECT id FROM customers WHERE id < 5)", None,
            "no index can serve the filter on orders (customer IN (SELECT …))",
            "CREATE INDEX ix_orders_customer ON orders (customer)",
        ),
        (
            "SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM items WHERE order_id = o.id)", None,
            "no index can serve the filter on items (order_id = o.id)",
            "CREATE INDEX ix_items_order_id ON items (order_id)",
        ),
        (
            "SELECT * FROM orders o LEFT JOIN items i ON i.order_id = o.id", None,
            "no index can serve the join to items (order_id = o.id)",
            "CREATE INDEX ix_items_order_id ON items (order_id)",
        ),
        (
            "SELECT o.* FROM orders o LEFT JOIN items i ON i.order_id = o.id WHERE i.id IS NULL", None,
            "no index can serve the join to items (order_id = o.id)",
            "CREATE INDEX ix_items_order_id ON items (order_id)",
        ),
        (
            "SELECT * FROM main.orders WHERE customer = ?", (1,),
            "no index can serve the filter on main.orders (customer = ?)",
            "CREATE INDEX main.ix_orders_customer ON orders (customer)",
        ),
        (
            'SELECT * FROM [orders] AS "the o" WHERE "the o"."customer" = ?', (1,),
            "no index can serve the filter on orders (customer = ?)",
            "CREATE INDEX ix_orders_customer ON orders (customer)",
        ),
    ],
)  # fmt: skip
def test_what_is_said_of_conditions(db, sql, parameters, line, index):
    lines = said(db, sql, parameters)
    assert lines == ((line, f"    {index}") if index else (line,))
    if index:
        db.execute(index)
        assert said(db, sql, parameters) == ()


def test_names_that_need_quotes(db):
    db.execute('CREATE TABLE "My Orders" ("the customer" INTEGER, "select" INTEGER)')
    sql = 'SELECT * FROM "My Orders" WHERE "the customer" = 1 AND "select" = 2'
    lines = said(db, sql)
    assert lines[1] == ('    CREATE INDEX ix_My_Orders_the_customer_select ON "My Orders" ("the customer", "select")')
    db.execute(lines[1])
    assert said(db, sql) == ()


def test_flags_select_too_many_rows(db):
    db.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, done BOOLEAN, queue TEXT)")
    assert said(db, "SELECT * FROM jobs WHERE done = 0") == ()
    assert said(db, "SELECT * FROM jobs WHERE NOT done") == ()
    assert said(db, "SELECT * FROM jobs WHERE done = 0 AND queue = 'q'") == (
        "no index can serve the filter on jobs (queue = ?)",
        "    CREATE INDEX ix_jobs_queue ON jobs (queue)",
    )


def test_as_django_writes_it(db):
    sql = """SELECT "orders"."id" FROM "orders" WHERE "orders"."email" LIKE ? ESCAPE '\\' ORDER BY "orders"."id" ASC"""
    assert said(db, sql, ("x%",)) == (
        "no index can serve the filter on orders (email LIKE ?)",
        "    CREATE INDEX ix_orders_email ON orders (email COLLATE NOCASE)",
    )


def test_a_name_that_is_taken(db):
    db.execute("CREATE INDEX ix_orders_customer ON orders (customer) WHERE status = 's1'")
    lines = said(db, "SELECT * FROM orders WHERE customer = 1")
    assert lines[1] == "    CREATE INDEX ix_orders_customer_2 ON orders (customer)"


def test_a_partial_index_serves_what_it_holds(db):
    db.execute("CREATE INDEX ix ON orders (customer) WHERE status = 's1'")
    assert said(db, "SELECT * FROM orders WHERE customer = 1 AND status = 's1'") == ()
    assert len(said(db, "SELECT * FROM orders WHERE customer = 1 AND status = 's2'")) == 2


def test_an_index_on_an_expression_serves_it(db):
    db.execute("CREATE INDEX ix ON orders (customer + 1)")
    assert said(db, "SELECT * FROM orders WHERE customer + 1 = 5") == ()
    assert said(db, "SELECT * FROM orders o JOIN items i ON i.id = o.created WHERE o.customer + 1 = 5") == ()


def test_a_covering_index_is_still_read_in_full(db):
    db.execute("CREATE INDEX ix ON orders (created, status)")
    assert said(db, "SELECT created FROM orders WHERE status = 's1'")[0] == (
        "no index can serve the filter on orders (status = ?)"
    )


def test_through_a_view_and_of_attached_and_temporary_tables(db):
    db.execute("CREATE VIEW open_orders AS SELECT * FROM orders WHERE status IS NOT NULL")
    assert said(db, "SELECT * FROM open_orders WHERE customer = 5")[1] == (
        "    CREATE INDEX ix_orders_customer ON orders (customer)"
    )
    db.execute("ATTACH ':memory:' AS shop")
    db.execute("CREATE TABLE shop.deals (who INTEGER)")
    db.execute("CREATE TEMP TABLE scratch (who INTEGER)")
    for sql in ("SELECT * FROM shop.deals WHERE who = 1", "SELECT * FROM scratch WHERE who = 1"):
        lines = said(db, sql)
        db.execute(lines[1])
        assert said(db, sql) == ()


def test_a_table_of_the_databases_own(db):
    assert said(db, "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%x'") == ()
    assert said(db, "SELECT value FROM json_each('[1]') WHERE value = 1") == ()


def test_what_cannot_be_read_is_told_without_a_suggestion(db, monkeypatch):
    monkeypatch.setattr("pytest_perfguard.probes.queries.plans.sqlite.parse", lambda *_args: None)
    assert said(db, "SELECT * FROM orders WHERE customer = 5") == ("no index can serve the filter on orders",)
    assert said(db, "SELECT * FROM orders") == ()


def test_ignored_tables_and_columns(db):
    sql = "SELECT * FROM orders o JOIN items i ON i.order_id = o.id WHERE o.customer = 5"
    for ignored, count in (((), 4), (["orders"], 2), (["ITEMS"], 2), (["*"], 0), (["orders.cust*"], 0), (["x"], 4)):
        planner = IndexPlanner(ignored=ignored)
        assert len(said(db, sql, planner=planner)) == count, ignored


def test_big_tables_come_first_and_are_called_so(db):
    planner = IndexPlanner(big_tables={"Items": 1_000_000})
    lines = said(db, "SELECT * FROM orders o JOIN items i ON i.order_id = o.id WHERE o.customer = 5", planner=planner)
    assert lines[0] == "no index can serve the join to items (order_id = o.id), declared to have 1,000,000 rows"
    assert lines[2] == "no index can serve the filter on orders (customer = ?)"
