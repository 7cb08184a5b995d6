from __future__ import annotations

import pytest

from pytest_perfguard.judge.cures import suspect
from pytest_perfguard.judge.statements import diff, explain, place, shorten
from pytest_perfguard.model import QueryLog, Statement, StatementKind

READ, WRITE = StatementKind.READ, StatementKind.WRITE
INSERT = "INSERT INTO t VALUES (?)"


def statement(
    text="SELECT a FROM t", count=1, distinct=1, kind=READ, function="app/orders.py:list_orders", line=7, **more
):
    more = {"looped": distinct, **more}
    return Statement(fingerprint=text, kind=kind, count=count, distinct=distinct, function=function, line=line, **more)


def log(*statements, dialect="sqlite", driver="sqlite3"):
    return QueryLog(dialect=dialect, driver=driver, statements=statements)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, []),
        ({"count": 2, "distinct": 2}, []),
        ({"count": 9, "distinct": 9, "looped": 2}, []),  # from nine places in the code, not from a loop
        ({"count": 2, "repeated": 1}, ["duplicate: 1 of 2"]),
        (
            {"count": 3, "distinct": 3},
            ["potential N+1: 3 different parameter sets from one place; ask for all rows in"],
        ),
        (
            {"count": 9, "distinct": 3, "repeated": 6, "driver": "sqlalchemy+psycopg"},
            ["selectinload() or joinedload()", "duplicate: 6 of 9"],
        ),
        ({"count": 3, "distinct": 3, "driver": "django+psycopg"}, ["select_related() or prefetch_related()"]),
        ({"text": "GET user:?", "count": 3, "distinct": 3, "driver": "redis"}, ["MGET"]),
        ({"text": "find users {?}", "count": 3, "distinct": 3, "driver": "pymongo"}, ["$in"]),
        ({"text": "GET http://a/?", "count": 3, "distinct": 3, "kind": StatementKind.REQUEST}, ["3 different calls"]),
        ({"text": INSERT, "count": 5, "distinct": 5, "kind": WRITE}, ["batchable: one INSERT for each of 5 parameter"]),
        (
            {"text": INSERT, "count": 5, "distinct": 5, "kind": WRITE, "driver": "sqlalchemy+psycopg"},
            ["pass a list to execute(insert(…), [...])"],
        ),
        ({"text": INSERT, "count": 5, "distinct": 5, "kind": WRITE, "driver": "django+sqlite3"}, ["bulk_create()"]),
        (
            {"text": "UPDATE t SET a = ? WHERE id = ?", "count": 5, "distinct": 5, "kind": WRITE, "driver": "django+x"},
            ["bulk_update()"],
        ),
        ({"text": "SELECT * FROM t"}, ["selects all columns; name those"]),
        ({"advice": ("no index can serve the filter on t (a = ?)",)}, ["no index can serve"]),
    ],
)
def test_suspicion(more, words):
    found = suspect(statement(**more))
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))


@pytest.mark.parametrize(
    ("text", "star"),
    [
        ("SELECT * FROM t", True),
        ("SELECT t.* FROM t", True),
        ('SELECT a, "t".* FROM t', True),
        ("SELECT DISTINCT * FROM t", True),
        ("WITH x AS (SELECT * FROM t) SELECT a FROM x", True),
        ("SELECT count(*) FROM t", False),
        ("SELECT a * ? FROM t", False),
        ("SELECT a FROM t WHERE EXISTS(SELECT * FROM u)", False),
        ("SELECT a FROM t WHERE EXISTS (SELECT * FROM u)", False),
    ],
)
def test_selecting_all_columns(text, star):
    assert statement(text).selects_star is star


@pytest.mark.parametrize(
    ("metric", "first"),
    [
        ("n_plus_one", "4 × SELECT b FROM t"),
        ("batchable", "3 × INSERT INTO t VALUES (?)"),
        ("duplicates", "2 × SELECT a FROM t"),
        ("select_star", "1 × SELECT * FROM t"),
        ("rows", "90 rows of 1 × SELECT * FROM t"),
        ("slowest_query", "at most 20 ms, 2 × SELECT a FROM t"),
        ("connections_leaked", "1 × left open (psycopg)"),
        ("writes", "3 × INSERT INTO t VALUES (?)"),
    ],
)
def test_explanation_begins_with_what_explains_the_metric(metric, first):
    found = log(
        statement("SELECT b FROM t", 4, 4),
        statement(INSERT, 3, 3, kind=WRITE),
        statement(count=2, repeated=1, slowest=0.02),
        statement("SELECT * FROM t", rows=90),
        statement("left open (psycopg)", kind=StatementKind.CONNECTION),
    )
    lines = explain(found, metric)
    assert lines[1] == first
    if metric not in ("rows", "slowest_query"):
        assert not any(line[0].isdigit() for line in lines[2:])


def test_explanation_of_a_table():
    found = log(statement(tables=("public.Orders",)), statement("SELECT b FROM u", tables=("u",)))
    assert [line for line in explain(found, table="orders") if line[0].isdigit()][1:] == ["1 × SELECT a FROM t"]


def test_explanation_names_counts_places_and_what_is_not_counted():
    begin = statement("BEGIN", 2, kind=StatementKind.TRANSACTION)
    lines = explain(log(statement(count=4, distinct=4), statement("DELETE FROM t", kind=WRITE, function=""), begin))
    assert lines == [
        "5 statements on sqlite: 4 read, 1 write (not counted: 2 transaction)",
        "4 × SELECT a FROM t",
        "    at app/orders.py:7 list_orders",
        "    potential N+1: 4 different parameter sets from one place; "
        "ask for all rows in one statement, with a JOIN or with IN",
        "1 × DELETE FROM t",
        "    at no frame of your own code (a thread of a library)",
    ]


def test_explanation_of_very_many_groups_ends():
    lines = explain(log(*(statement(f"SELECT a{number} FROM t") for number in range(50))))
    assert lines[-1] == "… and 30 more groups of statements"


def test_diff_names_new_gone_and_changed():
    base = log(statement("SELECT a FROM t"), statement("SELECT b FROM t"), statement("SELECT c FROM t", 1))
    head = log(statement("SELECT a FROM t"), statement("SELECT c FROM t", 4, 4), statement("SELECT d FROM t", 2, 2))
    lines = diff(base, head)
    assert [line for line in lines if not line.startswith(" ")] == [
        "NEW      2 × SELECT d FROM t",
        "GONE     1 × SELECT b FROM t",
        "CHANGED  1 → 4 × SELECT c FROM t",
    ]
    assert "    1 → 4 at app/orders.py:7 list_orders" in lines
    assert "    was at app/orders.py:list_orders" in lines
    assert any("potential N+1: 4" in line for line in lines)


def test_diff_is_empty_for_equal_moved_and_uncounted_statements():
    moved = statement(function="app/other.py:show", line=90)
    assert diff(log(statement()), log(moved, statement("BEGIN", kind=StatementKind.TRANSACTION))) == []


def test_diff_shows_which_of_two_places_changed():
    other = {"function": "app/b.py:f", "line": 3}
    lines = diff(log(statement(), statement(**other)), log(statement(), statement(count=2, **other)))
    assert lines[:2] == ["CHANGED  2 → 3 × SELECT a FROM t", "    1 → 2 at app/b.py:3 f"]


def test_diff_across_dialects_is_refused():
    (line,) = diff(log(statement()), log(statement(), dialect="postgresql"))
    assert line == (
        "not comparable: the baseline was made with sqlite through sqlite3, this run with postgresql through sqlite3"
    )
    assert diff(log(statement()), log(dialect="", driver="")) == [
        "GONE     1 × SELECT a FROM t",
        "    was at app/orders.py:list_orders",
    ]


def test_a_database_beside_the_others_is_a_change_like_any_other():
    both = log(statement(), statement("GET user:?", driver="redis"), dialect="redis, sqlite", driver="redis, sqlite3")
    assert diff(log(statement()), both)[0] == "NEW      1 × GET user:?"
    assert diff(both, log(statement()))[0] == "GONE     1 × GET user:?"


LONG = ", ".join(f"orders.column_{number} AS orders_column_{number}" for number in range(30))


def test_shortening_keeps_from_and_where():
    text = f"SELECT {LONG} FROM orders JOIN users ON users.id = orders.user_id WHERE orders.user_id = ?"
    assert shorten(text) == (
        "SELECT orders.column_0 AS orders_column_0, … FROM orders JOIN users ON users.id = orders.user_id"
        " WHERE orders.user_id = ?"
    )
    assert shorten("SELECT a FROM t") == "SELECT a FROM t"
    assert shorten(f"INSERT INTO orders({LONG}) VALUES (?, ?, ?)") == (
        "INSERT INTO orders(orders.column_0 AS orders_column_0, …) VALUES (?, …)"
    )


@pytest.mark.parametrize(
    "text",
    [
        f"SELECT {LONG} FROM orders WHERE {' AND '.join(f'c{number} = ?' for number in range(60))}",
        f"SELECT a FROM {' JOIN '.join(f't{number}' for number in range(60))} WHERE t1.a = ? AND t2.b = ?",
        f"SELECT a FROM {' JOIN '.join(f't{number}' for number in range(60))}",
        f"UPDATE t SET {LONG} WHERE id = ?",
    ],
)
def test_shortening_holds_the_width(text):
    short = shorten(text)
    assert len(short) <= 170
    assert ("WHERE" in short) == ("WHERE" in text)


def test_place():
    assert place(statement(function="a/b.py:C.f.<locals>.g", line=3)) == "a/b.py:3 C.f.<locals>.g"
