"""A worker's measurements: warmed up and calibrated by itself, then a block of calls whenever it is its turn."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from pytest_perfguard.live import machine
from pytest_perfguard.live.wire import Channel
from pytest_perfguard.measure import reference
from pytest_perfguard.measure.caller import Caller, note_lazy
from pytest_perfguard.measure.passes import Block, Reply
from pytest_perfguard.measure.plan import Call, Plan
from pytest_perfguard.measure.runner import Runner, Timing
from pytest_perfguard.model.budget import Method
from pytest_perfguard.model.measurement import Key
from pytest_perfguard.model.protocols import Probe

_OTHERS = 0.2
"""Other threads and processes that use this share of a processor beside a call make it a parallel one."""


class TurnRunner(Runner):
    """Times a call when its coordinator says so, which is when the other side stands still."""

    def __init__(self, clock: Probe, channel: Channel) -> None:
        super().__init__(clock)
        self._channel = channel
        self._bound: tuple[int, ...] = ()
        self._free = machine.processors()
        self.known: Mapping[str, int] = {}
        """Calls a block, by the name of the measurement, where an earlier pair has found that out."""
        self.counting = False
        """Whether this is a pass for other instruments than the clock."""

    def bind(self, core: int | None) -> None:
        """Stay on one processor from now on."""
        self._bound = () if core is None else (core,)
        machine.bind(self._bound)

    def sentinel(self) -> None:
        """Measure what is the same on both sides."""
        self.measure(Call(func=reference.work), Plan(key=Key(test="", name="sentinel"), method=Method()))

    def timing(self, caller: Caller, plan: Plan) -> Timing:
        """Yield blocks as the coordinator asks for them; the times go to it, so no series is returned."""
        first = yield Block(self.clock, 1)
        notes = note_lazy(caller.call, first.result)
        if self.counting:
            return first.result, (), notes
        before = usage()
        iterations, seconds = yield from self._prepare(caller, plan, first)
        order = self._channel.ask(
            {
                "at": "ready",
                "name": plan.key.name,
                "iterations": iterations,
                "limit": caller.limit if plan.method.iterations is None else iterations,
                "seconds": seconds,
                "parallel": is_parallel(before, usage()),
            }
        )
        loose = False
        try:
            while order["do"] == "block":
                if order["free"] and not loose:
                    loose = True
                    machine.bind(self._free)
                reply = yield Block(self.clock, order["iterations"])
                values = reply.reading.values
                times = {name: values[name] for name in ("time", "wall", "cpu")}
                order = self._channel.ask({"at": "block", **times})
        finally:
            if loose:
                machine.bind(self._bound)
        return first.result, (), notes

    def _prepare(self, caller: Caller, plan: Plan, first: Reply) -> Any:
        """Warm up; return how many calls make a block, and the seconds of one call."""
        method = plan.method
        deadline = time.perf_counter() + method.max_time
        replies = [first]
        while len(replies) < (method.warmup or 1) and time.perf_counter() < deadline:
            replies.append((yield Block(self.clock, 1)))
        known = self.known.get(plan.key.name)
        if method.iterations is not None:
            share = deadline - time.perf_counter()
            iterations = max(1, math.floor(min(method.iterations, share / max(first.seconds, 1e-9), caller.limit)))
        elif known is not None:
            iterations = known
        else:
            iterations = yield from self.calibrate(caller, deadline, replies)
            return iterations, replies[-1].seconds / iterations
        last = yield Block(self.clock, iterations)
        return iterations, last.seconds / iterations


def usage() -> tuple[int, int]:
    """Return nanoseconds on the wall, and of processor time that others than this thread used."""
    own = time.thread_time_ns()
    others = time.process_time_ns() - own
    try:
        import resource
    except ImportError:
        return time.perf_counter_ns(), others
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter_ns(), others + round((children.ru_utime + children.ru_stime) * 1e9)


def is_parallel(before: tuple[int, int], after: tuple[int, int]) -> bool:
    """Return whether others were busy beside this thread between two readings of `usage`."""
    elapsed = max(after[0] - before[0], 1)
    return (after[1] - before[1]) / elapsed > _OTHERS and after[1] - before[1] > 500_000
