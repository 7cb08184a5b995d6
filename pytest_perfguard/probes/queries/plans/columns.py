"""Columns in expressions: whose they are, and what an index must have to find rows by them."""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlglot import exp

from pytest_perfguard.probes.queries.plans.grammar import Grammar
from pytest_perfguard.probes.queries.plans.statement import Key

_WIDTH = 90


class Unclear(Exception):  # noqa: N818 - no error: the answer to a question
    """Whose column it is cannot be told."""


class Columns:
    """Reads expressions in which `owner` tells whose a column is: the key of a source, None for one that is fixed.

    `renames(column, type)` tells whether a cast of a column changes no more than the name of its type.
    """

    def __init__(
        self,
        grammar: Grammar,
        owner: Callable[[exp.Column], str | None],
        renames: Callable[[exp.Column, str], bool] = lambda _column, _type: False,
    ) -> None:
        self.grammar = grammar
        self._owner = owner
        self._renames = renames

    def owners(self, node: exp.Expression) -> set[str]:
        """Return the keys of the sources whose columns are in `node`; a query in it may refer to them too."""
        inside = {id(column) for query in node.find_all(exp.Query) for column in query.find_all(exp.Column)}
        names = {table.alias_or_name for query in node.find_all(exp.Query) for table in query.find_all(exp.Table)}
        found = {
            self._owner(column)
            for column in node.find_all(exp.Column)
            if not isinstance(column.this, exp.Star)
            and (id(column) not in inside or (column.table and column.table not in names))
        }
        return {owner for owner in found if owner is not None}

    def names(self, node: exp.Expression, key: str) -> frozenset[str]:
        """Return the folded names of the columns of the source `key` in `node`."""
        return frozenset(column.name.casefold() for column in node.find_all(exp.Column) if self._owner(column) == key)

    def keys(self, node: exp.Expression, key: str) -> tuple[Key, ...]:
        """Return what an index must have to find rows of the source `key` by `node`; empty where no index can."""
        node = bare(node)
        members = node.expressions if isinstance(node, exp.Tuple) or calls(node) == "ROW" else [node]
        found: list[Key] = []
        for member in members:
            if (column := self.column(member, key)) is not None:
                found.append(Key(column.name))
            elif len(members) == 1 and (folded := self._folded(member, key)) is not None:
                found.append(folded)
            elif not self.owners(member) - {key}:  # not one of several sources
                return ()
        return tuple(found)

    def column(self, node: exp.Expression, key: str) -> exp.Column | None:
        """Return the column of the source `key` that `node` is, None where it is something else."""
        found = self._column(node)
        return found if found is not None and self._owner(found) == key else None

    def _column(self, node: exp.Expression) -> exp.Column | None:
        node = bare(node)
        if isinstance(node, exp.Cast):
            inner = self._column(node.this)
            return inner if inner is not None and self._renames(inner, node.to.sql("postgres")) else None
        return node if isinstance(node, exp.Column) and not isinstance(node.this, exp.Star) else None

    def _folded(self, node: exp.Expression, key: str) -> Key | None:
        """Return the index on a function of a column, where there can be one."""
        if not isinstance(node, exp.Func) or node.sql_name() not in self.grammar.of_expressions:
            return None
        column = self.column(node.this, key)
        if column is None:
            return None
        name = node.sql_name().lower()
        return Key("", f"{name}({self.grammar.identifier(column.name)})", f"{name}_{column.name}")

    def text(self, node: exp.Expression, key: str) -> str:
        """Return `node` as it is shown: from where the source `key` stands, and without values."""

        def show(part: exp.Expression) -> exp.Expression:
            wrapped = isinstance(part, exp.Paren | exp.Cast) and not isinstance(part.parent, exp.Any)
            inner = bare(part.this) if wrapped else None
            if isinstance(inner, exp.Column) and (isinstance(part, exp.Paren) or self._column(part) is not None):
                part = inner
            if isinstance(part, exp.Cast) and isinstance(inner, exp.Literal):
                return inner
            if isinstance(part, exp.Column):
                return self._shown(part, key)
            if isinstance(part, exp.Escape):
                shown: exp.Expression = part.this.transform(show)
                return shown
            if isinstance(part, exp.Select | exp.SetOperation):
                return exp.var("SELECT …")
            return part

        node = bare(node).copy()
        if isinstance(node, exp.EQ) and key not in self.owners(node.this):
            node = exp.EQ(this=node.expression, expression=node.this)
        shown = node.transform(show).sql(dialect=self.grammar.parser, comments=False)
        shown = re.sub(r"'[%_]?\?'", "?", shown)
        return shown if len(shown) <= _WIDTH else f"{shown[: _WIDTH - 1]}…"

    def _shown(self, column: exp.Column, key: str) -> exp.Expression:
        """Return a column with quotes where it needs them, and with its table where that is another than `key`."""
        if isinstance(column.this, exp.Star):
            return column
        names = [column.name] if self._owner(column) == key or not column.table else [column.table, column.name]
        return exp.var(".".join(map(self.grammar.identifier, names)))


def bare(node: exp.Expression) -> exp.Expression:
    """Return what stands in parentheses."""
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def calls(node: exp.Expression) -> str:
    """Return the name of the function that sqlglot does not know of, in upper case; empty for anything else."""
    return node.name.upper() if isinstance(node, exp.Anonymous) else ""
