from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_perfguard.model import StatementKind as Kind
from pytest_perfguard.probes.queries.fingerprint import fingerprint, kind_of, tables
from pytest_perfguard.probes.queries.tokens import split

SAME = [
    ("SELECT 1", "SELECT 2"),
    ("select id from users", "SELECT id\n  FROM users"),
    ("Select id From users", "SELECT id FROM users"),
    ("SELECT id FROM users;", "SELECT id FROM users"),
    ("SELECT a FROM t WHERE id=1", "SELECT a FROM t WHERE id = 1"),
    ("SELECT a FROM t WHERE id=-1", "SELECT a FROM t WHERE id = 1"),
    ("SELECT a FROM t WHERE x = 'it''s'", "SELECT a FROM t WHERE x = 'a -- b'"),
    ("SELECT a FROM t WHERE x = E'it\\'s'", "SELECT a FROM t WHERE x = 'b'"),
    ("SELECT a FROM t WHERE x = $$it's; -- $$", "SELECT a FROM t WHERE x = 'b'"),
    ("SELECT a FROM t WHERE x = $q$ $$ $q$", "SELECT a FROM t WHERE x = 'b'"),
    ("SELECT a FROM t WHERE x = X'00ff'", "SELECT a FROM t WHERE x = ?"),
    ("SELECT a FROM t WHERE x = 0x1F", "SELECT a FROM t WHERE x = 1.5e-3"),
    ("SELECT a FROM t WHERE x = .5", "SELECT a FROM t WHERE x = 10"),
    ("SELECT a FROM t WHERE x = %s", "SELECT a FROM t WHERE x = %(name_1)s"),
    ("SELECT a FROM t WHERE x = :name", "SELECT a FROM t WHERE x = ?"),
    ("SELECT a FROM t WHERE x = $1", "SELECT a FROM t WHERE x = ?3"),
    ("SELECT a FROM t WHERE x = @p1", "SELECT a FROM t WHERE x = $name"),
    ("SELECT a FROM t -- first", "SELECT a FROM t"),
    ("/* app=web,trace=1 */ SELECT a FROM t", "SELECT a /* x */ FROM t"),
    ("SELECT a FROM t WHERE id IN (1)", "SELECT a FROM t WHERE id IN (1, 2, 3)"),
    ("SELECT a FROM t WHERE id in(?,?)", "SELECT a FROM t WHERE id IN (?)"),
    ("SELECT a FROM t WHERE id IN (%s, NULL)", "SELECT a FROM t WHERE id IN (%s)"),
    ("SELECT a FROM t WHERE id IN (%(a)s::INTEGER, %(b)s::INTEGER)", "SELECT a FROM t WHERE id IN (%(a)s::INTEGER)"),
    ("SELECT a FROM t WHERE (a, b) IN ((1, 2), (3, 4))", "SELECT a FROM t WHERE (a, b) IN ((1, 2))"),
    ("SELECT a FROM t WHERE id = ANY(ARRAY[1, 2])", "SELECT a FROM t WHERE id = ANY (ARRAY[1, 2, 3])"),
    ("INSERT INTO t (a, b) VALUES (1, 2)", "INSERT INTO t(a,b) VALUES (1, 2), (3, NULL), (5, 6)"),
    ("INSERT INTO t VALUES (now(), 1)", "INSERT INTO t VALUES (now(), 2), (now(), 3)"),
    ("INSERT INTO t VALUES (1) RETURNING id", "INSERT INTO t VALUES (1), (2) RETURNING id"),
    ("SELECT p0 FROM (VALUES (1, 0), (2, 1)) AS s(p0, n)", "SELECT p0 FROM (VALUES (1, 0)) AS s(p0, n)"),
    ("SAVEPOINT sa_savepoint_1", "SAVEPOINT sa_savepoint_27"),
    ('SAVEPOINT "s1_x1"', "SAVEPOINT `s2`"),
    ("RELEASE SAVEPOINT a", "RELEASE SAVEPOINT b"),
    ("ROLLBACK TO SAVEPOINT a", "ROLLBACK TO SAVEPOINT b"),
    ('DECLARE "c1" CURSOR FOR SELECT a FROM t', 'DECLARE "c2" CURSOR FOR SELECT a FROM t'),
    ('FETCH FORWARD 100 FROM "c1"', 'FETCH FORWARD 500 FROM "c2"'),
    ('CLOSE "c1"', 'CLOSE "c2"'),
    ("SELECT a FROM t LIMIT 10 OFFSET 20", "SELECT a FROM t LIMIT ? OFFSET ?"),
]
DIFFERENT = [
    ("SELECT a FROM t", "SELECT b FROM t"),
    ("SELECT a FROM t", "SELECT a FROM u"),
    ("SELECT a FROM t", "SELECT a, b FROM t"),
    ("SELECT a FROM t WHERE a = 1", "SELECT a FROM t WHERE b = 1"),
    ("SELECT a FROM t WHERE a = 1", "SELECT a FROM t WHERE a < 1"),
    ("SELECT a FROM t WHERE a = 1", "SELECT a FROM t"),
    ("SELECT a FROM t WHERE a IS NULL", "SELECT a FROM t WHERE a IS NOT NULL"),
    ("SELECT a FROM t WHERE a = '--' AND b = 1", "SELECT a FROM t WHERE a = '--'"),
    ("SELECT a FROM t WHERE a = '/*' AND b = '*/'", "SELECT a FROM t WHERE a = 1"),
    ('SELECT "a" FROM t', 'SELECT "A" FROM t'),
    ('SELECT "a b" FROM t', 'SELECT "a  b" FROM t'),
    ("SELECT a FROM t WHERE id IN (1, b)", "SELECT a FROM t WHERE id IN (1)"),
    ("SELECT a FROM t WHERE id IN (SELECT b FROM u)", "SELECT a FROM t WHERE id IN (SELECT c FROM u)"),
    ("SELECT coalesce(a, 1)", "SELECT coalesce(a, 1, 2)"),
    ("INSERT INTO t (a) VALUES (1)", "INSERT INTO t (b) VALUES (1)"),
    ("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1, 2)"),
    ("UPDATE t SET a = 1", "UPDATE t SET a = NULL"),
    ("SELECT a FROM t ORDER BY a", "SELECT a FROM t ORDER BY a DESC"),
    ("SELECT a FROM t", "SELECT a FROM t FOR UPDATE"),
    ("SELECT a1 FROM t", "SELECT a2 FROM t"),
    ("SELECT x::int FROM t", "SELECT x::text FROM t"),
    ("SELECT a - 1 FROM t", "SELECT a FROM t"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_same_statement(one, other):
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_statement(one, other):
    assert fingerprint(one) != fingerprint(other)


def test_canonical_form():
    text = "select u.id,  count( * ) from \"Users\" u where u.age>=21 and u.name in ('a','b') -- why"
    assert fingerprint(text) == 'SELECT u.id, count(*) FROM "Users" u WHERE u.age >= ? AND u.name IN (?)'


def test_quotes_of_mysql():
    assert fingerprint('SELECT a FROM t WHERE x = "b" # c', "mysql") == "SELECT a FROM t WHERE x = ?"
    assert (
        fingerprint(r"SELECT a FROM t WHERE x = 'it\'s' AND y = 1", "mysql") == "SELECT a FROM t WHERE x = ? AND y = ?"
    )
    assert fingerprint('SELECT "b" FROM t', "postgresql") == 'SELECT "b" FROM t'


_QUOTES = ["'", '"', "`", "E'", "e'\\", "x'", "$", "$$", "$a$", "\\", "--", "/*", "*/", "#", "\n", "\x1c", "\xa0"]
_MARKS = [*"()[],;.:-%?@<>=|", "::", ":=", "||", "%s", "%(a)s", "?1", "@a", "@@a", "1", "1.", ".5", "0x", "1e5", "٣"]
_CODE = [
    "a",
    "é",
    "in",
    "values(",
    "select",
    "from",
    "where",
    "null",
    "savepoint",
    "release",
    "fetch",
    "to",
    "with",
    "as",
]
_PIECES = st.sampled_from([*_QUOTES, *_MARKS, *_CODE, "insert into", "update", "),(", ")", ","])


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(_PIECES, max_size=25).map("".join), st.lists(_PIECES).map(" ".join)))
@example("'")
@example("'\\'")
@example("a$$b")
@example("0: ::")
@example("VALUES(),(")
def test_any_text_has_a_fingerprint_that_is_its_own(sql):
    for dialect in ("postgresql", "mysql"):
        once = fingerprint(sql, dialect)
        assert fingerprint(once, dialect) == once
        assert isinstance(kind_of(sql, dialect), Kind)
        assert tables(sql, dialect) == tuple(dict.fromkeys(tables(sql, dialect)))


@given(st.integers(), st.text(), st.lists(st.integers(), min_size=1, max_size=20))
def test_values_never_show(number, text, many):
    quoted = text.replace("'", "''")
    sql = f"SELECT a FROM t WHERE b = {number} AND c = '{quoted}' AND d IN ({', '.join(map(str, many))})"
    assert fingerprint(sql) == "SELECT a FROM t WHERE b = ? AND c = ? AND d IN (?)"


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT 1", Kind.READ),
        ("(SELECT 1) UNION (SELECT 2)", Kind.READ),
        ("SELECT a FROM t FOR UPDATE", Kind.READ),
        ("VALUES (1)", Kind.READ),
        ("WITH x AS (SELECT 1) SELECT * FROM x FOR UPDATE", Kind.READ),
        ("WITH x AS (SELECT replace(a, 'b', 'c') FROM t) SELECT * FROM x", Kind.READ),
        ("COPY t TO STDOUT", Kind.READ),
        ("FROBNICATE t", Kind.READ),
        ("INSERT INTO t VALUES (1) RETURNING id", Kind.WRITE),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", Kind.WRITE),
        ("WITH x AS (DELETE FROM t RETURNING a) SELECT * FROM x", Kind.WRITE),
        ("WITH x AS (SELECT 1) REPLACE INTO t SELECT * FROM x", Kind.WRITE),
        ("update t set a = 1", Kind.WRITE),
        ("DELETE FROM t", Kind.WRITE),
        ("MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE", Kind.WRITE),
        ("REPLACE INTO t VALUES (1)", Kind.WRITE),
        ("SELECT a INTO b FROM t", Kind.WRITE),
        ("SELECT a INTO @b FROM t", Kind.READ),
        ("TRUNCATE t", Kind.WRITE),
        ("COPY t FROM STDIN", Kind.WRITE),
        ("BEGIN IMMEDIATE", Kind.TRANSACTION),
        ("/* x */ SAVEPOINT a", Kind.TRANSACTION),
        ("ROLLBACK TO a", Kind.TRANSACTION),
        ("START TRANSACTION", Kind.TRANSACTION),
        ("PREPARE TRANSACTION 'x'", Kind.TRANSACTION),
        ("CREATE TABLE t AS SELECT 1", Kind.DDL),
        ("DROP TABLE t", Kind.DDL),
        ("PRAGMA foreign_keys", Kind.META),
        ("EXPLAIN SELECT 1", Kind.META),
        ("SET search_path TO x", Kind.META),
        ("-- nothing", Kind.META),
    ],
)
def test_kind(sql, kind):
    assert kind_of(sql, "mysql" if "@" in sql else "") is kind


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT a FROM t", ("t",)),
        ('SELECT a FROM "Order" o JOIN public.users u ON o.u = u.id', ("Order", "public.users")),
        ("SELECT a FROM t, u AS x, (SELECT b FROM v) w WHERE c IN (SELECT d FROM z)", ("t", "u", "v", "z")),
        ("SELECT a, b FROM t WHERE c = 1 ORDER BY a, b", ("t",)),
        ("SELECT extract(YEAR FROM d), a IS DISTINCT FROM b FROM t", ("t",)),
        ("SELECT * FROM generate_series(1, 2) g, t", ("t",)),
        ("INSERT INTO t (a) SELECT b FROM u", ("t", "u")),
        ("INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2", ("t",)),
        ("UPDATE t SET a = 1 WHERE b = 2", ("t",)),
        ("DELETE FROM t WHERE a = 1", ("t",)),
        ("SELECT a FROM t FOR UPDATE", ("t",)),
        ("WITH x AS (SELECT a FROM t), y(b) AS (SELECT 1) SELECT * FROM x, y JOIN u ON 1 = 1", ("t", "u")),
        ("CREATE TABLE IF NOT EXISTS t (a int)", ("t",)),
        ("SELECT 1", ()),
    ],
)
def test_tables(sql, names):
    assert tables(sql) == names


def test_split_script():
    script = """
    CREATE TABLE t (a); -- one; not two
    INSERT INTO t VALUES (';');
    CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM t; SELECT CASE WHEN 1 THEN 2 END; END;
    ; SELECT 1
    """
    assert [kind_of(statement) for statement in split(script)] == [Kind.DDL, Kind.WRITE, Kind.DDL, Kind.READ]
    assert split(script)[1].endswith("INSERT INTO t VALUES (';')")
    assert split("-- nothing") == []
