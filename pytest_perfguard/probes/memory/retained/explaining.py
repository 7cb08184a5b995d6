"""What a call leaves behind: a few calls with a look at all objects before and after each."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, final

from pytest_perfguard.model.metric import RETAINED, Metric
from pytest_perfguard.model.protocols import Reading
from pytest_perfguard.probes.memory.retained import containers, native
from pytest_perfguard.probes.memory.retained.counting import FROZEN_AT_START, collect_garbage
from pytest_perfguard.probes.memory.retained.explanation import Explanation, explain
from pytest_perfguard.probes.memory.retained.leavings import Call, gather, rising
from pytest_perfguard.probes.memory.retained.sight import large_objects


@dataclass(slots=True, kw_only=True, eq=False)
class _Token:
    froze: bool = False
    before: set[int] = field(default_factory=set)
    """Ids of the objects that there were and that are not frozen."""
    lengths: dict[int, int] = field(default_factory=dict)
    kinds: Counter[int] = field(default_factory=Counter)
    native: int = 0
    python: int = 0
    hooks: int = 0


@final
class ExplainingProbe:
    """Finds out what each of `rounds` calls leaves behind; the reading of the last one says it (`Explanation`).

    Objects count that a call made, and that are still there after the last one: what the next call replaces is not
    among them. The calls are taken in `groups`, of `rounds - 1` together, and what is reported was left by each group.
    With `weigh`, the objects that Python has from the allocator of C are weighed too, which takes long. Where calls
    are `apart`, others make and free objects between them, at the same addresses: then only that counts of which there
    were more before each call.
    """

    metrics: tuple[Metric, ...] = (RETAINED,)
    intrusive: bool = True
    wants_result: bool = False
    warmup: int = 0

    def __init__(self, *, rounds: int, groups: int, weigh: bool = False, apart: bool = False) -> None:
        self.rounds = rounds
        self._groups = groups
        self._weigh = weigh
        self._apart = apart
        self._calls: list[Call] = []

    def start(self) -> _Token:
        """Look at what there is."""
        if self._calls:
            collect_garbage()
        else:
            gc.collect()
        token = _Token(froze=gc.get_freeze_count() < FROZEN_AT_START, hooks=_exit_hooks())
        token.lengths = containers.lengths(limited=True)
        token.kinds = Counter(map(id, map(type, gc.get_objects())))
        if self._calls:
            self._calls[-1].keep(token.lengths)
        token.python = large_objects() if self._weigh else 0
        if token.froze:
            gc.freeze()
        else:
            token.before = set(map(id, gc.get_objects()))
        token.native = native.used()
        return token

    def stop(self, token: Any, result: object = None) -> Reading:
        """Look again; the last time, say what each call left."""
        del result
        is_last = len(self._calls) + 1 >= self.rounds
        try:
            gc.collect()
            known = token.before
            known.update((id(token), id(known)))
            fresh = {id(item): id(type(item)) for item in gc.get_objects() if id(item) not in known}
        finally:
            if token.froze:
                gc.unfreeze()
        if is_last and gc.collect():
            gc.collect()
        left = native.used() - token.native
        python = large_objects() - token.python if self._weigh else 0
        known.clear()  # or it seems to have grown
        grown = containers.grown(token.lengths)
        call = Call(
            fresh=fresh,
            grown=grown,
            lengths={number: token.lengths[number] for number in grown},
            kinds=token.kinds,
            native=left,
            python=python,
            hooks=_exit_hooks() - token.hooks,
        )
        token.lengths = {}
        self._calls.append(call)
        if not is_last:
            return Reading()
        calls, self._calls = self._calls, []
        try:
            return explain(gather(calls, self._groups), rising(calls) if self._apart else None)
        except Exception as error:  # noqa: BLE001 - objects may be of any kind; the value does not depend on this
            return Explanation(failed=f"{type(error).__name__}: {error}")


def _exit_hooks() -> int:
    atexit: Any = sys.modules.get("atexit")
    return int(atexit._ncallbacks()) if atexit is not None and hasattr(atexit, "_ncallbacks") else 0
