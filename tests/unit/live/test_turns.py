from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from pytest_perfguard.errors import MeasurementError
from pytest_perfguard.live import turns
from pytest_perfguard.live.turns import TurnRunner
from pytest_perfguard.measure.plan import BLOCK_SECONDS, Call, Plan
from pytest_perfguard.model import Key, Method
from pytest_perfguard.testing import FakeClock, ScriptedProbe

KEY = Key(test="test_x", name="part")


class Coordinator:
    """The other end of a channel: asks for as many blocks as it was told to."""

    def __init__(self, blocks=0, iterations=None, free=False):
        self.said = []
        self._orders = [{"do": "block", "iterations": iterations, "free": free}] * blocks

    def ask(self, message):
        self.said.append(message)
        place = len(self.said) - 1
        if place >= len(self._orders):
            return {"do": "go"}
        order = dict(self._orders[place])
        order["iterations"] = order["iterations"] or self.said[0]["iterations"]
        return order


@pytest.fixture(autouse=True)
def bound(monkeypatch):
    """Keep what the process would have been bound to; it may use processors 0 and 1."""
    calls = []
    machine = SimpleNamespace(processors=lambda: (0, 1), bind=calls.append)
    monkeypatch.setattr(turns, "machine", machine)
    monkeypatch.setattr(turns, "usage", lambda: (0, 0))
    return calls


def measure(coordinator, clock, func, *, setup=None, probes=(), known=None, counting=False, **method):
    runner = TurnRunner(clock, coordinator)
    runner.known, runner.counting = known or {}, counting
    return runner.measure(Call(func=func, setup=setup), Plan(key=KEY, method=Method(**method), probes=probes))


@pytest.mark.parametrize("seconds", [1e-7, 3e-6, 1e-4, 0.0015, 0.3])
def test_it_calibrates_itself_and_says_when_it_is_ready(seconds):
    coordinator, clock = Coordinator(), FakeClock()
    measure(coordinator, clock, clock.taking(seconds))
    [ready] = coordinator.said
    assert ready["at"] == "ready"
    assert ready["name"] == "part"
    assert ready["seconds"] == pytest.approx(seconds, rel=0.01)
    assert ready["iterations"] == 1 or 0.75 <= ready["iterations"] * seconds / BLOCK_SECONDS <= 1.5
    assert ready["limit"] == 10_000_000
    assert ready["parallel"] is False


def test_blocks_are_made_as_they_are_asked_for_and_the_times_go_to_who_asked():
    coordinator, clock = Coordinator(blocks=3, iterations=50), FakeClock()
    result, measurement = measure(coordinator, clock, clock.taking(0.001, result="page"))
    assert coordinator.said[1:] == [{"at": "block", "time": 50_000_000, "wall": 50_000_000, "cpu": 50_000_000}] * 3
    assert result == "page"
    assert measurement.series == ()
    assert measurement.key == KEY


def test_the_result_is_that_of_the_first_call():
    numbers = iter(range(10**7))
    clock = FakeClock()
    assert measure(Coordinator(blocks=2), clock, lambda: clock.advance(0.001) or next(numbers))[0] == 0


def test_what_is_known_is_not_calibrated_again():
    calls = []
    clock = FakeClock()

    def work():
        calls.append(clock.seconds)
        clock.advance(0.0001)

    coordinator = Coordinator()
    measure(coordinator, clock, work, known={"part": 30, "other": 7})
    assert coordinator.said[0]["iterations"] == 30
    assert coordinator.said[0]["seconds"] == pytest.approx(0.0001)
    assert len(calls) == 1 + 30


def test_the_users_own_number_of_calls_is_kept():
    coordinator, clock = Coordinator(blocks=1), FakeClock()
    measure(coordinator, clock, clock.taking(1e-6), iterations=7, known={"part": 30})
    assert (coordinator.said[0]["iterations"], coordinator.said[0]["limit"]) == (7, 7)
    assert coordinator.said[1]["time"] == 7000


def test_the_users_own_warm_up_is_kept():
    calls = []
    clock = FakeClock()
    measure(Coordinator(), clock, lambda: calls.append(clock.advance(1.0)), warmup=4, iterations=1, max_time=60)
    assert len(calls) == 4 + 1


def test_a_set_up_without_arguments_allows_one_call_a_block():
    clock = FakeClock()
    coordinator = Coordinator()
    measure(coordinator, clock, clock.taking(1e-6), setup=lambda: None)
    assert (coordinator.said[0]["iterations"], coordinator.said[0]["limit"]) == (1, 1)


def test_a_set_up_is_done_for_each_call_where_it_gives_arguments():
    clock = FakeClock()
    given = []
    coordinator = Coordinator(blocks=1, iterations=5)
    measure(coordinator, clock, given.append, setup=lambda: ((clock.seconds,), {}), known={"part": 5})
    assert coordinator.said[0]["limit"] == 1000
    assert len(given) == 1 + 5 + 5


def test_other_instruments_have_their_pass_without_a_word_to_the_coordinator():
    coordinator, clock = Coordinator(), FakeClock()
    probe = ScriptedProbe(script=[3])
    calls = []
    result, measurement = measure(coordinator, clock, lambda: calls.append(1), probes=(probe,), counting=True)
    assert coordinator.said == []
    assert measurement.get("queries").values == (3,)
    assert len(calls) == 2
    assert result is None


def test_a_lazy_result_is_remarked_upon():
    _, measurement = measure(Coordinator(), FakeClock(), lambda: (n for n in ()), known={"part": 1})
    assert [note.code for note in measurement.notes if note.code == "lazy-result"]


def test_what_a_call_raises_comes_through():
    clock, calls = FakeClock(), []

    def work():
        calls.append(clock.advance(0.001))
        if len(calls) == 40:
            raise ZeroDivisionError

    coordinator = Coordinator(blocks=10, iterations=10)
    with pytest.raises(ZeroDivisionError):
        measure(coordinator, clock, work, known={"part": 10})
    assert [message["at"] for message in coordinator.said] == ["ready", "block", "block"]


def test_coroutine_functions_are_measured_in_turns_too():
    clock = FakeClock()

    async def work():
        clock.advance(0.001)
        return "page"

    coordinator = Coordinator(blocks=2, iterations=3)
    runner = TurnRunner(clock, coordinator)
    plan = Plan(key=KEY, method=Method())
    assert asyncio.run(runner.measure_async(Call(func=work), plan))[0] == "page"
    assert [message.get("time") for message in coordinator.said] == [None, 3_000_000, 3_000_000]


def test_a_coroutine_function_that_is_only_called_is_refused():
    async def work():
        pass

    coordinator = Coordinator()
    with pytest.raises(MeasurementError, match=r"await perf\.aio"):
        measure(coordinator, FakeClock(), work)
    assert coordinator.said == []


def test_the_sentinel_is_a_measurement_of_no_test():
    coordinator = Coordinator(blocks=1)
    clock = FakeClock()
    runner = TurnRunner(clock, coordinator)
    runner.known = {"sentinel": 2}
    runner.sentinel()
    assert coordinator.said[0]["name"] == "sentinel"
    assert coordinator.said[1]["at"] == "block"


def test_it_is_bound_to_one_processor_or_to_none(bound):
    runner = TurnRunner(FakeClock(), Coordinator())
    runner.bind(1)
    runner.bind(None)
    assert bound == [(1,), ()]


def test_parallel_work_is_set_free_for_its_blocks(bound):
    runner = TurnRunner(FakeClock(), Coordinator(blocks=3, iterations=1, free=True))
    runner.bind(1)
    runner.measure(Call(func=len, args=("",)), Plan(key=KEY, method=Method(iterations=1)))
    assert bound == [(1,), (0, 1), (1,)]


def test_parallel_work_that_raises_leaves_the_process_bound(bound):
    calls = []

    def work():
        calls.append(1)
        if len(calls) > 3:
            raise ZeroDivisionError

    runner = TurnRunner(FakeClock(), Coordinator(blocks=9, iterations=1, free=True))
    runner.bind(1)
    with pytest.raises(ZeroDivisionError):
        runner.measure(Call(func=work), Plan(key=KEY, method=Method(iterations=1)))
    assert bound == [(1,), (0, 1), (1,)]


@pytest.mark.parametrize(
    ("others", "parallel"),
    [(0, False), (100_000, False), (1_900_000, False), (2_100_000, True), (40_000_000, True)],
)
def test_others_that_compute_beside_a_call_make_it_parallel(monkeypatch, others, parallel):
    usages = iter([(0, 0), (10_000_000, others)])
    monkeypatch.setattr(turns, "usage", lambda: next(usages))
    coordinator = Coordinator()
    measure(coordinator, FakeClock(), lambda: None, iterations=1)
    assert coordinator.said[0]["parallel"] is parallel


def test_a_moment_of_another_thread_is_not_parallel_work(monkeypatch):
    usages = iter([(0, 0), (1000, 400_000)])
    monkeypatch.setattr(turns, "usage", lambda: next(usages))
    coordinator = Coordinator()
    measure(coordinator, FakeClock(), lambda: None, iterations=1)
    assert coordinator.said[0]["parallel"] is False
