"""What one run of one test records: the state between the start of its call and its verdicts."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from pytest_perfguard.config.marker import parse_method
from pytest_perfguard.engine import Engine
from pytest_perfguard.errors import MeasurementError
from pytest_perfguard.judge.sentence import paragraphs
from pytest_perfguard.measure import reference
from pytest_perfguard.measure.caller import refuse_awaitable
from pytest_perfguard.measure.observation import Observation, observe, observe_block, to_series
from pytest_perfguard.measure.plan import Call
from pytest_perfguard.model.budget import Budget, Method
from pytest_perfguard.model.measurement import Key, Measurement
from pytest_perfguard.model.metric import REFERENCE, Metric
from pytest_perfguard.model.protocols import Probe, Reading
from pytest_perfguard.model.sample import Series
from pytest_perfguard.model.task import Task
from pytest_perfguard.plugin.failure import PerfguardFailed
from pytest_perfguard.plugin.query_record import LIMITED

REFERENCES_BESIDE = 5
"""Readings of the reference work on either side of a block that is timed once."""


@dataclass(slots=True)
class _Span:
    readings: list[Reading] = field(default_factory=list)
    references: list[int] = field(default_factory=list)


class Recording:
    """Collects the measurements of one test."""

    def __init__(self, engine: Engine, task: Task, *, judges: bool = True) -> None:
        self.test = task.test
        self._judges = judges
        self._engine = engine
        self._task = task
        self._finished: list[Measurement] = []
        self._spans: dict[str, _Span] = {}
        self._values: dict[str, tuple[Metric, list[int]]] = {}
        self._busy = False

    def check_method(self, given: dict[str, Any]) -> None:
        """Raise `ConfigError` where `given` cannot be the method of a measurement."""
        self._method(given)

    def measure(self, call: Call, name: str | None, given: dict[str, Any]) -> Any:
        """Measure a call under `name` and return what its first call returned."""
        if self._engine.settings.disable:
            result = _call_once(call)
            refuse_awaitable(call, result)
            return result
        with self._exclusively():
            key = self._key(call, name)
            result, measurement = self._engine.runner.measure(call, self._plan(key, given))
            self._finished.append(measurement)
        return result

    async def measure_async(self, call: Call, name: str | None, given: dict[str, Any]) -> Any:
        """Measure a coroutine function under `name` and return what the first await gave."""
        if self._engine.settings.disable:
            return await _call_once(call)
        with self._exclusively():
            key = self._key(call, name)
            result, measurement = await self._engine.runner.measure_async(call, self._plan(key, given))
            self._finished.append(measurement)
        return result

    @contextlib.contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Time a block under `name`; a name may be used again, each time is a round."""
        if self._engine.settings.disable:
            yield
            return
        if not name or any(measurement.key.name == name for measurement in self._finished):
            raise MeasurementError(f"perf.span({name!r}) in {self.test}: a span needs a name that no other has")
        runner = self._engine.runner
        span = self._spans.setdefault(name, _Span())
        span.references.extend(runner.read_reference() for _ in range(REFERENCES_BESIDE))
        with observe(runner.clock) as readings:
            yield
        span.readings.extend(readings)
        span.references.extend(runner.read_reference() for _ in range(REFERENCES_BESIDE))

    @property
    def wanted(self) -> frozenset[str]:
        """Return the metrics of statements that the test has budgets for, or is to measure."""
        return self._task.metrics & LIMITED

    @property
    def disabled(self) -> bool:
        """Return whether nothing is to be measured or judged."""
        return self._engine.settings.disable

    def probes(self, wanted: Iterable[str]) -> tuple[Probe, ...]:
        """Return the instruments for the metrics `wanted`, beside the clock."""
        return self._engine.registry.probes(wanted)

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Return the definitions of all metrics that have instruments."""
        return self._engine.registry.metrics

    def finish(self, measurement: Measurement) -> None:
        """Keep a measurement with limits of its own; raise where it is over one, unless others judge or nobody does."""
        if self._engine.settings.disable:
            return
        self._finished.append(measurement)
        if self._judges:
            failures = [verdict for verdict in self._engine.check_limits(measurement) if verdict.fails]
            if failures:
                raise PerfguardFailed(paragraphs(failures))

    @contextlib.contextmanager
    def block(
        self, key: Key, probes: Sequence[Probe], budgets: Sequence[Budget], keep: Callable[[Observation], None]
    ) -> Iterator[None]:
        """Measure a block by `probes`, hand what they read to `keep`, and finish; what the block raises comes through.

        Where it raises, its limits are judged when the test has ended: the test may have expected that.
        """
        seen = Observation()
        try:
            with observe_block(probes) as seen:
                yield
        except BaseException:
            keep(seen)
            if not self.disabled:
                self._finished.append(seen.measurement(key, budgets))
            raise
        keep(seen)
        self.finish(seen.measurement(key, budgets))

    def record(self, metric: Metric, value: float) -> None:
        """Keep a value of the user's own."""
        if metric.name in self._engine.registry.metrics:
            raise MeasurementError(f"perf.metric({metric.name!r}) in {self.test}: this name is a metric of perfguard's")
        stored = _stored(metric, value)
        self._engine.registry.define(metric)
        _, values = self._values.setdefault(metric.name, (metric, []))
        values.append(stored)

    def take(self) -> list[Measurement]:
        """Return what was measured since the last time, and begin anew."""
        finished = [self._engine.complete(measurement) for measurement in self._finished]
        for name, span in self._spans.items():
            finished.append(
                self._engine.complete(
                    timed_block(Key(test=self.test, name=name), self._engine, span.readings, span.references)
                )
            )
        if self._values:
            series = tuple(Series(metric=metric, values=tuple(values)) for metric, values in self._values.values())
            finished = _with_series(finished, self.test, series)
        self._finished, self._spans, self._values = [], {}, {}
        return finished

    def _method(self, given: dict[str, Any]) -> Method:
        origin = f"perf.using() in {self.test}"
        own = parse_method([given], self._engine.settings, metrics=self._engine.registry.metrics, origin=origin)
        return replace(self._task.method, **{key: getattr(own, key) for key in given})

    def _plan(self, key: Key, given: dict[str, Any]) -> Any:
        return self._engine.plan(self._task, key.name, self._method(given))

    def numbered(self, name: str) -> Key:
        """Return the key of a measurement called `name`, with a number where there is one of that name."""
        taken = {measurement.key.name for measurement in self._finished} | set(self._spans)
        chosen, number = name, 2
        while chosen in taken:
            chosen, number = f"{name}#{number}", number + 1
        return Key(test=self.test, name=chosen)

    def _key(self, call: Call, name: str | None) -> Key:
        taken = {measurement.key.name for measurement in self._finished} | set(self._spans)
        if name is not None:
            if name in taken:
                raise MeasurementError(f"two measurements of {self.test} are called {name!r}; give each its own name")
            return Key(test=self.test, name=name)
        base = "" if "" not in taken else getattr(call.func, "__qualname__", type(call.func).__qualname__)
        base = base.rpartition("<locals>.")[2]
        chosen, number = base, 2
        while chosen in taken:
            chosen, number = f"{base}#{number}", number + 1
        return Key(test=self.test, name=chosen)

    @contextlib.contextmanager
    def _exclusively(self) -> Iterator[None]:
        if self._busy:
            raise MeasurementError(f"perf was called while it was measuring ({self.test}); measure one thing at a time")
        self._busy = True
        try:
            yield
        finally:
            self._busy = False


RECORDING = pytest.StashKey[Recording]()


def timed_block(key: Key, engine: Engine, readings: list[Reading], references: list[int]) -> Measurement:
    """Return the measurement of a block that was timed once for each reading."""
    beside = Series(metric=REFERENCE, values=tuple(references), iterations=reference.ITERATIONS)
    notes = dict.fromkeys(note for reading in readings for note in reading.notes)
    return Measurement(key=key, series=(*to_series(engine.runner.clock.metrics, readings), beside), notes=tuple(notes))


def _with_series(finished: list[Measurement], test: str, series: tuple[Series, ...]) -> list[Measurement]:
    own = Key(test=test)
    if not any(measurement.key == own for measurement in finished):
        return [*finished, Measurement(key=own, series=series)]
    return [replace(m, series=(*m.series, *series)) if m.key == own else m for m in finished]


def _stored(metric: Metric, value: object) -> int:
    """Return `value` in the stored unit of `metric`; raises `MeasurementError` where it is no finite number."""
    try:
        number = math.nan if isinstance(value, (str, bytes, bytearray)) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    stored = number / metric.scale
    if not math.isfinite(stored):
        raise MeasurementError(
            f"perf.metric({metric.name!r}) was given {_shown(value)}; "
            "give it a finite number of ordinary size, such as 12 or 0.75"
        )
    return round(stored)


def _shown(value: object) -> str:
    try:
        return f"{value!r:.80}"
    except ValueError:
        return f"a {type(value).__name__} too large to be shown"  # Python refuses to write very long integers


def _call_once(call: Call) -> Any:
    args, kwargs = call.args, call.kwargs
    if call.setup is not None and (prepared := call.setup()) is not None:
        args, kwargs = prepared
    return call.func(*args, **kwargs)
