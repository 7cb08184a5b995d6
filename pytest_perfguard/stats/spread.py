"""How much runs of unchanged code differ from one another, learned across tests.

One test has few runs, so its own variance is a poor guess; all tests of a machine class together tell what is usual
there. The variances are shrunk towards that (Smyth 2004, "Linear models and empirical Bayes methods", Stat. Appl.
Genet. Mol. Biol. 3:3): a test's variance and the prior are averaged by their degrees of freedom, and the t statistic
made with it has the degrees of freedom of both.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A standard deviation of logarithms between runs, and how many degrees of freedom stand behind it."""

    deviation: float
    degrees: float


UNKNOWN = Spread(deviation=0.06, degrees=4.0)
"""What is assumed of a machine that nothing is known of.

Between processes of unchanged code on a shared two-processor virtual machine the smaller of the two changes that a
comparison looks at had a standard deviation of 2 to 6 % with heavy tails (`docs/design.md`)."""

FLOOR = 0.025
"""No machine is believed to be calmer than this between runs, however calm its history was."""

CALMEST_DEGREES = 8.0
"""A prior never counts for more than this: a calm past does not promise a calm present. With this and `FLOOR`, between
0.0 and 0.8 % of simulated runs over unchanged code failed, drawn from recorded processes (`docs/design.md`)."""


def pool(groups: Sequence[Sequence[float]]) -> Spread | None:
    """Return the spread within groups of values that should be equal, None where no group has two values."""
    degrees = sum(len(group) - 1 for group in groups if group)
    if degrees <= 0:
        return None
    squares = sum((value - statistics.fmean(group)) ** 2 for group in groups if group for value in group)
    return Spread(deviation=math.sqrt(squares / degrees), degrees=degrees)


def from_steps(values: Sequence[float]) -> Spread | None:
    """Return the spread of a sequence of single values that may also hold a few true steps.

    It takes the median of the absolute differences of neighbours, which a step here and there does not move (after
    Rice 1984, with a median for robustness); None for fewer than five values.
    """
    if len(values) < 5:
        return None
    steps = [abs(after - before) for before, after in itertools.pairwise(values)]
    return Spread(deviation=statistics.median(steps) / (0.6745 * math.sqrt(2)), degrees=len(steps) / 2)


def fit_prior(spreads: Sequence[Spread], unknown: Spread = UNKNOWN) -> Spread:
    """Return what is usual among `spreads`, by the moments of their logarithms (Smyth 2004, section 6.2).

    `unknown` counts as one more spread, and is returned where fewer than three tests tell anything.
    """
    known = [spread for spread in spreads if spread.degrees >= 1]
    if len(known) < 3:
        return unknown
    from scipy.special import digamma, polygamma

    weights = [min(spread.degrees, 10.0) for spread in (*known, unknown)]
    shifted = [
        2 * math.log(max(spread.deviation, FLOOR)) - float(digamma(spread.degrees / 2)) + math.log(spread.degrees / 2)
        for spread in (*known, unknown)
    ]
    total = sum(weights)
    mean = sum(weight * value for weight, value in zip(weights, shifted, strict=True)) / total
    variance = sum(weight * (value - mean) ** 2 for weight, value in zip(weights, shifted, strict=True)) / total
    expected = sum(
        weight * float(polygamma(1, spread.degrees / 2))
        for weight, spread in zip(weights, (*known, unknown), strict=True)
    )
    excess = variance - expected / total
    degrees = CALMEST_DEGREES if excess <= 0 else min(2 * _inverse_trigamma(excess), CALMEST_DEGREES)
    degrees = max(degrees, unknown.degrees)  # what was learned is worth no less than what was assumed
    deviation = math.exp((mean + float(digamma(degrees / 2)) - math.log(degrees / 2)) / 2)
    return Spread(deviation=max(deviation, FLOOR), degrees=degrees)


def moderate(own: Spread | None, prior: Spread) -> Spread:
    """Return the spread of one test: its own and the prior, averaged by degrees of freedom (Smyth 2004, eq. 4)."""
    if own is None:
        return prior
    degrees = own.degrees + prior.degrees
    variance = (own.degrees * own.deviation**2 + prior.degrees * prior.deviation**2) / degrees
    return Spread(deviation=max(math.sqrt(variance), FLOOR), degrees=degrees)


def few_rounds(rounds: int) -> tuple[float, float]:
    """Return how unsteady a run of few rounds makes its value: a relative deviation, and one in seconds a round.

    A body that was timed once, cold, differed by 8 to 18 % between processes, at 1 to 9 ms. What the first use of
    anything costs does not shrink with the body, hence the second part. Both fade with the number of rounds: after five
    a run's low quantile is hardly moved, after a hundred not at all.
    """
    return 0.10 / rounds, 0.0005 / rounds**2


def add(spread: Spread, deviation: float) -> Spread:
    """Return `spread` with an independent further `deviation`."""
    return Spread(deviation=math.hypot(spread.deviation, deviation), degrees=spread.degrees)


def _inverse_trigamma(value: float) -> float:
    """Return x with trigamma(x) = value, by Newton's method on 1/trigamma (Smyth 2004, appendix)."""
    from scipy.special import polygamma

    guess = 0.5 + 1 / value
    for _ in range(50):
        current = float(polygamma(1, guess))
        step = current * (1 - current / value) / float(polygamma(2, guess))
        guess += step
        if -step / guess < 1e-8:
            break
    return guess
