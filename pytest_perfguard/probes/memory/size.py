"""Size of what a call returns, with everything that it refers to."""

from __future__ import annotations

import builtins
import functools
import gc
import importlib.util
import sys
import types
import weakref
from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple, final

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.model.metric import RESULT_SIZE, Metric
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.protocols import Reading
from pytest_perfguard.probes.memory.layout import (
    KEEPS_ARRAY,
    MOST_NAMES,
    count_fixed,
    is_dictionary,
    size_order,
    size_sentinel,
    size_values,
)

MOST_OBJECTS = 1_000_000
"""Objects after which a result is given up; about as many seconds of work."""

# Code, and what keeps nothing alive: neither counted nor followed, unless it is the result itself.
_NOT_DATA = (
    type,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.CodeType,
    types.FrameType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    weakref.ReferenceType,
    weakref.ProxyType,
    weakref.CallableProxyType,
)
_ACCESS = ("__getattr__", "__getattribute__", "__sizeof__")
_C = (types.WrapperDescriptorType, types.MethodDescriptorType)


@final
class SizeProbe:
    """Sums the sizes of the result and of all that it refers to, each object once, by Pympler's `asizeof`.

    The objects are found here, by type and `gc.get_referents` alone: no attribute of a user's object is read, no
    `isinstance` asked, no method written in Python called, so nothing is evaluated and the same object gives the same
    number again. To whatever depth: there is no limit such as `asizeof`'s own (100, cut off in silence), but a result
    of more than `MOST_OBJECTS` objects has no value and a note "too-large". `asizeof` then sums their flat sizes; types
    with their own attribute access or `__sizeof__` in Python are sized as the interpreter lays them out.

    A NumPy view counts as its header, and the array that owns the memory once with all of it, as the view keeps it
    alive; elements of arrays of objects count. NumPy is never imported for this. Classes, functions, modules, frames,
    and what is only weakly referred to do not count. Objects that stand for others (mocks, Django's lazy objects, other
    proxies: their type redefines `__class__`) count without what is in them, with a note "shallow".

    Instances count with the array that holds the values of their attributes, which `sys.getsizeof` leaves out, and
    Pympler takes for a dictionary that is not there (up to 88 % too much). It is as long as the most attributes that an
    instance of the class has in this result: right within 2 % but for the first 30 instances of a class, which have
    more room, and on 3.13 for those that were asked for their `__dict__`: 64 bytes more, which cannot be seen.
    """

    metrics: tuple[Metric, ...] = (RESULT_SIZE,)
    intrusive: bool = True
    wants_result: bool = True
    warmup: int = 0
    rounds: int = 1

    def start(self) -> None:
        """Do nothing, but raise `ProbeError` where Pympler cannot be imported."""
        _sizes()

    def stop(self, token: Any, result: object = None) -> Reading:
        """Return the size of `result` in bytes."""
        del token
        found = _Found()
        if not found.follow(result):
            return Reading(
                notes=(
                    Note(
                        code="too-large",
                        message=f"the result refers to more than {MOST_OBJECTS:,} objects and was not sized",
                        remedy="return less of it, or measure 'memory' instead",
                        undermines=(RESULT_SIZE.name,),
                    ),
                )
            )
        size = _sizes().Asizer().asizeof(*found.plain, limit=0) + sum(map(_flat_size, found.special)) + found.unseen()
        notes: tuple[Note, ...] = ()
        if found.proxies:
            notes = (
                Note(
                    code="shallow",
                    message=f"the result holds objects that stand for others ({', '.join(sorted(found.proxies))}), "
                    "counted without what is in them, as a look would evaluate or change them",
                    remedy="return the objects themselves",
                ),
            )
        return Reading(values={RESULT_SIZE.name: size}, notes=notes)


class _Kind(NamedTuple):
    """What is to be known of a type."""

    data: bool
    plain: bool
    """Whether its objects are safe for `asizeof`."""
    proxy: bool
    fixed: int | None
    """Referents of an instance beside the values of its attributes, None where these are in no array."""
    sentinel: int
    """Bytes that each object has more than it tells."""


class _Found:
    """The objects that a result refers to, by who can size them."""

    def __init__(self) -> None:
        self.plain: list[object] = []
        """For `asizeof`, which reads their attributes."""
        self.special: list[object] = []
        self.proxies: set[str] = set()
        self._kinds: dict[type, _Kind] = {}
        self._arrays: dict[type, list[int]] = {}
        """For each type, how many of its instances have an array of values, and the most values in one."""
        self._more = 0
        ndarray = getattr(sys.modules.get("numpy"), "ndarray", None)
        self._ndarray: Any = ndarray if type(ndarray) is type else None

    def follow(self, result: object) -> bool:
        """Collect `result` and all that it refers to; False where that is too much."""
        waiting = [result]
        seen = {id(result)}
        while waiting:
            item = waiting.pop()
            kind = type(item)
            known = self._classify(kind)
            if not known.data:
                if item is result:
                    self.special.append(item)
                continue
            (self.plain if known.plain else self.special).append(item)
            if known.proxy:
                self.proxies.add(kind.__name__)
                continue
            referents = self._referents(item, kind)
            self._more += known.sentinel
            if known.fixed is not None:
                self._count_values(kind, known.fixed, referents)
            elif kind is dict:
                self._more += size_order(item)  # type: ignore[arg-type]
            for other in referents:
                if id(other) not in seen:
                    seen.add(id(other))
                    waiting.append(other)
            if len(seen) > MOST_OBJECTS:
                return False
        return True

    def unseen(self) -> int:
        """Return the bytes that belong to the objects found and that they do not tell."""
        return self._more + sum(count * size_values(names) for count, names in self._arrays.values())

    def _count_values(self, kind: type, fixed: int, referents: Sequence[object]) -> None:
        known = self._arrays.setdefault(kind, [0, 0])
        names = len(referents) - fixed
        if names == 1:
            own = next((each for each in referents if type(each) is dict and is_dictionary(each)), None)
            if own is not None:
                names = min(len(own), MOST_NAMES)
                known[0] -= not KEEPS_ARRAY
        known[0] += 1
        known[1] = max(known[1], names)

    def _classify(self, kind: type) -> _Kind:
        known = self._kinds.get(kind)
        if known is None:
            data = not issubclass(kind, _NOT_DATA)
            owners = [vars(base) for base in kind.__mro__ if base is not object]
            proxy = any("__class__" in names for names in owners)
            overridden = any(name in names and type(names[name]) not in _C for names in owners for name in _ACCESS)
            known = self._kinds[kind] = _Kind(
                data=data,
                # Of an array, `asizeof` takes the spare room of the first that it meets for the head of every other.
                plain=not (proxy or overridden or issubclass(kind, array)),
                proxy=proxy,
                fixed=count_fixed(kind),
                sentinel=size_sentinel(kind),
            )
        return known

    def _referents(self, item: object, kind: type) -> Sequence[object]:
        if self._ndarray is None or not issubclass(kind, self._ndarray):
            return gc.get_referents(item)
        # Arrays take no part in garbage collection, so their referents have to be asked for; not by a subclass's way.
        base = self._ndarray.base.__get__(item)
        elements = self._ndarray.flat.__get__(item) if self._ndarray.dtype.__get__(item).kind == "O" else ()
        return [*gc.get_referents(item), *elements, *(() if base is None else (base,))]


def _flat_size(item: object) -> int:
    """Return the size of one object as the interpreter lays it out, without calling a method written in Python."""
    kind = type(item)
    sizeof = next(vars(base)["__sizeof__"] for base in kind.__mro__ if "__sizeof__" in vars(base))
    size = sys.getsizeof(item) if type(sizeof) is types.MethodDescriptorType else object.__sizeof__(item)
    return (size + 7) // 8 * 8


_NAME = "pytest_perfguard._asizeof"


def _sizes() -> Any:
    """Return the copy of `pympler.asizeof`, which is in `sys.modules`: it looks itself up there when it works."""
    module = _load()
    sys.modules.setdefault(_NAME, module)  # who restores an earlier `sys.modules` has thrown it out
    return module


@functools.cache
def _load() -> types.ModuleType:
    """Return a copy of `pympler.asizeof` of our own.

    The module imports NumPy where it is installed, and keeps what it learns of types from the first object it meets:
    the copy does neither to the user's.
    """
    try:
        found = importlib.util.find_spec("pympler.asizeof")
    except ImportError:
        found = None
    spec = found and importlib.util.spec_from_file_location(_NAME, found.origin)
    if not spec or spec.loader is None:
        raise ProbeError("the size of results cannot be measured: Pympler is not installed; pip install 'pympler>=1.1'")
    module = importlib.util.module_from_spec(spec)
    vars(module)["__builtins__"] = {**vars(builtins), "__import__": _import_without_numpy}
    sys.modules[_NAME] = module
    spec.loader.exec_module(module)
    return module


def _import_without_numpy(name: str, *arguments: Any, **options: Any) -> Any:
    if name.partition(".")[0] == "numpy":
        raise ImportError(name)
    return builtins.__import__(name, *arguments, **options)
