"""Whether values go on growing from call to call, where they rise in steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_FEWEST = 8
"""Values in which a growth can be told at all: each half has four."""

_QUANTUM = 1 / 3
"""A growth in steps was found in all of its phases from this share of the slack above the slack on, in simulations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """What values grow by from one to the next, and bounds of it."""

    value: float
    low: float
    high: float
    resolution: float
    """The growth that even values without any noise can hide."""
    visible: float
    """The growth that these values would have shown."""


def estimate_slope(values: Sequence[float], *, confidence: float, slack: float = 0.0) -> Slope:
    """Return the median of the slopes between all pairs of `values`, one step apart, and bounds of what goes on.

    The estimator is that of Theil (1950), its distribution-free interval that of Sen (1968, J. Am. Stat. Assoc. 63:324)
    by Kendall's S, both by `scipy.stats.theilslopes`. The interval supposes that values lie around a line. Memory that
    settles does not: it rises in a few steps, ever fewer of them. A leak goes on. So the lower bound is the lowest of
    those of all values and of either half of them, and of the slope that the series ends with when what changed between
    all of it and its second half goes on changing. It is lower still by `slack` over the whole series, in the unit of
    the values: so much they may rise by without growing. Of fewer than 8 values the bounds are infinite.
    """
    count = len(values)
    if count < _FEWEST:
        return Slope(value=0.0, low=-math.inf, high=math.inf, resolution=math.nan, visible=math.inf)
    half = count // 2
    value, whole, high = _theil_sen(values, confidence)
    _, first, _ = _theil_sen(values[:half], confidence)
    ending, last, _ = _theil_sen(values[count - half :], confidence)
    rise = slack / (count - 1)
    low = min(whole, first, last, 2 * ending - value) - rise
    quantum = _QUANTUM * rise
    return Slope(value=value, low=low, high=high, resolution=rise + quantum, visible=value - low + quantum)


def _theil_sen(values: Sequence[float], confidence: float) -> tuple[float, float, float]:
    if min(values) == max(values):  # of values without ranks the library makes no interval
        return 0.0, 0.0, 0.0
    from scipy.stats import theilslopes

    found = theilslopes(values, alpha=confidence, method="separate")
    return float(found.slope), float(found.low_slope), float(found.high_slope)
