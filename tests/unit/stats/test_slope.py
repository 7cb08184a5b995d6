"""Growth in steps of pages: what is found, and what is not taken for growth."""

from __future__ import annotations

import math
import random

import pytest

from pytest_perfguard.model.sample import slope
from pytest_perfguard.stats.slope import estimate_slope

PAGE = 4096
SLACK = 6 * PAGE
CALLS = 60


def estimate(values, slack=SLACK):
    return estimate_slope(values, confidence=0.95, slack=slack)


def stairs(growth, phase=0, calls=CALLS):
    """What resident memory shows of a steady growth: whole pages."""
    return [(phase + growth * call) // PAGE * PAGE for call in range(calls)]


def test_the_value_is_that_of_the_series():
    values = [random.Random(3).randrange(100) * PAGE for _ in range(CALLS)]
    values = [value + 700 * place for place, value in enumerate(values)]
    assert estimate(values).value == pytest.approx(slope(values))


def test_the_bounds_are_sens_or_lower():
    from scipy.stats import theilslopes

    rng = random.Random(5)
    for _ in range(20):
        values = [place * 300 + rng.randrange(5000) for place in range(CALLS)]
        low, high = theilslopes(values, alpha=0.95)[2:]
        found = estimate(values, slack=0)
        assert found.low <= low
        assert found.high == pytest.approx(high)
        assert estimate(values).low == pytest.approx(found.low - SLACK / (CALLS - 1))


@pytest.mark.parametrize("growth", [555, 600, 800, 1000, 1024, 2000, 5000, 1_000_000])
def test_a_steady_growth_is_found_in_each_phase(growth):
    found = [estimate(stairs(growth, phase)) for phase in range(0, PAGE, 128)]
    assert all(each.low > 0 for each in found)
    assert all(each.value == pytest.approx(growth, rel=0.1) for each in found)


def test_what_would_have_shown_is_what_is_found():
    """On values that do not grow, the growth that is named as visible is found when it is there."""
    visible = estimate([PAGE] * CALLS).visible
    assert visible == pytest.approx(555, abs=1)
    for phase in range(0, PAGE, 128):
        assert estimate(stairs(visible, phase)).low > 0


def test_less_than_the_resolution_may_hide_and_is_within():
    found = estimate(stairs(300))
    assert found.low < 0
    assert found.value <= found.resolution


def test_noise_makes_less_visible():
    noise = random.Random(1)
    values = [noise.randrange(-40, 40) * PAGE for _ in range(CALLS)]
    assert estimate(values).visible > 3 * estimate([0] * CALLS).visible


def flat(rng):
    return [0] * CALLS


def one_step(rng):
    place, height = rng.randrange(CALLS), rng.choice([1, 5, 256])
    return [PAGE * height * (call >= place) for call in range(CALLS)]


def three_pages(rng):
    places = rng.sample(range(CALLS), 3)
    return [PAGE * sum(call >= place for place in places) for call in range(CALLS)]


def settles(rng):
    height, pace = rng.randrange(5, 60), rng.uniform(2, 15)
    return [PAGE * (round(height * (1 - math.exp(-call / pace))) + rng.randrange(-1, 2)) for call in range(CALLS)]


def noise(rng):
    reach = rng.choice([1, 3, 30, 300])
    return [PAGE * rng.randrange(-reach, reach + 1) for _ in range(CALLS)]


def falls(rng):
    return [-value for value in settles(rng)]


@pytest.mark.parametrize("clean", [flat, one_step, three_pages, settles, noise, falls])
def test_200_clean_series_do_not_grow(clean):
    rng = random.Random(f"clean {clean.__name__}")
    assert sum(estimate(clean(rng)).low > 0 for _ in range(200)) == 0


def test_growth_in_one_half_alone_is_none():
    rises = stairs(4096, calls=CALLS // 2)
    assert estimate([*rises, *[rises[-1]] * (CALLS // 2)]).low < 0
    assert estimate([*[0] * (CALLS // 2), *rises]).low < 0


def test_a_growth_that_ends_is_none():
    """What rises ever more slowly ends; a line through it all would rise still."""
    values = [round(40 * (1 - math.exp(-call / 15))) * PAGE for call in range(CALLS)]
    plain = estimate(values, slack=0)
    assert plain.value > 1000
    assert plain.low < 0


def test_fewer_than_8_values_tell_nothing():
    found = estimate(stairs(1_000_000, calls=7))
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert not found.value <= 0 + found.resolution
