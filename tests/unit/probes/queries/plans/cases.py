"""Statements that every database understands, and what is to be said of each; used on SQLite here, on servers there."""

from __future__ import annotations

from typing import NamedTuple

from pytest_perfguard.probes.queries.plans import IndexPlanner
from pytest_perfguard.probes.queries.plans.dialogue import converse

TABLES = (
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, status VARCHAR(20), created INTEGER,"
    " email VARCHAR(80))",
    "CREATE TABLE items (id INTEGER PRIMARY KEY, order_id INTEGER, product VARCHAR(20), parent INTEGER)",
    "CREATE TABLE customers (id INTEGER PRIMARY KEY, name VARCHAR(20), country VARCHAR(20), active INTEGER)",
    "CREATE TABLE seats (hall INTEGER, place INTEGER, price INTEGER, PRIMARY KEY (hall, place))",
)
ROWS = {
    "orders": lambda n: (n, n % 10, f"s{n % 5}", n, f"e{n}@example.org"),
    "items": lambda n: (n, n // 2, f"p{n % 7}", n // 3),
    "customers": lambda n: (n, f"n{n}", f"c{n % 9}", n % 2),
    "seats": lambda n: (n // 10, n % 10, n),
}


class Case(NamedTuple):
    """A statement, and the first lines that are said of it; none where it has what it needs."""

    sql: str
    said: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()


def _filter(table, what):
    return f"no index can serve the filter on {table} ({what})"


ORDERS_BY_CUSTOMER = "ix_orders_customer ON orders (customer)"
ITEMS_BY_ORDER = "ix_items_order_id ON items (order_id)"

LACKING = {
    "equal": Case("SELECT * FROM orders WHERE customer = 5", ("filter on orders",), (ORDERS_BY_CUSTOMER,)),
    "in": Case("SELECT * FROM orders WHERE customer IN (1, 2, 3)", ("filter on orders",), (ORDERS_BY_CUSTOMER,)),
    "range": Case(
        "SELECT * FROM orders WHERE created > 4990", ("filter on orders",), ("ix_orders_created ON orders (created)",)
    ),
    "between": Case(
        "SELECT * FROM orders WHERE created BETWEEN 3 AND 5",
        ("filter on orders",),
        ("ix_orders_created ON orders (created)",),
    ),
    "null": Case(
        "SELECT id FROM orders WHERE email IS NULL", ("filter on orders",), ("ix_orders_email ON orders (email)",)
    ),
    "two columns": Case(
        "SELECT * FROM orders WHERE customer = 5 AND status = 's1'",
        ("filter on orders",),
        ("ix_orders_customer_status ON orders (customer, status)",),
    ),
    "equal before range": Case(
        "SELECT * FROM orders WHERE created >= 3 AND status = 's1'",
        ("filter on orders",),
        ("ix_orders_status_created ON orders (status, created)",),
    ),
    "order": Case(
        "SELECT * FROM orders WHERE customer = 5 ORDER BY created DESC LIMIT 3",
        ("filter on orders",),
        ("ix_orders_customer_created ON orders (customer, created)",),
    ),
    "alias": Case("SELECT o.id FROM orders AS o WHERE o.customer = 5", ("filter on orders",), (ORDERS_BY_CUSTOMER,)),
    "count": Case("SELECT count(*) FROM orders WHERE customer = 5", ("filter on orders",), (ORDERS_BY_CUSTOMER,)),
    "group": Case(
        "SELECT status, count(*) FROM orders WHERE customer = 5 GROUP BY status",
        ("filter on orders",),
        (ORDERS_BY_CUSTOMER,),
    ),
    "constant first": Case("SELECT * FROM orders WHERE 5 = customer", ("filter on orders",), (ORDERS_BY_CUSTOMER,)),
    "one column twice": Case(
        "SELECT * FROM orders WHERE customer = 5 OR customer = 7", ("filter on orders",), (ORDERS_BY_CUSTOMER,)
    ),
    "row": Case(
        "SELECT * FROM orders WHERE (customer, status) = (5, 's1')",
        ("filter on orders",),
        ("ix_orders_customer_status ON orders (customer, status)",),
    ),
    "beside a negation": Case(
        "SELECT * FROM orders WHERE status <> 's1' AND customer = 5", ("filter on orders",), (ORDERS_BY_CUSTOMER,)
    ),
    "beside an expression": Case(
        "SELECT * FROM orders WHERE customer = 5 AND abs(created) = 3", ("filter on orders",), (ORDERS_BY_CUSTOMER,)
    ),
    "second column of an index": Case(
        "SELECT * FROM seats WHERE place = 3", ("filter on seats",), ("ix_seats_place ON seats (place)",)
    ),
    "join of a filter": Case(
        "SELECT * FROM orders o JOIN items i ON i.order_id = o.id WHERE o.customer = 5",
        ("filter on orders", "join to items"),
        (ORDERS_BY_CUSTOMER, ITEMS_BY_ORDER),
    ),
    "join without a name of its own": Case(
        "SELECT name, product FROM customers, items WHERE order_id = customers.id AND country = 'c1'",
        ("filter on customers", "join to items"),
        ("ix_customers_country ON customers (country)", ITEMS_BY_ORDER),
    ),
    "left join": Case(
        "SELECT * FROM orders o LEFT JOIN items i ON i.order_id = o.id AND i.product = 'p1' WHERE o.customer = 5",
        ("filter on orders", "join to items"),
        (ORDERS_BY_CUSTOMER, "ix_items_order_id_product ON items (order_id, product)"),
    ),
    "subquery": Case(
        "SELECT c.name, (SELECT count(*) FROM orders o WHERE o.customer = c.id) FROM customers c WHERE c.id IN (1, 2)",
        ("filter on orders",),
        (ORDERS_BY_CUSTOMER,),
    ),
    "derived table": Case(
        "SELECT count(*) FROM (SELECT id FROM orders WHERE customer = 5 LIMIT 100) AS found",
        ("filter on orders",),
        (ORDERS_BY_CUSTOMER,),
    ),
    "expression of a table": Case(
        "WITH found AS (SELECT id FROM orders WHERE customer = 5) SELECT count(*) FROM found",
        ("filter on orders",),
        (ORDERS_BY_CUSTOMER,),
    ),
    "recursion": Case(
        "WITH RECURSIVE tree AS (SELECT id FROM items WHERE id IN (1, 2) UNION ALL"
        " SELECT i.id FROM items i JOIN tree ON i.parent = tree.id) SELECT id FROM tree",
        ("join to items",),
        ("ix_items_parent ON items (parent)",),
    ),
    "union": Case(
        "SELECT id FROM orders WHERE id IN (1, 2) UNION ALL SELECT id FROM orders WHERE customer = 5",
        ("filter on orders",),
        (ORDERS_BY_CUSTOMER,),
    ),
    "twice the same table": Case(
        "SELECT a.id FROM items a JOIN items b ON b.parent = a.id WHERE a.id IN (1, 2)",
        ("join to items",),
        ("ix_items_parent ON items (parent)",),
    ),
    "update": Case("UPDATE orders SET status = 's9' WHERE customer = 5", ("filter on orders",), (ORDERS_BY_CUSTOMER,)),
    "delete": Case("DELETE FROM items WHERE order_id = 5", ("filter on items",), (ITEMS_BY_ORDER,)),
}
"""By name: statements that lack an index, what is said of them, and the indexes that are suggested."""

SERVED = {
    "primary key": "SELECT * FROM orders WHERE id IN (3, 4)",
    "first column of a key": "SELECT price FROM seats WHERE hall = 3",
    "no filter": "SELECT * FROM orders",
    "order alone": "SELECT * FROM orders ORDER BY created LIMIT 5",
    "aggregate": "SELECT customer, count(*) FROM orders GROUP BY customer HAVING count(*) > 3",
    "negation": "SELECT * FROM orders WHERE status <> 's1'",
    "not in": "SELECT * FROM orders WHERE status NOT IN ('s1', 's2')",
    "not null": "SELECT * FROM orders WHERE email IS NOT NULL",
    "not like": "SELECT * FROM orders WHERE email NOT LIKE 'e1%'",
    "not between": "SELECT * FROM orders WHERE created NOT BETWEEN 3 AND 5",
    "join by keys": "SELECT * FROM items i JOIN orders o ON o.id = i.order_id",
    "join with using": "SELECT * FROM items JOIN orders USING (id)",
    "cross join": "SELECT count(*) FROM (SELECT 1 AS n) AS one CROSS JOIN customers",
    "all in another table": "SELECT * FROM items WHERE order_id IN (SELECT id FROM orders)",
    "update of all": "UPDATE orders SET status = 's8'",
}
"""By name: statements of which nothing is said, as the tables are."""


def ask(run, dialect, sql, parameters=None, *, planner=None, in_transaction=True):
    """Return what is said of a statement; errors that a planner would keep to itself are raised."""
    planner = planner or IndexPlanner()
    return converse(planner._explain(dialect, sql, parameters, in_transaction), run) or ()


def plain(lines):
    """Return the lines without what hypopg says."""
    return tuple(line for line in lines if not line.startswith("    hypopg"))


def check(run, execute, dialect, case):
    """Check what is said of a case, and that nothing is said once the indexes are there that were suggested."""
    said = plain(ask(run, dialect, case.sql))
    heads = [line for line in said if not line.startswith("    ")]
    assert [head.removeprefix("no index can serve the ").partition(" (")[0] for head in heads] == list(case.said)
    suggested = [line.strip() for line in said if line.startswith("    ")]
    assert suggested == [f"CREATE INDEX {index}" for index in case.indexes]
    for statement in suggested:
        execute(statement)
    assert ask(run, dialect, case.sql) == ()
