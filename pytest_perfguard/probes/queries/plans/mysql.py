"""MariaDB and MySQL: EXPLAIN, whose `possible_keys` do not depend on how many rows there are."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import NamedTuple

from pytest_perfguard.probes.queries.plans import scopes as scopes_of
from pytest_perfguard.probes.queries.plans.access import Access, bind, has_conditions, literal, unread
from pytest_perfguard.probes.queries.plans.advice import Suggestion, Tables, suggest
from pytest_perfguard.probes.queries.plans.dialogue import Answer, Question
from pytest_perfguard.probes.queries.plans.grammar import MYSQL
from pytest_perfguard.probes.queries.plans.missing import find
from pytest_perfguard.probes.queries.plans.parsing import parse
from pytest_perfguard.probes.queries.plans.statement import ANY, Table

_FULL = frozenset({"ALL", "index", "hash_ALL", "hash_index"})
_PREFIX = 100
"""Characters of a long text that an index holds."""
_LONG = frozenset({"tinytext", "text", "mediumtext", "longtext", "tinyblob", "blob", "mediumblob", "longblob"})
_UNSORTED = frozenset({"json", "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring",
                       "multipolygon", "geometrycollection", "vector"})  # fmt: skip

_COLUMNS = (
    "SELECT c.table_schema = DATABASE() AS here, c.table_schema AS s, c.table_name AS t, c.column_name AS col,"
    " c.column_type AS kind, t.table_type AS what FROM information_schema.columns c JOIN information_schema.tables t"
    " ON t.table_schema = c.table_schema AND t.table_name = c.table_name"
    " WHERE (c.table_schema, c.table_name) IN ({wanted})"
)
_INDEXES = (
    "SELECT table_schema AS s, table_name AS t, index_name AS ix, seq_in_index AS place, column_name AS col,"
    " index_type AS kind FROM information_schema.statistics"
    " WHERE (table_schema, table_name) IN ({wanted}) ORDER BY 1, 2, 3, 4"
)

_Names = Sequence[tuple[str, str]]


class _Step(NamedTuple):
    name: str
    type: str
    possible: str
    key: str


def explain(text: str, parameters: object, tables: Tables) -> Generator[Question, Answer, list[Suggestion] | None]:
    """Ask for the plan of `text`, and for tables and indexes where it reads one in full; None where it cannot tell."""
    rows = yield Question(f"EXPLAIN FORMAT=TRADITIONAL {text}", parameters)
    steps = list(_steps(rows))
    if not any(step.type in _FULL for step in steps) or not has_conditions(text, MYSQL.name):
        return [] if steps else None
    tree = parse(text, MYSQL, parameters)
    if tree is None:
        return unread(text, MYSQL.name, [Access(each.name, each.type in _FULL and not each.possible) for each in steps])
    names = dict.fromkeys([*scopes_of.tables(tree), *(("", step.name) for step in steps)])
    catalog = yield from _describe(list(names))
    subqueries = text.lstrip()[:6].upper() not in {"UPDATE", "DELETE"}  # these ask such a query once for each row
    scopes = scopes_of.build(
        tree, MYSQL, lambda schema, name: catalog.get((schema.casefold(), name.casefold())), subqueries=subqueries
    )
    known = {key: source.table for scope in scopes for key, source in scope.sources.items()}
    bind(scopes, [_access(step, known.get(step.name.casefold())) for step in steps], catalog)
    tables.leave_out(scopes, MYSQL)
    return suggest(find(scopes), MYSQL, _key_text)


def _steps(rows: Answer) -> Iterable[_Step]:
    for row in rows:
        name, *rest = row[2:] if len(row) < 12 else (row[2], *row[4:])  # MySQL tells of partitions too
        if name is not None and not str(name).startswith("<"):
            kind, possible, key = (str(each or "") for each in rest[:3])
            yield _Step(str(name), kind, possible, key)


def _access(step: _Step, table: Table | None) -> Access:
    """Return what a step does; indexes that it has and does not use, at so few rows, are left to the catalog."""
    full = step.type in _FULL
    if table is None:  # one that nothing is known of
        return Access(step.name, full, frozenset({ANY} if step.possible else ()))
    keys = () if full else step.key.casefold().split(",")
    return Access(step.name, full, frozenset(table.indexes.get(key, ANY) for key in keys if key))


def _describe(names: _Names) -> Generator[Question, Answer, dict[tuple[str, str], Table]]:
    """Ask for columns and indexes; temporary tables are not told of, and left out."""
    wanted = ", ".join(f"({literal(schema) if schema else 'DATABASE()'}, {literal(name)})" for schema, name in names)
    catalog: dict[tuple[str, str], Table] = {}
    columns = yield Question(_COLUMNS.format(wanted=wanted))
    for here, schema, name, column, kind, what in columns:
        found = catalog.setdefault((schema.casefold(), name.casefold()), Table(name, "" if here else schema))
        found.view = what == "VIEW"
        found.columns[column.casefold()] = str(kind).casefold()
        if here:
            catalog["", name.casefold()] = found
    indexes = yield Question(_INDEXES.format(wanted=wanted))
    for schema, name, index, place, column, kind in indexes:
        found = catalog[schema.casefold(), name.casefold()]
        if index == "PRIMARY":
            found.primary += (column,)
        if place == 1:
            found.indexes[index.casefold()] = (column or "").casefold()
            if column and kind in {"BTREE", "HASH"}:
                found.leading.add(column.casefold())
    return catalog


def _key_text(table: Table, column: str) -> str | None:
    kind = table.columns.get(column.casefold(), "").split("(")[0].split(" ")[0]
    if kind in _UNSORTED:
        return None
    return MYSQL.identifier(column) + (f"({_PREFIX})" if kind in _LONG else "")
