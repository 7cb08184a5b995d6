"""What is said of a missing index: lines for the reader, and the CREATE INDEX that would serve."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from pytest_perfguard.probes.queries.plans.grammar import Grammar
from pytest_perfguard.probes.queries.plans.missing import Kind, Missing
from pytest_perfguard.probes.queries.plans.statement import Condition, Key, Scope, Source, Table, Use

_WIDEST = 4
"""Columns beyond which a further one in an index does not pay."""
_LONGEST = 60
"""Characters of a name that every database takes."""

_FLAGS = frozenset({"bool", "boolean", "tinyint(1)"})

KeyText = Callable[[Table, str], str | None]
"""Returns how a column is written in an index; None where it cannot stand in one."""


@dataclass(slots=True)
class Suggestion:
    """An index that would serve, and what a database made of it."""

    missing: Missing
    create: str = ""
    """The statement that makes it; empty where no index would do."""
    proof: str = ""


@dataclass(frozen=True, slots=True)
class Tables:
    """What the user says of tables."""

    big: Mapping[str, int] = field(default_factory=dict)
    ignored: Collection[str] = ()

    def leave_out(self, scopes: Sequence[Scope], grammar: Grammar) -> None:
        """Mark the tables that may be read in full, and take conditions out that are not worth an index.

        These tables are ignored ones and the database's own; such conditions are on ignored columns and on flags.
        """
        for scope in scopes:
            for source in scope.sources.values():
                names = _names(source)
                source.ignored = source.schema.casefold() in grammar.system or self._ignores(names)
                types = source.table.columns if source.table is not None else {}
                source.conditions[:] = [
                    each
                    for each in source.conditions
                    if not any(self._ignores([f"{name}.{column}" for name in names]) for column in each.columns)
                    and (each.needs or not {types.get(column, "").casefold() for column in each.columns} & _FLAGS)
                ]

    def _ignores(self, names: Collection[str]) -> bool:
        return any(fnmatchcase(name.casefold(), pattern.casefold()) for name in names for pattern in self.ignored)

    def rows(self, source: Source) -> int | None:
        """Return how many rows a table is declared to have, None where nothing is declared."""
        declared = {name.casefold(): rows for name, rows in self.big.items()}
        return next((declared[name.casefold()] for name in _names(source) if name.casefold() in declared), None)


def _names(source: Source) -> list[str]:
    name = source.table.name if source.table is not None else source.name
    schema = source.schema or (source.table.schema if source.table is not None else "")
    return [name, *([f"{schema}.{name}"] if schema else [])]


def suggest(found: Sequence[Missing], grammar: Grammar, key_text: KeyText) -> list[Suggestion]:
    """Return for each missing index how it is made: equal columns first, then a range, then the order of the result."""
    suggestions = []
    taken: set[str] = set()
    for missing in found:
        table = missing.source.table
        parts = [] if table is None else _parts(missing, table, grammar, key_text)
        create = "" if table is None or not parts else _create(missing.source, table, parts, grammar, taken)
        suggestions.append(Suggestion(missing, create))
    return suggestions


def _parts(missing: Missing, table: Table, grammar: Grammar, key_text: KeyText) -> list[tuple[str, str]]:
    """Return the parts of the index, each as its column's name and as it is written."""
    equal = [key for each in missing.conditions if each.use is Use.EQUAL for key in each.keys]
    ranges = [each.keys for each in missing.conditions if each.use is Use.RANGE]
    keys = list(dict.fromkeys(equal))[:_WIDEST]
    if not keys and not ranges:
        return []
    if ranges:
        keys += [key for key in ranges[0] if key not in keys]
    if not ranges and not any(each.several for each in missing.conditions):
        order = [Key(name) for name in missing.source.order]
        if len(keys) + len(order) <= _WIDEST and order != [Key(name) for name in table.primary]:
            keys += [key for key in order if key not in keys]
    written = [(key.column or key.label, key.written or key_text(table, key.column)) for key in keys]
    parts: list[tuple[str, str]] = []
    for name, text in written:
        if text is None:  # of no use for an index, and neither is what follows
            break
        parts.append((name, text))
    return parts


def _create(source: Source, table: Table, parts: Sequence[tuple[str, str]], grammar: Grammar, taken: set[str]) -> str:
    words = "_".join(re.sub(r"\W+", "_", name).strip("_") for name in (table.name, *(name for name, _ in parts)))
    base = name = f"ix_{words}"[:_LONGEST].rstrip("_")
    number = 2
    while name.casefold() in table.indexes or name.casefold() in taken:
        name = f"{base}_{number}"
        number += 1
    taken.add(name.casefold())
    index, relation = grammar.identifier(name), grammar.identifier(table.name)
    if table.schema:
        schema = grammar.identifier(table.schema)
        if grammar.name == "sqlite":
            index = f"{schema}.{index}"
        else:
            relation = f"{schema}.{relation}"
    return f"CREATE INDEX {index} ON {relation} ({', '.join(text for _, text in parts)})"


def lines(suggestions: Sequence[Suggestion], tables: Tables) -> tuple[str, ...]:
    """Return what the reader is told, tables that are declared to be large first."""
    ordered = sorted(suggestions, key=lambda each: -(tables.rows(each.missing.source) or 0))
    blocks = dict.fromkeys(tuple(_lines(each, tables)) for each in ordered)
    return tuple(line for block in blocks for line in block)


def _lines(suggestion: Suggestion, tables: Tables) -> Iterator[str]:
    missing = suggestion.missing
    source = missing.source
    named = source.table or source
    name = ".".join(filter(None, (named.schema, named.name)))
    rows = tables.rows(source)
    declared = f", declared to have {rows:,} rows" if rows is not None else ""
    what = " AND ".join(dict.fromkeys(each.text for each in missing.conditions))
    shown = f" ({what})" if what else ""
    match missing.kind:
        case Kind.FILTER:
            yield f"no index can serve the filter on {name}{shown}{declared}"
        case Kind.JOIN:
            yield f"no index can serve the join to {name}{shown}{declared}"
        case Kind.HARD:
            yield f"no plain index can serve the filter on {name}{shown}{declared}{_reasons(missing.conditions)}"
    if suggestion.create:
        yield f"    {suggestion.create}"
    if suggestion.proof:
        yield f"    {suggestion.proof}"


def _reasons(conditions: Sequence[Condition]) -> str:
    reasons = list(dict.fromkeys(each.reason for each in conditions if each.reason))
    return f": {'; '.join(reasons)}" if reasons else ""
