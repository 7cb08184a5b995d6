"""What a run considers a failure, and how sure it wants to be."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pytest_perfguard.model.verdict import Outcome, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules of one run; they are the same for each of its tests."""

    confidence: float = 0.99
    """The chance that a run over unchanged code calls nothing regressed, over all its comparisons together."""
    tests: int = 1
    """Guarded tests of the run, among which the chance of a false alarm is divided (Bonferroni)."""
    margin: float = 0.10
    """Relative changes up to this are not worth a verdict against a stored baseline."""
    budget_confidence: float = 0.95
    """Two-sided confidence of the interval that is held against a budget."""
    fail_on: frozenset[Outcome] = frozenset({Outcome.OVER_BUDGET, Outcome.REGRESSED})
    weak_fails: bool = False
    """Whether comparisons with a weak or foreign baseline may fail tests."""
    contended_fails: bool = False
    """Whether times that were measured beside other workers may fail tests."""

    def of(self, tests: int) -> Policy:
        """Return this policy for a run of so many guarded tests."""
        return replace(self, tests=tests)

    def alpha(self, comparisons: int) -> float:
        """Return the chance of a false alarm that each of a test's timed comparisons may take."""
        return (1 - self.confidence) / (max(self.tests, 1) * max(comparisons, 1))

    def settle(self, verdict: Verdict, *, lenient: bool = False) -> Verdict:
        """Return `verdict` with its decision whether it fails; a `lenient` one never does."""
        return replace(verdict, fails=verdict.outcome in self.fail_on and not lenient)
