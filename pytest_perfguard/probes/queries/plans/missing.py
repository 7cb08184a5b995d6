"""Which filters and joins lack an index, from the plan, the conditions and the indexes that there are.

A plan shows one way of many, and another one when the tables have grown. So the plan only tells that something is read
in full; what is missing follows from the conditions and indexes alone, and is the same for 8 rows and for 8 million.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple

from pytest_perfguard.probes.queries.plans.statement import Condition, Role, Scope, Source


class Kind(Enum):
    """What lacks an index."""

    FILTER = "filter"
    JOIN = "join"
    HARD = "hard"
    """A filter that no plain index can serve."""


class Missing(NamedTuple):
    """One table that is read in full for want of an index."""

    source: Source
    kind: Kind
    conditions: list[Condition]


def find(scopes: Sequence[Scope], *, hashes: bool = False) -> list[Missing]:
    """Return what lacks an index in a statement.

    `hashes` tells whether the database joins two whole tables in about the time that it takes to read them, so that an
    index would be of no use there.
    """
    found: list[Missing] = []
    for scope in scopes:
        reads = _reads_in_full(scope)
        for component in scope.components():
            if reads or any(source.full for source in component):
                found += _judge(component, hashes=hashes)
    return found


def _reads_in_full(scope: Scope) -> bool:
    """Return whether the query that a scope is a part of does: databases merge one into the other."""
    parent = scope.parent
    return parent is not None and (any(source.full for source in parent.sources.values()) or _reads_in_full(parent))


def _judge(component: Sequence[Source], *, hashes: bool) -> list[Missing]:
    begin = [
        source
        for source in component
        if source.role is not Role.NULLABLE and (source.narrowed if source.derived else source.filters())
    ]
    if begin:
        served = [each for each in begin if each.derived or each.ignored or each.serves(each.filters())]
        if served:
            return list(_joins(component, served))
        filters = [Missing(source, Kind.FILTER, source.filters()) for source in begin]
        return filters + list(_joins(component, begin))
    hard = [
        source
        for source in component
        if source.role is Role.PLAIN and not source.derived and not source.ignored and source.hard()
    ]
    if hard:
        return [Missing(source, Kind.HARD, source.hard()) for source in hard] + list(_joins(component, hard))
    if hashes:
        return []
    # Nothing narrows the result down: one table must be read in full, whichever leaves least to be missed.
    begins = [source for source in component if source.role is Role.PLAIN and not source.automatic]
    return min((list(_joins(component, [source])) for source in begins), key=len, default=[])


def _joins(component: Sequence[Source], begin: Iterable[Source]) -> Iterator[Missing]:
    """Yield the tables that cannot be looked up on the way from `begin` through the joins."""
    reached = {source.key for source in begin}
    while True:
        left = [source for source in component if source.key not in reached]
        near = [(source, source.lookups(reached)) for source in left]
        free = [source.key for source, ways in near if _is_reached(source, ways, reached)]
        if free:
            reached.update(free)
            continue
        lacking = next(((source, ways) for source, ways in near if ways), None)
        if lacking is None:
            return
        source, ways = lacking
        reached.add(source.key)
        yield Missing(source, Kind.JOIN, [*ways, *source.filters()])


def _is_reached(source: Source, ways: list[Condition], reached: set[str]) -> bool:
    if source.derived or source.ignored or source.table is None:
        return bool(ways) or any(each.needs & reached for each in source.conditions)
    return bool(ways) and (not source.full or source.serves(ways))
