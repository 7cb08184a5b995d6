"""Who holds an object: from it upwards to something that has a name in the code."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from pytest_perfguard.probes.memory.retained.chain import Link, Owner, excuse_in
from pytest_perfguard.probes.memory.retained.holders import Namer
from pytest_perfguard.probes.memory.retained.sight import globals_of, kind_of

_DEPTH = 16
_WIDTH = 40
_WIDEST = 400
_MOST_HOLDERS = 100
"""What is followed at most: links upwards and beside one another, and holders of one object; a type has thousands."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Trail:
    """The search for the owners of one object."""

    frontier: list[Link]
    seen: set[int] = field(default_factory=set)
    owner: Owner | None = None
    doubtful: Owner | None = None
    """A name that says little: an attribute of a library's class."""
    excused: Owner | None = None
    unnamed: Owner | None = None
    """An excuse of a container that has no name."""

    def take(self, namer: Namer) -> None:
        """Name what can be named of the frontier, and leave in it what is to be followed upwards."""
        onwards: list[Link] = []
        for link in self.frontier:
            if id(link.holder) in self.seen:
                continue
            self.seen.add(id(link.holder))
            found = namer.name(link)
            if isinstance(found, Owner):
                self._keep(found)
                if found.final:
                    continue
            if found is not False:
                onwards.append(link)
                excuse = excuse_in(link)
                if excuse:
                    self.unnamed = self.unnamed or Owner(name=kind_of(link.holder), excuse=excuse)
        self.frontier = [] if self.owner is not None else onwards[:_WIDTH]

    def _keep(self, found: Owner) -> None:
        if found.excuse:
            self.excused = self.excused or found
        elif not found.final:
            self.doubtful = self.doubtful or found
        elif self.owner is None or (found.users and not self.owner.users):
            self.owner = found

    def result(self) -> Owner | None:
        """Return the owner: one that has no excuse before one that has."""
        return self.owner or self.excused or self.unnamed or self.doubtful


def name_owners(starts: Iterable[Link], namer: Namer) -> list[Owner | None]:
    """Return for each start who holds it, None where nobody with a name does.

    A start is an object and who holds it, or a container alone. Holders are found breadth first by `gc.get_referents`
    of every object, one pass for all starts at a time. An owner that explains growth as harmless counts only where no
    other is found.
    """
    trails = [_Trail(frontier=[start]) for start in starts]
    for _ in range(_DEPTH):
        for trail in trails:
            trail.take(namer)
        wanted = {id(link.holder) for trail in trails for link in trail.frontier}
        if not wanted:
            break
        parents = find_holders(namer.objects, wanted)
        for trail in trails:
            trail.frontier = [
                Link(holder=parent, held=link.holder, below=link)
                for link in trail.frontier
                for parent in parents.get(id(link.holder), ())
                if id(parent) not in trail.seen
            ][:_WIDEST]
    return [trail.result() for trail in trails]


def find_holders(objects: list[Any], ids: set[int]) -> dict[int, list[Any]]:
    """Return which of `objects` hold the objects with these ids."""
    found: dict[int, list[Any]] = {}
    of_one = gc.get_referents
    disjoint = ids.isdisjoint
    for item in objects:
        held = [globals_of(item)] if type(item) is ModuleType else of_one(item)  # see `sight.referents`
        if not disjoint(map(id, held)):
            for number in ids.intersection(map(id, held)):
                holders = found.setdefault(number, [])
                if len(holders) < _MOST_HOLDERS:
                    holders.append(item)
    return found
