"""Motor: PyMongo in threads of its own, which do not have the caller's frames."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from pytest_perfguard.probes.queries.sources.pymongo import CALLER
from pytest_perfguard.probes.watch.callsite import locate
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.tape import Tape


class MotorSource:
    """Notes who called, in the context that Motor hands to its threads; the commands are seen by PyMongo's source."""

    name = "motor"
    module = "motor.motor_asyncio"

    def installed(self) -> bool:
        """Return whether Motor is loaded, entirely."""
        return "motor.motor_asyncio" in sys.modules and "motor.frameworks.asyncio" in sys.modules

    def install(self, tape: Tape) -> Callable[[], None]:
        """Replace what hands calls to the threads."""
        patches = Patches()
        patches.wrap(sys.modules["motor.frameworks.asyncio"], "run_on_executor", _handing_over)
        return patches.undo


def _handing_over(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def run_on_executor(*args: Any, **kwargs: Any) -> Any:
        site = locate(sys._getframe(1))
        if site is None:  # it goes on by itself with what was begun
            return original(*args, **kwargs)
        token = CALLER.set(site)
        try:
            return original(*args, **kwargs)
        finally:
            CALLER.reset(token)

    return run_on_executor
