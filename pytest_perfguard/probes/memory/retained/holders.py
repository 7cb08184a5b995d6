"""Names of what holds an object: a name of a module, an attribute, a variable of a function or of a frame."""

from __future__ import annotations

import contextvars
import gc
import sys
import types
from typing import Any

from pytest_perfguard.probes.memory.retained import disturbers, places
from pytest_perfguard.probes.memory.retained.chain import ITEM, Link, Owner, excuse_in, is_container, join
from pytest_perfguard.probes.memory.retained.disturbers import Cause
from pytest_perfguard.probes.memory.retained.sight import (
    attributes_of,
    class_dict,
    derives,
    globals_of,
    kind_of,
    module_of,
    modules,
    own_dict,
    qualname_of,
)
from pytest_perfguard.probes.memory.retained.variables import is_ours, is_runners, is_users, variables

_PASSED = (types.CellType, tuple, types.MethodType, types.BuiltinMethodType, types.MethodWrapperType)
_GENERATORS = (
    (types.GeneratorType, "gi_frame", "generator "),
    (types.CoroutineType, "cr_frame", "coroutine "),
    (types.AsyncGeneratorType, "ag_frame", "generator "),
)
_RECORDERS = {
    "_pytest.warnings": disturbers.WARNINGS,
    "_pytest.recwarn": disturbers.WARNINGS,
    "_pytest.logging": disturbers.LOG,
}


_CONTEXTS = ("hamt_bitmap_node", "hamt_array_node", "hamt_collision_node")


class Namer:
    """Names holders; it holds all objects of the process, and is to be let go of soon."""

    def __init__(self) -> None:
        self.objects: list[Any] = gc.get_objects()
        self._modules = {id(names): name for name, names in modules()}
        self._variables = variables()
        self._tracing = {name.partition(".")[0] for name in disturbers.tracing_modules() if not is_users(name)}
        self._added: set[int] = set()

    def name(self, link: Link) -> Owner | bool:
        """Return the name of the holder; True where to look further upwards, False where nothing is to be found."""
        found = self._name(link)
        if found is True and id(link.holder) in self._variables:
            variable = self._variables[id(link.holder)]
            found = self._owner(variable.name, link, place=variable.place, users=variable.users)
        return found

    def variable(self, item: Any) -> Owner | None:
        """Return the variable of a running function that is bound to `item`."""
        return self._variables.get(id(item))

    def _name(self, link: Link) -> Owner | bool:  # noqa: PLR0911 - one kind of holder, one line
        holder = link.holder
        kind = type(holder)
        if kind is dict:
            return self._name_in_dict(link)
        if any(kind is each for each in _PASSED):
            return True
        if kind is types.FunctionType:
            return self._name_in_function(link)
        attribute, what = next((each[1:] for each in _GENERATORS if kind is each[0]), ("", ""))
        if attribute:
            frame = getattr(holder, attribute)
            return True if frame is None else self._name_in_frame(frame, link, what)
        if kind is types.FrameType:
            return self._name_in_frame(holder, link, "frame of ")
        if derives(kind, type):
            return self._name_in_class(link)
        if derives(kind, types.ModuleType):
            return self._name_in_module(link)
        if kind.__name__ == "_lru_cache_wrapper" and module_of(kind) == "functools":
            return self._name_of_cache(link)
        if is_ours(module_of(kind)):
            return False
        if kind.__name__ in _CONTEXTS:
            return self._name_in_context(link)
        if is_container(holder):
            link.excuse = disturbers.excuse_of_container(holder)
            if isinstance(link.excuse, Cause):
                return Owner(name=kind_of(holder), excuse=link.excuse)
        return self._name_in_instance(link)

    def _owner(
        self,
        root: str,
        rest: Link | None,
        *,
        place: str = "",
        excuse: str | Cause = "",
        final: bool = True,
        users: bool = False,
    ) -> Owner:
        excuse = excuse or excuse_in(rest)
        return Owner(name=join(root, rest), place=place, excuse=excuse, final=final or bool(excuse), users=users)

    def _name_in_dict(self, link: Link) -> Owner | bool:
        link.key = _key_of(link.holder, link.held)
        link.label = ITEM
        module = self._modules.get(id(link.holder))
        return True if module is None else self._global(module, link.key, link.below)

    def _global(self, module: str, key: Any, rest: Link | None) -> Owner | bool:
        if is_ours(module):
            return False
        name = key if type(key) is str else ""
        return self._owner(
            f"{module}:{name}" if rest is not None else f"{module} (names of the module)",
            rest,
            place=places.of_global(module, name if rest is not None else ""),
            excuse=disturbers.excuse_of_global(module, name) or self._recorder(module),
            users=is_users(module),
        )

    def _name_in_module(self, link: Link) -> Owner | bool:
        names = globals_of(link.holder)
        if link.below is None or link.held is not names:
            return False
        return self._global(str(names.get("__name__", "")), link.below.key, link.below.below)

    def _name_in_class(self, link: Link) -> Owner | bool:
        kind, below = link.holder, link.below
        module = module_of(kind)
        if (
            is_ours(module)
            or below is None
            or not any(each is link.held for each in gc.get_referents(class_dict(kind)))
        ):
            return False
        return self._owner(
            f"{module}:{qualname_of(kind)}.{below.key}",
            below.below,
            place=places.of_class(kind),
            excuse=self._recorder(module),
            users=is_users(module),
        )

    def _name_in_function(self, link: Link) -> Owner | bool:
        function, held, below = link.holder, link.held, link.below
        module = str(function.__module__)
        if is_ours(module) or held is function.__globals__:
            return False
        text, rest = _variable_of(function, held, below)
        link.label = text
        users = is_users(module)
        return self._owner(
            f"{module}:{function.__qualname__}{text}",
            rest,
            place=places.of_code(function.__code__),
            excuse=self._recorder(module),
            final=users,
            users=users,
        )

    def _name_in_frame(self, frame: types.FrameType, link: Link, what: str) -> Owner | bool:
        code = frame.f_code
        module = str(frame.f_globals.get("__name__", ""))
        if is_ours(module):
            return False
        variable = next((f": {name}" for name, value in frame.f_locals.items() if value is link.held), "")
        users = is_users(module)
        return self._owner(
            f"{module}:{what}{code.co_qualname}{variable}",
            link.below,
            place=places.of_code(code),
            excuse=self._recorder(module),
            final=users,
            users=users,
        )

    def _name_in_instance(self, link: Link) -> Owner | bool:
        holder, held, below = link.holder, link.held, link.below
        kind = type(holder)
        module = module_of(kind)
        own = self._own_dict(holder)
        by_dict = below is not None and own is not None and held is own
        rest: Link | None = below
        attribute, value = "", held
        if by_dict and below is not None:
            below.label = ""
            attribute, value, rest = str(below.key), below.held, below.below
        elif held is not None:
            attribute = next((name for name, each in attributes_of(holder).items() if each is held), "")
        if module == "_pytest.python" and attribute == "funcargs" and rest is not None:
            return self._owner(f"fixture {rest.key}", rest.below)
        recorder = self._recorder(module)
        if recorder and (module != "_pytest.logging" or disturbers.is_log_handler(kind)):
            return Owner(name=f"{module}:{qualname_of(kind)}", excuse=recorder)
        if is_runners(module):  # holds all that there is, and so do fixtures that keep their `request`
            argument = attributes_of(holder).get("argname") if attribute == "cached_result" else None
            return self._owner(f"fixture {argument}", rest) if type(argument) is str else False
        if not attribute and is_container(holder):
            link.label = ITEM
            return True
        link.label = f".{attribute}" if attribute else ""
        if not attribute and disturbers.keeps_cursors(kind):
            link.excuse = disturbers.FILLING
        if attribute and value is not None:
            link.excuse = link.excuse or disturbers.excuse_of_instance(holder, value)
        users = is_users(module)
        name = _named_logger(holder)
        root = name or f"{module}:{qualname_of(kind)}"
        return self._owner(
            f"{root}.{attribute}" if attribute else root,
            rest,
            place=places.of_class(kind),
            excuse=link.excuse,
            # A link of a chain says nothing of who holds the chain.
            final=bool(attribute) and (users or bool(name)) and type(value) is not kind,
            users=users,
        )

    def _name_of_cache(self, link: Link) -> Owner:
        wrapper = link.holder
        limit = wrapper.cache_info().maxsize
        own = own_dict(wrapper) or {}
        module, name = str(own.get("__module__", "")), str(own.get("__qualname__", "lru_cache"))
        wrapped = own.get("__wrapped__")
        return Owner(
            name=f"{module}:{name} (lru_cache, maxsize={limit})",
            place=places.of_code(wrapped.__code__) if type(wrapped) is types.FunctionType else "",
            excuse="" if limit is None else disturbers.FILLING,
            users=is_users(module),
        )

    def _name_in_context(self, link: Link) -> Owner | bool:
        items = gc.get_referents(link.holder)
        places_of = [number for number, item in enumerate(items) if item is link.held]
        beside = [items[n] for place in places_of for n in (place + 1, place - 1) if 0 <= n < len(items)]
        variable = next((item for item in beside if type(item) is contextvars.ContextVar), None)
        if variable is None:
            return Owner(name="the context of the thread (contextvars)", final=False)
        for module, names in modules():
            if any(value is variable for value in list(names.values())):
                key = _key_of(names, variable)
                place, users = places.of_global(module, key), is_users(module)
                return self._owner(f"{module}:{key} (context variable)", link.below, place=place, users=users)
        return self._owner(f"context variable {variable.name}", link.below)

    def _recorder(self, module: str) -> str | Cause:
        """Return what keeps records of each call and is of a tracer's or of pytest's."""
        top = module.partition(".")[0]
        if top in self._tracing:
            return disturbers.Cause(name=f"the tracer {top}", remedy=disturbers.WITHOUT_TRACER)
        return _RECORDERS.get(module, "") if is_runners(module) else ""

    def _own_dict(self, holder: Any) -> dict[str, Any] | None:
        # CPython 3.11 and 3.12 make the dictionary only now, and the instance then holds its values through it.
        own = own_dict(holder)
        if own is not None and id(own) not in self._added:
            self._added.add(id(own))
            self.objects.append(own)
        return own


def _variable_of(function: types.FunctionType, held: Any, below: Link | None) -> tuple[str, Link | None]:
    """Return which variable of a function holds, as a suffix of its name, and the link that goes on from there."""
    if below is None:
        return "", None
    code, closure, defaults = function.__code__, function.__closure__, function.__defaults__
    if closure is not None and held is closure:
        names = {id(cell): name for cell, name in zip(closure, code.co_freevars, strict=False)}
        return f": {names.get(id(below.held), '')}", None if below.below is None else below.below.below
    if defaults is not None and held is defaults:
        parameters = code.co_varnames[: code.co_argcount][-len(defaults) :]
        name = next((name for name, value in zip(parameters, defaults, strict=False) if value is below.held), "")
        return f": default of {name}", below.below
    if held is function.__kwdefaults__:
        return f": default of {below.key}", below.below
    if held is function.__dict__:
        below.label = ""
        return f".{below.key}", below.below
    return "", below


def _named_logger(holder: Any) -> str:
    logging = sys.modules.get("logging")
    if logging is None or not derives(type(holder), globals_of(logging)["Logger"]):
        return ""
    return f"logger {attributes_of(holder).get('name', '')}"


def _key_of(names: dict[Any, Any], held: Any) -> Any:
    if held is None:
        return None
    return next((key for key, value in dict.items(names) if value is held), None)
