from dataclasses import replace

from pytest_perfguard.judge.growth import grown
from pytest_perfguard.judge.noise import Noise
from pytest_perfguard.judge.policy import Policy
from pytest_perfguard.judge.regression import Against, compare_metric
from pytest_perfguard.model import BUILTIN, Growth, Key, Outcome, Record, Summary

DICT = Growth(kind="dict", owner="shop.cache:Service.seen (list)", count=1.0, size=184.0, place="shop/cache.py:7")
ORDER = Growth(kind="shop.models.Order", owner="shop.models.KEPT (list)", count=2.0, size=112.0)


def record(value, *growth):
    summary = Summary(metric="retained", rounds=1, iterations=1, minimum=0, low=0, median=0, high=0, value=value)
    return Record(key=Key(test="test_a.py::test_x"), summaries=(summary,), growth=growth)


def test_what_is_new_gone_and_changed_is_said_with_its_owner_and_place():
    assert grown([ORDER], [DICT]) == [
        "NEW      1 × dict a call, 184 B, held by shop.cache:Service.seen (list), shop/cache.py:7",
        "GONE     2 × shop.models.Order a call, 112 B, held by shop.models.KEPT (list)",
    ]
    more = Growth(kind="dict", owner=DICT.owner, count=3.0, size=552.0)
    assert grown([DICT], [more]) == ["CHANGED  1 → 3 × dict a call, 552 B, held by shop.cache:Service.seen (list)"]


def test_a_line_that_moved_is_no_change():
    assert grown([replace(DICT, place="shop/cache.py:9")], [DICT]) == []


def test_a_long_list_is_cut():
    many = [Growth(kind=f"type{number}", count=1.0) for number in range(14)]
    assert grown([], many)[-1] == "… and 4 more"


def test_a_regression_of_retained_memory_names_what_grew():
    verdict = compare_metric(
        BUILTIN["retained"], [record(3.0, DICT, ORDER)], [record(2.0, ORDER)],
        against=Against(words="HEAD^1"), noise=Noise(), policy=Policy(),
    )  # fmt: skip
    assert verdict.outcome is Outcome.REGRESSED
    assert verdict.details == (
        "NEW      1 × dict a call, 184 B, held by shop.cache:Service.seen (list), shop/cache.py:7",
    )
