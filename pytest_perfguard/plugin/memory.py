"""The facet `perf.memory`: blocks with limits on memory, and on what they leave behind."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pytest_perfguard.config.marker import parse_budgets
from pytest_perfguard.errors import ConfigError, MeasurementError
from pytest_perfguard.measure.observation import Observation
from pytest_perfguard.model.budget import Budget
from pytest_perfguard.model.metric import OF_LEFT, Metric
from pytest_perfguard.quantity import render

if TYPE_CHECKING:
    from pytest_perfguard.plugin.recording import Recording

_HEAP = frozenset({"heap", "allocations", "allocated"})
_LIMITED = OF_LEFT | _HEAP | {"memory", "rss", "gc_collections", "gc_pause"}
"""Metrics that a block can be limited by: those that one run can tell."""
_REPEATED = frozenset({"retained", "rss_growth", "result_size"})


class MemoryRecord:
    """What a block needed, to be read once it has ended: an attribute for each metric, in base units.

    `peak` is another name of `memory`. Sizes are bytes, pauses seconds, the rest counts.
    """

    def __init__(self, test: str, metrics: Mapping[str, Metric]) -> None:
        self._test = test
        self._metrics = metrics
        self._values: dict[str, int] | None = None

    def keep(self, seen: Observation) -> None:
        """Take what was read when the block ended."""
        self._values = seen.values

    @property
    def peak(self) -> float:
        """Return the bytes by which resident memory rose at its highest."""
        return self._value("memory")

    def __getattr__(self, name: str) -> float:
        if name.startswith("_") or name not in _LIMITED:
            raise AttributeError(f"a record of perf.memory() has no {name!r}")
        return self._value(name)

    def _value(self, name: str) -> float:
        if self._values is None:
            raise MeasurementError(
                f"a record of perf.memory() was read within its block ({self._test}); read it after the block"
            )
        if name not in self._values:
            raise AttributeError(f"{name} was not measured; ask for it: perf.memory({name}=…)")
        return self._values[name] * self._metrics[name].scale

    def __str__(self) -> str:
        values = self._values or {}
        shown = (f"{name} {render(self._value(name), self._metrics[name].unit)}" for name in sorted(values))
        return ", ".join(shown)

    def __repr__(self) -> str:
        return f"<memory of {self._test}{'' if self._values is None else f': {self}'}>"


class Memory:
    """Measures the memory of blocks of a test, which run once."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    @contextlib.contextmanager
    def __call__(
        self,
        *,
        max: int | str | None = None,  # noqa: A002
        name: str = "memory",
        **limits: Any,
    ) -> Iterator[MemoryRecord]:
        """Measure a block, which fails where a limit is exceeded; give a `MemoryRecord`.

        `max` is the limit of its peak, the budget `memory`; further limits are `leaked`, `rss`, `gc_pause`, and with
        the extra memray `heap`, `allocations` and `allocated`. What needs several calls (`retained`, `rss_growth`) or a
        result (`result_size`) is a `ConfigError`. `name` is what reports and baselines call it. What the block raises
        comes through.
        """
        budgets = self._parse(limits if max is None else {"memory": max, **limits})
        wanted = {budget.metric for budget in budgets}
        always = {"gc_collections", "gc_pause"} | (set() if wanted & _HEAP else {"memory"})  # one would see the other
        record = MemoryRecord(self._recording.test, self._recording.metrics)
        key = self._recording.numbered(name)
        probes = self._recording.probes(wanted | always)
        probes = probes[::-1]  # what disturbs least sees least of the others
        with self._recording.block(key, probes, budgets, record.keep):
            yield record

    def _parse(self, limits: dict[str, Any]) -> tuple[Budget, ...]:
        origin = f"perf.memory() in {self._recording.test}"
        repeated = sorted(_REPEATED & limits.keys())
        if repeated:
            raise ConfigError(
                f"{repeated[0]} cannot be told of a block, which runs once ({origin}); "
                "measure a function: perf(function, argument, …)"
            )
        known = {name: metric for name, metric in self._recording.metrics.items() if name in _LIMITED}
        return parse_budgets(limits, (), metrics=known, origin=origin) if limits else ()
