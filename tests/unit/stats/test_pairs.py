import math
import random
import statistics

import pytest

from pytest_perfguard.stats.pairs import (
    CONFIRMING_LOOKS,
    FLOOR,
    LOOKS,
    SHARES,
    discoveries,
    estimate,
    estimates,
    pair_shift,
    sequential,
    trimmed,
    uneven,
    until_next,
)


def pairs(count, shift=0.0, deviation=0.01, seed=1):
    dice = random.Random(seed)
    return [dice.gauss(shift, deviation) for _ in range(count)]


def test_a_pair_is_worth_its_faster_half_on_either_side():
    base = [1.0, 3.0, 1.0, 1.0, 9.0, 1.0, 1.0, 2.0]
    head = [9.0, 9.0, 1.1, 1.1, 1.1, 1.1, 1.2, 4.0]
    assert pair_shift(base, head) == pytest.approx(math.log(1.1))
    assert pair_shift([1.0, 1.4], [1.2, 9.0]) == pytest.approx(math.log(1.2))


def test_swapping_the_sides_changes_the_sign_and_nothing_else():
    base, head = pairs(8, 1.0, 0.1), pairs(8, 1.1, 0.1, seed=2)
    assert pair_shift(base, head) == pytest.approx(-pair_shift(head, base))


def test_times_that_are_none_are_left_out():
    assert pair_shift([0.0, 1.0, 1.0], [5.0, 2.0, math.inf]) == pytest.approx(math.log(2))
    assert pair_shift([0.0], [1.0]) is None
    assert pair_shift([], []) is None


def test_few_pairs_are_averaged_and_many_trimmed():
    assert [trimmed(count) for count in (2, 8, 9, 14, 24, 48, 96)] == [0, 0, 1, 2, 4, 8, 18]
    assert estimate([0.0, 0.1]).shift == pytest.approx(0.05)
    far_off = estimate([*pairs(24, deviation=0.01), 5.0, -5.0])
    assert abs(far_off.shift) < 0.01
    assert far_off.deviation < 0.02


def test_an_estimate_of_untrimmed_pairs_is_students_t():
    values = [0.01, 0.03, 0.02, 0.05]
    known = estimate(values)
    assert known.error == pytest.approx(statistics.stdev(values) / 2)
    low, high = known.interval(0.95)
    assert (high - low) / 2 == pytest.approx(3.18245 * known.error, rel=1e-5)
    assert known.above(low) == pytest.approx(0.025)
    assert known.below(high) == pytest.approx(0.025)
    assert known.above(0.0) + known.below(0.0) == pytest.approx(1.0)


def test_pairs_that_agree_by_accident_are_not_believed_to_be_that_sure():
    assert estimate([0.02] * 6).error == pytest.approx(FLOOR / math.sqrt(6))


def test_what_was_called_detectable_is_found_four_times_out_of_five():
    known = estimate(pairs(400, deviation=0.02))
    least = known.detectable(0.005, alpha=0.01)
    rounds = [estimate(pairs(400, least, 0.02, seed)) for seed in range(200)]
    assert 0.7 < statistics.fmean(each.above(0.005) < 0.01 for each in rounds) < 0.9


@pytest.mark.parametrize("count", [6, 16, 48])
def test_an_interval_holds_the_truth_as_often_as_it_says(count):
    intervals = [estimate(pairs(count, 0.03, seed=seed)).interval(0.9) for seed in range(600)]
    assert 0.86 < statistics.fmean(low < 0.03 < high for low, high in intervals) < 0.94


def test_looks_are_made_of_the_first_pairs_only():
    values = pairs(20)
    assert [look.count for look in estimates(values, LOOKS)] == [6, 8, 10, 12, 14, 16, 20]
    assert estimates(values, LOOKS)[0] == estimate(values[:6])
    assert [until_next(count, LOOKS) for count in (0, 6, 7, 100)] == [6, 2, 1, 12]
    assert until_next(LOOKS[-1], LOOKS) == 0


def test_shares_belong_to_looks_and_early_ones_are_small():
    assert len(SHARES) == len(CONFIRMING_LOOKS)
    assert SHARES[0] < 0.1


def test_looking_again_never_makes_less_of_what_was_seen():
    levels = [0.5, 0.0001, 0.9, 0.9]
    so_far = [sequential(levels[: count + 1]) for count in range(4)]
    assert so_far == sorted(so_far, reverse=True)
    assert so_far[-1] == pytest.approx(0.0001 / SHARES[1])
    assert sequential([]) == 1.0


def test_looking_often_costs_no_false_alarms():
    alarms = 0
    for seed in range(800):
        looks = estimates(pairs(64, seed=seed), CONFIRMING_LOOKS)
        alarms += sequential([look.above(0.0) for look in looks]) < 0.05
    assert alarms / 800 < 0.06


def test_discoveries_are_those_of_benjamini_and_hochberg():
    assert discoveries([0.01, 0.02, 0.03, 0.9], rate=0.05) == (True, True, True, False)
    assert discoveries([0.04], rate=0.05) == (True,)
    assert discoveries([0.04, 0.9], rate=0.05) == (False, False)
    assert discoveries([], rate=0.05) == ()


def test_groups_of_pairs_are_noticed():
    assert not uneven(pairs(30))
    assert uneven([*pairs(20, 0.0, 0.004), *pairs(6, 0.1, 0.004)])
    assert not uneven(pairs(11, deviation=1.0))
