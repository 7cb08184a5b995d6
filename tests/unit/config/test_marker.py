"""Markers: budgets and methods as tests write them, default budgets, and who wins where several speak."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_perfguard.config.marker import defaults_for, merge, parse_budgets, parse_default_budgets, parse_method
from pytest_perfguard.config.resolve import resolve
from pytest_perfguard.errors import ConfigError, QuantityError
from pytest_perfguard.model import BUILTIN, Budget, Method

ORIGIN = "marker on tests/test_a.py::test_x"
DEFAULTS = resolve(options={"perfguard_target_time": "0.2 s"}, environment={}, ini={}, ini_path="")


def budgets(*args, **kwargs) -> tuple[Budget, ...]:
    return parse_budgets(kwargs, args, metrics=BUILTIN, origin=ORIGIN)


def method(*markers, defaults=DEFAULTS, **more) -> Method:
    return parse_method(markers, defaults, metrics=BUILTIN, origin=ORIGIN, **more)


def test_budgets_are_in_base_units_and_know_their_origin():
    assert budgets(
        time="20 ms", memory="5 MiB", retained=0, queries=3, wall=timedelta(seconds=1), name="load"
    ) == tuple(
        Budget(metric=metric, limit=limit, measurement="load", origin=ORIGIN)
        for metric, limit in [("time", 0.02), ("memory", 5 * 2**20), ("retained", 0), ("queries", 3), ("wall", 1)]
    )
    assert budgets(time=1)[0].measurement is None


@pytest.mark.parametrize(
    ("value", "factor", "reference"),
    [
        ("1.5x test_reference", 1.5, "test_reference"),
        ("2 x ref", 2, "ref"),
        ("2× tests/test_a.py::test_r[1, x]", 2, "tests/test_a.py::test_r[1, x]"),
        ("150% of ref", 1.5, "ref"),
        ("110 % of the other", 1.1, "the other"),
    ],
)
def test_relative_budgets(value, factor, reference):
    assert budgets(time=value) == (Budget(metric="time", factor=factor, reference=reference, origin=ORIGIN),)


@pytest.mark.parametrize(
    ("args", "kwargs", "says"),
    [
        ((), {"tme": 1}, f"unknown budget 'tme' ({ORIGIN}); did you mean 'time'? known: allocated, allocations, "),
        ((), {"tme": 1}, "did you mean 'time'?"),
        ((), {"reference": 1}, "unknown budget 'reference'"),
        (
            ("20 ms",),
            {},
            f"takes no positional arguments, and was given 1 ({ORIGIN}); name the metric, for example time=",
        ),
        ((), {}, "sets no limit"),
        ((), {"name": "load"}, "sets no limit"),
        ((), {"time": 1, "name": 3}, "name must be the name of a measurement"),
        ((), {"memory": "1 MB"}, "retained="),
        ((), {"memory": 0}, "a memory budget of 0 B cannot be checked"),
        ((), {"time": "1.5x"}, "is relative to nothing"),
        ((), {"time": "50 % of"}, "is relative to nothing"),
        ((), {"time": "0x ref"}, "no usable factor"),
        ((), {"time": "5 MiB"}, f"(time= in {ORIGIN}): 'MiB' measures a size"),
        ((), {"queries": True}, "bool is not a number"),
    ],
)
def test_unusable_budgets_say_what_to_write(args, kwargs, says):
    with pytest.raises((ConfigError, QuantityError)) as caught:
        budgets(*args, **kwargs)
    assert says in str(caught.value)
    assert ORIGIN in str(caught.value)


def test_a_memory_budget_of_two_megabytes_is_the_smallest():
    assert budgets(memory="2 MB")[0].limit == 2_000_000
    with pytest.raises(ConfigError, match="heap="):
        budgets(memory=1_999_999)


def test_the_nearest_budget_wins_by_metric_and_measurement():
    far = (*budgets(time="1 s", queries=5), *budgets(time="2 s", name="load"))
    near = budgets(time="3 s", queries=None)
    assert [(found.metric, found.measurement, found.limit) for found in merge(far, near)] == [
        ("time", None, 3.0),
        ("time", "load", 2.0),
    ]
    assert [found.limit for found in merge(far, near, budgets(queries=7)) if found.metric == "queries"] == [7]
    assert merge(far, budgets(time="OFF", queries="none"), budgets(time=None, name="load")) == ()


_BUDGETS = st.lists(
    st.builds(
        Budget,
        metric=st.sampled_from(["time", "queries"]),
        limit=st.none() | st.integers(0, 3).map(float),
        measurement=st.sampled_from([None, "a", "b"]),
    ),
    max_size=5,
).map(tuple)


@given(_BUDGETS, _BUDGETS, _BUDGETS)
def test_laws_of_merging(far, middle, near):
    merged = merge(far, middle, near)
    assert merged == merge(merge(far, middle), near)
    assert merge(merged) == merged == merge((), merged, ())
    keys = [(found.metric, found.measurement) for found in merged]
    assert len(set(keys)) == len(keys)
    for found in merged:
        assert found.limit is not None
        said = [
            other
            for other in (*far, *middle, *near)
            if (other.metric, other.measurement) == (found.metric, found.measurement)
        ]
        assert found == said[-1]


_WRITTEN = st.sampled_from(["20 ms", "off", "1.5x ref", "5 MiB", "3"]) | st.text()
_VALUES = _WRITTEN | st.none() | st.booleans() | st.integers() | st.floats() | st.timedeltas() | st.binary()


@given(st.dictionaries(st.sampled_from([*BUILTIN, "name"]) | st.text(), _VALUES))
def test_any_keywords_are_budgets_or_an_error_of_ours(kwargs):
    try:
        found = budgets(**kwargs)
    except (ConfigError, QuantityError):
        return
    assert {budget.metric for budget in found} == set(kwargs) - {"name"}
    assert all(budget.limit is None or budget.limit >= 0 for budget in found)
    assert all((budget.factor is None) == (budget.reference == "") for budget in found)


def table(*lines: str):
    return parse_default_budgets(lines, "perfguard_budgets in pytest.ini", BUILTIN)


def test_default_budgets_are_read_from_lines():
    found = table(
        "# comment",
        "",
        "tests/api/*: time=200 ms, queries=20",
        "tests/test_x.py::test_y[a:b, c]: time = '1.5x tests/t.py::test_r[1, 2]' , memory=off",
    )
    origin = "perfguard_budgets in pytest.ini, line 'tests/api/*'"
    assert found[0] == (
        "tests/api/*",
        (
            Budget(metric="time", limit=0.2, folder=True, origin=origin),
            Budget(metric="queries", limit=20, folder=True, origin=origin),
        ),
    )
    pattern, (time, memory) = found[1]
    assert pattern == "tests/test_x.py::test_y[a:b, c]"
    assert (time.factor, time.reference) == (1.5, "tests/t.py::test_r[1, 2]")
    assert (memory.limit, memory.factor) == (None, None)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("tests/api", "cannot read the line 'tests/api'"),
        ("*: 20 ms", "write a pattern, a colon and budgets"),
        ("*: time=1 s, time=2 s", "'time' is given twice"),
        ("*: tme=1 s", "did you mean 'time'?"),
        ("*: time=", "it is empty"),
    ],
)
def test_unusable_lines_name_the_line_and_its_origin(line, says):
    with pytest.raises((ConfigError, QuantityError)) as caught:
        table(line)
    assert says in str(caught.value)
    assert "perfguard_budgets in pytest.ini" in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("*", True),
        ("tests/api/*", True),
        ("tests/api", True),
        ("tests/api/", True),
        ("tests/ap", False),
        ("tests/api/test_a.py", True),
        ("tests/api/test_a.py::TestA", True),
        ("tests/api/test_a.py::TestA::test_x", True),
        ("tests/api/test_a.py::TestA::test_x[1-a]", True),
        ("tests/api/test_a.py::TestA::test_x[2-a]", False),
        ("tests/api/test_a.py::TestA::test_", False),
        ("*::test_?", True),
        ("*[[]1-a]", False),
        ("api/*", False),
    ],
)
def test_patterns(pattern, matches):
    found = defaults_for(
        "tests/api/test_a.py::TestA::test_x[1-a]", "tests/api/test_a.py", table(f"{pattern}: queries=1")
    )
    assert bool(found) is matches


def test_patterns_see_the_path_and_later_lines_win():
    lines = table("*: time=1 s, queries=9", "src/tests/api: time=2 s", "other: time=3 s", "*/api/*: queries=off")
    found = defaults_for("api/test_a.py::test_x", "src/tests/api/test_a.py", lines)
    assert [(budget.metric, budget.limit) for budget in found] == [("time", 2.0)]


def test_the_method_takes_each_keyword_from_the_nearest_marker():
    assert method() == Method(target_time=0.2, max_time=10.0)
    assert method(
        {"rounds": 5, "min_effect": "3 %", "target_time": None},
        {"rounds": 9, "warmup": 0, "target_time": "1 s", "gc": True, "group": "g", "iterations": 4, "max_time": 30},
    ) == Method(rounds=5, iterations=4, warmup=0, target_time=0.2, max_time=30, min_effect=0.03, group="g", gc=True)


def test_metrics_of_the_settings_are_measured_besides_those_of_the_marker():
    everywhere = resolve(options={"perfguard_metrics": ["memory"]}, environment={}, ini={}, ini_path="")
    assert method({"metrics": ["queries"]}, {"metrics": "cpu"}, defaults=everywhere).metrics == ("queries", "memory")
    assert method({"metrics": "cpu, memory"}, defaults=everywhere).metrics == ("cpu", "memory")
    unknown = resolve(options={"perfguard_metrics": ["memry"]}, environment={}, ini={}, ini_path="")
    with pytest.raises(ConfigError, match=r"unknown metric 'memry' \(--perfguard-metrics\).*did you mean 'memory'"):
        method(defaults=unknown)


@pytest.mark.parametrize(
    ("marker", "says"),
    [
        ({"round": 3}, "unknown keyword of perf 'round'"),
        ({"round": 3}, "did you mean 'rounds'?"),
        ({"rounds": 0}, "rounds is outside of 1 to"),
        ({"rounds": True}, "rounds is True"),
        ({"iterations": 1.5}, "write a whole number"),
        ({"warmup": -1}, "warmup is outside of 0 to"),
        ({"target_time": "0"}, "1 µs or more"),
        ({"max_time": "5 B"}, "'B' measures a size"),
        ({"min_effect": 10}, "1000 % is outside of what makes sense"),
        ({"gc": 1}, "write True or False"),
        ({"group": 1}, "write the group's name as text"),
        ({"metrics": "tim"}, "unknown metric 'tim'"),
        ({"metrics": 3}, "write names"),
    ],
)
def test_an_unusable_method_is_refused_also_where_a_nearer_marker_hides_it(marker, says):
    for markers in ([marker], [{"rounds": 3}, marker]):
        with pytest.raises((ConfigError, QuantityError)) as caught:
            method(*markers)
        assert says in str(caught.value)
        assert ORIGIN in str(caught.value)


def test_a_method_has_no_positional_arguments():
    with pytest.raises(ConfigError, match=r"no positional arguments.*name them: gc, group, iterations"):
        method({}, args=(3,))


_KEYS = ["rounds", "iterations", "warmup", "target_time", "max_time", "min_effect", "group", "gc", "metrics"]


@given(
    st.lists(
        st.dictionaries(st.sampled_from(_KEYS), _VALUES | st.lists(st.sampled_from(["cpu", 1])), max_size=3), max_size=3
    )
)
def test_any_keywords_are_a_method_or_an_error_of_ours(markers):
    try:
        found = method(*markers)
    except (ConfigError, QuantityError):
        return
    assert found.target_time > 0
    assert found.rounds is None or found.rounds > 0
    assert isinstance(found.gc, bool)
