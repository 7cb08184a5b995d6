"""Whether an index could serve a condition, and by which columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

from sqlglot import exp

from pytest_perfguard.probes.queries.plans.columns import Columns, Unclear, bare, calls
from pytest_perfguard.probes.queries.plans.parsing import OPEN, UNKNOWN
from pytest_perfguard.probes.queries.plans.statement import Condition, Key, Use

_RANGES = (exp.GT, exp.GTE, exp.LT, exp.LTE)
_PATTERNS = (exp.Like, exp.ILike, exp.Glob)
_REJECTING = (exp.EQ, exp.NEQ, exp.In, exp.Between, *_RANGES, *_PATTERNS)
_NARROWING = (exp.EQ, exp.In, exp.Is, exp.Between, *_RANGES, *_PATTERNS)

IN_EXPRESSION = "the column stands in an expression"
CONVERTED = "the column is converted to another type"
OTHER_KIND = "the operator takes an index of another kind"
OPEN_PATTERN = "the pattern begins with a wildcard"
UNKNOWN_PATTERN = "of its pattern nothing is known"
OF_BYTES = "it compares bytes, not text"
ANY_CASE = "it compares without regard to case"
DIFFERENT_COLUMNS = "OR over different columns, which takes an index for each of them"
OPEN_SIDE = "one side of the OR cannot be served"
OF_ROWS = "it takes no index for a comparison of rows by their order"
SAME_ROW = "it compares columns of one row"

_Make = Callable[..., Condition]


class Conditions:
    """Reads the conditions of filters and joins.

    `subqueries` tells whether an index serves IN with a query of its own.
    """

    def __init__(self, columns: Columns, *, subqueries: bool = True) -> None:
        self._columns = columns
        self._grammar = columns.grammar
        self._subqueries = subqueries
        self._readers: tuple[tuple[type | tuple[type, ...], Callable[..., Condition]], ...] = (
            (exp.Escape, lambda node, key, make: self._condition(node.this, key, make)),
            (exp.Or, self._or),
            ((exp.Not, exp.NEQ, exp.NullSafeNEQ, exp.Exists, exp.Any), _weak),  # ANY alone: a query of its own
            (exp.Is, self._is),
            (exp.In, self._in),
            (exp.Between, self._between),
            (_PATTERNS, self._like),
            (exp.EQ, partial(self._sides, use=Use.EQUAL)),
            (exp.NullSafeEQ, self._equal_or_null),
            (_RANGES, partial(self._sides, use=Use.RANGE)),
        )

    def read(self, node: exp.Expression) -> Iterator[tuple[str, Condition]]:
        """Yield what each part of `node` that must hold asks of a source, with the key of the source."""
        for part in _parts(node, exp.And):
            with suppress(Unclear):
                yield from list(self._read(part))

    def _read(self, node: exp.Expression) -> Iterator[tuple[str, Condition]]:
        owners = self._columns.owners(node)
        for key in sorted(owners):
            make = partial(
                Condition,
                text=self._columns.text(node, key),
                needs=frozenset(owners - {key}),
                columns=self._columns.names(node, key),
            )
            yield key, self._condition(node, key, make)

    def rejects(self, node: exp.Expression) -> set[str]:
        """Return the keys of the sources that must have a row for `node` to hold."""
        found: set[str] = set()
        for part in _parts(node, exp.And):
            certain = isinstance(part, _REJECTING) or (isinstance(part, exp.Is) and bool(part.args.get("negate")))
            if certain and not any(isinstance(each, exp.Func | exp.Case | exp.Query) for each in part.walk()):
                with suppress(Unclear):
                    found |= self._columns.owners(part)
        return found

    def _condition(self, node: exp.Expression, key: str, make: _Make) -> Condition:
        """Return what `node` asks of the source `key`, all other sources given."""
        node = bare(node)
        if node.args.get("negate") or self._plain(node, key):  # a flag
            return _weak(node, key, make)
        for kind, read in self._readers:
            if isinstance(node, kind):
                return read(node, key, make)
        direct = any(self._plain(each, key) for each in (node.args.get("this"), node.args.get("expression")))
        return make(use=Use.NONE, reason=OTHER_KIND if direct else IN_EXPRESSION)

    def _or(self, node: exp.Expression, key: str, make: _Make) -> Condition:
        """Return the condition that one side holds, each being conditions that hold together."""
        sides = [
            [self._condition(part, key, make) for part in _parts(side, exp.And) if key in self._columns.owners(part)]
            for side in _parts(node, exp.Or)
        ]
        if any(side and all(each.weak for each in side) for side in sides):
            return make(use=Use.NONE, weak=True)
        keys = [{each.keys[0] for each in side if each.keys} for side in sides]
        if not all(keys):
            return make(use=Use.NONE, reason=OPEN_SIDE)
        common = set.intersection(*keys)
        if not common:
            return make(use=Use.NONE, reason=DIFFERENT_COLUMNS)
        if _is_outside(node):
            return _weak(node, key, make)
        equal = all(len(side) == 1 and side[0].use is Use.EQUAL for side in sides)
        return make(use=Use.EQUAL if equal else Use.RANGE, keys=(min(common),), several=True)

    def _is(self, node: exp.Expression, key: str, make: _Make) -> Condition:
        if isinstance(node.expression, exp.Boolean):
            return _weak(node, key, make)
        if isinstance(node.expression, exp.Null) or self._grammar.name == "sqlite":
            return self._sides(node, key, make, use=Use.EQUAL)
        return make(use=Use.NONE, reason=IN_EXPRESSION)

    def _in(self, node: exp.Expression, key: str, make: _Make) -> Condition:
        query = node.args.get("query")
        if query is not None and not (self._subqueries and is_narrowed(query)):
            return _weak(node, key, make)
        values = node.expressions if query is None else [query]
        return self._compare(node.this, values, key, partial(make, several=True), Use.EQUAL)

    def _between(self, node: exp.Expression, key: str, make: _Make) -> Condition:
        return self._compare(node.this, [node.args["low"], node.args["high"]], key, make, Use.RANGE)

    def _like(self, node: exp.Expression, key: str, make: _Make) -> Condition:
        keys = self._columns.keys(node.this, key)
        if not keys or key in self._columns.owners(node.expression):
            return make(use=Use.NONE, reason=IN_EXPRESSION)
        if self._grammar.name == "mysql" and isinstance(bare(node.expression), exp.Cast):  # LIKE BINARY
            return make(use=Use.NONE, reason=OF_BYTES)
        beginnings = {each.this for each in node.expression.find_all(exp.Literal)} & {OPEN, UNKNOWN}
        if beginnings or isinstance(node, exp.ILike):
            reason = OPEN_PATTERN if OPEN in beginnings else UNKNOWN_PATTERN if beginnings else ANY_CASE
            return make(use=Use.NONE, reason=reason)
        if not (self._grammar.like or isinstance(node, exp.Glob)):
            keys = tuple(map(self._for_beginnings, keys))
        return make(use=Use.RANGE, keys=keys)

    def _for_beginnings(self, key: Key) -> Key:
        written = key.written or self._grammar.identifier(key.column)
        return Key("", written + self._grammar.beginnings, key.label or key.column)

    def _equal_or_null(self, node: exp.Expression, key: str, make: _Make) -> Condition:
        if self._grammar.name == "postgresql":
            return make(use=Use.NONE, reason=OTHER_KIND)
        return self._sides(node, key, make, use=Use.EQUAL)

    def _sides(self, node: exp.Expression, key: str, make: _Make, use: Use) -> Condition:
        this, other = bare(node.this), bare(node.expression)
        if key not in self._columns.owners(this):
            this, other = other, this
        if isinstance(other, exp.Any | exp.All) or calls(other) in {"ALL", "ANY", "SOME"}:
            make = partial(make, several=True)
        return self._compare(this, [other], key, make, use)

    def _compare(
        self, this: exp.Expression, others: list[exp.Expression], key: str, make: _Make, use: Use
    ) -> Condition:
        if any(key in self._columns.owners(other) for other in others):
            reason = SAME_ROW if all(self._plain(each, key) for each in (this, *others)) else IN_EXPRESSION
            return make(use=Use.NONE, reason=reason)
        keys = self._columns.keys(this, key)
        if not keys:
            return make(use=Use.NONE, reason=_why(this))
        if use is Use.RANGE and len(keys) > 1 and self._grammar.name == "mysql":
            return make(use=Use.NONE, reason=OF_ROWS)
        return make(use=use, keys=keys)

    def _plain(self, node: object, key: str) -> bool:
        return isinstance(node, exp.Expression) and self._columns.column(node, key) is not None


def _weak(_node: exp.Expression, _key: str, make: _Make) -> Condition:
    return make(use=Use.NONE, weak=True)


def _is_outside(node: exp.Expression) -> bool:
    """Return whether it is NOT BETWEEN in other words: what is less than one value, or more than another."""
    sides = list(_parts(node, exp.Or))
    below = sum(isinstance(side, exp.LT | exp.LTE) for side in sides)
    above = sum(isinstance(side, exp.GT | exp.GTE) for side in sides)
    return below == above == 1 and len(sides) == 2


def _parts(node: exp.Expression, kind: type[exp.Connector]) -> Iterator[exp.Expression]:
    """Yield what AND, or OR, connects."""
    stack = [node]
    while stack:
        found = bare(stack.pop())
        if isinstance(found, kind):
            stack += (found.expression, found.this)
        else:
            yield found


def _why(node: exp.Expression) -> str:
    """Return why no plain index finds rows by `node`."""
    node = bare(node)
    if isinstance(node, exp.Cast) and isinstance(bare(node.this), exp.Column):
        return CONVERTED
    return OTHER_KIND if isinstance(node, exp.Any) else IN_EXPRESSION


def is_narrowed(query: exp.Expression) -> bool:
    """Return whether `query` gives some of its tables' rows only."""
    return any(
        select.args.get("limit") or any(part is not None and part.find(*_NARROWING) for part in _filters(select))
        for select in query.find_all(exp.Select)
    )


def _filters(select: exp.Expression) -> tuple[exp.Expression | None, ...]:
    return select.args.get("where"), select.args.get("having")
