import math
import random
import statistics

import pytest

from pytest_perfguard.stats.comparison import compare, runs_needed
from pytest_perfguard.stats.location import median_interval, widen
from pytest_perfguard.stats.spread import FLOOR, UNKNOWN, Spread, fit_prior, from_steps, moderate, pool


def test_pool_is_the_deviation_within_groups():
    assert pool([[1.0, 3.0], [10.0, 12.0, 14.0], [5.0]]).degrees == 3
    assert pool([[1.0, 3.0], [10.0, 12.0, 14.0], [5.0]]).deviation == pytest.approx(math.sqrt((2 + 8) / 3))
    assert pool([[1.0], [2.0], []]) is None


def test_a_true_step_hardly_moves_the_spread_of_a_line():
    rng = random.Random(1)
    line = [rng.gauss(0, 0.03) for _ in range(40)]
    stepped = [value + (0.7 if place >= 20 else 0) for place, value in enumerate(line)]
    assert from_steps(stepped).deviation == pytest.approx(from_steps(line).deviation, rel=0.15)
    assert from_steps(line).deviation == pytest.approx(0.03, rel=0.5)
    assert from_steps(line[:4]) is None


@pytest.mark.parametrize("true", [0.03, 0.05, 0.15])
def test_the_prior_finds_what_is_usual(true):
    rng = random.Random(2)
    spreads = [pool([[rng.gauss(0, true) for _ in range(6)]]) for _ in range(60)]
    prior = fit_prior(spreads)
    assert prior.deviation == pytest.approx(true, rel=0.25)
    assert prior.degrees >= 8


def test_the_prior_is_weaker_where_tests_differ_but_never_weaker_than_no_knowledge():
    rng = random.Random(3)
    alike = [pool([[rng.gauss(0, 0.05) for _ in range(6)]]) for _ in range(60)]
    unlike = [pool([[rng.gauss(0, rng.choice([0.01, 0.3])) for _ in range(6)]]) for _ in range(60)]
    assert UNKNOWN.degrees <= fit_prior(unlike).degrees < fit_prior(alike).degrees


def test_little_is_known_from_two_tests():
    assert fit_prior([Spread(deviation=0.5, degrees=4)] * 2) == UNKNOWN


def test_moderation_averages_by_degrees_and_has_a_floor():
    own, prior = Spread(deviation=0.3, degrees=2), Spread(deviation=0.1, degrees=6)
    assert moderate(own, prior).degrees == 8
    assert moderate(own, prior).deviation == pytest.approx(math.sqrt((2 * 0.09 + 6 * 0.01) / 8))
    assert moderate(None, prior) == prior
    assert moderate(Spread(deviation=0.0, degrees=50), Spread(deviation=0.0, degrees=4)).deviation == FLOOR


def test_unchanged_code_is_called_slower_as_rarely_as_asked():
    """Between-run spread drawn from the prior, runs from the spread: the share of lower bounds above 0 is alpha."""
    rng, alpha, alarms, trials = random.Random(4), 0.02, 0, 4000
    prior = Spread(deviation=0.05, degrees=6)
    for _ in range(trials):
        chi2 = sum(rng.gauss(0, 1) ** 2 for _ in range(6))
        true = prior.deviation * math.sqrt(prior.degrees / chi2)
        base, head = [rng.gauss(0, true) for _ in range(3)], [rng.gauss(0, true) for _ in range(2)]
        spread = moderate(pool([base, head]), prior)
        alarms += compare(base, head, spread, alpha=alpha).low > 0
    assert alarms / trials == pytest.approx(alpha, abs=0.006)


def test_the_detectable_shift_is_found_four_times_of_five():
    rng, spread, found, trials = random.Random(5), Spread(deviation=0.05, degrees=1000), 0, 2000
    margin = 0.1
    shift = compare([0.0] * 3, [0.0] * 2, spread, alpha=0.01, margin=margin).detectable
    for _ in range(trials):
        base, head = [rng.gauss(0, 0.05) for _ in range(3)], [rng.gauss(shift, 0.05) for _ in range(2)]
        found += compare(base, head, spread, alpha=0.01).low > margin
    assert found / trials == pytest.approx(0.8, abs=0.03)


def test_more_runs_show_less():
    calm, rough = Spread(deviation=0.02, degrees=10), Spread(deviation=0.2, degrees=10)
    assert runs_needed(0.2, 1, calm, alpha=0.001, margin=0.05) < runs_needed(0.2, 1, rough, alpha=0.001, margin=0.05)
    assert runs_needed(0.2, 1, Spread(deviation=3.0, degrees=4), alpha=0.001) is None


@pytest.mark.parametrize(
    ("count", "ranks"), [(1, (0, 0)), (5, (0, 4)), (6, (0, 5)), (9, (1, 7)), (20, (5, 14)), (50, (17, 32))]
)
def test_median_intervals_are_those_of_the_tables(count, ranks):
    """95 % ranks as tabulated by Conover (1999), table A3, in steps of one."""
    ordered = [float(value) for value in range(count)]
    shuffled = random.Random(6).sample(ordered, count)
    assert median_interval(shuffled, confidence=0.95) == (statistics.median(ordered), *ranks)


def test_the_median_interval_covers_the_truth():
    rng, covered = random.Random(7), 0
    for _ in range(2000):
        _, low, high = median_interval([rng.expovariate(1) for _ in range(25)], confidence=0.95)
        covered += low <= math.log(2) <= high
    assert covered / 2000 >= 0.94


def test_widening_is_symmetric_on_the_logarithm():
    low, high = widen(2.0, 8.0, Spread(deviation=0.1, degrees=5), confidence=0.95)
    assert low / 2.0 == pytest.approx(8.0 / high)
    assert low < 2.0
    assert widen(2.0, 8.0, Spread(deviation=0.1, degrees=5), 10.0, confidence=0.95) == (
        0.0,
        pytest.approx(high + 25.7, abs=0.1),
    )
