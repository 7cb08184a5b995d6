"""The measurement of one call: warm-up, calibration, rounds, then a pass for each instrument that disturbs time.

The procedure is a generator that asks for blocks of calls and is told what the instruments read. It knows neither
clocks nor event loops, so the same procedure measures functions and coroutines, and is tested without sleeping.
"""

from __future__ import annotations

import contextlib
import gc
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.measure import reference
from pytest_perfguard.measure.caller import Caller, note_lazy, refuse_awaitable
from pytest_perfguard.measure.environment import disturbances
from pytest_perfguard.measure.loop import repeat_call
from pytest_perfguard.measure.observation import to_measurement, to_series
from pytest_perfguard.measure.passes import Block, Reply, comes_early, run_pass, spare
from pytest_perfguard.measure.plan import BLOCK_SECONDS, MINIMUM_ROUNDS, Call, Plan, Progress
from pytest_perfguard.model.budget import Method
from pytest_perfguard.model.measurement import Measurement
from pytest_perfguard.model.metric import REFERENCE
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.protocols import Probe, Reading
from pytest_perfguard.model.sample import Series

PROGRESS_SECONDS = 1.0
"""How often a measurement that takes long tells its progress."""

_TRUSTED_SECONDS = 0.0001
"""A block of at least this length tells how long a call takes; a shorter one only that more are needed."""


Procedure = Generator[Block, Reply, tuple[Any, Measurement]]

Timing = Generator[Block, Reply, tuple[Any, tuple[Series, ...], tuple[Note, ...]]]


class Runner:
    """Carries out plans with a clock, a source of seconds for time limits, and a display of progress."""

    def __init__(
        self,
        clock: Probe,
        *,
        now: Callable[[], float] = time.perf_counter,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self.clock = clock
        self._now = now
        self._progress = progress
        self._reference = repeat_call(reference.work, (), {})

    def measure(self, call: Call, plan: Plan) -> tuple[Any, Measurement]:
        """Return what the first call of `call` returned, and the measurement.

        What the measured function raises comes through. Raises `MeasurementError` where the plan cannot be carried
        out, `ProbeError` where an instrument does not work.
        """
        caller = Caller(call)
        procedure = self._procedure(caller, plan)
        with contextlib.closing(procedure):
            try:
                block = next(procedure)
                while True:
                    block = procedure.send(_perform(caller, block))
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]

    async def measure_async(self, call: Call, plan: Plan) -> tuple[Any, Measurement]:
        """Do what `measure` does for a coroutine function, on the running event loop."""
        caller = Caller(call, asynchronous=True)
        procedure = self._procedure(caller, plan)
        with contextlib.closing(procedure):
            try:
                block = next(procedure)
                while True:
                    block = procedure.send(await _perform_async(caller, block))
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]

    def read_reference(self) -> int:
        """Return how many nanoseconds the reference work takes at this moment, all its iterations together."""
        token = self.clock.start()
        self._reference(reference.ITERATIONS)
        return self.clock.stop(token).values["time"]

    def _procedure(self, caller: Caller, plan: Plan) -> Procedure:
        """Yield the blocks of a measurement, receive what was read, and return result and measurement."""
        disturbed = disturbances()
        passes: list[Reading] = []
        counted: list[Series] = []
        first: Reply | None = None
        early = [probe for probe in plan.probes if comes_early(probe)]
        if early:
            with _collector(on=plan.method.gc):
                first = yield Block(self.clock, 1)
        for probe in early:
            readings = yield from run_pass(probe, 1)
            counted.extend(to_series(probe.metrics, readings))
            passes.extend(readings)
        limited, reasons = spare(plan, counted)
        with _collector(on=plan.method.gc):
            result, timing, notes = yield from self.timing(caller, limited)
        made = max((len(each) * each.iterations for each in timing if each.metric is not REFERENCE), default=0)
        for probe in plan.probes:
            if probe not in early:
                readings = yield from run_pass(probe, made)
                counted.extend(to_series(probe.metrics, readings))
                passes.extend(readings)
        known = (*disturbed, *notes, *reasons)
        measurement = to_measurement(plan.key, (*timing, *counted), passes, group=plan.method.group, notes=known)
        return (result if first is None else first.result), measurement

    def timing(self, caller: Caller, plan: Plan) -> Timing:
        """Yield the blocks that time a call, and return its result, the series, and remarks."""
        method = plan.method
        started = self._now()
        deadline = started + method.max_time

        warmups = 1 if method.warmup is None else method.warmup
        if method.iterations != 1:
            warmups = max(warmups, 1)  # how long one call takes must be known before many are made
        replies: list[Reply] = []
        while len(replies) < warmups and (not replies or self._now() < deadline):
            replies.append((yield Block(self.clock, 1)))
        rows: list[Reading] = []
        references = [self.read_reference()]
        iterations = 1
        if replies and self._now() >= deadline:
            rows.append(replies[-1].reading)
        elif method.iterations is None:
            iterations = yield from self.calibrate(caller, deadline, replies)
            if iterations == 1:
                rows.append(replies[-1].reading)
        else:
            share = (deadline - self._now()) / (method.rounds or MINIMUM_ROUNDS)
            left = share / max(replies[-1].seconds, 1e-9) if replies else math.inf
            iterations = max(1, math.floor(min(method.iterations, left, caller.limit)))

        begun = shown = self._now()
        all_but_one = 0.0  # seconds of a round without its last call, which may go over the limit
        while not _enough(rows, self._now() - begun, method) and (not rows or self._now() + all_but_one < deadline):
            references.append(self.read_reference())
            reply = yield Block(self.clock, iterations)
            replies = replies or [reply]
            rows.append(reply.reading)
            all_but_one = reply.seconds * (iterations - 1) / iterations
            if self._progress is not None and self._now() - shown >= PROGRESS_SECONDS:
                shown = self._now()
                self._progress(_progress(plan, started, begun, shown, len(rows)))

        result = replies[0].result
        notes = [*note_lazy(caller.call, result), *(note for reading in rows for note in reading.notes)]
        if not _enough(rows, self._now() - begun, method) or (method.iterations or 1) > iterations:
            notes.append(_capped(method, len(rows), iterations))
        reference_series = Series(metric=REFERENCE, values=tuple(references), iterations=reference.ITERATIONS)
        return result, (*to_series(self.clock.metrics, rows, iterations), reference_series), tuple(notes)

    def calibrate(self, caller: Caller, deadline: float, replies: list[Reply]) -> Generator[Block, Reply, int]:
        """Return how many calls make a round; every block made on the way is appended to `replies`."""
        iterations = 1
        while True:
            reply = yield Block(self.clock, iterations)
            replies.append(reply)
            wanted = math.ceil(iterations * BLOCK_SECONDS / max(reply.seconds, 1e-9))
            if reply.seconds < _TRUSTED_SECONDS:
                wanted = min(wanted, iterations * 10)
            wanted = min(wanted, caller.limit)
            if wanted <= iterations * 1.25 or self._now() >= deadline:
                return iterations
            iterations = wanted


def _perform(caller: Caller, block: Block) -> Reply:
    probe = block.probe
    run = caller.prepare(block.iterations)
    token = probe.start()
    try:
        result = run()
    except BaseException:
        with contextlib.suppress(ProbeError):
            probe.stop(token)
        raise
    if probe.intrusive and not probe.wants_result:
        result = None
    reply = _reply(probe, token, result)
    refuse_awaitable(caller.call, reply.result)
    return reply


async def _perform_async(caller: Caller, block: Block) -> Reply:
    probe = block.probe
    run = caller.prepare(block.iterations)
    token = probe.start()
    try:
        result = await run()
    except BaseException:
        with contextlib.suppress(ProbeError):
            probe.stop(token)
        raise
    if probe.intrusive and not probe.wants_result:
        result = None
    return _reply(probe, token, result)


def _reply(probe: Probe, token: Any, result: Any) -> Reply:
    reading = probe.stop(token, result) if probe.wants_result else probe.stop(token)
    return Reply(reading, None if probe.intrusive else result)


def _enough(rows: Sequence[Reading], elapsed: float, method: Method) -> bool:
    if method.rounds is not None:
        return len(rows) >= method.rounds
    return len(rows) >= MINIMUM_ROUNDS and elapsed >= method.target_time


def _progress(plan: Plan, started: float, begun: float, now: float, rounds: int) -> Progress:
    per_round = (now - begun) / rounds
    remaining = max(plan.method.target_time - (now - begun), per_round * (MINIMUM_ROUNDS - rounds))
    if plan.method.rounds is not None:
        remaining = per_round * (plan.method.rounds - rounds)
    elapsed = now - started
    expected = min(elapsed + max(remaining, 0.0), plan.method.max_time)
    return Progress(key=plan.key, elapsed=elapsed, expected=expected, rounds=rounds)


def _capped(method: Method, rounds: int, iterations: int) -> Note:
    return Note(
        code="capped",
        message=f"the limit of {method.max_time:g} s ended it after {rounds} rounds of {iterations} calls",
        remedy="raise max_time or measure a smaller piece of work",
    )


@contextlib.contextmanager
def _collector(*, on: bool) -> Iterator[None]:
    """Keep the garbage collector off until the end; where it stays `on`, collect now, to begin from a known state."""
    if on:
        gc.collect()
    if on or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
