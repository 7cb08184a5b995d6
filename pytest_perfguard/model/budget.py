"""Limits that must hold, and where each was set."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pytest_perfguard.model.metric import Metric, Tolerance


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One limit on one metric: either `limit` in the metric's base unit, or `factor` times what `reference` took."""

    metric: str
    limit: float | None = None
    factor: float | None = None
    reference: str = ""
    """The name of a test or of a named measurement of the same run; only with `factor`."""
    measurement: str | None = None
    """The named measurement that it applies to; None for every one of the test."""
    table: str = ""
    """The database table that it applies to, for metrics that count statements; empty for all."""
    folder: bool = False
    """Whether it was set for a folder, a file or a pattern in the ini file, and not for the test itself."""
    origin: str = ""
    """Where it was set, for messages: "marker on tests/test_a.py::test_x", "perfguard_budgets in pytest.ini"."""

    @property
    def label(self) -> str:
        """Return the metric, with the table where there is one: "queries[orders]"."""
        return f"{self.metric}[{self.table}]" if self.table else self.metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How a piece of code is to be measured; None leaves the choice to the runner."""

    rounds: int | None = None
    """The exact number of rounds; otherwise as many as fit into `target_time`."""
    iterations: int | None = None
    """Calls per round; otherwise calibrated so that a round is long against the clock's resolution."""
    warmup: int | None = None
    """Calls before the first round; otherwise one call and what the calibration needs."""
    target_time: float = 0.4
    """Seconds that the rounds of one measurement should take."""
    max_time: float = 10.0
    """Seconds after which a measurement ends, finished or not; at most one call more."""
    min_effect: float | None = None
    """The smallest relative change worth a verdict, as a fraction; None for the run's default."""
    group: str = ""
    gc: bool = False
    """Whether the garbage collector stays on during rounds."""
    metrics: tuple[str, ...] = ()
    """Metrics to measure beside those that have budgets."""
    tolerance: tuple[tuple[str, Tolerance], ...] = ()
    """What exact metrics may differ from a baseline, where somebody said so, by name."""

    def tolerated(self, metric: Metric) -> Metric:
        """Return `metric` with the tolerance that was chosen for it, if one was."""
        return replace(metric, tolerance=dict(self.tolerance).get(metric.name, metric.tolerance))
