"""Fresh pairs of processes as independent observations of one change: its estimate, and tests that may be repeated.

All values are differences of logarithms, head less base: 0.05 is about 5 % slower. The reasons for each constant, and
the data that it was chosen on, are in `docs/design.md`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_perfguard.stats.comparison import POWER

LOOKS = (6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192)
"""Numbers of pairs after which a search may decide: below 6, pairs that happen to agree look surer than they are."""

CONFIRMING_LOOKS = (4, *(look for look in LOOKS if look <= 128))
"""Numbers of fresh pairs after which a confirmation may decide. Four are enough for what is as clear as a doubling."""

SHARES = tuple(0.22 * (look / 128) ** 0.75 for look in CONFIRMING_LOOKS)
"""Which share of the whole chance of a false alarm each confirming look may take as its own level.

The looks are not independent, so that they add up to 2.2. Integrated over them as over a random walk, a whole of 0.05,
0.01, 0.001 or 0.0001 becomes 0.66, 0.78, 0.92 or 1.04 times as much."""

TRIMMED = 0.2
"""The share of pairs left out at either end."""
FLOOR = 0.003
"""No code is believed to differ less than this between pairs, however alike a few of them are."""


def pair_shift(base: Sequence[float], head: Sequence[float]) -> float | None:
    """Return the one value of a pair: the shift between the means of either side's faster half of blocks.

    What disturbs a block only ever makes it slower, as the first ones after a change of test are. Over recorded pairs
    of unchanged code this differed less from pair to pair than the median of the quads, by 11 to 16 %. Blocks without
    a positive, finite time are left out with what they were measured beside; None where none is left.
    """
    usable = [(before, after) for before, after in zip(base, head, strict=True) if _usable(before) and _usable(after)]
    if not usable:
        return None
    half = (len(usable) + 1) // 2
    faster = [statistics.fmean(sorted(side)[:half]) for side in zip(*usable, strict=True)]
    before, after = faster
    return math.log(after / before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A shift with its standard error, which has so many degrees of freedom and comes from `count` pairs."""

    shift: float
    error: float
    degrees: float
    count: int

    @property
    def deviation(self) -> float:
        """The standard deviation of one pair, as far as it matters for the error."""
        return self.error * math.sqrt(self.count)

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return two-sided bounds of the shift."""
        reach = self.quantile(1 - (1 - confidence) / 2) * self.error
        return self.shift - reach, self.shift + reach

    def above(self, edge: float) -> float:
        """Return the p-value of the shift being no more than `edge`: small where it is more."""
        from scipy.special import stdtr

        return float(stdtr(self.degrees, (edge - self.shift) / self.error))

    def below(self, edge: float) -> float:
        """Return the p-value of the shift being no less than `edge`: small where it is less."""
        from scipy.special import stdtr

        return float(stdtr(self.degrees, (self.shift - edge) / self.error))

    def detectable(self, edge: float, *, alpha: float) -> float:
        """Return the shift that a test of "no more than `edge`" at level `alpha` finds four times out of five."""
        return edge + (self.quantile(1 - alpha) + self.quantile(POWER)) * self.error

    def quantile(self, probability: float) -> float:
        """Return the quantile of Student's t with the estimate's degrees of freedom."""
        from scipy.special import stdtrit

        return float(stdtrit(self.degrees, probability))


def estimate(shifts: Sequence[float]) -> Estimate:
    """Return what two or more pairs say together: their trimmed mean, with the error of Yuen (1974, Biometrika 61:165).

    As many are left out at either end as `trimmed` says: none of fewer than nine, and a fifth of many. Where processes
    settle in one of two memory layouts, the middle tells more than the mean; where not, trimming costs little.
    """
    ordered = sorted(shifts)
    count = len(ordered)
    cut = trimmed(count)
    kept = count - 2 * cut
    winsorised = [ordered[cut]] * cut + ordered[cut : count - cut] + [ordered[count - cut - 1]] * cut
    squares = statistics.variance(winsorised) * (count - 1)
    error = math.sqrt(squares / (kept * (kept - 1)))
    return Estimate(
        shift=statistics.fmean(ordered[cut : count - cut]),
        error=max(error, FLOOR / math.sqrt(count)),
        degrees=kept - 1,
        count=count,
    )


def trimmed(count: int) -> int:
    """Return how many of `count` sorted values are left out at either end."""
    return max(0, math.floor((count - 4) * TRIMMED + 1e-9))


def uneven(shifts: Sequence[float]) -> bool:
    """Return whether mean and median tell different stories of twelve or more pairs: of groups, or of a few far off.

    They do when they differ by more than two standard errors, or when the standard deviation is more than twice what
    the median distance from the median makes of a normal distribution.
    """
    if len(shifts) < 12:
        return False
    middle, deviation = statistics.median(shifts), max(statistics.stdev(shifts), FLOOR)
    usual = max(1.4826 * statistics.median(abs(shift - middle) for shift in shifts), FLOOR)
    return abs(statistics.fmean(shifts) - middle) > 2 * deviation / math.sqrt(len(shifts)) or deviation > 2 * usual


def estimates(shifts: Sequence[float], looks: Sequence[int]) -> tuple[Estimate, ...]:
    """Return the estimates at all `looks` that were reached, each from the first so many of `shifts`."""
    return tuple(estimate(shifts[:look]) for look in looks if look <= len(shifts))


def sequential(levels: Sequence[float]) -> float:
    """Return a p-value that holds whichever look one stops at, from the p-values of the confirming looks so far.

    Each look has its share of the whole, as in the alpha spending of Lan & DeMets (1983, Biometrika 70:659); the
    smallest p-value in proportion to its share decides. It never rises with more looks.
    """
    return min((level / share for level, share in zip(levels, SHARES, strict=False)), default=1.0)


def discoveries(levels: Sequence[float], *, rate: float) -> tuple[bool, ...]:
    """Return which p-values are discoveries at a false discovery `rate` (Benjamini & Hochberg 1995).

    Where nothing is there to be found, the chance of any discovery is at most `rate`.
    """
    ordered = sorted(levels)
    count = len(ordered)
    limit = max((level for rank, level in enumerate(ordered, 1) if level <= rate * rank / count), default=-1.0)
    return tuple(level <= limit for level in levels)


def until_next(count: int, looks: Sequence[int]) -> int:
    """Return how many pairs are missing at the next of `looks`, 0 after the last."""
    return next((look - count for look in looks if look > count), 0)


def _usable(value: float) -> bool:
    return math.isfinite(value) and value > 0
