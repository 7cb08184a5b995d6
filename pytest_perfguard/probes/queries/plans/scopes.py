"""The sources of a statement with their conditions, as its text has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from sqlglot import exp

from pytest_perfguard.probes.queries.plans.columns import Columns, Unclear
from pytest_perfguard.probes.queries.plans.conditions import Conditions, is_narrowed
from pytest_perfguard.probes.queries.plans.grammar import Grammar
from pytest_perfguard.probes.queries.plans.statement import Condition, Key, Role, Scope, Source, Table, Use

_ROWID = frozenset({"rowid", "oid", "_rowid_"})

Lookup = Callable[[str, str], Table | None]
"""Finds the description of a table by schema, empty for none, and name."""


def tables(tree: exp.Expression) -> list[tuple[str, str]]:
    """Return schema and name of what stands in `tree` as a table, each once."""
    found = {(table.db, table.name): None for table in tree.find_all(exp.Table) if table.name}
    return list(found)


def build(tree: exp.Expression, grammar: Grammar, lookup: Lookup, *, subqueries: bool = True) -> list[Scope]:
    """Return a scope for each SELECT, UPDATE and DELETE in `tree`.

    `lookup` tells columns, by which unqualified names are understood. `subqueries` is as for `Conditions`.
    """
    made: dict[int, Scope] = {}
    ctes = {cte.alias.casefold(): cte for cte in tree.find_all(exp.CTE)}
    builders = [
        _Builder(node, grammar, lookup, ctes, subqueries=subqueries)
        for node in tree.find_all(exp.Select, exp.Update, exp.Delete, bfs=False)
    ]
    for builder in builders:
        made[id(builder.node)] = builder.scope
    for builder in builders:
        for query in builder.queries:
            for select in _outermost(query):
                if id(select) in made and made[id(select)] is not builder.scope:
                    made[id(select)].parent = builder.scope
    return [builder.scope for builder in builders]


class _Join(NamedTuple):
    node: exp.Join
    left: frozenset[str]
    right: frozenset[str]


class _Builder:
    def __init__(
        self,
        node: exp.Expression,
        grammar: Grammar,
        lookup: Lookup,
        ctes: Mapping[str, exp.Expression],
        *,
        subqueries: bool,
    ) -> None:
        self.node = node
        self.scope = Scope()
        self.queries: list[exp.Expression] = []
        self._lookup = lookup
        self._ctes = ctes
        self._columns: dict[str, set[str] | None] = {}
        self._joins: list[_Join] = []
        self._outermost = node.parent_select is None and not isinstance(node.parent, exp.SetOperation)
        self._conditions = Conditions(Columns(grammar, self._owner), subqueries=subqueries)
        self._collect()
        self._read()

    def _collect(self) -> None:
        node = self.node
        begin = node.args.get("from_") or node.args.get("from")
        starts = [] if isinstance(node, exp.Select) else [node.this]
        starts += [begin.this] if begin is not None else []
        using = node.args.get("using")
        starts += using if isinstance(using, list) else []
        for start in starts:
            self._take(start)
        for join in node.args.get("joins") or ():
            self._join(join)

    def _take(self, node: exp.Expression) -> None:
        if isinstance(node, exp.Subquery | exp.Paren) and isinstance(node.this, exp.Table | exp.Subquery | exp.Paren):
            self._take(node.this)  # (a JOIN b)
        elif isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            cte = self._ctes.get(node.name.casefold()) if not node.db else None
            self._add(node, node.name, node.db, cte)
        else:
            named = node if isinstance(node, exp.Subquery | exp.Lateral) else None
            self._add(node, "", "", named)
        for join in node.args.get("joins") or ():
            self._join(join)

    def _add(self, node: exp.Expression, name: str, schema: str, defined: exp.Expression | None) -> None:
        """Add a source; `defined` is the subquery or common table expression that it is, None for a table."""
        key = (node.alias or name).casefold()
        if not key or key in self.scope.sources:
            return
        source = self.scope.sources[key] = Source(key, name, schema, derived=defined is not None or not name)
        if defined is not None:
            query = defined.this
            within = any(each is query for each in _around(self.node))  # a recursive one: it has the latest rows only
            source.narrowed = within or is_narrowed(query)
            if not within:
                self.queries.append(query)
            self._columns[key] = _names(defined)
        elif name:
            source.table = self._lookup(schema, name)
            self._columns[key] = set(source.table.columns) if source.table is not None else None
        else:
            self._columns[key] = None

    def _join(self, join: exp.Join) -> None:
        before = frozenset(self.scope.sources)
        self._take(join.this)
        self._joins.append(_Join(join, before, frozenset(self.scope.sources) - before))

    def _read(self) -> None:
        where = self.node.args.get("where")
        present = self._conditions.rejects(where.this) if where is not None else set()
        for join in self._joins:
            self._read_join(join, present)
        if where is not None:
            for key, condition in self._conditions.read(where.this):
                if self.scope.sources[key].role is Role.PLAIN:
                    self.scope.add(key, condition)
        self._read_order()

    def _read_join(self, join: _Join, present: set[str]) -> None:
        side = join.node.side.upper()
        lacking = {"LEFT": join.right, "RIGHT": join.left, "FULL": join.left | join.right}.get(side, frozenset())
        if side == "LEFT" and present & join.right:
            lacking = frozenset()  # a filter on it makes an inner join of it
        for key in lacking:
            self.scope.sources[key].role = Role.NULLABLE
        if side == "FULL":
            return
        on = join.node.args.get("on")
        found = list(self._conditions.read(on)) if on is not None else []
        for column in join.node.args.get("using") or ():
            found += self._using(column.name, join)
        for key, condition in found:
            if not lacking or key in lacking:
                self.scope.add(key, condition)

    def _using(self, column: str, join: _Join) -> Iterator[tuple[str, Condition]]:
        sides = [
            [key for key in self.scope.sources if key in side and self._may_have(key, column)]
            for side in (join.left, join.right)
        ]
        if not all(sides):
            return
        (left, *_), (right, *_) = sides
        for key, other in ((left, right), (right, left)):
            yield (
                key,
                Condition(
                    text=f"{column} = {other}.{column}", use=Use.EQUAL, keys=(Key(column),), needs=frozenset({other})
                ),
            )

    def _may_have(self, key: str, column: str) -> bool:
        known = self._columns[key]
        return known is None or column.casefold() in known

    def _read_order(self) -> None:
        order = self.node.args.get("order")
        if order is None or self.node.args.get("group") or self.node.args.get("distinct"):
            return
        terms = order.expressions
        columns = [term.this if isinstance(term, exp.Ordered) else term for term in terms]
        directions = {bool(term.args.get("desc")) for term in terms}
        if not all(isinstance(column, exp.Column) for column in columns) or len(directions) > 1:
            return
        try:
            owners = {self._owner(column) for column in columns}
        except Unclear:
            return
        if len(owners) == 1 and (owner := owners.pop()) is not None:
            self.scope.sources[owner].order = tuple(column.name for column in columns)

    def _owner(self, column: exp.Column) -> str | None:
        sources = self.scope.sources
        if column.table:
            key = column.table.casefold()
            return key if key in sources else None
        name = column.name.casefold()
        known = [key for key in sources if name in (self._columns[key] or ())]
        unknown = [key for key in sources if self._columns[key] is None]
        if len(known) == 1 or (not known and len(unknown) == 1):
            return (known or unknown)[0]
        if not known and not unknown:
            if len(sources) == 1 and (self._outermost or name in _ROWID):
                return next(iter(sources))
            if not self._outermost:
                return None
        raise Unclear


def _around(node: exp.Expression) -> Iterator[object]:
    found: object = node
    while found is not None:
        yield found
        found = getattr(found, "parent", None)


def _names(defined: exp.Expression) -> set[str] | None:
    """Return the folded names of a subquery's or common table expression's columns; None where they are not known."""
    alias = defined.args.get("alias")
    if isinstance(alias, exp.TableAlias) and alias.columns:
        return {column.name.casefold() for column in alias.columns}
    query = defined.this
    if isinstance(query, exp.Query) and not query.is_star:
        return {name.casefold() for name in query.named_selects}
    return None


def _outermost(query: exp.Expression) -> Iterator[exp.Expression]:
    """Yield the SELECTs whose rows `query` gives: several of a UNION."""
    if isinstance(query, exp.Subquery):
        yield from _outermost(query.this)
    elif isinstance(query, exp.SetOperation):
        yield from _outermost(query.this)
        yield from _outermost(query.expression)
    else:
        yield query
