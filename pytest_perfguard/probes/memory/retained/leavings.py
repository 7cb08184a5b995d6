"""What calls left, by ids: no object of the user's is held from one call to the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(slots=True, kw_only=True, eq=False)
class Call:
    """What one call left, by ids: no object of the user's is held from one call to the next."""

    fresh: dict[int, int]
    """Ids of objects, with those of their types."""
    grown: dict[int, int]
    lengths: dict[int, int]
    """How long what grew was before."""
    kinds: Counter[int]
    """How many objects of each type there were before."""
    native: int
    python: int
    hooks: int

    def keep(self, lengths: dict[int, int]) -> None:
        """Leave out what was emptied again before the next call, when containers had these `lengths`."""
        self.grown = {
            number: min(more, kept)
            for number, more in self.grown.items()
            if (kept := lengths.get(number, 0) - self.lengths[number]) > 0
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What some calls after one another left."""

    calls: int
    survivors: dict[int, int]
    """Ids of objects that none of the later calls made, with those of their types."""
    grown: dict[int, int]
    native: int
    python: int
    hooks: int


def gather(calls: Sequence[Call], number: int) -> list[Group]:
    """Return `number` groups of calls, all but the last one: what that left may be replaced by the next."""
    size = max((len(calls) - 1) // number, 1)
    return [_group(calls, first, first + size) for first in range(0, len(calls) - 1, size)]


def rising(calls: Sequence[Call]) -> dict[int, int]:
    """Return by how many objects each type had more before each call than before the one before, by its id."""
    pairs = list(pairwise(calls))
    kinds = set(calls[-1].kinds)
    return {kind: min(after.kinds[kind] - before.kinds[kind] for before, after in pairs) for kind in kinds}


def _group(calls: Sequence[Call], first: int, end: int) -> Group:
    part = calls[first:end]
    survivors: dict[int, int] = {}
    grown: Counter[int] = Counter()
    for place, call in enumerate(part, start=first):
        # What a later call made is another object, at the same address.
        later = [each.fresh for each in calls[place + 1 :]]
        survivors.update({i: kind for i, kind in call.fresh.items() if not any(i in each for each in later)})
        grown.update(call.grown)
    return Group(
        calls=len(part),
        survivors=survivors,
        grown=dict(grown),
        native=sum(call.native for call in part),
        python=sum(call.python for call in part),
        hooks=sum(call.hooks for call in part),
    )
