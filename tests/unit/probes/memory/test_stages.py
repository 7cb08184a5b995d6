"""How many calls are made, and what they come to: scripted counts."""

from __future__ import annotations

import pytest

from pytest_perfguard.model.growth import Growth
from pytest_perfguard.model.protocols import Reading, Stage
from pytest_perfguard.probes.memory.retained.counting import Count
from pytest_perfguard.probes.memory.retained.disturbers import FILLING, LOG
from pytest_perfguard.probes.memory.retained.explaining import ExplainingProbe
from pytest_perfguard.probes.memory.retained.explanation import Explanation, Harmless
from pytest_perfguard.probes.memory.retained.stages import proceed

LEAK = Growth(kind="dict", owner="shop:SEEN (list)", count=1.0, size=64.0, place="shop.py:3")


def run(blocks, explanation=None, grown=None, native=0, seconds=0.001, between=0):
    """Return what all stages come to and the number of calls; `blocks(n)` is what the n-th call leaves."""
    stages, made = [], 3
    explanation = explanation or Explanation()
    stage = Stage(probe=None, warmup=0, rounds=2)
    while isinstance(stage, Stage):
        numbers = range(made + stage.warmup, made + stage.warmup + stage.rounds)
        made += stage.warmup + stage.rounds
        if isinstance(stage.probe, ExplainingProbe):
            stages.append([*(Reading() for _ in numbers[1:]), explanation])
        else:
            found = [
                Count(
                    values={"retained": blocks(n)}, native=native, grown=grown, started=n * seconds,
                    ended=(n + 1) * seconds, between=between,
                )
                for n in numbers
            ]  # fmt: skip
            stages.append(found)
        stage = proceed(stages)
    return stage, made


def test_three_calls_that_leave_nothing_suffice():
    assert run(lambda n: 0) == (Reading(values={"retained": 0}), 6)


def test_calls_that_free_more_than_they_make_leave_nothing():
    assert run(lambda n: -2)[1] == 6


def test_a_leak_has_its_blocks_a_call_and_what_explains_it():
    reading, calls = run(lambda n: 2, Explanation(growth=(LEAK,)))
    assert reading.values == {"retained": 2}
    assert reading.growth == (LEAK,)
    assert "shop:SEEN (list)" in "\n".join(reading.details[0].lines)
    assert calls == 6 + 55 + 185 + 5


def test_a_leak_of_one_in_ten_calls_is_rounded_up():
    assert run(lambda n: int(n % 10 == 4), Explanation(growth=(LEAK,)))[0].values == {"retained": 1}


@pytest.mark.parametrize(("full", "calls"), [(8, 21), (100, 126), (240, 273), (246, 271)])
def test_a_cache_that_is_full_after_some_calls_is_none(full, calls):
    reading, made = run(lambda n: int(n < full))
    assert reading.values == {"retained": 0}
    assert made == calls


def test_a_cache_that_is_still_filling_is_none_and_is_named():
    filling = Harmless(owner="shop:prices (lru_cache, maxsize=1000)", excuse=FILLING)
    reading, _ = run(lambda n: 3, Explanation(harmless=(filling,)))
    assert reading.values == {"retained": 0}
    (note,) = reading.notes
    assert note.code == "filling"
    assert "shop:prices" in note.message
    assert note.undermines == ()


def test_a_leak_beside_what_is_harmless_is_found_and_both_are_named():
    explanation = Explanation(growth=(LEAK,), harmless=(Harmless(owner="records", excuse=LOG),))
    reading, _ = run(lambda n: 12, explanation)
    assert reading.values == {"retained": 12}
    assert reading.growth == (LEAK,)
    assert [note.code for note in reading.notes] == ["disturbed"]


def test_a_container_that_grows_by_what_exists_counts_its_items():
    row = Growth(kind="NoneType", owner="shop:L (list)", count=2.0)
    reading, _ = run(lambda n: 0, Explanation(growth=(row,)), grown={1: 2})
    assert reading.values == {"retained": 2}


def test_native_memory_counts_as_one_at_least():
    reading, _ = run(lambda n: 0, Explanation(native=5000), native=5000)
    assert reading.values == {"retained": 1}
    assert [(each.kind, each.size) for each in reading.growth] == [("native memory", 5000)]


def test_native_memory_below_the_floor_is_nothing():
    assert run(lambda n: 0, native=4000)[1] == 6


def test_native_memory_of_pythons_objects_is_not_named_twice():
    reading, _ = run(lambda n: 1, Explanation(growth=(LEAK,), native=100_000, python=100_033), native=100_000)
    assert reading.growth == (LEAK,)


def test_what_nobody_holds_is_a_leak_that_says_so():
    reading, calls = run(lambda n: 1)
    assert reading.values == {"retained": 1}
    assert [note.code for note in reading.notes] == ["not-explained"]
    assert calls == 6 + 55 + 185 + 5 + 20


def test_what_is_gone_before_the_next_run_of_a_body_is_not_retained():
    reading, _ = run(lambda n: 3, between=27)
    assert reading.values == {"retained": 0}
    assert [note.code for note in reading.notes] == ["until-next-call"]


def test_a_slow_call_is_decided_by_few_and_says_so():
    reading, calls = run(lambda n: 1, Explanation(growth=(LEAK,)), seconds=4)
    assert reading.values == {"retained": 1}
    assert calls == 6 + 5 + 3
    assert [note.code for note in reading.notes] == ["capped"]


def test_a_large_leak_is_decided_by_few_calls():
    _, calls = run(lambda n: 1, Explanation(growth=(LEAK,)), native=100_000_000)
    assert calls == 6 + 5 + 3


def test_a_tracer_leaves_no_value_where_nothing_is_found(monkeypatch):
    from pytest_perfguard.probes.memory.retained import conclusion
    from pytest_perfguard.probes.memory.retained.disturbers import Cause

    tracer = Cause(name="the tracer coverage (sys.settrace)", remedy="run without")
    monkeypatch.setattr(conclusion, "tracers", lambda: (tracer,))
    reading, _ = run(lambda n: 1)
    assert reading.values == {}
    assert reading.notes[0].undermines == ("retained",)
    assert run(lambda n: 1, Explanation(growth=(LEAK,)))[0].values == {"retained": 1}
