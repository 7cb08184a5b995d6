import asyncio
import contextlib
import gc

import pytest

from pytest_perfguard.errors import MeasurementError, ProbeError
from pytest_perfguard.measure.observation import observe, to_series
from pytest_perfguard.measure.plan import BLOCK_SECONDS, MINIMUM_ROUNDS, Call, Plan
from pytest_perfguard.measure.runner import Runner
from pytest_perfguard.model import BUILTIN, Key, Method, Note
from pytest_perfguard.model.growth import Growth
from pytest_perfguard.model.protocols import Reading, Stage
from pytest_perfguard.testing import FakeClock, ScriptedProbe

KEY = Key(test="test_x")


def measure(func, clock, *, probes=(), args=(), kwargs=None, setup=None, progress=None, **method):
    runner = Runner(clock, now=clock, progress=progress)
    call = Call(func=func, args=args, kwargs=kwargs or {}, setup=setup)
    return runner.measure(call, Plan(key=KEY, method=Method(**method), probes=probes))


def codes(measurement):
    return [note.code for note in measurement.notes]


def test_returns_what_the_first_call_returned():
    clock, numbers = FakeClock(), iter(range(10**6))
    result, _ = measure(lambda: clock.advance(0.001) or next(numbers), clock, rounds=3)
    assert result == 0


@pytest.mark.parametrize("seconds", [1e-7, 3e-6, 1e-4, 0.0015])
def test_calibrates_rounds_to_a_block(seconds):
    clock = FakeClock()
    _, measurement = measure(clock.taking(seconds), clock, target_time=0.05)
    series = measurement.get("time")
    assert BLOCK_SECONDS * 0.75 <= series.iterations * seconds <= BLOCK_SECONDS * 1.5
    assert series.reduced() == pytest.approx(seconds, rel=0.01)
    assert len(series) >= 0.05 / (BLOCK_SECONDS * 1.5)


def test_a_slow_call_is_not_repeated_more_than_needed():
    clock = FakeClock()
    _, measurement = measure(clock.taking(0.3), clock)
    assert len(measurement.get("time")) == MINIMUM_ROUNDS
    assert clock.seconds == pytest.approx(0.3 * (MINIMUM_ROUNDS + 1))


def test_the_cap_holds_with_one_call_more():
    clock = FakeClock()
    _, measurement = measure(clock.taking(1.0), clock, max_time=3.5)
    assert clock.seconds <= 3.5 + 1.0
    assert codes(measurement) == ["capped"]


def test_a_call_longer_than_the_cap_is_made_once():
    clock = FakeClock()
    _, measurement = measure(clock.taking(20.0), clock, max_time=5.0)
    assert clock.seconds == 20.0
    assert measurement.get("time").per_call() == [20.0]
    assert codes(measurement) == ["capped"]


def test_the_cap_also_holds_for_iterations_the_user_asked_for():
    clock = FakeClock()
    _, measurement = measure(clock.taking(0.1), clock, iterations=1000, rounds=3, max_time=2.0)
    assert clock.seconds <= 2.0 + 0.1 + 1e-9
    assert codes(measurement) == ["capped"]


def test_rounds_iterations_and_warmup_are_kept():
    clock, calls = FakeClock(), []

    def work():
        calls.append(clock.seconds)
        clock.advance(0.0001)

    _, measurement = measure(work, clock, rounds=7, iterations=3, warmup=4)
    assert len(measurement.get("time")) == 7
    assert measurement.get("time").iterations == 3
    assert len(calls) == 4 + 7 * 3


def test_without_warmup_the_first_call_is_a_round():
    clock = FakeClock()
    durations = iter([0.5, 0.1, 0.1])
    _, measurement = measure(lambda: clock.advance(next(durations)), clock, rounds=3, iterations=1, warmup=0)
    assert measurement.get("time").per_call() == pytest.approx([0.5, 0.1, 0.1])


def test_setup_without_arguments_runs_before_each_round_of_one_call():
    clock, events = FakeClock(), []

    def work():
        events.append("call")
        clock.advance(1e-6)

    def setup():
        events.append("setup")
        clock.advance(0.01)

    _, measurement = measure(work, clock, setup=setup, rounds=4)
    assert events == ["setup", "call"] * (len(events) // 2)
    assert measurement.get("time").iterations == 1
    assert measurement.get("time").per_call() == pytest.approx([1e-6] * 4)


def test_setup_with_arguments_gives_each_iteration_its_own():
    clock, made, used = FakeClock(), [], []

    def setup():
        made.append([len(made)])
        return (made[-1],), {"flag": True}

    def work(rows, *, flag):
        assert flag
        used.append(rows)
        rows.clear()
        clock.advance(1e-5)

    _, measurement = measure(work, clock, setup=setup, rounds=3)
    assert measurement.get("time").iterations > 1
    assert len({id(rows) for rows in used}) == len(used) == len(made)


@pytest.mark.parametrize("returned", [5, (1, 2, 3), ([1], [2]), "ab"])
def test_setup_that_returns_something_else_is_an_error(returned):
    def wrong():
        return returned

    with pytest.raises(MeasurementError, match=r"set-up .*wrong.* returned .*return None, or .*\(args, kwargs\)"):
        measure(lambda: None, FakeClock(), setup=wrong)


def test_what_the_function_raises_comes_through_and_closes_the_instrument():
    probe, clock = ScriptedProbe(script=[1, 1, 1]), FakeClock()
    calls = []

    def work():
        calls.append(1)
        clock.advance(0.01)
        if len(calls) > MINIMUM_ROUNDS + 1:
            raise KeyError("x")

    assert gc.isenabled()
    with pytest.raises(KeyError, match="x"):
        measure(work, clock, target_time=0.01, probes=(probe,))
    assert probe.open_tokens == 0
    assert gc.isenabled()


@pytest.mark.parametrize("kept_on", [True, False])
def test_the_collector_is_off_during_rounds_unless_asked_for(kept_on):
    clock, states = FakeClock(), set()

    def work():
        states.add(gc.isenabled())
        clock.advance(0.001)

    measure(work, clock, rounds=3, gc=kept_on)
    assert states == {kept_on}
    assert gc.isenabled()


def test_an_instrument_gets_a_pass_of_its_own_after_timing():
    clock, probe = FakeClock(), ScriptedProbe(script=[4, 6], warmup=2, rounds=2)
    open_during_call = []

    def work():
        open_during_call.append(probe.open_tokens)
        clock.advance(0.001)

    _, measurement = measure(work, clock, rounds=3, probes=(probe,))
    timed = len(open_during_call) - 2
    assert open_during_call == [0] * timed + [1] * 2
    assert measurement.get("queries").values == (4, 6)


def test_an_instrument_warms_up_where_the_calls_before_do_not_suffice():
    clock, calls = FakeClock(), []
    probe = ScriptedProbe(script=[9, 9, 4, 6], warmup=3, rounds=2)
    _, measurement = measure(lambda: calls.append(0), clock, probes=(probe,), rounds=1, iterations=1, warmup=0)
    assert measurement.get("queries").values == (4, 6)
    assert len(calls) == 1 + 4


@pytest.mark.parametrize(("wants_result", "expected"), [(True, "result"), (False, None)])
def test_only_an_instrument_that_wants_the_result_gets_it(wants_result, expected):
    clock, probe = FakeClock(), ScriptedProbe(script=[1], wants_result=wants_result)
    measure(clock.taking(0.01, "result"), clock, rounds=1, probes=(probe,))
    assert probe.results == [expected]


@pytest.mark.filterwarnings("error")
def test_what_a_plain_call_does_not_run_is_refused_or_remarked():
    clock = FakeClock()

    async def coroutine():
        raise AssertionError

    async def stream():
        yield

    def generator():
        yield clock.advance(0.1)

    with pytest.raises(MeasurementError, match=r"await perf\.aio\(coroutine, …\)"):
        measure(coroutine, clock)
    with pytest.raises(MeasurementError, match=r"perf\(stream\) made an asynchronous generator.*await perf\.aio"):
        measure(stream, clock)
    gc.collect()
    result, measurement = measure(generator, clock, rounds=1, iterations=1)
    assert codes(measurement) == ["lazy-result"]
    assert next(result) is None


def test_coroutines_are_measured_by_the_same_procedure():
    clock = FakeClock()
    probe = ScriptedProbe(script=[3])

    async def work(value):
        await asyncio.sleep(0)
        clock.advance(0.0005)
        return value

    runner = Runner(clock, now=clock)
    plan = Plan(key=KEY, method=Method(rounds=5), probes=(probe,))
    result, measurement = asyncio.run(runner.measure_async(Call(func=work, args=("v",)), plan))
    assert result == "v"
    assert measurement.get("time").per_call() == pytest.approx([0.0005] * 5)
    assert measurement.get("queries").values == (3,)


def test_progress_is_told_once_a_second():
    clock, told = FakeClock(), []
    measure(clock.taking(0.4), clock, rounds=10, progress=told.append)
    assert [round(each.elapsed, 1) for each in told] == [2.0, 3.2, 4.4]
    assert all(each.elapsed <= each.expected for each in told)


def test_the_reference_is_read_beside_the_rounds():
    clock = FakeClock()
    _, measurement = measure(clock.taking(0.01), clock, rounds=6)
    assert len(measurement.get("reference")) >= 6


def test_observe_reads_also_when_the_block_raises():
    clock = FakeClock()
    with contextlib.suppress(KeyError), observe(clock) as readings:
        clock.advance(0.25)
        raise KeyError
    assert readings[0].values["time"] == 250_000_000


def test_what_the_block_raises_is_not_hidden_by_an_instrument_that_does_not_work():
    class Broken(ScriptedProbe):
        def stop(self, token, result=None):
            raise ProbeError("does not work")

    with pytest.raises(KeyError), observe(Broken(script=[1])):
        raise KeyError
    with pytest.raises(ProbeError), observe(Broken(script=[1])):
        pass


def test_series_hold_what_the_readings_have():
    readings = [
        Reading(values={"queries": 1}),
        Reading(values={"queries": 2}),
        Reading(notes=(Note(code="a", message="b"),)),
    ]
    series = to_series((BUILTIN["queries"], BUILTIN["writes"]), readings)
    assert [(each.metric.name, each.values) for each in series] == [("queries", (1, 2))]


class Staged(ScriptedProbe):
    """Asks for `wanted` stages of one call to warm up and two that count, by another instrument, and sums all up."""

    wanted = 1
    other = None

    def proceed(self, stages):
        if len(stages) <= self.wanted:
            return Stage(probe=self.other or self, warmup=1, rounds=2)
        return Reading(
            values={"queries": sum(reading.values["queries"] for stage in stages for reading in stage)},
            growth=(Growth(kind="dict", count=len(stages)),),
        )


def test_a_staged_instrument_gets_the_calls_it_asks_for_and_says_what_they_come_to():
    clock, calls = FakeClock(), []
    probe = Staged(script=[2, 3, 100, 4, 5], warmup=1, rounds=2)
    _, measurement = measure(lambda: calls.append(0), clock, probes=[probe], rounds=1, iterations=1, warmup=0)
    assert measurement.get("queries").values == (2 + 3 + 4 + 5,)
    assert measurement.growth == (Growth(kind="dict", count=2),)
    assert len(calls) == 1 + 5


def test_a_stage_may_have_an_instrument_of_its_own():
    other = ScriptedProbe(script=[0, 7, 8])
    probe = Staged(script=[1, 1], rounds=2)
    probe.other = other
    _, measurement = measure(list, FakeClock(), probes=[probe], rounds=1, iterations=1)
    assert measurement.get("queries").values == (1 + 1 + 7 + 8,)
    assert len(other.results) == 3
