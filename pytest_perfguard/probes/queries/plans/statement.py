"""What a statement asks of its tables: the conditions of its filters and joins, and what is known of the tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

ANY = "*"
"""Among columns: whichever they are."""


class Use(Enum):
    """How an index can serve a condition."""

    EQUAL = "equal"
    RANGE = "range"
    NONE = "none"


class Role(Enum):
    """What the rows of a source decide about the result."""

    PLAIN = "plain"
    NULLABLE = "nullable"
    """It may lack: the other side of an outer join, or what must not exist. It restricts nothing."""
    EXISTS = "exists"
    """Only whether there is one matters: it is not where reading begins."""


class Key(NamedTuple):
    """One part of an index."""

    column: str
    """The column's name; empty for an index on something else than the plain column."""
    written: str = ""
    """How that something else is written."""
    label: str = ""
    """How that something else is called in an index's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition on one table."""

    text: str
    """As it is shown: without values."""
    use: Use
    keys: tuple[Key, ...] = ()
    """What an index must have to serve it; empty where no index can."""
    needs: frozenset[str] = frozenset()
    """The other sources whose row must be known before: none for a filter, one or more for a join."""
    several: bool = False
    """Whether it asks for several values, so that an index gives rows in no order of their own."""
    weak: bool = False
    """Whether it lets most rows pass, as negations and flags do: no index is worth its while."""
    reason: str = ""
    """Why no index can serve it."""
    columns: frozenset[str] = frozenset()
    """The folded names of all its columns of this table."""


@dataclass(slots=True, eq=False)
class Table:
    """A table, or view, as the database describes it."""

    name: str
    schema: str = ""
    """Empty where the table is found without it."""
    columns: dict[str, str] = field(default_factory=dict)
    """Types by folded name."""
    leading: set[str] = field(default_factory=set)
    """Folded names of the columns that an index begins with, of those indexes that hold all rows in their order."""
    primary: tuple[str, ...] = ()
    """The columns by which rows that are equal in an index are sorted in it anyway."""
    indexes: dict[str, str] = field(default_factory=dict)
    """Folded name of the first column by folded name of the index."""
    view: bool = False


@dataclass(slots=True, eq=False)
class Source:
    """A table in a statement, or something that stands for one."""

    key: str
    """Its folded alias, or name."""
    name: str
    schema: str = ""
    derived: bool = False
    """Whether it is no table but the result of a query or function."""
    narrowed: bool = False
    """Whether a derived one has a filter of its own."""
    role: Role = Role.PLAIN
    conditions: list[Condition] = field(default_factory=list)
    order: tuple[str, ...] = ()
    """The columns that the result is sorted by, where it is by this source's alone and in one direction."""
    table: Table | None = None
    full: bool = False
    """Whether the plan reads it from beginning to end."""
    ignored: bool = False
    """Whether it may be read in full."""
    automatic: bool = False
    """Whether the plan makes an index of it, for this one time."""
    used: set[str] = field(default_factory=set)
    """Folded names of the columns by which the plan looks rows up in it."""

    def filters(self) -> list[Condition]:
        """Return the conditions that an index could serve by themselves."""
        return [each for each in self.conditions if each.keys and not each.needs and not each.weak]

    def hard(self) -> list[Condition]:
        """Return the filters that no index can serve."""
        return [each for each in self.conditions if not each.keys and not each.needs and not each.weak]

    def lookups(self, reached: Iterable[str]) -> list[Condition]:
        """Return the conditions that an index could serve once rows of `reached` are known."""
        known = frozenset(reached)
        return [each for each in self.conditions if each.use is Use.EQUAL and each.needs and each.needs <= known]

    def serves(self, conditions: Iterable[Condition]) -> bool:
        """Return whether an index serves one of `conditions`: there is one, or the plan uses one."""
        found = self.used | (self.table.leading if self.table is not None else set())
        wanted = {key.column.casefold() for each in conditions for key in each.keys if key.column}
        return ANY in found or not wanted.isdisjoint(found)


@dataclass(slots=True, eq=False)
class Scope:
    """The sources of one SELECT, UPDATE or DELETE."""

    sources: dict[str, Source] = field(default_factory=dict)
    parent: Scope | None = None
    """The one that this is a source of."""

    def add(self, key: str, condition: Condition) -> None:
        """Add a condition on the source of that key."""
        if condition not in self.sources[key].conditions:
            self.sources[key].conditions.append(condition)

    def components(self) -> Iterator[list[Source]]:
        """Yield the groups of sources that conditions connect, each in the order of the statement."""
        left = dict(self.sources)
        while left:
            first = next(iter(left))
            group = {first}
            while True:
                near = {
                    key
                    for key, source in left.items()
                    for each in source.conditions
                    if key not in group and each.needs & group
                } | {
                    need
                    for key in group
                    for each in self.sources[key].conditions
                    for need in each.needs
                    if need in left and need not in group
                }
                if not near:
                    break
                group |= near
            yield [source for key, source in left.items() if key in group]
            left = {key: source for key, source in left.items() if key not in group}
