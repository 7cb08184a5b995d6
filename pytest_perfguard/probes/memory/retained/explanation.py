"""Who holds what calls left: objects, items of containers, and bytes, by type and owner."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Any

from pytest_perfguard.model.growth import Growth
from pytest_perfguard.model.protocols import Reading
from pytest_perfguard.probes.memory.retained import containers, places
from pytest_perfguard.probes.memory.retained.chain import Link, Owner
from pytest_perfguard.probes.memory.retained.disturbers import Cause
from pytest_perfguard.probes.memory.retained.holders import Namer
from pytest_perfguard.probes.memory.retained.leavings import Group
from pytest_perfguard.probes.memory.retained.owners import find_holders, name_owners
from pytest_perfguard.probes.memory.retained.sight import kind_of, referents, size_of
from pytest_perfguard.probes.memory.retained.variables import is_runners

_MOST_HOLDERS = 60
_MOST_ROWS = 12

_Held = tuple[Any, list[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Harmless:
    """Growth that is no leak: whose it is, and why."""

    owner: str
    excuse: str | Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation(Reading):
    """What the calls of an explaining stage left; `growth` without what is harmless."""

    harmless: tuple[Harmless, ...] = ()
    native: int = 0
    """Bytes of C's that the calls left, the smallest number of any group's, a call."""
    python: int = 0
    """Bytes a call of Python's objects among them."""
    failed: str = ""
    """Why it could not be found out."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Survivors:
    """Objects that calls left, and which group of calls each is from; to be let go of soon."""

    items: dict[int, Any]
    group_of: dict[int, int]
    calls: list[int]
    """How many calls each group has."""


def explain(groups: Sequence[Group], rises: Mapping[int, int] | None = None) -> Explanation:
    """Return what calls left, and who holds it.

    Where `rises` is given, the calls lay apart, and others may have made objects at the addresses of those that they
    made: only types count of which there are more with each call, containers that grew, and other holders of something
    from each group.
    """
    namer = Namer()
    survivors = _find_survivors(namer.objects, groups, rises)
    common = set(groups[0].grown).intersection(*(group.grown for group in groups[1:])) - set(survivors.items)
    grown = containers.find(common)
    holders = _find_outer_holders(namer.objects, survivors, None if rises is None else common)
    starts = [Link(holder=holder, held=held[0]) for holder, held in holders]
    owners = name_owners([*starts, *(Link(holder=item) for item in grown)], namer)
    rows: list[tuple[Growth, Owner]] = []
    told: set[int] = set()
    constant: set[str] = set()
    for (holder, held), named in zip(holders, owners, strict=False):
        owner = named or namer.variable(held[0])
        if owner is None or _is_runners(owner):
            continue
        told.add(id(holder))
        if containers.length_of(holder) >= 0 and id(holder) not in common:
            constant.add(owner.name)
        rows += [(growth, owner) for growth in _count_kinds(held, owner, survivors)]
    for item, named in zip(grown, owners[len(holders) :], strict=True):
        if named is not None and not _is_runners(named) and id(item) not in told:
            count = min(group.grown[id(item)] / group.calls for group in groups)
            rows.append((_count_items(item, named, count), named))
    hooks = min(group.hooks / group.calls for group in groups)
    if hooks > 0:
        owner = Owner(name="atexit (functions to call at exit)")
        rows.append((Growth(kind="function", owner=owner.name, count=hooks), owner))
    if not rows and rises is None:
        owner = Owner(name="code in C, or a thread that runs")
        rows = [(growth, owner) for growth in _count_kinds(list(survivors.items.values()), owner, survivors)]
    # What keeps its length may only exchange what it holds: it counts where nothing else was found.
    rows = [row for row in rows if row[1].name not in constant] or rows
    harmless = dict.fromkeys(Harmless(owner=owner.name, excuse=owner.excuse) for _, owner in rows if owner.excuse)
    return Explanation(
        growth=_merge(growth for growth, owner in rows if not owner.excuse),
        harmless=tuple(harmless),
        native=int(min(group.native / group.calls for group in groups)),
        python=int(max(group.python / group.calls for group in groups)),
    )


def _find_survivors(objects: list[Any], groups: Sequence[Group], rises: Mapping[int, int] | None) -> _Survivors:
    made = {number: (place, kind) for place, group in enumerate(groups) for number, kind in group.survivors.items()}
    items = {id(item): item for item in objects if id(item) in made and id(type(item)) == made[id(item)][1]}
    if rises is not None:
        items = {number: item for number, item in items.items() if rises.get(id(type(item)), 0) > 0}
    return _Survivors(
        items=items,
        group_of={number: made[number][0] for number in items},
        calls=[group.calls for group in groups],
    )


def _find_outer_holders(objects: list[Any], survivors: _Survivors, common: set[int] | None) -> list[_Held]:
    """Return what holds survivors and is none itself, with all that it leads to, where that is some of each group.

    Holders of one type count together, as calls may each leave one. With `common`, the containers that grew, each
    holder counts alone, and other containers do not.
    """
    group_of, groups = survivors.group_of, len(survivors.calls)
    held_by: dict[int, _Held] = {}
    for number, parents in find_holders(objects, set(survivors.items)).items():
        for parent in parents:
            if id(parent) not in survivors.items:
                held_by.setdefault(id(parent), (parent, []))[1].append(survivors.items[number])
    seen: dict[tuple[Any, str], set[int]] = {}
    found: list[tuple[Any, _Held]] = []
    for holder, held in held_by.values():
        if common is not None and containers.length_of(holder) >= 0 and id(holder) not in common:
            continue
        whole = [*held, *_beyond(held, survivors.items)]
        sort = kind_of(holder) if common is None else id(holder)
        found.append((sort, (holder, whole)))
        for each in whole:
            seen.setdefault((sort, kind_of(each)), set()).add(group_of[id(each)])
    kept = [each for sort, each in found if any(len(seen[sort, kind_of(item)]) == groups for item in each[1])]
    kept.sort(key=lambda each: -len(each[1]))
    return kept[:_MOST_HOLDERS]


def _beyond(held: list[Any], survivors: dict[int, Any]) -> list[Any]:
    """Return the survivors that `held` leads to, without itself."""
    found: dict[int, Any] = {}
    queue, outer = list(held), {id(each) for each in held}
    while queue:
        for each in referents([queue.pop()]):
            if id(each) in survivors and id(each) not in outer and id(each) not in found:
                found[id(each)] = each
                queue.append(each)
    return list(found.values())


def _count_kinds(items: list[Any], owner: Owner, survivors: _Survivors) -> list[Growth]:
    """Return how many objects of each type a call left, of the group with the fewest, in the order of `items`."""
    kinds: dict[str, list[Any]] = {}
    for item in items:
        kinds.setdefault(kind_of(item), []).append(item)
    found = []
    for kind, those in kinds.items():
        numbers = Counter(survivors.group_of[id(item)] for item in those)
        count = min(numbers[place] / made for place, made in enumerate(survivors.calls))
        size = sum(size_of(item) for item in those) / len(those) * count
        if count > 0:
            found.append(_row(kind, owner, count, size, those))
    return found


def _row(kind: str, owner: Owner, count: float, size: float, those: list[Any]) -> Growth:
    """Return the row of objects of one type; functions of one definition are told by that."""
    place = owner.place
    codes = {id(each.__code__): each for each in those if type(each) is FunctionType}
    if len(codes) == 1:
        (function,) = codes.values()
        kind, place = f"function {function.__qualname__}", place or places.of_code(function.__code__)
    return Growth(kind=kind, owner=owner.name, count=count, size=size, place=place)


def _count_items(item: Any, owner: Owner, count: float) -> Growth:
    """Return what a container grew by, told by what it got last."""
    latest = containers.last_items(item, 100)
    kind = Counter(kind_of(each) for each in latest).most_common(1)[0][0] if latest else "byte"
    each = [size_of(value) for value in latest[:10] if kind_of(value) == kind and kind not in _SHARED]
    size = count * (sum(each) / len(each) if each else 8.0 if latest else 1.0)
    return Growth(kind=kind, owner=owner.name, count=count, size=size, place=owner.place)


_SHARED = ("NoneType", "bool", "type", "function")


def _merge(growth: Iterable[Growth]) -> tuple[Growth, ...]:
    """Return rows with the same type and owner as one."""
    found: dict[tuple[str, str], Growth] = {}
    for each in growth:
        same = found.get((each.kind, each.owner))
        both = each if same is None else replace(same, count=same.count + each.count, size=same.size + each.size)
        found[each.kind, each.owner] = both
    return tuple(found.values())[:_MOST_ROWS]


def _is_runners(owner: Owner) -> bool:
    return not owner.excuse and is_runners(owner.name.partition(":")[0])
