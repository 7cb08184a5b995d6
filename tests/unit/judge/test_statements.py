from __future__ import annotations

import pytest

from pytest_perfguard.judge.statements import diff, explain, place, shorten, suspect
from pytest_perfguard.model import QueryLog, Statement, StatementKind

READ, WRITE = StatementKind.READ, StatementKind.WRITE


def statement(text="SELECT a FROM t", count=1, distinct=1, kind=READ, function="app/orders.py:list_orders", line=7):
    return Statement(fingerprint=text, kind=kind, count=count, distinct=distinct, function=function, line=line)


def log(*statements, dialect="sqlite", driver="sqlite3"):
    return QueryLog(dialect=dialect, driver=driver, statements=statements)


@pytest.mark.parametrize(
    ("count", "distinct", "kind", "driver", "words"),
    [
        (1, 1, READ, "sqlite3", []),
        (2, 2, READ, "sqlite3", []),
        (2, 1, READ, "sqlite3", ["duplicate: 1 of 2"]),
        (3, 3, READ, "sqlite3", ["potential N+1: 3 different"]),
        (9, 3, READ, "sqlalchemy+psycopg", ["selectinload() or joinedload()", "duplicate: 6 of 9"]),
        (
            5,
            5,
            WRITE,
            "sqlite3",
            ["batchable: one INSERT for each of 5 parameter sets from one place"],
        ),
        (5, 5, WRITE, "sqlalchemy+psycopg", ["pass a list to execute(insert(…), [...])"]),
    ],
)
def test_suspicion(count, distinct, kind, driver, words):
    text = "INSERT INTO t VALUES (?)" if kind is WRITE else "SELECT a FROM t WHERE id = ?"
    found = suspect(statement(text, count, distinct, kind), driver)
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))


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
    assert line.startswith("not comparable: the baseline's statements were made on sqlite, these on postgresql")
    assert diff(log(statement()), log(dialect="", driver="")) != []


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
