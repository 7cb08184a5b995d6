"""Looks at objects of the user's that run nothing of theirs: no property, no `__getattr__`, no `isinstance`."""

from __future__ import annotations

import gc
import sys
import types
from collections.abc import Iterator
from itertools import compress
from operator import not_
from typing import Any

_mro: Any = type.__dict__["__mro__"]
_qualname: Any = type.__dict__["__qualname__"]
_module: Any = type.__dict__["__module__"]
_type_dict: Any = type.__dict__["__dict__"]
_module_dict: Any = type.__getattribute__(types.ModuleType, "__dict__")["__dict__"]

_IN_C = (types.WrapperDescriptorType, types.MethodDescriptorType)


def mro_of(kind: type) -> tuple[type, ...]:
    """Return the bases of a type, itself first."""
    return _mro.__get__(kind) or ()


def derives(kind: type, *bases: type) -> bool:
    """Return whether a type is one of `bases` or derived from one, by identity: `==` may be a metaclass's."""
    return any(each is base for each in mro_of(kind) for base in bases)


def class_dict(kind: type) -> Any:
    """Return what a class defines, by name (read-only)."""
    return _type_dict.__get__(kind)


def module_of(kind: type) -> str:
    """Return the name of the module that a class is of."""
    name = _module.__get__(kind)
    return name if type(name) is str else ""


def qualname_of(kind: type) -> str:
    """Return the qualified name of a class."""
    return str(_qualname.__get__(kind))


def kind_of(item: object) -> str:
    """Return the name of the type of `item`: "dict", "shop.models.Order"."""
    kind = type(item)
    module = module_of(kind)
    return qualname_of(kind) if module in ("builtins", "") else f"{module}.{qualname_of(kind)}"


def globals_of(module: types.ModuleType) -> dict[str, Any]:
    """Return the names of a module, without waking a lazy one."""
    found: dict[str, Any] = _module_dict.__get__(module)
    return found


def is_module(item: object) -> bool:
    """Return whether `item` is a module, awake or lazy."""
    return derives(type(item), types.ModuleType)


def modules() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and names of each module that is imported."""
    for name, module in sys.modules.copy().items():
        if is_module(module):
            yield name, globals_of(module)


def attributes_of(item: object) -> dict[str, Any]:
    """Return the attributes that an instance keeps in its dictionary and its slots."""
    found: dict[str, Any] = {}
    own = own_dict(item)
    if own is not None:
        found.update((name, value) for name, value in dict.items(own) if type(name) is str)
    for base in mro_of(type(item)):
        for name, member in class_dict(base).items():
            if type(member) is types.MemberDescriptorType:
                try:
                    found.setdefault(name, member.__get__(item))
                except AttributeError:  # an empty slot
                    continue
    return found


def referents(items: list[Any]) -> list[Any]:
    """Return what `items` refer to, as `gc.get_referents` does, but of modules only what they define.

    A module of C may show objects that nobody is to touch: `_asyncio` of Python 3.12 shows those that it keeps for
    later use, and the interpreter ends at the next use of one that was looked at.
    """
    is_module_type = id(types.ModuleType).__eq__
    chosen = list(compress(items, map(not_, map(is_module_type, map(id, map(type, items))))))
    found = gc.get_referents(*chosen)
    if len(chosen) < len(items):
        found.extend(_module_dict.__get__(item) for item in items if type(item) is types.ModuleType)
    return found


def own_dict(item: object) -> dict[str, Any] | None:
    """Return the dictionary of an instance, None where it has none or its class defines `__dict__` itself."""
    for base in mro_of(type(item)):
        member = class_dict(base).get("__dict__")
        if member is not None:
            if type(member) is not types.GetSetDescriptorType:
                return None
            found = member.__get__(item)
            return found if type(found) is dict else None
    return None


def size_of(item: object) -> int:
    """Return the bytes of an object without what it refers to; a `__sizeof__` written in Python is not called."""
    return sys.getsizeof(item) if _is_sized_in_c(type(item)) else object.__sizeof__(item)


def large_objects() -> int:
    """Return the bytes of all objects that are too large for Python's own arenas, and come from C's allocator."""
    objects = gc.get_objects()
    others = {id(each): each for each in referents(objects) if not gc.is_tracked(each)}
    sized: dict[int, bool] = {}
    total = 0
    for item in (*objects, *others.values()):
        kind = type(item)
        if id(kind) not in sized:
            sized[id(kind)] = _is_sized_in_c(kind)
        if sized[id(kind)]:
            size = sys.getsizeof(item)
            if size > _SMALL:
                total += size
    return total


_SMALL = 512


def _is_sized_in_c(kind: type) -> bool:
    methods = (class_dict(base).get("__sizeof__") for base in mro_of(kind))
    return type(next((method for method in methods if method is not None), None)) in _IN_C
