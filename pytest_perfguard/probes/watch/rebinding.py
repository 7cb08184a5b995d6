"""Putting another function wherever one is held: for libraries whose own functions and types cannot be changed."""

from __future__ import annotations

import functools
import gc
from collections.abc import Iterable
from contextlib import suppress
from types import CellType, FunctionType
from typing import Any


def rebind(old: Any, new: Any, *, keep: Iterable[object] = ()) -> None:
    """Let everything that holds the function `old` hold `new`: modules, classes, objects, closures, partials, lists.

    What is in `keep` goes on holding `old`. Local variables of functions that are running cannot be reached. Goes
    through all objects of the process, which takes tens of milliseconds in a large one.
    """
    kept = {id(holder) for holder in keep}
    for holder in gc.get_referrers(old):
        if id(holder) not in kept:
            with suppress(Exception):  # an object that refuses: the library's own way past us remains, as in a local
                _replace(holder, old, new)


def _replace(holder: Any, old: Any, new: Any) -> None:  # noqa: PLR0912 - one branch for each kind of holder
    if type(holder) is dict:
        names = [name for name, value in list(holder.items()) if value is old]
        owner = _class_of(holder, names)
        for name in names:
            if owner is None:
                holder[name] = new
            else:
                setattr(owner, name, new)  # classes remember what they looked up
    elif isinstance(holder, CellType):
        holder.cell_contents = new
    elif type(holder) is list:
        holder[:] = [new if item is old else item for item in holder]
    elif type(holder) is functools.partial:
        if holder.func is old:
            changed: Any = holder
            changed.__setstate__((new, holder.args, holder.keywords, holder.__dict__))
    elif type(holder) is tuple:
        for function in gc.get_referrers(holder):
            if isinstance(function, FunctionType) and function.__defaults__ is holder:
                function.__defaults__ = tuple(new if item is old else item for item in holder)
    elif isinstance(holder, staticmethod):
        for namespace in gc.get_referrers(holder):
            if type(namespace) is dict:
                _replace(namespace, holder, staticmethod(new))
    else:
        slots = (name for kind in type(holder).__mro__ for name in getattr(kind, "__slots__", ()))
        for name in (*getattr(holder, "__dict__", ()), *slots):  # objects hold their attributes without a dict
            if getattr(holder, name, None) is old:
                setattr(holder, name, new)


def _class_of(namespace: dict[Any, Any], names: list[Any]) -> type | None:
    for holder in gc.get_referrers(namespace) if "__module__" in namespace and names else ():
        if isinstance(holder, type) and all(vars(holder).get(name) is namespace[name] for name in names):
            return holder
    return None
