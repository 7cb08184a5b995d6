"""asyncpg's pools: what they lend, how long one waits for it, and which connections they open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter_ns
from typing import Any

from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.tape import Tape

DRIVER = "asyncpg"

_Function = Callable[..., Awaitable[Any]]


def watch_pools(patches: Patches, tape: Tape, module: Any) -> None:
    """Let every pool run past `tape`.

    What a new connection is asked and told, by `init` too, and what resets one that is given back are no statements of
    the measured code; what `setup` asks is, since it does so each time a connection is lent.
    """
    patches.wrap(module.Pool, "_acquire", lambda original: _lending(original, tape))
    patches.wrap(module.Pool, "_get_new_connection", lambda original: _opening(original, tape))
    patches.wrap(module.PoolConnectionHolder, "release", lambda original: _resetting(original, tape))
    patches.wrap(module.PoolConnectionHolder, "_release", lambda original: _returning(original, tape))


def _lending(original: _Function, tape: Tape) -> _Function:
    async def _acquire(self: Any, *args: Any, **kwargs: Any) -> Any:
        if tape.hidden():
            return await original(self, *args, **kwargs)
        began = perf_counter_ns()
        proxy = await original(self, *args, **kwargs)
        passed = perf_counter_ns() - began
        in_use = sum(not holder.is_idle() for holder in self._holders)
        tape.lent(DRIVER, id(proxy._holder), passed, in_use)
        return proxy

    return _acquire


def _opening(original: _Function, tape: Tape) -> _Function:
    async def _get_new_connection(self: Any) -> Any:
        outermost = not tape.hidden()
        with tape.layer():
            connection = await original(self)
        if outermost:
            tape.opened(DRIVER)
        return connection

    return _get_new_connection


def _resetting(original: _Function, tape: Tape) -> _Function:
    async def release(self: Any, *args: Any, **kwargs: Any) -> Any:
        with tape.layer():
            return await original(self, *args, **kwargs)

    return release


def _returning(original: Callable[..., None], tape: Tape) -> Callable[..., None]:
    def _release(self: Any) -> None:
        if not self.is_idle():
            tape.returned(id(self))
        original(self)

    return _release
