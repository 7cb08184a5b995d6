"""How a plan gets at tables, and which sources of the statement that is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pytest_perfguard.probes.queries.fingerprint import analyse
from pytest_perfguard.probes.queries.plans.advice import Suggestion
from pytest_perfguard.probes.queries.plans.missing import Kind, Missing
from pytest_perfguard.probes.queries.plans.statement import Scope, Source, Table

Catalog = Mapping[tuple[str, str], Table]
"""Tables by folded schema, as the statement has it, and folded name."""


class Access(NamedTuple):
    """One step of a plan."""

    name: str
    """Alias, or name of the table."""
    full: bool
    columns: frozenset[str] = frozenset()
    """Folded names of the columns by which rows are looked up."""
    automatic: bool = False
    """Whether by an index that is made for this one time."""


def bind(scopes: Sequence[Scope], accesses: Iterable[Access], catalog: Catalog) -> None:
    """Write down in the sources of `scopes` what the plan does with them.

    A plan names no scopes: where an alias stands for several sources, each is said to be read as any of them is. A
    table that the statement does not name belongs to a view, if there is just one of each.
    """
    sources = [source for scope in scopes for source in scope.sources.values() if not source.derived]
    strangers: list[Access] = []
    met: set[int] = set()
    for access in accesses:
        name = access.name.casefold()
        short = name.rpartition(".")[2]
        hits = [each for each in sources if each.key == name] or [
            each for each in sources if short in {each.key, each.name.casefold()}
        ]
        for source in hits:
            met.add(id(source))
            source.full = source.full or access.full
            source.automatic = source.automatic or access.automatic
            source.used |= access.columns
        if not hits and access.full and ("", name) in catalog:
            strangers.append(access)
    views = [each for each in sources if id(each) not in met and each.table is not None and each.table.view]
    if len(views) == len(strangers) == 1:
        _see_through(views[0], catalog["", strangers[0].name.casefold()])


def _see_through(view: Source, table: Table) -> None:
    if table.view or any(not each.columns <= table.columns.keys() for each in view.conditions):
        return
    view.table = table
    view.full = True


def unread(text: str, dialect: str, accesses: Iterable[Access]) -> list[Suggestion]:
    """Return what can be said of a statement that cannot be read: that its one table is read in spite of its filter."""
    shape = analyse(text, dialect)
    if len(shape.tables) != 1 or " WHERE " not in shape.fingerprint or not any(access.full for access in accesses):
        return []
    schema, _, name = shape.tables[0].rpartition(".")
    return [Suggestion(Missing(Source(name.casefold(), name, schema), Kind.FILTER, []))]


def has_conditions(text: str, dialect: str) -> bool:
    """Return whether `text` has a filter or join at all."""
    words = set(analyse(text, dialect).fingerprint.split())
    return not words.isdisjoint({"WHERE", "ON", "JOIN", "USING"})


def literal(text: str) -> str:
    """Return `text` as a string of SQL."""
    return "'" + text.replace("'", "''") + "'"
