from __future__ import annotations

import math
import random
from types import SimpleNamespace

import pytest

from pytest_perfguard.live.duel import (
    BASE,
    HARD_QUADS,
    HEAD,
    SPOILT,
    STEADY_QUADS,
    Duel,
    Visit,
    quads_wanted,
)
from pytest_perfguard.live.process import WorkerDiedError
from pytest_perfguard.testing import FakeClock

MS = 1_000_000
WAITED = math.ceil(SPOILT) + 1
PASSED = {"at": "ran", "outcome": "passed", "times": {}}


class ScriptedWorker:
    """A worker whose tests are generators: they yield what it says, and are sent what it is asked."""

    def __init__(self, name, program, log):
        self.side = SimpleNamespace(name=name)
        self._program, self._log = program, log
        self._going = None

    def ask(self, message, timeout):
        self._log.append((self.side.name, message, timeout))
        if message["do"] == "leave":
            return {"at": "left"}
        if message["do"] in ("go", "block"):
            return self._going.send(message)
        self._going = self._program(message)
        return next(self._going)

    def dismiss(self):
        self._log.append((self.side.name, {"do": "end"}, None))

    def finish(self):
        self._log.append((self.side.name, {"do": "wait"}, None))


def measures(*steps, end=PASSED):
    """A test that makes the measurements of `steps` and ends in `end`."""

    def program(_order):
        for step in steps:
            yield from step
        yield end

    return program


def perf(
    name="", *, nanoseconds=2 * MS, iterations=1, limit=10**7, parallel=False, spoilt=(), fails_at=None, clock=None
):
    """A measurement of blocks that take `nanoseconds`; those at the places of `spoilt` waited for a processor."""

    def step():
        at = {"at": "ready", "name": name, "iterations": iterations, "limit": limit, "parallel": parallel}
        order = yield at | {"seconds": nanoseconds * 1e-9 / iterations}
        number = 0
        while order["do"] == "block":
            if number == fails_at:
                yield {"at": "ran", "outcome": "failed", "why": "boom", "times": {}}
            if clock is not None:
                clock.advance(nanoseconds * 1e-9)
            wall = nanoseconds * (WAITED if number in spoilt else 1)
            order = yield {"at": "block", "time": nanoseconds, "wall": wall, "cpu": nanoseconds // 2}
            number += 1
        assert order["do"] == "go"

    class Again:
        def __iter__(self):
            return step()

    return Again()


@pytest.fixture
def pair():
    """Make a duel of two scripted workers, and the list of everything that is said to them."""

    def make(base, head=None, *, seed=1, now=None):
        log = []
        workers = [ScriptedWorker("base", base, log), ScriptedWorker("head", head or base, log)]
        return Duel(workers, dice=random.Random(seed), now=now or FakeClock()), log

    return make


def asked(log, what):
    return [side for side, message, _ in log if message["do"] == what]


def test_blocks_are_measured_in_turns_that_balance_a_drift(pair):
    orders = set()
    for seed in range(20):
        duel, log = pair(measures(perf()), seed=seed)
        measured = duel.measure(Visit(test="test_x")).measured[""]
        sides = asked(log, "block")
        assert len(sides) == 4 * STEADY_QUADS == 2 * len(measured.base) == 2 * len(measured.head)
        for place in range(0, len(sides), 4):
            a, b, c, d = sides[place : place + 4]
            assert a == d != b == c
            orders.add(a)
        assert measured.dropped == 0
    assert orders == {"base", "head"}


def test_the_same_dice_give_the_same_order(pair):
    logs = []
    for _ in range(2):
        duel, log = pair(measures(perf("a"), perf("b")), seed=7)
        duel.measure(Visit(test="test_x"))
        logs.append(log)
    assert logs[0] == logs[1]


def test_who_runs_a_test_first_is_a_matter_of_chance(pair):
    firsts = set()
    for seed in range(20):
        duel, log = pair(measures(perf()), seed=seed)
        duel.measure(Visit(test="test_x"))
        firsts.add(log[0][0])
    assert firsts == {"base", "head"}


def test_several_measurements_go_in_lockstep(pair):
    duel, log = pair(measures(perf("a"), perf("b", nanoseconds=4 * MS), perf("c")))
    result = duel.measure(Visit(test="test_x", following="test_y", timeout=9.0))
    assert list(result.measured) == ["a", "b", "c"]
    assert not result.lone
    assert result.ran == [PASSED, PASSED]
    steps = [message["do"] for _, message, _ in log]
    blocks = 4 * STEADY_QUADS
    second = 4 * quads_wanted(0.004, 1.0)
    usual = ["block"] * blocks + ["go"] * 2
    assert steps == ["run", "run", *usual, *["block"] * second, "go", "go", *usual]
    assert {timeout for *_, timeout in log} == {9.0}
    assert log[0][1] == {"do": "run", "test": "test_x", "following": "test_y", "last": True, "iterations": {}}


def test_times_are_those_of_one_call(pair):
    base, head = (measures(perf(nanoseconds=length * MS, iterations=100)) for length in (2, 3))
    duel, _ = pair(base, head)
    measured = duel.measure(Visit(test="test_x")).measured[""]
    assert measured.iterations == 100
    assert [block.time for block in measured.base] == pytest.approx([20e-6] * len(measured.base))
    assert [block.time for block in measured.head] == pytest.approx([30e-6] * len(measured.head))
    assert [block.cpu for block in measured.head] == pytest.approx([15e-6] * len(measured.head))
    assert [block.wall for block in measured.head] == pytest.approx([30e-6] * len(measured.head))


@pytest.mark.parametrize(
    ("base", "head", "expected"),
    [
        ({"iterations": 100}, {"iterations": 400}, 200),
        ({"iterations": 100}, {"iterations": 400, "limit": 150}, 150),
        ({"iterations": 100, "limit": 1}, {"iterations": 100}, 1),
        ({"iterations": 7, "limit": 7}, {"iterations": 7, "limit": 7}, 7),
    ],
)
def test_both_sides_make_the_same_number_of_calls(pair, base, head, expected):
    duel, log = pair(measures(perf(**base)), measures(perf(**head)))
    assert duel.measure(Visit(test="test_x")).measured[""].iterations == expected
    assert {message["iterations"] for _, message, _ in log if message["do"] == "block"} == {expected}


def test_known_numbers_of_calls_are_told_to_both(pair):
    duel, log = pair(measures(perf("a")))
    duel.measure(Visit(test="test_x", iterations={"a": 12}))
    assert [message["iterations"] for _, message, _ in log if message["do"] == "run"] == [{"a": 12}] * 2


def test_short_blocks_are_measured_more_often():
    lengths = [0.0, 1e-6, 1e-4, 5e-4, 0.002, 0.01, 0.1, 1.0, 60.0]
    quads = [quads_wanted(length, 1.0) for length in lengths]
    assert quads == sorted(quads, reverse=True)
    assert quads_wanted(0.002, 1.0) == STEADY_QUADS
    assert quads[0] == 3 * STEADY_QUADS
    assert quads[-1] == 1
    assert quads_wanted(0.002, 2.0) == 2 * STEADY_QUADS


def test_the_number_of_quads_has_a_limit():
    assert quads_wanted(1e-6, 9.0, most=5) == 5
    assert quads_wanted(1e-6, 9.0) == 24


def test_spoilt_quads_are_dropped_and_made_again(pair):
    duel, log = pair(measures(perf(spoilt=(0, 5))), measures(perf(spoilt=(5,))))
    measured = duel.measure(Visit(test="test_x")).measured[""]
    assert measured.dropped == 2  # the first, and the third in which both waited
    assert len(measured.base) == len(measured.head) == 2 * STEADY_QUADS
    assert len(asked(log, "block")) == 4 * (STEADY_QUADS + 2)
    assert max(block.waiting for block in (*measured.base, *measured.head)) == pytest.approx(1.0)


def test_quads_are_made_again_only_so_often(pair):
    duel, log = pair(measures(perf(spoilt=range(0, 10**4, 2))))
    measured = duel.measure(Visit(test="test_x")).measured[""]
    assert len(asked(log, "block")) <= 4 * HARD_QUADS * STEADY_QUADS
    assert measured.dropped <= HARD_QUADS * STEADY_QUADS
    assert len(measured.base) == len(measured.head)


def test_long_blocks_are_kept_however_long_they_waited(pair):
    """One longer than a time slice waits whenever somebody else is busy on its processor."""
    duel, _ = pair(measures(perf(nanoseconds=50 * MS, spoilt=range(10**4))))
    measured = duel.measure(Visit(test="test_x")).measured[""]
    assert measured.dropped == 0
    assert len(measured.base) == 2 * quads_wanted(0.05, 1.0)


def test_whether_a_block_is_long_does_not_depend_on_its_number_of_calls(pair):
    duel, _ = pair(measures(perf(nanoseconds=50 * MS, iterations=1000, spoilt=range(10**4))))
    assert duel.measure(Visit(test="test_x")).measured[""].dropped == 0


def test_a_side_that_raises_in_a_block_ends_the_measurement_on_both(pair):
    duel, log = pair(measures(perf("a"), perf("b")), measures(perf("a", fails_at=5), perf("b")))
    result = duel.measure(Visit(test="test_x"))
    assert result.ran[HEAD]["why"] == "boom"
    assert result.ran[BASE] == PASSED
    assert len(result.measured["a"].base) == len(result.measured["a"].head) == 4
    assert asked(log, "go") == ["base", "base"]
    assert "b" not in result.measured


def test_what_only_one_side_measures_is_named_and_not_compared(pair):
    duel, log = pair(measures(perf("a")), measures(perf("a"), perf("new")))
    result = duel.measure(Visit(test="test_x"))
    assert list(result.measured) == ["a"]
    assert result.lone == {"new": "head"}
    assert result.ran == [PASSED, PASSED]
    assert asked(log, "go")[-1] == "head"


@pytest.mark.parametrize("outcome", ["missing", "skipped", "failed"])
def test_a_test_that_one_side_does_not_run_to_its_end_is_run_on_the_other(pair, outcome):
    end = {"at": "ran", "outcome": outcome, "why": "no", "times": {}}
    duel, _ = pair(measures(end=end), measures(perf("a")))
    result = duel.measure(Visit(test="test_x"))
    assert result.ran == [end, PASSED]
    assert not result.measured
    assert result.lone == {"a": "head"}


def test_tests_without_measurements_are_run_once(pair):
    duel, log = pair(measures())
    result = duel.measure(Visit(test="test_x"))
    assert result.ran == [PASSED, PASSED]
    assert len(log) == 2


def test_parallel_work_is_set_free_on_both_sides(pair):
    duel, log = pair(measures(perf()), measures(perf(parallel=True)))
    assert duel.measure(Visit(test="test_x")).measured[""].parallel
    assert {message["free"] for _, message, _ in log if message["do"] == "block"} == {True}
    duel, log = pair(measures(perf()))
    assert not duel.measure(Visit(test="test_x")).measured[""].parallel
    assert {message["free"] for _, message, _ in log if message["do"] == "block"} == {False}


def test_a_worker_that_dies_is_no_business_of_the_duel(pair):
    def die(_order):
        yield from perf("a")
        raise WorkerDiedError("head", "it ended")

    duel, _ = pair(measures(perf("a"), perf("b")), die)
    with pytest.raises(WorkerDiedError, match="on head: it ended"):
        duel.measure(Visit(test="test_x"))


def test_what_it_took_is_told(pair):
    clock = FakeClock()
    duel, _ = pair(measures(perf(clock=clock)), now=clock)
    assert duel.measure(Visit(test="test_x")).seconds == pytest.approx(4 * STEADY_QUADS * 0.002)


class Body:
    """A test whose body is timed as a whole: every run takes `seconds` and says what `times` say."""

    def __init__(self, clock, seconds=0.002, times=None, outcomes=None, spoilt=()):
        self.runs = 0
        self._clock, self._seconds = clock, seconds
        self._times = times or (lambda run: {"": round(seconds * 1e9) + run})
        self._outcomes, self._spoilt = outcomes or {}, spoilt

    def __call__(self, order):
        self.runs += 1
        self._clock.advance(self._seconds)
        yield from self._within(order)
        outcome = self._outcomes.get(self.runs, "passed")
        wall = WAITED if self.runs in self._spoilt else 1
        times = {name: {"time": t, "wall": t * wall, "cpu": t} for name, t in self._times(self.runs).items()}
        yield {"at": "ran", "outcome": outcome, "times": times if outcome == "passed" else {}, "run": self.runs}

    def _within(self, order):
        return ()


def test_a_body_is_run_again_and_again_in_turns_and_the_first_run_is_not_counted(pair):
    clock = FakeClock()
    base, head = Body(clock), Body(clock)
    duel, log = pair(base, head, now=clock)
    result = duel.measure(Visit(test="test_x", following="test_y", body=True, timeout=5.0))
    measured = result.measured[""]
    assert base.runs == head.runs == 1 + 2 * STEADY_QUADS
    assert [block.time for block in measured.base] == pytest.approx([0.002 + n * 1e-9 for n in range(2, base.runs + 1)])
    assert [said["run"] for said in result.ran] == [1, 1]
    sides = asked(log, "run")[2:]
    for place in range(0, len(sides), 4):
        a, b, c, d = sides[place : place + 4]
        assert a == d != b == c
    assert [message["last"] for _, message, _ in log if message["do"] == "run"] == [False] * (2 * base.runs)
    assert [(side, message) for side, message, _ in log[-2:]] == [
        (side, {"do": "leave", "following": "test_y"}) for side in ("base", "head")
    ]
    assert measured.iterations == 1


@pytest.mark.parametrize("seconds", [0.002, 1.0, 1e-5])
def test_slow_bodies_are_repeated_less(pair, seconds):
    clock = FakeClock()
    duel, _ = pair(Body(clock, seconds), now=clock)
    measured = duel.measure(Visit(test="test_x", body=True)).measured[""]
    assert len(measured.base) == 2 * quads_wanted(seconds, 1.0, most=HARD_QUADS * STEADY_QUADS)


def test_a_body_has_its_spoilt_quads_made_again_up_to_the_limit(pair):
    clock = FakeClock()
    base, head = Body(clock, spoilt=(2,)), Body(clock)
    duel, _ = pair(base, head, now=clock)
    measured = duel.measure(Visit(test="test_x", body=True)).measured[""]
    assert measured.dropped == 1
    assert len(measured.base) == len(measured.head) == 2 * STEADY_QUADS
    base, head = Body(clock, spoilt=range(2, 10**4, 2)), Body(clock)
    duel, _ = pair(base, head, now=clock)
    duel.measure(Visit(test="test_x", body=True))
    assert base.runs <= 1 + 2 * HARD_QUADS * STEADY_QUADS


def test_a_body_that_keeps_several_threads_busy_says_so(pair):
    clock = FakeClock()

    class Threads(Body):
        def __call__(self, order):
            yield next(super().__call__(order)) | {"parallel": True}

    duel, _ = pair(Body(clock), Threads(clock), now=clock)
    assert duel.measure(Visit(test="test_x", body=True)).measured[""].parallel
    duel, _ = pair(Body(clock), now=clock)
    assert not duel.measure(Visit(test="test_x", body=True)).measured[""].parallel


def test_without_effort_one_quad_is_measured(pair):
    duel, log = pair(measures(perf(nanoseconds=1000)))
    duel.measure(Visit(test="test_x", effort=0.0))
    assert len(asked(log, "block")) == 4


@pytest.mark.parametrize("outcome", ["failed", "skipped", "missing"])
def test_a_body_that_does_not_pass_is_not_repeated(pair, outcome):
    clock = FakeClock()
    base, head = Body(clock), Body(clock, outcomes={1: outcome})
    duel, log = pair(base, head, now=clock)
    result = duel.measure(Visit(test="test_x", body=True))
    assert (base.runs, head.runs) == (1, 1)
    assert result.ran[HEAD]["outcome"] == outcome
    assert asked(log, "leave") == ["base", "head"]


def test_a_body_that_fails_in_a_repetition_says_so(pair):
    clock = FakeClock()
    base, head = Body(clock), Body(clock, outcomes={4: "failed"})
    duel, log = pair(base, head, now=clock)
    result = duel.measure(Visit(test="test_x", body=True))
    assert head.runs == 4
    assert result.ran[HEAD] == {"at": "ran", "outcome": "failed", "times": {}, "run": 4}
    assert result.ran[BASE]["outcome"] == "passed"
    assert len(result.measured[""].base) == len(result.measured[""].head) == 2
    assert asked(log, "leave") == ["base", "head"]


def test_calls_within_a_body_that_is_repeated_are_not_measured_by_themselves(pair):
    clock = FakeClock()

    class WithCalls(Body):
        def _within(self, order):
            yield from perf("inner")

    duel, log = pair(WithCalls(clock), now=clock)
    result = duel.measure(Visit(test="test_x", body=True))
    assert list(result.measured) == [""]
    assert asked(log, "block") == []


class Spans(Body):
    """A test that measures a call, and times spans beside it."""

    def _within(self, order):
        yield from perf("call")


def test_what_a_test_times_once_makes_it_run_again(pair):
    clock = FakeClock()
    base = Spans(clock, 0.008, times=lambda run: {"load": 1000 + run})
    head = Spans(clock, 0.008, times=lambda run: {"load": 2000 + run})
    duel, log = pair(base, head, now=clock)
    result = duel.measure(Visit(test="test_x", following="test_y"))
    assert list(result.measured) == ["call", "load"]
    quads = quads_wanted(0.008, 1.0)
    assert base.runs == 1 + 2 * quads
    assert [round(block.time * 1e9) for block in result.measured["load"].base] == [
        1000 + run for run in range(2, base.runs + 1)
    ]
    assert [round(block.time * 1e9) for block in result.measured["load"].head] == [
        2000 + run for run in range(2, base.runs + 1)
    ]
    lasts = [message["last"] for _, message, _ in log if message["do"] == "run"]
    assert lasts == [True, True] + [False] * (4 * quads)
    assert asked(log, "leave") == ["base", "head"]


def test_what_only_one_side_times_once_is_named_and_nothing_is_run_again_for_it(pair):
    clock = FakeClock()
    base, head = Spans(clock, times=lambda _: {}), Spans(clock, times=lambda _: {"new": 1000})
    duel, _ = pair(base, head, now=clock)
    result = duel.measure(Visit(test="test_x"))
    assert result.lone == {"new": "head"}
    assert (base.runs, head.runs) == (1, 1)


def test_a_failed_test_is_not_run_again_for_its_spans(pair):
    clock = FakeClock()
    base, head = Spans(clock, times=lambda _: {"load": 1}), Spans(clock, outcomes={1: "failed"})
    duel, _ = pair(base, head, now=clock)
    duel.measure(Visit(test="test_x"))
    assert (base.runs, head.runs) == (1, 1)


def test_other_instruments_are_read_on_both_sides(pair):
    said = iter(({"at": "ran", "n": 1}, {"at": "ran", "n": 2}))

    def count(order):
        assert order == {"do": "exact", "test": "test_x", "following": "test_y"}
        yield next(said)

    duel, log = pair(count)
    assert duel.exact(Visit(test="test_x", following="test_y", timeout=3.0)) == [
        {"at": "ran", "n": 1}, {"at": "ran", "n": 2},
    ]  # fmt: skip
    assert [(side, timeout) for side, _, timeout in log] == [("base", 3.0), ("head", 3.0)]


def test_the_sentinel_is_measured_like_a_test(pair):
    duel, log = pair(measures(perf("sentinel", iterations=40), end={"at": "ran", "outcome": "passed"}))
    measured = duel.sentinel(4.0)
    assert len(measured.base) == len(measured.head) == 2 * STEADY_QUADS
    assert asked(log, "sentinel") == [log[0][0], log[1][0]]
    assert {timeout for *_, timeout in log} == {4.0}


def test_a_sentinel_that_is_not_there_is_empty(pair):
    duel, _ = pair(measures())
    assert duel.sentinel(4.0).base == []


def test_both_are_let_end_at_the_same_time(pair):
    duel, log = pair(measures())
    duel.finish()
    assert [message["do"] for _, message, _ in log] == ["end", "end", "wait", "wait"]
    assert asked(log, "end") == asked(log, "wait") == ["base", "head"]
