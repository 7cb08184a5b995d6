"""The passes of a measurement: what a procedure asks for, which instruments come before the clock, and their stages."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_perfguard.measure.plan import MINIMUM_ROUNDS, Plan
from pytest_perfguard.model.metric import OF_LEFT
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.protocols import Probe, Reading, Stage, StagedProbe
from pytest_perfguard.model.sample import Series


@dataclass(frozen=True, slots=True)
class Block:
    """A request of the procedure: make `iterations` calls between `start` and `stop` of `probe`."""

    probe: Probe
    iterations: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What was read around a block, and what the call returned where the block was one call."""

    reading: Reading
    result: Any = None

    @property
    def seconds(self) -> float:
        """Return the wall time of the block."""
        return self.reading.values["wall"] * 1e-9


def comes_early(probe: Probe) -> bool:
    """Return whether the pass of `probe` comes before the clock's thousands of calls, which pile up what they leave."""
    return bool(getattr(probe, "early", False))


def spare(plan: Plan, counted: Sequence[Series]) -> tuple[Plan, tuple[Note, ...]]:
    """Return the plan with few calls for the clock, and why, where each call leaves what a process has little of."""
    left = [each.metric.name for each in counted if each.metric.name in _SCARCE and each.reduced() > 0]
    if not left:
        return plan, ()
    note = Note(
        code="timed-briefly",
        message=f"each call leaves something ({', '.join(left)}), so it was timed {MINIMUM_ROUNDS} times only",
        remedy="mend the leak, and measure again",
    )
    return replace(plan, method=replace(plan.method, rounds=MINIMUM_ROUNDS, iterations=1, warmup=0)), (note,)


_SCARCE = OF_LEFT | {"connections_leaked"}


def run_pass(probe: Probe, made: int) -> Generator[Block, Reply, list[Reading]]:
    """Yield the blocks that `probe` wants, and return its readings, or the one that those of its stages come to.

    The calls that were `made` before have warmed up what is measured.
    """
    stages: list[list[Reading]] = []
    stage = Stage(probe=probe, warmup=max(probe.warmup - made, 0), rounds=probe.rounds)
    while True:
        readings: list[Reading] = []
        for number in range(stage.warmup + stage.rounds):
            reply = yield Block(stage.probe, 1)
            if number >= stage.warmup:
                readings.append(reply.reading)
        if not isinstance(probe, StagedProbe):
            return readings
        stages.append(readings)
        found = probe.proceed(stages)
        if isinstance(found, Reading):
            return [found]
        stage = found
