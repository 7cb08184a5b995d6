"""What is to be measured in a guarded test."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pytest_perfguard.model.budget import Budget, Method
from pytest_perfguard.model.metric import OF_CLOCK


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A guarded test: its budgets, and how it wants to be measured."""

    test: str
    budgets: tuple[Budget, ...]
    method: Method
    explicit: bool = False
    """Whether a `perf` marker asked for a measurement, so that time is measured without a budget too."""

    @property
    def metrics(self) -> frozenset[str]:
        """Return the names of the metrics that it needs."""
        return frozenset({budget.metric for budget in self.budgets} | set(self.method.metrics))

    @property
    def counted(self) -> Task:
        """Return this task without what is about time."""
        return replace(
            self,
            budgets=tuple(budget for budget in self.budgets if budget.metric not in OF_CLOCK),
            method=replace(self.method, metrics=tuple(name for name in self.method.metrics if name not in OF_CLOCK)),
            explicit=False,
        )

    @property
    def timed(self) -> bool:
        """Return whether the body of the test is to be timed."""
        return self.explicit or bool(self.metrics & OF_CLOCK) or not self.metrics
