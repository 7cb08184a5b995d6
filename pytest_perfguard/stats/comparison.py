"""Two groups of runs compared on the logarithmic scale, with an interval and the smallest change they could show."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_perfguard.stats.spread import Spread

POWER = 0.8
"""The chance with which a change of the detectable size is found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """By how much head differs from base, as a difference of logarithms, with its interval."""

    estimate: float
    low: float
    high: float
    detectable: float


def compare(
    base: Sequence[float], head: Sequence[float], spread: Spread, *, alpha: float, margin: float = 0.0
) -> Shift:
    """Return the shift between the means of two groups of logarithms, one value a run.

    `low` and `high` each miss the truth with probability `alpha`; Student's t with the spread's degrees of freedom.
    `detectable` is the shift whose lower bound would exceed `margin` with a probability of 80 %.
    """
    from scipy.special import stdtrit

    error = spread.deviation * math.sqrt(1 / len(base) + 1 / len(head))
    reach = float(stdtrit(spread.degrees, 1 - alpha)) * error
    estimate = statistics.fmean(head) - statistics.fmean(base)
    return Shift(
        estimate=estimate,
        low=estimate - reach,
        high=estimate + reach,
        detectable=margin + reach + float(stdtrit(spread.degrees, POWER)) * error,
    )


def runs_needed(shift: float, base: int, spread: Spread, *, alpha: float, margin: float = 0.0) -> int | None:
    """Return how many runs on each side would show `shift` four times out of five, None if not even 100 would."""
    from scipy.special import stdtrit

    for runs in range(base, 101):
        degrees = spread.degrees + 2 * (runs - base)
        error = spread.deviation * math.sqrt(2 / runs)
        if margin + (float(stdtrit(degrees, 1 - alpha)) + float(stdtrit(degrees, POWER))) * error <= shift:
            return runs
    return None
