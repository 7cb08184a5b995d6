"""Tests without the fixture: the test's own body is measured, one pass for each time its whole protocol is run."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from _pytest.unittest import TestCaseFunction

from pytest_perfguard.engine import Engine
from pytest_perfguard.errors import MeasurementError
from pytest_perfguard.measure.observation import observe, to_measurement, to_series
from pytest_perfguard.model.measurement import Key, Measurement
from pytest_perfguard.model.protocols import Probe, Reading, Stage, StagedProbe
from pytest_perfguard.model.sample import Series
from pytest_perfguard.model.task import Task
from pytest_perfguard.plugin.recording import REFERENCES_BESIDE, timed_block


@dataclass(slots=True)
class _Pass:
    """One instrument, the runs of the test that it needs, and what it read in them."""

    probe: Probe
    warmup: int
    rounds: int
    readings: list[Reading] = field(default_factory=list)
    stages: list[list[Reading]] = field(default_factory=list)

    def proceed(self) -> Stage | None:
        """Return the runs that the instrument still wants, now that those asked for are made; None for no more."""
        if not isinstance(self.probe, StagedProbe):
            return None
        self.stages.append(self.readings)
        found = self.probe.proceed(self.stages)
        self.readings = [found] if isinstance(found, Reading) else []
        return None if isinstance(found, Reading) else found


_Run = tuple[_Pass | None, Probe | None, bool]
"""One run of the protocol: the pass it belongs to, the instrument that is on, and whether its reading counts."""


class BodyPasses:
    """The passes over one test's body: which instrument is on in which run of its protocol."""

    def __init__(self, engine: Engine, task: Task) -> None:
        self._engine = engine
        self._task = task
        self._references: list[int] = []
        self._passes: list[_Pass] = []
        if task.timed:
            rounds = task.method.rounds or 1
            self._passes.append(_Pass(probe=engine.runner.clock, warmup=task.method.warmup or 0, rounds=rounds))
        for probe in engine.registry.probes(task.metrics):
            if probe.wants_result:
                _refuse(probe, task)
                continue
            warmup = probe.warmup if task.method.warmup is None else task.method.warmup
            if self._passes and task.method.warmup is None:
                warmup = max(warmup - sum(each.warmup + each.rounds for each in self._passes), 0)
            self._passes.append(_Pass(probe=probe, warmup=warmup, rounds=probe.rounds))
        self._schedule: list[_Run] = []
        for each in self._passes:
            self._schedule += _runs(each, Stage(probe=each.probe, warmup=each.warmup, rounds=each.rounds))
        if self._passes and isinstance(self._passes[-1].probe, StagedProbe):
            # The last run is the one that is reported, however many the pass before it still wants.
            self._schedule.append((None, None, False))
        self._next = 0

    @property
    def total(self) -> int:
        """Return how many runs of the protocol there are."""
        return len(self._schedule)

    @property
    def done(self) -> int:
        """Return how many runs of the protocol were made."""
        return self._next

    @property
    def remaining(self) -> int:
        """Return how many runs of the protocol are still to be made."""
        return len(self._schedule) - self._next

    @contextlib.contextmanager
    def around(self, item: Any) -> Iterator[None]:
        """Measure the body of `item` with the instrument whose turn it is, while the context lasts."""
        run = self._schedule[self._next]
        original = item.obj
        measured = _measured(original, functools.partial(self._observe, *run))
        item.obj = measured
        # pytest leaves coroutines to unittest, and pytest-django all of its tests: the instance is asked for its body.
        asks_instance = isinstance(item, TestCaseFunction)
        if asks_instance:
            setattr(item.instance, item.name, measured)
        try:
            yield
            self._next += 1
            self._extend(run[0])
        finally:
            item.obj = original
            if asks_instance:
                vars(item.instance).pop(item.name, None)  # pytest drops its own

    def _extend(self, current: _Pass | None) -> None:
        """Schedule what the instrument of a pass still wants, where the runs of that pass have been made."""
        if current is None or any(each is current for each, _, _ in self._schedule[self._next :]):
            return
        stage = current.proceed()
        if stage is not None:
            self._schedule[self._next : self._next] = _runs(current, stage)

    def finish(self) -> list[Measurement]:
        """Return the measurement of the body, made of all passes."""
        key = Key(test=self._task.test)
        series: list[Series] = []
        for each in self._passes:
            if each.probe is self._engine.runner.clock:
                series.extend(timed_block(key, self._engine, each.readings, self._references).series)
            else:
                series.extend(to_series(each.probe.metrics, each.readings))
        readings = [reading for each in self._passes for reading in each.readings]
        return [self._engine.complete(to_measurement(key, series, readings, group=self._task.method.group))]

    @contextlib.contextmanager
    def _observe(self, current: _Pass | None, probe: Probe | None, counts: bool) -> Iterator[None]:
        if current is None or probe is None:
            yield
            return
        timed = probe is self._engine.runner.clock
        if timed:
            self._read_references()
        with observe(probe) as readings:
            yield
        if timed:
            self._read_references()
        if counts:
            current.readings.extend(readings)

    def _read_references(self) -> None:
        self._references.extend(self._engine.runner.read_reference() for _ in range(REFERENCES_BESIDE))


def _runs(current: _Pass, stage: Stage) -> list[_Run]:
    return [(current, stage.probe, number >= stage.warmup) for number in range(stage.warmup + stage.rounds)]


def _refuse(probe: Probe, task: Task) -> None:
    """Raise where `task` has a budget on what a call returns; a metric that is measured everywhere is left out."""
    for metric in probe.metrics:
        if any(budget.metric == metric.name for budget in task.budgets):
            raise MeasurementError(
                f"{metric.name} of {task.test} has a budget, but it is measured on what a call returns, and the body "
                "of a test returns nothing; call perf(function, …) in the test"
            )


def _measured(function: Callable[..., Any], context: Callable[[], Any]) -> Callable[..., Any]:
    """Return `function` with `context` around each call; a coroutine function stays one."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def measured_async(*args: Any, **kwargs: Any) -> Any:
            with context():
                return await function(*args, **kwargs)

        return measured_async

    @functools.wraps(function)
    def measured(*args: Any, **kwargs: Any) -> Any:
        with context():
            return function(*args, **kwargs)

    return measured


PASSES = pytest.StashKey[BodyPasses]()
