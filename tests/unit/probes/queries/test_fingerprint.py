from __future__ import annotations

import time
import zlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_perfguard.model import StatementKind as Kind
from pytest_perfguard.probes.queries.fingerprint import analyse, fingerprint, kind_of, tables
from pytest_perfguard.probes.queries.tokens import _lexer, cut, split
from tests.unit.probes.queries.statement_pairs import DIFFERENT, SAME

DIALECTS = ["", "sqlite", "postgresql", "mysql", "mariadb", "mssql", "oracle"]


def by_reason(pairs):
    return [pytest.param(*pair[:3], id=f"{pair[0] or 'any'}: {pair[3]}") for pair in pairs]


@pytest.mark.parametrize(("dialect", "one", "other"), by_reason(SAME))
def test_same_statement(dialect, one, other):
    assert fingerprint(one, dialect) == fingerprint(other, dialect)


@pytest.mark.parametrize(("dialect", "one", "other"), by_reason(DIFFERENT))
def test_different_statement(dialect, one, other):
    assert fingerprint(one, dialect) != fingerprint(other, dialect)


def test_the_table_of_pairs():
    """Each pair is there once, and no text of it is changed by a second pass."""
    pairs = [(dialect, one, other) for dialect, one, other, _reason in (*SAME, *DIFFERENT)]
    assert len(set(pairs)) == len(pairs) >= 200
    assert {dialect for dialect, _, _ in pairs} == set(DIALECTS)
    for dialect, one, other in pairs:
        assert one != other
        for once in (fingerprint(one, dialect), fingerprint(other, dialect)):
            assert fingerprint(once, dialect) == once


def test_canonical_form():
    text = "select u.id,  count( * ) from \"Users\" u where u.age>=21 and u.name in ('a','b') -- why"
    assert fingerprint(text) == 'SELECT u.id, count(*) FROM "Users" u WHERE u.age >= ? AND u.name IN (?)'


@pytest.mark.parametrize(
    ("dialect", "sql", "expected"),
    [
        ("mysql", 'SELECT a FROM t WHERE x = "b" # c', "SELECT a FROM t WHERE x = ?"),
        ("postgresql", 'SELECT "b" FROM t', 'SELECT "b" FROM t'),
        ("postgresql", "SELECT j#>>'{a,b}' FROM t WHERE j?|$1", "SELECT j #>> ? FROM t WHERE j ?| ?"),
        (
            "postgresql",
            "SELECT a[1:n] FROM t WHERE b = ANY($1::int[])",
            "SELECT a[? : n] FROM t WHERE b = ANY (?::int[])",
        ),
        ("mssql", "select top 5 [a b] from [dbo].[t]", "SELECT top ? [a b] FROM [dbo].[t]"),
        (
            "mysql",
            "SELECT a FROM t /*!80000 FORCE INDEX (i) */ WHERE b=1",
            "SELECT a FROM t FORCE INDEX (i) WHERE b = ?",
        ),
        ("sqlite", "SELECT a /* never closed", "SELECT a"),
        ("sqlite", "SELECT 'never closed", "SELECT ?"),
        ("postgresql", "SELECT $x$ never closed", "SELECT ?"),
    ],
)
def test_what_a_fingerprint_looks_like(dialect, sql, expected):
    assert fingerprint(sql, dialect) == expected


_QUOTES = ["'", '"', "`", "E'", "e'\\", "x'", "q'[", "]'", "N'", "U&'", "$", "$$", "$a$", "\\", "[", "]", "]]"]
_COMMENTS = ["--", "/*", "*/", "#", "/*!", "/*!40101 ", "\n", "\x1c", "\xa0", " "]
_MARKS = [
    *"()[],;.:-+%?@<>=|&~!*/^{}",
    "::",
    ":=",
    "||",
    "%s",
    "%%",
    "%(a)s",
    ":a",
    "?1",
    "?|",
    "@a",
    "@@a",
    "->",
    "#-",
]
_NUMBERS = ["1", "1.", ".5", "0x", "0b1", "1e5", "1_0", "2fa", "٣", "²"]
_VERBS = ["select", "insert into", "update", "savepoint", "release", "fetch", "declare", "execute", "copy", "begin"]
_WORDS = ["a", "é", "in", "from", "where", "null", "true", "to", "with", "as", "case", "when", "then", "else", "end"]
_OPENINGS = ["values(", "),(", ")", ",", "array[", "any(", "row(", "cast("]
_PIECES = st.sampled_from([*_QUOTES, *_COMMENTS, *_MARKS, *_NUMBERS, *_VERBS, *_WORDS, *_OPENINGS])


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(_PIECES, max_size=25).map("".join), st.lists(_PIECES).map(" ".join)))
@example("'")
@example("'\\'")
@example("a$$b")
@example("0: ::")
@example("VALUES(),(")
@example(". 2fa")
@example('@@a . "')
@example("/*/**/")
@example("END END")
def test_any_text_has_a_fingerprint_that_is_its_own(sql):
    for dialect in DIALECTS:
        once = fingerprint(sql, dialect)
        assert fingerprint(once, dialect) == once
        assert isinstance(kind_of(sql, dialect), Kind)
        assert tables(sql, dialect) == tuple(dict.fromkeys(tables(sql, dialect)))
    assert all(isinstance(statement, str) for statement in split(sql))


SECRET = "Hunter2!"
_AROUND = st.text(st.sampled_from("a '\"`\\$;-/*#%?:()[]{}\n"), max_size=6)


def _quoted(text):
    return "'" + text.replace("'", "''") + "'"


def _escaped(text, quote="'"):
    return quote + text.replace("\\", "\\\\").replace(quote, f"\\{quote}") + quote


_STRINGS = {
    "": [_quoted],
    "sqlite": [_quoted],
    "postgresql": [
        _quoted,
        lambda text: "E" + _escaped(text),
        lambda text: f"$tag${text}$tag$",
        lambda text: f"$${text.replace('$', '')}$$",
        lambda text: "U&" + _quoted(text),
    ],
    "mysql": [_escaped, lambda text: _escaped(text, '"'), lambda text: _quoted(text.replace("\\", ""))],
    "mssql": [_quoted, lambda text: "N" + _quoted(text)],
    "oracle": [
        _quoted,
        lambda text: "q'[" + text.replace("]", "") + "]'",
        lambda text: "nq'!" + text.replace("!'", "! '") + "!'",
    ],
}
_STRINGS["mariadb"] = _STRINGS["mysql"]
_NUMBER_FORMS = ["{}", "-{}", "{}.5", "{}e-7", "0x{}"]
_PLACEHOLDERS = {"postgresql": "$1", "mysql": "%s", "mariadb": "%s", "mssql": "@p1", "oracle": ":p1"}
STATEMENTS = [
    "SELECT a, ~ FROM t WHERE b = ~ AND c IN (~, ~, ~) OR d LIKE ~ ORDER BY e LIMIT ~ -- #",
    "SELECT a /* # */ FROM t WHERE b BETWEEN ~ AND ~ AND (c, d) IN ((~, ~), (~, ~))",
    "INSERT INTO t (a, b) VALUES (~, ~), (~, ~) /* # */",
    "UPDATE t SET a = ~, b = coalesce(~, c) WHERE d = ~ AND e <> ~",
    "UPDATE t SET a = CASE WHEN id = ~ THEN ~ WHEN id = ~ THEN ~ END WHERE id IN (~, ~)",
    "DELETE FROM t WHERE a =~ AND b>~ AND c||~ = ~||d",
    "WITH x AS (SELECT ~ AS a) SELECT a, ~ FROM x UNION ALL SELECT a, ~ FROM u WHERE b = f(~, ~)",
    "SELECT CAST(~ AS text) FROM t JOIN u ON t.a = u.b AND u.c = ~ GROUP BY d HAVING max(e) > ~",
    "SET x = ~; CALL p(~, ~);",
]


@st.composite
def _statements_with_secrets(draw):
    dialect = draw(st.sampled_from(DIALECTS))
    template = draw(st.sampled_from(STATEMENTS))
    remark = (
        (SECRET + draw(_AROUND)).replace("\n", "").replace("*/", "").replace("/*", "").replace("#", "").rstrip("*/")
    )
    parts = template.replace("#", remark).split("~")
    number = draw(st.integers(10_000_000))
    sql = parts[0]
    for part in parts[1:]:
        if draw(st.booleans()):
            form = draw(st.sampled_from(_STRINGS[dialect]))
            sql += form(draw(_AROUND) + SECRET + draw(_AROUND)) + part
        else:
            sql += draw(st.sampled_from(_NUMBER_FORMS)).format(number) + part
    without = _PLACEHOLDERS.get(dialect, "?").join(template.replace("#", "").split("~"))
    return dialect, sql, str(number), without


@settings(max_examples=300, deadline=None)
@given(_statements_with_secrets())
def test_no_literal_and_no_comment_survives(drawn):
    dialect, sql, number, without = drawn
    shape = analyse(sql, dialect)
    assert shape.fingerprint == fingerprint(without, dialect)
    for kept in (shape.fingerprint, *shape.tables):
        assert SECRET not in kept
        assert number not in kept


def test_nothing_of_a_value_is_remembered():
    sql = f"SELECT a FROM t WHERE b = '{SECRET}' AND c = 8472910 /* {SECRET} */ -- {SECRET}"
    for dialect in DIALECTS:
        cut(sql, dialect)
        remembered = [*_lexer(dialect), *_lexer(dialect).values()]
        assert "SELECT" in remembered
        assert not any(SECRET in each or "8472910" in each for each in remembered)


_ENDLESS = [
    "'",
    '"',
    "`",
    "(",
    "[",
    "$a$",
    "$a",
    "/*",
    "/* /*",
    "/*!",
    "--",
    "%(",
    "%(a",
    ":",
    "\\",
    "E'",
    "q'[",
    "q'a",
]
_NESTED = [
    "IN(",
    "IN ((1,2),",
    "ANY(ARRAY[",
    "VALUES(",
    "VALUES(1),(",
    "CASE WHEN a THEN ",
    ") AS (",
    "FROM (",
    "FROM a,",
]
_LISTED = ["SAVEPOINT a;", "'a'\n", "[[1],", "WHEN a THEN 1 ", "- ", "\n", "1_", "é", "SELECT a FROM b;"]


@pytest.mark.parametrize("piece", [*_ENDLESS, *_NESTED, *_LISTED])
def test_a_long_text_of_one_piece_takes_time_in_proportion(piece):
    """100 kB take 0.1 s; what took time in proportion to the square of that would take 5 s and more."""
    text = piece * (100_000 // len(piece))
    dialect = DIALECTS[zlib.crc32(piece.encode()) % len(DIALECTS)]
    began = time.process_time()
    analyse(text, dialect)
    assert time.process_time() - began < 2


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
        ("SAVE TRANSACTION a", Kind.TRANSACTION),
        ("BEGIN; INSERT INTO t VALUES (1); COMMIT", Kind.WRITE),
        ("SELECT 1; DELETE FROM t", Kind.WRITE),
        ("SET LOCAL a = 1; SELECT 2", Kind.READ),
        ("BEGIN; COMMIT", Kind.TRANSACTION),
        ("; ;", Kind.META),
        ("CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM t; END", Kind.DDL),
        ("BEGIN add_order(:1); END;", Kind.WRITE),
        ("BEGIN NOT ATOMIC DELETE FROM t; END", Kind.WRITE),
        ("BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE", Kind.TRANSACTION),
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
        ("SELECT a FROM t; SELECT b, c; SELECT d FROM u, v", ("t", "u", "v")),
        ("DELETE FROM t USING u, v WHERE t.a = u.b", ("t", "u", "v")),
        ("MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE", ("t", "u")),
        ("SELECT a FROM t JOIN u USING (b)", ("t", "u")),
        ("SELECT a FROM t STRAIGHT_JOIN u", ("t", "u")),
        ("INSERT t VALUES (1)", ("t",)),
        ("INSERT IGNORE INTO t VALUES (1)", ("t",)),
        ("TRUNCATE t", ("t",)),
        ("TRUNCATE TABLE t", ("t",)),
        ("COPY t (a) FROM STDIN", ("t",)),
        ("COPY (SELECT a FROM t) TO STDOUT", ("t",)),
    ],
)
def test_tables(sql, names):
    assert tables(sql) == names


def test_tables_in_quotes():
    assert tables("SELECT a FROM [dbo].[Order Lines] JOIN #t ON 1 = 1", "mssql") == ("dbo.Order Lines", "#t")
    assert tables('SELECT a FROM [Order Lines] JOIN "T" ON 1 = 1', "sqlite") == ("Order Lines", "T")
    assert tables("SELECT a FROM `shop`.`order` JOIN 2fa ON 1 = 1", "mysql") == ("shop.order", "2fa")


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
