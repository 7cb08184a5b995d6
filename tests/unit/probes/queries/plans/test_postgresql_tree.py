"""Plans of PostgreSQL as several of its versions write them, without a server."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("sqlglot")

from pytest_perfguard.probes.queries.plans.missing import find
from pytest_perfguard.probes.queries.plans.postgresql_tree import build, is_full, read_plan, relations
from pytest_perfguard.probes.queries.plans.statement import Role, Table

ORDERS = Table("orders", columns={"id": "integer", "customer": "integer", "name": "character varying"})
ORDERS.leading.add("id")
ORDERS.indexes.update({"orders_pkey": "id", "ix_two": "name"})
ITEMS = Table("items", columns={"id": "integer", "order_id": "integer"})
CATALOG = {("public", "orders"): ORDERS, ("public", "items"): ITEMS}


def scan(table="orders", kind="Seq Scan", alias="", **more):
    named = {name.replace("_", " "): value for name, value in more.items()}
    return {"Node Type": kind, "Relation Name": table, "Schema": "public", "Alias": alias or table, **named}


def node(kind, *plans, **more):
    children = [{"Parent Relationship": side, **plan} for side, plan in zip(("Outer", "Inner"), plans, strict=False)]
    return {"Node Type": kind, "Plans": children, **{name.replace("_", " "): value for name, value in more.items()}}


def conditions(plan):
    return {
        key: [(each.text, sorted(each.needs), bool(each.keys), each.weak) for each in source.conditions]
        for scope in build(plan, CATALOG)
        for key, source in scope.sources.items()
    }


WEAK = ("", [], False, True)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("(orders.customer = 5)", [("customer = ?", [], True, False)]),
        ("(orders.customer = $1)", [("customer = ?", [], True, False)]),
        ("(orders.customer = $0)", [("customer = ?", [], True, False)]),
        ("(orders.customer = (InitPlan 1).col1)", [("customer = ?", [], True, False)]),
        ("(orders.customer = (InitPlan 1 (returns $0)))", [("customer = ?", [], True, False)]),
        ("((orders.name)::text = 'secret'::text)", [("name = ?", [], True, False)]),
        ("((orders.name)::text ~~ '%secret'::text)", [("name LIKE ?", [], False, False)]),
        ("((orders.name)::text !~~ 'secret%'::text)", [WEAK]),
        ("((orders.name)::text !~~* 'secret%'::text)", [WEAK]),
        ("((orders.name)::text !~ 'secret'::text)", [WEAK]),
        ("(orders.customer <> ALL ('{1,2}'::integer[]))", [WEAK]),
        ("(NOT (hashed SubPlan 1))", []),
        ("(hashed SubPlan 1)", []),
        ("EXISTS(SubPlan 1)", []),
        ("(NOT (ANY (orders.customer = (hashed SubPlan 1).col1)))", [WEAK]),
        ("(ANY (orders.customer = (hashed SubPlan 1).col1))", [WEAK]),
        ("(orders.customer ??? ((5)", [("(orders.customer ? ? ? ((?)", [], False, False)]),
    ],
)
def test_texts(text, found):
    shown = conditions(scan(Filter=text))["orders"]
    assert [("" if weak else text, *more, weak) for text, *more, weak in shown] == found


@pytest.mark.parametrize(
    ("plan", "full"),
    [
        (scan(), True),
        (scan(kind="Index Scan", Index_Name="orders_pkey"), True),
        (scan(kind="Index Scan", Index_Name="orders_pkey", Index_Cond="(orders.id = 5)"), False),
        (scan(kind="Index Only Scan", Index_Name="ix_two", Index_Cond="(orders.customer = 5)"), True),
        (scan(kind="Index Scan", Index_Name="ix_two", Index_Cond="((orders.name)::text = 'x')"), False),
        (scan(kind="Index Scan", Index_Name="of no table", Index_Cond="(orders.customer = 5)"), False),
        (scan(kind="Index Scan", Index_Name="orders_pkey", Order_By="(orders.place <-> '(0,0)')"), False),
        (scan(kind="Tid Scan"), False),
        (scan(kind="Sample Scan"), False),
    ],
)
def test_what_is_read_in_full(plan, full):
    assert is_full(plan, CATALOG) == full


def bitmap(kind, *conditions):
    bits = [
        {"Node Type": "Bitmap Index Scan", "Index Name": index, "Index Cond": condition}
        for index, condition in conditions
    ]
    return scan(kind="Bitmap Heap Scan", Recheck_Cond="true", Plans=[{"Node Type": kind, "Plans": bits}])


def test_bitmaps():
    served, unserved = ("orders_pkey", "(orders.id = 5)"), ("ix_two", "(orders.customer = 5)")
    assert not is_full(bitmap("BitmapOr", served, served), CATALOG)
    assert is_full(bitmap("BitmapOr", served, unserved), CATALOG)
    assert not is_full(bitmap("BitmapAnd", served, unserved), CATALOG)


def join(kind, outer, inner, how="Hash Join", condition="(items.order_id = orders.id)"):
    return node(how, outer, inner, Join_Type=kind, Hash_Cond=condition)


def test_joins_know_which_side_can_be_looked_up():
    orders = scan(kind="Index Scan", Index_Name="orders_pkey", Index_Cond="(orders.id = 5)")
    for kind, outer, inner, count in (
        ("Inner", orders, scan("items"), 1),
        ("Inner", scan("items"), orders, 1),
        ("Left", orders, scan("items"), 1),
        ("Left", scan("items"), orders, 0),
        ("Right", scan("items"), orders, 1),
        ("Right", orders, scan("items"), 0),
        ("Semi", scan("items"), orders, 1),
        ("Semi", orders, scan("items"), 1),
        ("Anti", orders, scan("items"), 1),
        ("Anti", scan("items"), orders, 0),
        ("Right Anti", scan("items"), orders, 1),
        ("Right Semi", scan("items"), orders, 1),
        ("Full", orders, scan("items"), 0),
    ):
        found = find(build(join(kind, outer, inner), CATALOG), hashes=True)
        assert [missing.source.key for missing in found] == ["items"] * count, kind


def test_filters_of_an_outer_joins_own():
    plan = node(
        "Nested Loop", scan(), scan("items"), Join_Type="Left",
        Join_Filter="((items.order_id = orders.id) AND (orders.customer = 5))",
    )  # fmt: skip
    assert conditions(plan) == {"orders": [], "items": [("order_id = orders.id", ["orders"], True, False)]}
    (scope,) = build(plan, CATALOG)
    assert scope.sources["items"].role is Role.NULLABLE


def test_what_is_grouped_or_limited_below_a_join_is_a_source_of_its_own():
    grouped = node("Aggregate", scan("items", Filter="(items.id > 5)"), Strategy="Hashed")
    outer, inner = build(join("Inner", scan(), grouped), CATALOG)
    assert [(source.derived, source.narrowed) for source in outer.sources.values()] == [(False, False), (True, True)]
    assert inner.parent is outer
    assert list(inner.sources) == ["items"]


def test_partitions_are_one_table_and_branches_are_not():
    whole = [Table("visits", columns={"page": "integer"}) for _ in range(2)]
    catalog = {("public", f"visits_{number}"): table for number, table in enumerate(whole)}
    parts = [scan(f"visits_{n}", alias=f"v_{n + 1}", Filter=f"(v_{n + 1}.page = 3)") for n in range(2)]
    (scope,) = build(node("Append", *parts), catalog)
    assert list(scope.sources) == ["v"]
    assert [condition.text for condition in scope.sources["v"].conditions] == ["page = ?"]
    branches = node("Append", scan(Filter="(orders.customer = 5)"), scan("items", Filter="(items.id = 5)"))
    assert [list(scope.sources) for scope in build(branches, CATALOG)] == [["#0"], ["orders"], ["items"]]


def test_tables_of_the_systems_own_are_left_out():
    plan = node("Nested Loop", scan(), {**scan("pg_class"), "Schema": "pg_catalog"})
    assert list(relations(plan)) == [("public", "orders")]


def test_answers_as_text_or_as_what_it_stands_for():
    document = [{"Plan": scan()}]
    assert read_plan([(document,)]) == read_plan([(json.dumps(document),)]) == scan()
