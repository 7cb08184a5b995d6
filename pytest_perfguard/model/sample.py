"""Raw values of one metric, as they were measured."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from pytest_perfguard.model.metric import Metric, Reduce


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The values of one metric in the order of measuring: integers, each the total of `iterations` calls."""

    metric: Metric
    values: tuple[int, ...]
    iterations: int = 1

    def __len__(self) -> int:
        return len(self.values)

    def per_call(self) -> list[float]:
        """Return the values of one call each, in the metric's base unit, in the order of measuring."""
        factor = self.metric.scale / self.iterations
        return [value * factor for value in self.values]

    def reduced(self) -> float:
        """Return the one value that this process contributes, in the metric's base unit."""
        calls = self.per_call()
        match self.metric.reduce:
            case Reduce.LOW:
                return low_quantile(calls)
            case Reduce.MINIMUM:
                return min(calls)
            case Reduce.MEDIAN:
                return statistics.median(calls)
            case Reduce.MAXIMUM:
                return max(calls)
            case Reduce.SLOPE:
                return slope(calls)


def slope(values: list[float]) -> float:
    """Return the median of the slopes between all pairs of `values`, one step apart; 0 of fewer than two (Sen 1968)."""
    pairs = [
        (after - before) / (place - first)
        for first, before in enumerate(values)
        for place, after in enumerate(values[first + 1 :], first + 1)
    ]
    return statistics.median(pairs) if pairs else 0.0


def low_quantile(values: list[float], share: float = 0.1) -> float:
    """Return the `share` quantile of `values` by linear interpolation (Hyndman & Fan 1996, type 7)."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
