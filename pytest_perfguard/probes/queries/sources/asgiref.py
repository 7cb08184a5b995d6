"""asgiref, which carries synchronous code of coroutines out in a thread that does not know who asked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from pytest_perfguard.probes.watch.callsite import CALLER, locate
from pytest_perfguard.probes.watch.patching import Patches


def watch_callers(patches: Patches) -> None:
    """Let what `sync_to_async` carries out know where in the user's own code it was asked for."""
    module: Any = sys.modules.get("asgiref.sync")
    if module is not None:
        patches.wrap(module.SyncToAsync, "__call__", _remember)


def _remember(original: Callable[..., Any]) -> Callable[..., Any]:
    async def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807 - it stands in for that
        before = CALLER.get()
        # asgiref hands a copy of this context to the thread.
        CALLER.set(locate(sys._getframe(1)) or before)
        try:
            return await original(self, *args, **kwargs)
        finally:
            CALLER.set(before)

    return __call__
