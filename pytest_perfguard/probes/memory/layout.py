"""What the interpreter allocates for attributes of instances, of which `sys.getsizeof` knows nothing."""

from __future__ import annotations

import sys
import types
from typing import Any

# Objects/dictobject.c: what classes share of the keys of their instances, and where their values are.
_NEWER = sys.version_info >= (3, 13)

# Include/object.h: Py_TPFLAGS_INLINE_VALUES from 3.13 on, Py_TPFLAGS_MANAGED_DICT before.
_INLINE = 1 << 2 if _NEWER else 1 << 4
_HEAP_TYPE = 1 << 9

KEEPS_ARRAY = _NEWER
"""Whether an instance with a dictionary has room for values all the same."""

MOST_NAMES = 29
"""Names that an array has room for; with more, an instance has a dictionary of its own."""

_MOST_KEYS = 30
"""Names that the instances of a class share."""

_SPLIT = sys.getsizeof({})
"""Bytes of a dictionary beside its values, where its keys are shared."""

_COMBINED = {184: 5, 224: 5, 272: 10}
"""Sizes that a dictionary with keys of its own and one with shared keys may have, and the most items of the former."""


def count_fixed(kind: type) -> int | None:
    """Return how many referents an instance has that are not in its dictionary, None where its values are not inline.

    Inline: in an array of their own (3.11, 3.12), or behind the object (3.13), which only `object.__new__` makes.
    """
    if not kind.__flags__ & _INLINE or any(not _is_written_in_python(base) for base in kind.__mro__[:-1]):
        return None
    return 1 + sum(type(each) is types.MemberDescriptorType for base in kind.__mro__ for each in vars(base).values())


def size_values(names: int) -> int:
    """Return the bytes of the values of an instance whose class has seen `names` attributes.

    There is room for one more, up to 29. The first 30 instances of a class have more room than that, and are taken for
    smaller.
    """
    room = min(names + 1, MOST_NAMES)
    return 8 * room + _size_order(room)


def size_order(item: dict[Any, Any]) -> int:
    """Return the bytes that a dictionary needs beside its values, if it shares its keys with others, otherwise 0."""
    return _size_order((sys.getsizeof(item) - _SPLIT) // 8) if _is_split(item) else 0


def is_dictionary(item: dict[Any, Any]) -> bool:
    """Return whether this, the only referent of an instance, is its dictionary and not an attribute."""
    return len(item) > MOST_NAMES or _is_split(item)


def _is_split(item: dict[Any, Any]) -> bool:
    """Return whether a dictionary shares its keys with others, which only those of instances do."""
    size = sys.getsizeof(item)
    return _SPLIT < size <= _SPLIT + 8 * _MOST_KEYS and len(item) > _COMBINED.get(size, 0)


def size_sentinel(kind: type) -> int:
    """Return the bytes that a class derived from tuple has more than tuple: one more element."""
    return 8 if kind is not tuple and issubclass(kind, tuple) and _is_written_in_python(kind) else 0


def _size_order(room: int) -> int:
    """Return the bytes for the order in which names were added: one each, and a header."""
    return 8 + (room + 7) // 8 * 8 if _NEWER else (room + 2 + 7) // 8 * 8


def _is_written_in_python(kind: type) -> bool:
    return bool(kind.__flags__ & _HEAP_TYPE)
