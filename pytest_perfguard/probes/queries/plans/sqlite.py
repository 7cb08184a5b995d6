"""SQLite: EXPLAIN QUERY PLAN, which costs microseconds and takes no account of how many rows there are."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Sequence

from pytest_perfguard.probes.queries.plans import scopes as scopes_of
from pytest_perfguard.probes.queries.plans.access import Access, bind, has_conditions, literal, unread
from pytest_perfguard.probes.queries.plans.advice import Suggestion, Tables, suggest
from pytest_perfguard.probes.queries.plans.dialogue import Answer, Question
from pytest_perfguard.probes.queries.plans.grammar import SQLITE
from pytest_perfguard.probes.queries.plans.missing import find
from pytest_perfguard.probes.queries.plans.parsing import parse
from pytest_perfguard.probes.queries.plans.statement import ANY, Table

_STEP = re.compile(
    r"(?P<how>SCAN|SEARCH) (?:TABLE )?(?P<name>.+?)(?: AS (?P<alias>.+?))?"
    r"(?P<way> USING .*| VIRTUAL TABLE .*)?(?: (?:LEFT|RIGHT|FULL)-JOIN| EXISTS)?$"
)
_NO_TABLE = re.compile(r"(?:\d+ )?CONSTANT ROWS?$|\(subquery-\d+\)$|SUBQUERY \d+$")
_TERM = re.compile(r"[^\s,()=<>?]+")
_ROWID = frozenset({"rowid", "oid", "_rowid_"})

_Names = Sequence[tuple[str, str]]


def explain(text: str, parameters: object, tables: Tables) -> Generator[Question, Answer, list[Suggestion] | None]:
    """Ask for the plan of `text`, and for tables where it reads one in full; return None where it cannot tell."""
    plan = yield Question(f"EXPLAIN QUERY PLAN {text}", parameters)
    accesses = list(_accesses(str(row[3]) for row in plan))
    if not any(access.full for access in accesses) or not has_conditions(text, SQLITE.name):
        return [] if accesses else None
    tree = parse(text, SQLITE, parameters)
    if tree is None:
        return unread(text, SQLITE.name, accesses)
    names = dict.fromkeys([*scopes_of.tables(tree), *(("", access.name) for access in accesses if access.full)])
    catalog = yield from _describe(list(names))
    scopes = scopes_of.build(tree, SQLITE, lambda schema, name: catalog.get((schema.casefold(), name.casefold())))
    bind(scopes, accesses, catalog)
    tables.leave_out(scopes, SQLITE)
    return suggest(find(scopes), SQLITE, lambda _table, column: SQLITE.identifier(column))


def _accesses(details: Iterable[str]) -> Iterator[Access]:
    for detail in details:
        step = _STEP.match(detail)
        if step is None or _NO_TABLE.match(step["name"]) or step["name"].startswith(("sqlite_", "pragma_")):
            continue
        way = step["way"] or ""
        automatic = " USING AUTOMATIC " in way
        full = automatic or (step["how"] == "SCAN" and " VIRTUAL TABLE " not in way)
        _, _, terms = way.partition("(")
        columns = {name.casefold() for name in _TERM.findall(terms)} if not full else set()
        if "expr" in columns:  # which one cannot be seen
            columns = {ANY}
        columns |= _ROWID if columns & _ROWID else set()
        yield Access(step["alias"] or step["name"], full, frozenset(columns), automatic)


def _describe(names: _Names) -> Generator[Question, Answer, dict[tuple[str, str], Table]]:
    """Ask for columns and indexes; what is no table or view is left out."""
    catalog: dict[tuple[str, str], Table] = {}
    columns = yield Question(_union(_COLUMNS, names))
    for number, name, kind, part in columns:
        schema, table = names[number]
        found = catalog.setdefault((schema.casefold(), table.casefold()), Table(table, schema))
        found.columns[name.casefold()] = kind
        found.primary += (name,) if part else ()
    if not catalog:
        return catalog
    indexes = yield Question(_union(_INDEXES, names))
    for number, index, partial, name in indexes:
        schema, table = names[number]
        found = catalog[schema.casefold(), table.casefold()]
        found.indexes[index.casefold()] = (name or "").casefold()
        if name and not partial:
            found.leading.add(name.casefold())
    views = yield Question(_VIEWS)
    known = {str(name).casefold() for (name,) in views}
    for found in catalog.values():
        found.view = found.name.casefold() in known
        found.leading |= _ROWID
        if len(found.primary) == 1 and found.columns[found.primary[0].casefold()].upper() == "INTEGER":
            found.leading.add(found.primary[0].casefold())  # another name of the row's number
        else:
            found.primary = ()
    return catalog


_COLUMNS = "SELECT {number} AS number, name, type, pk FROM pragma_table_xinfo({table})"
_INDEXES = (
    "SELECT {number} AS number, l.name AS ix, l.partial AS partial, i.name AS col"
    " FROM pragma_index_list({table}) AS l JOIN pragma_index_info(l.name{schema}) AS i WHERE i.seqno = 0"
)
_VIEWS = " UNION ".join(
    f"SELECT name FROM {catalog} WHERE type = 'view'"  # noqa: S608 - of ours
    for catalog in ("sqlite_master", "sqlite_temp_master")
)


def _union(question: str, names: _Names) -> str:
    parts = []
    for number, (schema, name) in enumerate(names):
        place = f", {literal(schema)}" if schema else ""
        parts.append(question.format(number=number, table=literal(name) + place, schema=place))
    return " UNION ALL ".join(parts)
