"""What one run says about a typical value."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from pytest_perfguard.stats.spread import Spread


def median_interval(values: Sequence[float], *, confidence: float) -> tuple[float, float, float]:
    """Return the median of `values` and bounds of the population's, by order statistics (Conover 1999, section 3.2).

    With too few values for the confidence, the bounds are the smallest and the largest value.
    """
    from scipy.special import bdtr

    ordered = sorted(values)
    count = len(ordered)
    tail = (1 - confidence) / 2
    rank = 0
    while rank + 1 < (count + 1) // 2 and float(bdtr(rank + 1, count, 0.5)) <= tail:
        rank += 1
    return statistics.median(ordered), ordered[rank], ordered[count - 1 - rank]


def widen(low: float, high: float, spread: Spread, deviation: float = 0.0, *, confidence: float) -> tuple[float, float]:
    """Return an interval of positive values made wider by what another run of the same code may differ.

    `spread` is of the logarithm, `deviation` in the values' own unit; the lower bound does not fall below 0.
    """
    from scipy.special import stdtrit

    reach = float(stdtrit(spread.degrees, 1 - (1 - confidence) / 2))
    factor = math.exp(reach * spread.deviation)
    return max(low / factor - reach * deviation, 0.0), high * factor + reach * deviation
