"""What holds memory without being a leak: caches that are still filling, and what tests are run with."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from pytest_perfguard.probes.memory.retained.containers import is_limited, length_of
from pytest_perfguard.probes.memory.retained.sight import attributes_of, derives

WITHOUT_TRACER = "run this test without it (pytest-cov: --no-cov)"

FILLING = "a cache still filling"
"""The excuse of a cache that has a limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What else may hold memory, and what to do about it."""

    name: str
    remedy: str


LOG = Cause(
    name="log records that pytest's log capture keeps",
    remedy="raise the logger's level for this test, or run with -p no:logging",
)
MOCKS = Cause(name="the calls that mocks record", remedy="replace the mock by a plain object, or reset it in each call")
WARNINGS = Cause(name="the warnings that pytest records", remedy="filter the warning, or run with -p no:warnings")

# Caches that are emptied, that have a limit where they are used, or one entry a file, format or language.
_LIMITED = frozenset(
    {
        ("re", "_cache"), ("re", "_cache2"), ("_strptime", "_regex_cache"),
        ("sre_parse", "_cache"), ("struct", "_cache"), ("tokenize", "_cache"), ("encodings", "_cache"),
        ("fnmatch", "_cache"), ("glob", "_cache"), ("sysconfig", "_CONFIG_VARS"), ("importlib", "_cache"),
        ("sys", "path_importer_cache"), ("typing", "_cleanups"), ("copyreg", "_slotnames"),
        ("django.core.cache.backends.locmem", "_caches"), ("django.core.cache.backends.locmem", "_expire_info"),
    }
)  # fmt: skip
_LIMITS = frozenset(
    {
        "maxsize", "max_size", "maxlen", "max_len", "max_length", "max_entries", "capacity", "limit", "size_limit",
        "max_items", "_maxsize", "_max_size", "_maxlen", "_max_entries", "_capacity", "_limit", "_max_items",
        "_Cache__maxsize", "cache_size", "max_cache_size", "_max_cache_size", "bound", "_bound", "size", "_size",
    }
)  # fmt: skip


def excuse_of_global(module: str, name: str) -> str | Cause:
    """Return why a name of a module may hold more with each call for a while, empty where it may not."""
    if module == "warnings" and name in ("_showwarnmsg_impl", "showwarning"):
        return WARNINGS
    return FILLING if (module, name) in _LIMITED else ""


def excuse_of_instance(instance: Any, container: Any) -> str:
    """Return why an attribute of `instance` may grow for a while: it says its limit, and `container` is below it."""
    length = length_of(container)
    if length < 0:
        return ""
    values = [value for name, value in attributes_of(instance).items() if name in _LIMITS]
    return FILLING if any(type(value) is int and value >= length for value in values) else ""


def excuse_of_container(container: Any) -> str | Cause:
    """Return why a container may grow for a while."""
    if is_limited(container):
        return FILLING
    return MOCKS if is_call_list(type(container)) else ""


def keeps_cursors(kind: type) -> bool:
    """Return whether a type is that of SQLite's connections: their list of cursors is tidied at every 200th."""
    sqlite3 = sys.modules.get("sqlite3")
    connection = None if sqlite3 is None else vars(sqlite3).get("Connection")
    return connection is not None and derives(kind, connection)


def is_call_list(kind: type) -> bool:
    """Return whether a type is that of the calls that a mock keeps."""
    mock = sys.modules.get("unittest.mock")
    call_list = None if mock is None else vars(mock).get("_CallList")
    return call_list is not None and kind is call_list


def is_log_handler(kind: type) -> bool:
    """Return whether a type is a log handler."""
    logging = sys.modules.get("logging")
    return logging is not None and derives(kind, vars(logging)["Handler"])


def tracers() -> tuple[Cause, ...]:
    """Return the tracers, profilers and monitoring tools that are on, and may keep something for each call."""
    found = []
    for place, hook in (("sys.settrace", sys.gettrace()), ("sys.setprofile", sys.getprofile())):
        if hook is not None:
            found.append(Cause(name=f"the tracer {_package(hook)} ({place})", remedy=WITHOUT_TRACER))
    monitoring: Any = getattr(sys, "monitoring", None)
    if monitoring is not None:
        names = (monitoring.get_tool(number) for number in range(6))
        found.extend(
            Cause(name=f"the monitoring tool {name}", remedy=WITHOUT_TRACER) for name in names if name is not None
        )
    return tuple(found)


def tracing_modules() -> tuple[str, ...]:
    """Return the modules of the tracers that are on."""
    hooks = (hook for hook in (sys.gettrace(), sys.getprofile()) if hook is not None)
    found = [_package(hook) for hook in hooks]
    monitoring: Any = getattr(sys, "monitoring", None)
    if monitoring is not None:
        found.extend(name for name in (monitoring.get_tool(number) for number in range(6)) if name is not None)
    return tuple(name for name in found if name not in ("builtins", "__main__"))


def _package(hook: Any) -> str:
    kind = hook if type(hook) is type else type(hook)
    return str(getattr(hook, "__module__", None) or kind.__module__)
