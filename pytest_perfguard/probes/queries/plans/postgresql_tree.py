"""The sources of a statement with their conditions, as a plan of PostgreSQL has them: names resolved, no views."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sqlglot import exp

from pytest_perfguard.probes.queries.fingerprint import fingerprint
from pytest_perfguard.probes.queries.plans.columns import Columns
from pytest_perfguard.probes.queries.plans.conditions import Conditions
from pytest_perfguard.probes.queries.plans.dialogue import Answer
from pytest_perfguard.probes.queries.plans.grammar import POSTGRESQL
from pytest_perfguard.probes.queries.plans.parsing import parse
from pytest_perfguard.probes.queries.plans.statement import ANY, Condition, Role, Scope, Source, Table, Use

Node = Mapping[str, Any]
Catalog = Mapping[tuple[str, str], Table]
"""Tables by schema and name; partitions too, with the name of the table that they are a part of."""

_PASSING = frozenset(
    {"Hash", "Sort", "Incremental Sort", "Materialize", "Memoize", "Gather", "Gather Merge", "LockRows"}
)
_JOINS = frozenset({"Nested Loop", "Hash Join", "Merge Join"})
_INDEXED = frozenset({"Index Scan", "Index Only Scan"})
_SMALL = frozenset({"Function Scan", "Values Scan", "Table Function Scan", "WorkTable Scan"})
_APART = frozenset({"InitPlan", "SubPlan"})
_FOREIGN = ("pg_catalog", "information_schema")

_REWRITTEN = (
    (re.compile(r"\(InitPlan \d+(?: \(returns [^)]*\))?\)(?:\.col\d+)?"), "1"),
    (re.compile(r"EXISTS\(SubPlan \d+\)|\((?:hashed )?SubPlan \d+\)"), "EXISTS (SELECT 1)"),
    (re.compile(r" !~~\* "), " NOT ILIKE "),
    (re.compile(r" ~~\* "), " ILIKE "),
    (re.compile(r" !~~ "), " NOT LIKE "),
    (re.compile(r" ~~ "), " LIKE "),
    (re.compile(r" !~\*? "), " <> "),
    (re.compile(r" ~\* "), " ~ "),
)
"""What PostgreSQL writes in its own way."""


def read_plan(rows: Answer) -> Node:
    """Return the plan that EXPLAIN answered; drivers give JSON as a text or as what it stands for."""
    found = rows[0][0]
    document = json.loads(found) if isinstance(found, str) else found
    plan: Node = document[0]["Plan"]
    return plan


def relations(plan: Node) -> dict[tuple[str, str], None]:
    """Return schema and name of the tables in a plan, those of the system left out."""
    found = {
        (str(node["Schema"]), str(node["Relation Name"])): None
        for node in walk(plan)
        if "Relation Name" in node and "Schema" in node
    }
    return {name: None for name in found if not name[0].startswith(_FOREIGN)}


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all below it."""
    yield node
    for child in node.get("Plans", ()):
        yield from walk(child)


def is_full(node: Node, catalog: Catalog) -> bool:
    """Return whether a node reads its table, or an index of it, from beginning to end."""
    kind = node["Node Type"]
    table = catalog.get((node.get("Schema", ""), node.get("Relation Name", "")))
    if kind == "Seq Scan":
        return True
    if kind in _INDEXED:
        return "Order By" not in node and not _finds(node, table)
    return kind == "Bitmap Heap Scan" and any(not _finds_bits(child, table) for child in node.get("Plans", ()))


def _finds_bits(node: Node, table: Table | None) -> bool:
    children = node.get("Plans", ())
    if node["Node Type"] == "BitmapOr":
        return all(_finds_bits(child, table) for child in children)
    if node["Node Type"] == "BitmapAnd":
        return any(_finds_bits(child, table) for child in children)
    return _finds(node, table)


def _finds(node: Node, table: Table | None) -> bool:
    """Return whether an index is searched by the column that it begins with, and not read as a whole."""
    condition = node.get("Index Cond")
    if condition is None:
        return False
    first = table.indexes.get(str(node.get("Index Name", "")).casefold(), ANY) if table is not None else ANY
    return first == ANY or re.search(rf'\."?{re.escape(first)}"?(?!\w)', str(condition), re.IGNORECASE) is not None


def build(plan: Node, catalog: Catalog) -> list[Scope]:
    """Return a scope for each query in a plan that is planned by itself."""
    builder = _Builder(catalog)
    builder.query(plan, None)
    return builder.scopes


class _Builder:
    def __init__(self, catalog: Catalog) -> None:
        self.scopes: list[Scope] = []
        self._catalog = catalog

    def query(self, node: Node, parent: Scope | None) -> None:
        """Read a node that nothing above it joins with anything."""
        scope = Scope(parent=parent)
        self.scopes.append(scope)
        query = _Query(self, scope, self._catalog)
        query.read(node, Role.PLAIN, joined=False)
        query.finish()


class _Query:
    def __init__(self, builder: _Builder, scope: Scope, catalog: Catalog) -> None:
        self._builder = builder
        self._scope = scope
        self._catalog = catalog
        self._keys: dict[str, str] = {}
        """Sources by the aliases that conditions name them by."""
        self._found: list[tuple[str, Condition]] = []
        self._fixed: list[tuple[set[str], set[str]]] = []
        """Sources that cannot be looked up by the rows of others, and these others."""
        self._conditions = Conditions(Columns(POSTGRESQL, self._owner, self._renames), subqueries=False)

    def finish(self) -> None:
        """Put the conditions in the sources, which are all known now."""
        for key, condition in self._found:
            if not any(key in fixed and condition.needs & others for fixed, others in self._fixed):
                self._scope.add(key, condition)

    def read(self, node: Node, role: Role, *, joined: bool) -> set[str]:
        """Take the sources at and below `node` into the scope, and return their keys."""
        children = []
        for child in node.get("Plans", ()):
            if child.get("Parent Relationship") in _APART:
                self._builder.query(child, None)
            else:
                children.append(child)
        kind = node["Node Type"]
        if kind in _JOINS and len(children) == 2:
            return self._join(node, children[0], children[1], role)
        if "Relation Name" in node and str(kind).endswith("Scan"):
            return self._scan(node, role)
        if kind in {"Append", "Merge Append"} and self._is_one_table(children):
            return {key for child in children for key in self.read(child, role, joined=joined)}
        single = len(children) == 1 and kind != "Subquery Scan"
        if kind in _PASSING or (not joined and single):
            return {key for child in children for key in self.read(child, role, joined=joined)}
        return self._derived(node, children, role)

    def _join(self, node: Node, outer: Node, inner: Node, role: Role) -> set[str]:
        kind = str(node.get("Join Type", "Inner"))
        roles = {
            "Left": (role, Role.NULLABLE),
            "Anti": (role, Role.NULLABLE),
            "Right": (Role.NULLABLE, role),
            "Right Anti": (Role.NULLABLE, role),
            "Full": (Role.NULLABLE, Role.NULLABLE),
            "Semi": (role, Role.EXISTS if role is Role.PLAIN else role),
            "Right Semi": (Role.EXISTS if role is Role.PLAIN else role, role),
        }.get(kind, (role, role))
        sides = [self.read(side, each, joined=True) for side, each in zip((outer, inner), roles, strict=True)]
        # What is in the result whether it has a partner or not cannot be looked up by its partner.
        fixed: set[str] = set()
        for side, other, kinds in ((0, 1, {"Left", "Anti", "Full"}), (1, 0, {"Right", "Right Anti", "Full"})):
            if kind in kinds:
                self._fixed.append((sides[side], sides[other]))
                fixed |= sides[side]
        for name in ("Hash Cond", "Merge Cond", "Join Filter"):
            if name in node:
                self._found += [each for each in self._read_condition(str(node[name])) if each[0] not in fixed]
        return sides[0] | sides[1]

    def _scan(self, node: Node, role: Role) -> set[str]:
        alias = str(node.get("Alias", node["Relation Name"])).casefold()
        schema, name = str(node.get("Schema", "")), str(node["Relation Name"])
        table = self._catalog.get((schema, name))
        of_whole = table is not None and table.name != name
        key = re.sub(r"_\d+$", "", alias) if of_whole else alias
        self._keys[alias] = self._keys[key] = key
        source = self._scope.sources.get(key)
        if source is None:
            source = self._scope.sources[key] = Source(key, name, schema, derived=table is None, role=role, table=table)
        full = is_full(node, self._catalog)
        source.full = source.full or (full and table is not None)
        for text in _index_conditions(node):
            for owner, condition in self._read_condition(text):
                if condition.use is not Use.NONE:
                    self._found.append((owner, condition))
                if owner == key and not full:
                    source.used |= condition.columns if condition.needs else {ANY}
        if "Filter" in node:
            self._found += self._read_condition(str(node["Filter"]), key)
        return {key}

    def _is_one_table(self, children: list[Node]) -> bool:
        """Return whether all children read partitions of one table."""
        names = set()
        for child in children:
            table = self._catalog.get((child.get("Schema", ""), child.get("Relation Name", "")))
            names.add(None if table is None or table.name == child["Relation Name"] else (table.schema, table.name))
        return len(names) == 1 and None not in names

    def _derived(self, node: Node, children: list[Node], role: Role) -> set[str]:
        """Take a node as one source of which no more is known, and what is below it as a query of its own."""
        key = str(node.get("Alias", f"#{len(self._scope.sources)}")).casefold()
        below = [each for child in children for each in walk(child)]
        narrowed = node["Node Type"] in _SMALL or any(
            each["Node Type"] == "Limit" or "Filter" in each or "Index Cond" in each for each in (node, *below)
        )
        self._scope.sources[key] = Source(key, "", derived=True, narrowed=narrowed, role=role)
        self._keys[key] = key
        for each in below:
            if "Alias" in each:
                self._keys.setdefault(str(each["Alias"]).casefold(), key)
        for child in children:
            self._builder.query(child, self._scope)
        return {key}

    def _read_condition(self, text: str, key: str = "") -> Iterator[tuple[str, Condition]]:
        """Yield the conditions in a text of the plan; on `key` where it cannot be read."""
        of_subplan = "SubPlan" in text
        for pattern, replacement in _REWRITTEN:
            text = pattern.sub(replacement, text)
        tree = parse(f"SELECT 1 WHERE {text}", POSTGRESQL)
        if tree is not None and tree.args.get("where") is not None:
            yield from self._conditions.read(tree.args["where"].this)
        elif key and not of_subplan:
            yield key, Condition(text=fingerprint(text, POSTGRESQL.name), use=Use.NONE)

    def _owner(self, column: exp.Column) -> str | None:
        return self._keys.get(column.table.casefold())

    def _renames(self, column: exp.Column, kind: str) -> bool:
        key = self._owner(column)
        table = self._scope.sources[key].table if key is not None else None
        before = table.columns.get(column.name.casefold(), "") if table is not None else ""
        return before in {"character varying", "text"} and kind in {"TEXT", "VARCHAR"}


def _index_conditions(node: Node) -> Iterator[str]:
    if node["Node Type"] == "Bitmap Heap Scan":
        yield str(node.get("Recheck Cond", "true"))
    elif "Index Cond" in node:
        yield str(node["Index Cond"])
