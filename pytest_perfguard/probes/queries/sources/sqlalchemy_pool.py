"""SQLAlchemy's pools: what is lent and given back, how long one waits, and which connections are opened for them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.tape import Tape


def watch_pools(patches: Patches, tape: Tape) -> None:
    """Let every pool of SQLAlchemy run past `tape`.

    What a new connection is asked and told before it is lent, by the dialect or by listeners, belongs to its opening:
    it depends on what ran before in the process.
    """
    base: Any = sys.modules["sqlalchemy.pool.base"]
    patches.wrap(base._ConnectionRecord, "_ConnectionRecord__connect", lambda original: _opening(original, tape))
    patches.wrap(base.Pool, "connect", lambda original: _lending(original, tape))
    patches.wrap(base.Pool, "_return_conn", lambda original: _returning(original, tape))
    # Giving a connection back rolls back what it left open: no statement of the measured code.
    patches.wrap(base._ConnectionFairy, "_reset", lambda original: _quiet(original, tape))


def _opening(original: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    def connect(self: Any) -> None:
        outermost = not tape.hidden()
        with tape.layer():
            original(self)
        if outermost:
            tape.opened(_driver(self._ConnectionRecord__pool))

    return connect


def _driver(pool: Any) -> str:
    return f"sqlalchemy+{getattr(getattr(pool, '_dialect', None), 'driver', 'pool')}"


def _lending(original: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    def connect(self: Any) -> Any:
        began = perf_counter_ns()
        fairy = original(self)
        passed = perf_counter_ns() - began
        checked_out = getattr(self, "checkedout", None)
        in_use = checked_out() if callable(checked_out) else None
        tape.lent(_driver(self), id(getattr(fairy, "_connection_record", fairy)), passed, in_use)
        return fairy

    return connect


def _returning(original: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    def return_conn(self: Any, record: Any) -> Any:
        tape.returned(id(record))
        return original(self, record)

    return return_conn


def _quiet(original: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    def reset(self: Any, *args: Any, **kwargs: Any) -> Any:
        with tape.layer():
            return original(self, *args, **kwargs)

    return reset
