"""Tasks and portals: what runs in them is to know where in the user's own code it was asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from pytest_perfguard.probes.watch.callsite import CALLER, locate
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.tape import Tape


class Tasks:
    """Watches where tasks of asyncio's own event loops are made."""

    name = "asyncio"
    module = "asyncio.base_events"

    def installed(self) -> bool:
        """Return whether there can be tasks."""
        return hasattr(sys.modules.get(self.module), "BaseEventLoop")

    def install(self, tape: Tape) -> Callable[[], None]:
        """Let each new task remember who made it."""
        patches = Patches()
        patches.wrap(sys.modules[self.module].BaseEventLoop, "create_task", _remembering)
        return patches.undo


class Portals:
    """Watches where anyio's portals are asked to run something in their event loop, as Starlette's test client does."""

    name = "anyio"
    module = "anyio.from_thread"

    def installed(self) -> bool:
        """Return whether there can be portals."""
        return hasattr(sys.modules.get(self.module), "BlockingPortal")

    def install(self, tape: Tape) -> Callable[[], None]:
        """Let what a portal runs remember who asked for it."""
        patches = Patches()
        patches.wrap(sys.modules[self.module].BlockingPortal, "_spawn_task_from_thread", _remembering)
        return patches.undo


def _remembering(original: Callable[..., Any]) -> Callable[..., Any]:
    def remembering(self: Any, *args: Any, **kwargs: Any) -> Any:
        place = locate(sys._getframe(1))
        # Both copy this context for what they start.
        token = CALLER.set(None if place is None else place.once())
        try:
            return original(self, *args, **kwargs)
        finally:
            CALLER.reset(token)

    return remembering
