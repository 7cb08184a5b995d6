"""Names and what stands behind them: instruments and reports, built in or added by others, loaded when first used."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from pytest_perfguard.errors import ConfigError, MeasurementError
from pytest_perfguard.model.metric import BUILTIN, OF_LEFT, OF_QUERIES, Metric
from pytest_perfguard.model.protocols import Probe, Reporter
from pytest_perfguard.model.queries import TableSizes

_CLOCK = "pytest_perfguard.probes.clock:ClockProbe"

_QUERY_PROBE = "pytest_perfguard.probes.queries:QueryProbe"

_QUERY_TIME_PROBE = "pytest_perfguard.probes.queries:QueryTimeProbe"

_CALLGRIND_PROBE = "pytest_perfguard.probes.callgrind:CallgrindProbe"

_HTTP_PROBE = "pytest_perfguard.probes.http:HttpProbe"

_HEAP_PROBE = "pytest_perfguard.probes.memory.heap:HeapProbe"

_ROOTED = (_QUERY_PROBE, _QUERY_TIME_PROBE, _HTTP_PROBE, _CALLGRIND_PROBE, _HEAP_PROBE)
"""Instruments that are told the folder that the user's own code is in."""

_TIMES = frozenset({"query_p95", "slowest_query", "db_time", "pool_wait_p95"})

_MEMORY = "pytest_perfguard.probes.memory"

_PROBES = {
    **{name: _QUERY_TIME_PROBE if name in _TIMES else _QUERY_PROBE for name in sorted(OF_QUERIES)},
    "http_calls": _HTTP_PROBE,
    "calls": "pytest_perfguard.probes.work:CallProbe",
    "work": "pytest_perfguard.probes.work:WorkProbe",
    "instructions": "pytest_perfguard.probes.instructions:InstructionProbe",
    "callgrind": _CALLGRIND_PROBE,
    **dict.fromkeys(("gc_collections", "gc_pause"), f"{_MEMORY}.collector:CollectorProbe"),
    "retained": f"{_MEMORY}.retained:RetainedProbe",
    **dict.fromkeys(sorted(OF_LEFT), f"{_MEMORY}.leftovers:LeftoverProbe"),
    "result_size": f"{_MEMORY}.size:SizeProbe",
    "rss": f"{_MEMORY}.resident:ResidentProbe",
    "rss_growth": f"{_MEMORY}.resident:GrowthProbe",
    **dict.fromkeys(("heap", "allocations", "allocated"), _HEAP_PROBE),
    "memory": f"{_MEMORY}.peak:PeakProbe",
}
"""In the order of their passes: what disturbs the process most comes last."""

_REPORTERS = {
    "json": "pytest_perfguard.report.json:JsonReporter",
    "markdown": "pytest_perfguard.report.markdown:MarkdownReporter",
    "terminal": "pytest_perfguard.report.terminal:TerminalReporter",
}

Factory = str | Callable[..., Any]
"""What makes an object: a callable, or where to find one, as "package.module:name"."""


class Registry:
    """The instruments and reports of one run; `add_…` is for plugins, through the hook `pytest_perfguard_register`."""

    def __init__(self, root: Path | None = None) -> None:
        """`root` is the folder that the user's own code is in, and that its paths are shown relative to."""
        self._root = root
        self.tables = TableSizes()
        self.metrics: dict[str, Metric] = dict(BUILTIN)
        self._own: dict[str, Metric] = {}
        self._probes: dict[str, Factory] = dict(_PROBES)
        self._reporters: dict[str, Factory] = dict(_REPORTERS)

    def add_probe(self, metrics: Iterable[Metric], factory: Factory) -> None:
        """Make `factory` the instrument for `metrics`; a name that is taken is a `ConfigError`."""
        metrics = tuple(metrics)
        taken = [metric.name for metric in metrics if metric.name in self.metrics]
        if taken:
            raise ConfigError(f"the metric {taken[0]!r} of {factory!r} exists already; choose another name")
        for metric in metrics:
            self.metrics[metric.name] = metric
            self._probes[metric.name] = factory

    def define(self, metric: Metric) -> None:
        """Keep the definition of a metric that a test records; another of the same name is a `MeasurementError`."""
        known = self._own.setdefault(metric.name, metric)
        if known != metric:
            raise MeasurementError(
                f"the metric {metric.name!r} is in {str(metric.unit)!r} here, {metric.better} is better, and was in "
                f"{str(known.unit)!r}, {known.better} is better, before in this run; "
                "give each quantity a name of its own"
            )

    def add_reporter(self, name: str, factory: Factory) -> None:
        """Make `factory` the reporter called `name`; a name that is taken is a `ConfigError`."""
        if name in self._reporters:
            raise ConfigError(f"the report format {name!r} of {factory!r} exists already; choose another name")
        self._reporters[name] = factory

    def probes(self, metrics: Iterable[str]) -> tuple[Probe, ...]:
        """Return the instruments that `metrics` need beside the clock, one of each kind, in a stable order."""
        wanted = frozenset(metrics)
        factories = dict.fromkeys(factory for name, factory in self._probes.items() if name in wanted)
        return tuple(_make(each, **self._arguments(each, wanted)) for each in factories)

    def _arguments(self, factory: Factory, wanted: Collection[str]) -> dict[str, Any]:
        arguments: dict[str, Any] = {"root": self._root} if factory in _ROOTED else {}
        if factory == _QUERY_PROBE:
            arguments.update(metrics=wanted, tables=self.tables)
        if factory == _HEAP_PROBE:
            arguments.update(metrics=wanted)
        return arguments

    def clock(self) -> Probe:
        """Return the instrument for time."""
        return cast("Probe", _make(_CLOCK))

    def reporter(self, name: str, origin: str) -> Reporter:
        """Return the reporter called `name`; an unknown one is a `ConfigError` that names `origin`."""
        if name not in self._reporters:
            known = ", ".join(sorted(self._reporters))
            raise ConfigError(f"unknown report format {name!r} ({origin}); known: {known}")
        return cast("Reporter", _make(self._reporters[name]))


def _make(factory: Factory, **arguments: Any) -> Any:
    if isinstance(factory, str):
        module, _, name = factory.partition(":")
        factory = cast("Callable[..., Any]", getattr(import_module(module), name))
    return factory(**arguments)
