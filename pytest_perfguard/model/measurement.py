"""What one process found out about one piece of code."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_perfguard.model.budget import Budget
from pytest_perfguard.model.growth import Detail, Growth
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.queries import QueryLog
from pytest_perfguard.model.sample import Series


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Key:
    """What is compared from commit to commit: a test, and the name of a measurement in it ("" for the test's body)."""

    test: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.test} [{self.name}]" if self.name else self.test


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """All series of one piece of code, and what explains them."""

    key: Key
    series: tuple[Series, ...]
    group: str = ""
    queries: QueryLog | None = None
    growth: tuple[Growth, ...] = ()
    """What each call leaves behind, largest first."""
    details: tuple[Detail, ...] = ()
    budgets: tuple[Budget, ...] = ()
    """Limits that were set where it was measured, beside those of the test."""
    notes: tuple[Note, ...] = ()
    contended: bool = False
    """Whether other workers of this run were competing for the machine (pytest-xdist)."""

    def get(self, metric: str) -> Series | None:
        """Return the series of `metric`, or None where it was not measured."""
        return next((series for series in self.series if series.metric.name == metric), None)
