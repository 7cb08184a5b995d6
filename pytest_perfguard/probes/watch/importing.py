"""Tells when a library is imported, for as long as something waits for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class ImportWatch(MetaPathFinder):
    """Calls back once a module has been executed; stands in `sys.meta_path` between `start` and `stop` only."""

    def __init__(self, callbacks: Mapping[str, Callable[[], None]]) -> None:
        self._callbacks = callbacks

    def start(self) -> None:
        """Begin to watch."""
        sys.meta_path.insert(0, self)

    def stop(self) -> None:
        """Watch no more."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec that the other finders have, with a loader that calls back; None for any other module."""
        if fullname not in self._callbacks:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(fullname, path, target) if find and finder is not self else None
            if spec is not None:
                _call_after(spec.loader, self._callbacks[fullname])
                return spec
        return None


def _call_after(loader: Any, callback: Callable[[], None]) -> None:
    execute = getattr(loader, "exec_module", None)
    if execute is None or isinstance(loader, type):  # a frozen or built-in module: no loader of its own
        return

    def exec_module(module: ModuleType) -> None:
        del loader.exec_module
        execute(module)
        callback()

    # On the instance, which serves this one module, so that nothing else sees another loader than it expects.
    loader.exec_module = exec_module
