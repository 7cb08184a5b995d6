"""How conditions are read, without a database."""

from __future__ import annotations

import pytest

pytest.importorskip("sqlglot")

from pytest_perfguard.probes.queries.plans import conditions as reasons
from pytest_perfguard.probes.queries.plans.columns import Columns
from pytest_perfguard.probes.queries.plans.conditions import Conditions
from pytest_perfguard.probes.queries.plans.grammar import MYSQL, POSTGRESQL, SQLITE
from pytest_perfguard.probes.queries.plans.parsing import parse
from pytest_perfguard.probes.queries.plans.scopes import build
from pytest_perfguard.probes.queries.plans.statement import Role, Table, Use


def read(where, grammar=SQLITE, parameters=None):
    """The one condition of `where` on the table `t`."""
    tree = parse(f"SELECT * FROM t WHERE {where}", grammar, parameters)
    columns = Columns(grammar, lambda column: "t" if column.table in {"", "t"} else None)
    ((key, condition),) = Conditions(columns).read(tree.args["where"].this)
    assert key == "t"
    return condition


ALL = (SQLITE, POSTGRESQL, MYSQL)


@pytest.mark.parametrize("grammar", ALL, ids=lambda grammar: grammar.name)
@pytest.mark.parametrize(
    ("where", "use", "keys"),
    [
        ("a = 5", Use.EQUAL, ["a"]),
        ("5 = t.a", Use.EQUAL, ["a"]),
        ("(a) = -5", Use.EQUAL, ["a"]),
        ("a = (SELECT max(b) FROM u)", Use.EQUAL, ["a"]),
        ("a = other.b", Use.EQUAL, ["a"]),
        ("a IN (1, 2)", Use.EQUAL, ["a"]),
        ("a IN (SELECT b FROM u WHERE c = 1)", Use.EQUAL, ["a"]),
        ("a IS NULL", Use.EQUAL, ["a"]),
        ("(a, b) IN ((1, 2), (3, 4))", Use.EQUAL, ["a", "b"]),
        ("a = 1 OR a = 2 OR a IS NULL", Use.EQUAL, ["a"]),
        ("a > 5", Use.RANGE, ["a"]),
        ("5 <= a", Use.RANGE, ["a"]),
        ("a BETWEEN 1 AND 2", Use.RANGE, ["a"]),
        ("a > 1 OR (a = 1 AND b > 2)", Use.RANGE, ["a"]),
    ],
)
def test_what_an_index_serves(grammar, where, use, keys):
    found = read(where, grammar)
    assert (found.use, [key.column for key in found.keys], found.weak) == (use, keys, False)


@pytest.mark.parametrize("grammar", ALL, ids=lambda grammar: grammar.name)
@pytest.mark.parametrize(
    "where",
    ["a <> 5", "NOT a = 5", "a NOT IN (1, 2)", "a IS NOT NULL", "a NOT BETWEEN 1 AND 2", "a NOT LIKE 'x%'", "a",
     "NOT a", "a IS TRUE", "a <> 1 OR b = 2", "a < 1 OR a > 5", "a IN (SELECT b FROM u)",
     "NOT EXISTS (SELECT 1 FROM u WHERE u.b = t.a)", "EXISTS (SELECT 1 FROM u WHERE u.b = t.a)"],
)  # fmt: skip
def test_what_lets_most_rows_pass(grammar, where):
    assert read(where, grammar).weak


@pytest.mark.parametrize(
    ("where", "grammar", "reason"),
    [
        ("a + 1 = 5", SQLITE, reasons.IN_EXPRESSION),
        ("coalesce(a, 0) = 5", MYSQL, reasons.IN_EXPRESSION),
        ("lower(a) = 'x'", MYSQL, reasons.IN_EXPRESSION),
        ("a ->> 'x' = 'y'", POSTGRESQL, reasons.IN_EXPRESSION),
        ("CAST(a AS DATE) = '2020-01-01'", POSTGRESQL, reasons.CONVERTED),
        ("a = b", SQLITE, reasons.SAME_ROW),
        ("a = b + 1", SQLITE, reasons.IN_EXPRESSION),
        ("a = 1 OR b = 2", SQLITE, reasons.DIFFERENT_COLUMNS),
        ("a = 1 OR abs(b) = 2", SQLITE, reasons.OPEN_SIDE),
        ("1 = 1 OR a = 2", SQLITE, reasons.OPEN_SIDE),
        ("a LIKE '%x'", MYSQL, reasons.OPEN_PATTERN),
        ("a LIKE '_x'", MYSQL, reasons.OPEN_PATTERN),
        ("a ILIKE 'x%'", POSTGRESQL, reasons.ANY_CASE),
        ("a LIKE b", MYSQL, reasons.IN_EXPRESSION),
        ("a @> '{}'", POSTGRESQL, reasons.OTHER_KIND),
        ("'x' = ANY (a)", POSTGRESQL, reasons.OTHER_KIND),
        ("a IS NOT DISTINCT FROM 5", POSTGRESQL, reasons.OTHER_KIND),
        ("(a, b) > (1, 2)", MYSQL, reasons.OF_ROWS),
    ],
)
def test_what_no_plain_index_serves(where, grammar, reason):
    found = read(where, grammar)
    assert (found.keys, found.weak, found.reason) == ((), False, reason)


@pytest.mark.parametrize(
    ("where", "grammar", "parameters", "served"),
    [
        ("a LIKE ?", SQLITE, ("x%",), True),
        ("a LIKE ?", SQLITE, ("%x",), False),
        ("b = ? AND a LIKE ?", SQLITE, ("%", "x%"), True),
        ("a LIKE ?2", SQLITE, ("%", "x%"), True),
        ("a LIKE :p", SQLITE, {"p": "x%"}, True),
        ("a LIKE @p || '%'", SQLITE, {"p": "%"}, False),
        ("a LIKE %s", MYSQL, ("x%",), True),
        ("a LIKE %(p)s", MYSQL, {"p": "%x"}, False),
        ("a LIKE concat('%%', %s)", MYSQL, ("x",), False),
        ("a LIKE ?", SQLITE, None, False),
        ("a LIKE ?", SQLITE, (), False),
        ("a LIKE ?", SQLITE, (5,), False),
        ("a LIKE ?", SQLITE, ("",), False),
    ],
)
def test_patterns_by_their_values(where, grammar, parameters, served):
    tree = parse(f"SELECT * FROM t WHERE {where}", grammar, parameters)
    columns = Columns(grammar, lambda _column: "t")
    *_, (_, found) = Conditions(columns).read(tree.args["where"].this)
    assert bool(found.keys) == served


def test_values_are_not_shown():
    assert read("a = 'secret' AND 1 = 1").text == "a = ?"
    assert read("a LIKE '%secret'").text == "a LIKE ?"
    assert read("a IN (5551, 5552)").text == "a IN (?)"
    assert read("a BETWEEN 5551 AND 5552").text == "a BETWEEN ? AND ?"
    assert len(read(" OR ".join(f"column_{number} = {number}" for number in range(40))).text) == 90


def scopes(sql, grammar=SQLITE, **tables):
    described = {name: Table(name, columns=dict.fromkeys(columns.split(), "")) for name, columns in tables.items()}
    return build(parse(sql, grammar), grammar, lambda _schema, name: described.get(name))


def conditions(scope):
    return {
        key: [(condition.text, sorted(condition.needs)) for condition in source.conditions]
        for key, source in scope.sources.items()
    }


def test_names_without_a_table_are_told_by_columns():
    (scope,) = scopes("SELECT * FROM t, u WHERE a = 1 AND b = c", t="id a b", u="id c")
    assert conditions(scope) == {"t": [("a = ?", []), ("b = c", ["u"])], "u": [("c = b", ["t"])]}
    (scope,) = scopes("SELECT * FROM t, u WHERE id = 1 AND nowhere = 2", t="id a b", u="id c")
    assert conditions(scope) == {"t": [], "u": []}


def test_names_of_an_outer_query_are_fixed():
    outer, inner = scopes("SELECT * FROM t WHERE EXISTS (SELECT 1 FROM u WHERE c = a AND c = t.b)", t="a b", u="c")
    assert conditions(inner) == {"u": [("c = a", []), ("c = t.b", [])]}
    assert all(condition.weak for condition in outer.sources["t"].conditions)


def test_outer_joins_are_looked_up_from_one_side():
    (scope,) = scopes("SELECT * FROM t LEFT JOIN u ON u.c = t.a AND u.d = 1 AND t.b = 2")
    assert conditions(scope) == {"t": [], "u": [("c = t.a", ["t"]), ("d = ?", [])]}
    assert scope.sources["u"].role is Role.NULLABLE
    (scope,) = scopes("SELECT * FROM t RIGHT JOIN u ON u.c = t.a")
    assert conditions(scope) == {"t": [("a = u.c", ["u"])], "u": []}
    (scope,) = scopes("SELECT * FROM t FULL JOIN u ON u.c = t.a")
    assert conditions(scope) == {"t": [], "u": []}


def test_a_filter_on_its_other_side_makes_an_inner_join():
    (scope,) = scopes("SELECT * FROM t LEFT JOIN u ON u.c = t.a WHERE u.d = 1")
    assert scope.sources["u"].role is Role.PLAIN
    assert conditions(scope)["t"] == [("a = u.c", ["u"])]
    (scope,) = scopes("SELECT * FROM t LEFT JOIN u ON u.c = t.a WHERE u.d IS NULL")
    assert conditions(scope) == {"t": [], "u": [("c = t.a", ["t"])]}


def test_joins_in_parentheses_and_using():
    (scope,) = scopes("SELECT * FROM t LEFT JOIN (u JOIN v ON v.x = u.y) ON u.c = t.a")
    assert set(scope.sources) == {"t", "u", "v"}
    assert scope.sources["v"].role is Role.NULLABLE
    (scope,) = scopes("SELECT * FROM t JOIN u USING (a)")
    assert conditions(scope) == {"t": [("a = u.a", ["u"])], "u": [("a = t.a", ["t"])]}


@pytest.mark.parametrize(
    ("sql", "grammar"),
    [
        ("UPDATE t JOIN u ON u.c = t.a SET t.b = 1 WHERE u.d = 2", MYSQL),
        ("DELETE t FROM t JOIN u ON u.c = t.a WHERE u.d = 2", MYSQL),
        ("UPDATE t SET b = 1 FROM u WHERE u.c = t.a AND u.d = 2", SQLITE),
    ],
)
def test_changes_with_joins(sql, grammar):
    (scope,) = scopes(sql, grammar)
    assert conditions(scope)["t"] == [("a = u.c", ["u"])]
    assert ("d = ?", []) in conditions(scope)["u"]


def test_derived_tables_know_whether_they_are_narrowed():
    found = scopes("WITH w AS (SELECT a FROM t WHERE a = 1) SELECT * FROM w JOIN (SELECT c FROM u) AS d ON d.c = w.a")
    outer = next(scope for scope in found if "w" in scope.sources)
    assert (outer.sources["w"].derived, outer.sources["w"].narrowed) == (True, True)
    assert (outer.sources["d"].derived, outer.sources["d"].narrowed) == (True, False)
    assert sum(scope.parent is outer for scope in found) == 2


@pytest.mark.parametrize("text", ["", "SELECT", "SELECT * FROM t WHERE (", "\x00", "((((", "WITH", "SELECT 'x"])
@pytest.mark.parametrize("grammar", ALL, ids=lambda grammar: grammar.name)
def test_what_cannot_be_read_raises_and_logs_nothing(text, grammar, caplog):
    parse(text, grammar)
    assert caplog.records == []
