import pytest

from pytest_perfguard.config.marker import parse_method
from pytest_perfguard.config.resolve import resolve
from pytest_perfguard.config.tolerance import read_tolerances
from pytest_perfguard.errors import ConfigError, QuantityError
from pytest_perfguard.model import BUILTIN, Tolerance

ORIGIN = "marker on tests/test_a.py::test_x"


def read(given):
    return read_tolerances(given, metrics=BUILTIN, origin=ORIGIN)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"memory": "4 MiB"}, {"memory": Tolerance(absolute=4 * 2**20)}),
        ({"memory": "10 %", "calls": 5}, {"memory": Tolerance(relative=0.1), "calls": Tolerance(absolute=5)}),
        (["memory=4 MiB", "heap = 2 %"], {"memory": Tolerance(absolute=4 * 2**20), "heap": Tolerance(relative=0.02)}),
        ((), {}),
    ],
)
def test_tolerances_are_amounts_or_percentages(given, found):
    assert read(given) == found


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("memory", "write tolerance={'memory': '4 MiB'}"),
        ({"memry": 1}, "unknown metric 'memry'"),
        ({"time": "10 %"}, "its margin is min_effect"),
        ({"duplicates": 1}, "has no baseline"),
        ({"memory": "4 ms"}, "'ms' measures a time"),
        (["memory"], "write for example memory=4 MiB"),
    ],
)
def test_unusable_tolerances_say_what_to_write(given, says):
    with pytest.raises((ConfigError, QuantityError)) as caught:
        read(given)
    assert says in str(caught.value)
    assert ORIGIN in str(caught.value)


def test_the_nearest_marker_decides_for_each_metric_and_the_settings_for_the_rest():
    settings = resolve(options={"perfguard_tolerance": ["memory=1 MB, calls=3"]}, environment={}, ini={}, ini_path="")
    method = parse_method(
        [{"tolerance": {"memory": "3 MB"}}, {"tolerance": {"memory": "2 MB", "heap": "5 %"}}, {"rounds": 3}],
        settings,
        metrics=BUILTIN,
    )
    assert dict(method.tolerance) == {
        "memory": Tolerance(absolute=3e6),
        "calls": Tolerance(absolute=3),
        "heap": Tolerance(relative=0.05),
    }
    assert method.tolerated(BUILTIN["memory"]).tolerance == Tolerance(absolute=3e6)
    assert method.tolerated(BUILTIN["retained"]) == BUILTIN["retained"]
