"""PostgreSQL: plans made as if a table were never read in full by choice, within a savepoint that leaves nothing."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

from sqlglot import exp

from pytest_perfguard.probes.queries.plans import hypopg
from pytest_perfguard.probes.queries.plans.access import literal
from pytest_perfguard.probes.queries.plans.advice import Suggestion, Tables, suggest
from pytest_perfguard.probes.queries.plans.dialogue import Answer, Question
from pytest_perfguard.probes.queries.plans.grammar import POSTGRESQL
from pytest_perfguard.probes.queries.plans.missing import find
from pytest_perfguard.probes.queries.plans.parsing import parse
from pytest_perfguard.probes.queries.plans.postgresql_tree import build, is_full, read_plan, relations, walk
from pytest_perfguard.probes.queries.plans.scopes import build as build_scopes
from pytest_perfguard.probes.queries.plans.statement import ANY, Scope, Table

Talk = Generator[Question, Answer, Any]

_SAVEPOINT = "perfguard_plan"
_SETTINGS = {
    "enable_seqscan": "off",
    "enable_indexscan": "on",
    "enable_indexonlyscan": "on",
    "enable_bitmapscan": "on",
    "enable_nestloop": "on",
    "max_parallel_workers_per_gather": "0",
}
_UNSORTED = frozenset({"json", "xml", "point", "line", "lseg", "box", "path", "polygon", "circle", "jsonpath"})


_INDEXES = (
    "SELECT CAST(n.nspname AS text) AS s, CAST(t.relname AS text) AS t, CAST(wn.nspname AS text) AS ws,"
    " CAST(w.relname AS text) AS w, pg_table_is_visible(w.oid) AS visible, CAST(i.relname AS text) AS ix,"
    " m.amname = 'btree' AS sorted, x.indisvalid AND x.indpred IS NULL AS complete,"
    " CAST(a.attname AS text) AS col"
    " FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace"
    " JOIN pg_catalog.pg_class w ON w.oid = coalesce(pg_partition_root(t.oid), t.oid)"
    " JOIN pg_catalog.pg_namespace wn ON wn.oid = w.relnamespace"
    " LEFT JOIN pg_catalog.pg_index x ON x.indrelid = t.oid"
    " LEFT JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid LEFT JOIN pg_catalog.pg_am m ON m.oid = i.relam"
    " LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = x.indkey[0]"
    " WHERE (n.nspname, t.relname) IN ({wanted})"
)
_COLUMNS = (
    "SELECT CAST(n.nspname AS text) AS s, CAST(t.relname AS text) AS t, CAST(a.attname AS text) AS col,"
    " format_type(a.atttypid, NULL) AS kind"
    " FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class t ON t.oid = a.attrelid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace"
    " WHERE a.attnum > 0 AND NOT a.attisdropped AND (n.nspname, t.relname) IN ({wanted})"
)


def explain(
    text: str, parameters: object, tables: Tables, *, in_transaction: bool
) -> Generator[Question, Answer, list[Suggestion] | None]:
    """Ask for the plan of `text`, and for tables and indexes where it reads one in full; None where it cannot tell.

    A failed question aborts a transaction, and settings hold until its end: hence the savepoint.
    """
    nested = True
    try:
        yield Question(f"SAVEPOINT {_SAVEPOINT}")
    except Exception:
        if in_transaction:
            raise
        nested = False
        yield Question("BEGIN")  # refused in a transaction that has failed; in any other there would be the savepoint
    undo = Question(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}" if nested else "ROLLBACK")
    proof = hypopg.Proof()
    try:
        result = yield from _ask(text, parameters, tables, proof)
    except GeneratorExit:  # nobody is left to ask
        raise
    except BaseException:
        yield from _undo(undo, proof, nested=nested)
        raise
    yield from _undo(undo, proof, nested=nested)
    return result  # type: ignore[no-any-return]


def _undo(undo: Question, proof: hypopg.Proof, *, nested: bool) -> Talk:
    yield undo
    try:
        yield from proof.clean()
    except Exception:  # noqa: BLE001 - the transaction must not end as a failed one
        if nested:
            yield undo
    if nested:
        yield Question(f"RELEASE SAVEPOINT {_SAVEPOINT}")


def _ask(text: str, parameters: object, tables: Tables, proof: hypopg.Proof) -> Talk:
    yield Question(settings(_SETTINGS))
    question = Question(f"EXPLAIN (FORMAT JSON, VERBOSE) {text}", parameters)
    plan = read_plan((yield question))
    names = relations(plan)
    if not names:
        return [] if any("Relation Name" in node for node in walk(plan)) else None
    catalog = yield from _describe(names)
    if not any(is_full(node, catalog) for node in walk(plan)):
        return []
    yield from _describe_columns(names, catalog)
    scopes = build(plan, catalog)
    _sort(scopes, text, catalog)
    tables.leave_out(scopes, POSTGRESQL)
    suggestions = suggest(find(scopes, hashes=True), POSTGRESQL, _key_text)
    try:
        yield from proof.try_out(question, suggestions)
    except Exception:  # noqa: BLE001 - what was found stands without proof too
        return suggestions
    return suggestions


def _sort(scopes: Sequence[Scope], text: str, catalog: Mapping[tuple[str, str], Table]) -> None:
    """Give the sources the order that `text` asks for; a plan that reads a whole index in that order shows none."""
    tree = parse(text, POSTGRESQL)
    if tree is None or tree.find(exp.Order) is None:
        return
    by_name = {table.name.casefold(): table for table in catalog.values()}
    orders = {
        source.key: source.order
        for scope in build_scopes(tree, POSTGRESQL, lambda _schema, name: by_name.get(name.casefold()))
        for source in scope.sources.values()
        if source.order
    }
    for scope in scopes:
        for source in scope.sources.values():
            order = orders.get(source.key, ())
            if source.table is not None and all(name.casefold() in source.table.columns for name in order):
                source.order = order


def settings(values: dict[str, str]) -> str:
    """Return the statement that sets `values` until the end of the transaction or savepoint."""
    return "SELECT " + ", ".join(
        f"set_config({literal(name)}, {literal(value)}, true) AS s{number}"
        for number, (name, value) in enumerate(values.items())
    )


def _among(names: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"({literal(schema)}, {literal(name)})" for schema, name in names)


def _describe(names: Iterable[tuple[str, str]]) -> Generator[Question, Answer, dict[tuple[str, str], Table]]:
    rows = yield Question(_INDEXES.format(wanted=_among(names)))
    catalog: dict[tuple[str, str], Table] = {}
    for schema, name, whole_schema, whole, visible, index, is_sorted, complete, column in rows:
        found = catalog.setdefault((schema, name), Table(whole, "" if visible else whole_schema))
        if index is None:
            continue
        found.indexes[index.casefold()] = column.casefold() if column and is_sorted else ANY
        if column and is_sorted and complete:
            found.leading.add(column.casefold())
    return catalog


def _describe_columns(names: Iterable[tuple[str, str]], catalog: dict[tuple[str, str], Table]) -> Talk:
    rows = yield Question(_COLUMNS.format(wanted=_among(names)))
    for schema, name, column, kind in rows:
        catalog[schema, name].columns[column.casefold()] = kind


def _key_text(table: Table, column: str) -> str | None:
    return None if table.columns.get(column.casefold()) in _UNSORTED else POSTGRESQL.identifier(column)
