"""Lengths of built-in containers: what grows by objects that exist already, and adds no block of memory."""

from __future__ import annotations

import gc
import sys
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from itertools import compress
from typing import Any

from pytest_perfguard.probes.memory.retained.sight import derives, mro_of, referents

_Length = Callable[[Any], int]

_LENGTHS: dict[type, _Length] = {
    list: list.__len__,
    dict: dict.__len__,
    set: set.__len__,
    deque: deque.__len__,
    bytearray: bytearray.__len__,
    array: array.__len__,
}
_BY_ID = {id(kind): length for kind, length in _LENGTHS.items()}

_LEAST = 2
"""Items of a container that is looked at: what grew with each of the calls before has more."""

_MOST_OBJECTS = 1_000_000
"""Objects beyond which containers that the collector does not know are not looked for."""

_maxlen: Any = deque.__dict__["maxlen"]


def lengths(*, limited: bool = False) -> dict[int, int]:
    """Return the length of each container that the collector sees or that such an object holds, by its id.

    Containers are told by their type, and subclasses by the type's list of bases: nothing of an object's own is
    evaluated. A deque with a limit is left out unless `limited`; containers that a `gc.freeze` of the user's hides are.
    """
    found: dict[int, int] = {}
    for items, sizes in _containers(limited=limited):
        found.update(compress(zip(map(id, items), sizes, strict=True), map(_LEAST.__le__, sizes)))
    return found


def grown(before: dict[int, int]) -> dict[int, int]:
    """Return by how much containers grew since `lengths` gave `before`, by their id."""
    found: dict[int, int] = {}
    for items, sizes in _containers(limited=True):
        for number, size in compress(zip(map(id, items), sizes, strict=True), map(_LEAST.__lt__, sizes)):
            old = before.get(number)
            if old is not None and size > old:
                found[number] = size - old
    found.pop(id(before), None)
    return found


def find(ids: set[int]) -> list[Any]:
    """Return the containers with these ids."""
    return [
        item
        for items, _ in _containers(limited=True)
        for item in compress(items, map(ids.__contains__, map(id, items)))
    ]


def length_of(item: Any) -> int:
    """Return how many items `item` has, -1 where it is no built-in container."""
    length = _length_of(type(item))
    return -1 if length is None else length(item)


def is_limited(item: Any) -> bool:
    """Return whether `item` is a deque with a limit."""
    return derives(type(item), deque) and _maxlen.__get__(item) is not None


def last_items(item: Any, number: int) -> list[Any]:
    """Return what was added last to a container, at most `number` items; of a set any, of a dict its values."""
    kind = type(item)
    if derives(kind, list):
        return list.__getitem__(item, slice(-number, None))
    if derives(kind, deque):
        return [value for value, _ in zip(deque.__reversed__(item), range(number), strict=False)]
    if derives(kind, dict):
        return [value for (_, value), _ in zip(reversed(dict.items(item)), range(number), strict=False)]
    if derives(kind, set):
        return [value for value, _ in zip(set.__iter__(item), range(number), strict=False)]
    return []


def _length_of(kind: type) -> _Length | None:
    return next((_BY_ID[id(base)] for base in mro_of(kind) if id(base) in _BY_ID), None)


def _containers(*, limited: bool) -> Iterator[tuple[list[Any], list[int]]]:
    """Yield containers with their lengths, those of one built-in type after those of another.

    There may be millions: loops are left to C.
    """
    objects = gc.get_objects()
    # Types are looked up by their ids: a metaclass may have a `__hash__` or `__eq__` of its own.
    numbers = list(map(id, map(type, objects)))
    kinds = dict(zip(numbers, map(type, objects), strict=True))
    measures = {number: _length_of(kind) for number, kind in kinds.items()}
    for length in _LENGTHS.values():
        wanted = {number for number, measure in measures.items() if measure is length}
        items = list(compress(objects, map(wanted.__contains__, numbers)))
        if length is _LENGTHS[deque] and not limited:
            items = [item for item in items if _maxlen.__get__(item) is None]
        yield items, list(map(length, items))
    # The collector leaves out dicts of strings and numbers, and byte arrays: they are found by who holds them.
    held = referents(objects) if len(objects) < _MOST_OBJECTS else []
    for kind in _UNTRACKED:
        others = compress(held, map(id(kind).__eq__, map(id, map(type, held))))
        items = [item for item in {id(each): each for each in others}.values() if not gc.is_tracked(item)]
        yield items, list(map(_LENGTHS[kind], items))


_UNTRACKED: tuple[type, ...] = (bytearray, array) if sys.version_info >= (3, 14) else (bytearray, array, dict)
