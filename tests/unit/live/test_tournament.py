from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import pytest

from pytest_perfguard.live import tournament
from pytest_perfguard.live.duel import Block, Measured, Result
from pytest_perfguard.live.process import WorkerDiedError
from pytest_perfguard.live.tournament import EXACT_PAIRS, LEAST_SECONDS, Entry, Standing, Tournament
from pytest_perfguard.model import Key
from pytest_perfguard.model.pairs import Stage
from pytest_perfguard.testing import FakeClock

PASSED = {"at": "ran", "outcome": "passed"}


def failed(outcome="failed", why="boom"):
    return {"at": "ran", "outcome": outcome, "why": why}


def block(seconds=0.002):
    return Block(time=seconds, wall=seconds, cpu=seconds)


def measured(quads=2, *, base=0.002, head=0.002, **more):
    return Measured(base=[block(base)] * 2 * quads, head=[block(head)] * 2 * quads, **more)


@dataclass
class Test:
    """What comes of a test in each pair, and what that costs."""

    __test__ = False

    seconds: float = 0.1
    names: tuple[str, ...] = ("",)
    make: object = measured
    ran: dict[int, list] = field(default_factory=dict)
    """What both sides say of it, by the number of the pair."""
    dies: dict[int, str] = field(default_factory=dict)
    """The side that it ends, by the number of the pair; 0 for all pairs."""
    lone: dict[str, str] = field(default_factory=dict)


class Arena:
    """Opens pairs of workers that play what the tests say; time passes only in them."""

    def __init__(self, tests, *, start=1.0, finish=0.0, fails_to_start=(), sentinel=measured):
        self.clock = FakeClock()
        self.tests = tests
        self.start, self.end = start, finish
        self.fails_to_start, self._sentinel = fails_to_start, sentinel
        self.opened, self.visits, self.counted, self.watched = [], [], [], 0
        self.open = 0

    @contextlib.contextmanager
    def open_pair(self, number, core):
        self.opened.append((number, core))
        self.clock.advance(self.start)
        if number in self.fails_to_start or "all" in self.fails_to_start:
            raise WorkerDiedError("base", "it did not start")
        self.open += 1
        try:
            yield self
            self.clock.advance(self.end)
        finally:
            self.open -= 1

    @property
    def number(self):
        return self.opened[-1][0]

    def measure(self, visit):
        self.visits.append((self.number, visit))
        test = self.tests[visit.test]
        self.clock.advance(test.seconds)
        self._die(test)
        result = Result(seconds=test.seconds, ran=test.ran.get(self.number, [PASSED, PASSED]), lone=test.lone)
        if all(said["outcome"] == "passed" for said in result.ran):
            result.measured = {name: test.make() for name in test.names}
        return result

    def exact(self, visit):
        self.counted.append((self.number, visit.test, visit.following))
        self._die(self.tests[visit.test])
        return [{**PASSED, "count": self.number}, {**PASSED, "count": self.number}]

    def sentinel(self, timeout):
        self.watched += 1
        if isinstance(self._sentinel, Exception):
            raise self._sentinel
        return self._sentinel()

    def _die(self, test):
        side = test.dies.get(self.number) or test.dies.get(0)
        if side:
            raise WorkerDiedError(side, "it ended")

    def names(self, number):
        return [visit.test for pair, visit in self.visits if pair == number]


def until(pairs, *, urgency=None, stage=Stage.SEARCH):
    """A referee that wants so many pairs of every measurement."""

    def referee(trials):
        return {
            key: Standing(
                stage=stage if len(trial.replicates) < pairs else None,
                urgency=(urgency or {}).get(key.test, 1.0),
                remaining=max(pairs - len(trial.replicates), 0),
            )
            for key, trial in trials.items()
        }

    return referee


def play(arena, *, referee=None, seconds_each=5.0, entries=None, **more):
    entries = entries or [Entry(test=name, body=False, exact=False) for name in arena.tests]
    game = Tournament(
        entries,
        open_pair=arena.open_pair,
        referee=referee or until(3),
        seconds_each=seconds_each,
        now=arena.clock,
        **more,
    )
    findings = game.play()
    assert arena.open == 0
    return findings


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A machine of which nothing is stolen; it is told where the coordinator goes."""
    asides = []

    @contextlib.contextmanager
    def aside(core):
        asides.append(core)
        yield

    monkeypatch.setattr(tournament.machine, "aside", aside)
    monkeypatch.setattr(tournament.machine, "stolen", lambda: None)
    return asides


def test_pairs_are_played_until_everything_is_decided():
    arena = Arena({"a": Test(), "b": Test()})
    findings = play(arena)
    assert findings.pairs == 3
    assert [len(trial.replicates) for trial in findings.trials.values()] == [3, 3]
    assert [number for number, _ in arena.opened] == [1, 2, 3]
    assert all(arena.names(number) == ["a", "b"] for number in (1, 2, 3))
    assert not findings.overtime
    assert not findings.broken
    assert findings.seconds == pytest.approx(arena.clock.seconds)


def test_only_what_is_undecided_is_run_again_in_the_order_of_the_suite():
    arena = Arena({"a": Test(), "b": Test(), "c": Test()})

    def referee(trials):
        wanted = {"a": 3, "b": 1, "c": 2}
        return {
            key: Standing(
                stage=Stage.SEARCH if len(trial.replicates) < wanted[key.test] else None, urgency=len(key.test)
            )
            for key, trial in trials.items()
        }

    play(arena, referee=referee)
    assert [arena.names(number) for number in (1, 2, 3)] == [["a", "b", "c"], ["a", "c"], ["a"]]


def test_each_test_is_told_who_follows_it():
    arena = Arena({"a": Test(), "b": Test(), "c": Test()})
    play(arena, referee=until(1))
    assert [visit.following for _, visit in arena.visits] == ["b", "c", None]


def test_replicates_say_what_was_found_where_and_for_what():
    arena = Arena({"a": Test(seconds=0.5, make=lambda: measured(2, base=0.001, head=0.002, dropped=3))}, start=2.0)
    findings = play(arena, referee=until(2), cores=(4, 7))
    one, two = findings.trials[Key(test="a")].replicates
    assert (one.pair, two.pair) == (1, 2)
    assert {one.core, two.core} == {4, 7}
    assert one.base == (0.001,) * 4
    assert one.head == (0.002,) * 4
    assert one.base_cpu == (0.001,) * 4
    assert one.head_cpu == (0.002,) * 4
    assert one.dropped == 3
    assert one.stage is Stage.SEARCH
    assert two.seconds == pytest.approx(0.5 + 2.0)
    assert findings.dropped == 2 * 12
    assert findings.blocks == 2 * (8 + 12) + 2 * 8  # with those of the sentinel


def test_several_measurements_of_a_test_share_its_cost():
    arena = Arena({"a": Test(seconds=0.6, names=("x", "y"))}, start=2.0)
    findings = play(arena, referee=until(2))
    assert [trial.replicates[1].seconds for trial in findings.trials.values()] == pytest.approx([1.3, 1.3])


def test_the_stage_is_what_the_referee_wanted_before_the_pair():
    arena = Arena({"a": Test(names=("x", "y", "z"))})

    def referee(trials):
        pairs = len(next(iter(trials.values())).replicates)
        return {
            Key(test="a", name="x"): Standing(stage=Stage.CONFIRM if pairs < 3 else None),
            Key(test="a", name="y"): Standing(stage=None),
            Key(test="a", name="z"): Standing(stage=Stage.SEARCH if pairs < 3 else None),
        }

    findings = play(arena, referee=referee)
    stages = {key.name: [each.stage for each in trial.replicates] for key, trial in findings.trials.items()}
    assert stages == {
        "x": [Stage.SEARCH, Stage.CONFIRM, Stage.CONFIRM],
        "y": [Stage.SEARCH],
        "z": [Stage.SEARCH] * 3,
    }


def test_the_number_of_calls_of_the_first_pair_is_kept():
    numbers = iter((10, 20, 30))
    arena = Arena({"a": Test(make=lambda: measured(iterations=next(numbers)))})
    findings = play(arena)
    assert [dict(visit.iterations) for _, visit in arena.visits] == [{}, {"": 10}, {"": 10}]
    assert findings.head[Key(test="a")][0] == 10


def test_heads_blocks_of_all_pairs_are_kept():
    arena = Arena({"a": Test(make=lambda: measured(1, head=0.003))})
    assert play(arena).head == {Key(test="a"): (1, [block(0.003)] * 6)}


def test_margin_and_parallel_are_of_the_trial():
    flags = iter((False, True, False))
    arena = Arena({"a": Test(make=lambda: measured(parallel=next(flags)))})
    findings = play(arena, entries=[Entry(test="a", body=True, exact=False, margin=0.05)], cores=(3,))
    trial = findings.trials[Key(test="a")]
    assert trial.margin == 0.05
    assert trial.parallel
    assert [each.core for each in trial.replicates] == [3, None, 3]
    assert all(visit.body for _, visit in arena.visits)


def test_a_pair_without_a_usable_quad_is_no_replicate():
    results = iter((measured(0, dropped=6), measured(2), measured(2), measured(2)))
    arena = Arena({"a": Test(make=lambda: next(results))})
    findings = play(arena)
    assert findings.pairs == 4
    assert len(findings.trials[Key(test="a")].replicates) == 3


def test_a_test_that_can_never_be_measured_ends_with_the_time():
    arena = Arena({"a": Test(make=lambda: measured(0, dropped=6))})
    findings = play(arena, seconds=20.0)
    assert findings.overtime
    assert arena.clock.seconds <= 20.0


def test_a_test_that_measures_nothing_is_run_once():
    arena = Arena({"a": Test(names=())})
    findings = play(arena)
    assert (findings.pairs, findings.trials) == (1, {})
    assert findings.said["a"] == [PASSED, PASSED]


@pytest.mark.parametrize(
    ("ran", "words"),
    [
        ([failed(), PASSED], "it failed on base (boom)"),
        ([PASSED, failed(why="")], "it failed on head (no reason given)"),
        ([failed("skipped", "not here"), PASSED], "it was skipped on base (not here)"),
    ],
)
def test_a_test_that_does_not_pass_on_a_side_is_not_run_again_and_says_why(ran, words):
    arena = Arena({"a": Test(ran={1: ran}), "b": Test()})
    findings = play(arena)
    assert arena.names(2) == ["b"]
    assert findings.broken == {"a": words}
    assert findings.said["a"] == ran
    assert Key(test="a") not in findings.trials
    assert "a" not in findings.ended_by


def test_a_test_that_base_does_not_have_says_so():
    missing = failed("missing", "there is no such test")
    findings = play(Arena({"a": Test(ran={1: [missing, PASSED]})}))
    assert "base" in findings.broken["a"]
    assert "there is no such test" in findings.broken["a"]


def test_a_test_that_does_not_pass_later_is_left_out_from_then_on():
    arena = Arena({"a": Test(ran={2: [PASSED, failed()]}), "b": Test()})
    findings = play(arena)
    assert arena.names(3) == ["b"]
    assert findings.broken["a"] == "it failed on head (boom), in pair 2, after it had passed"
    assert findings.said["a"] == [PASSED, PASSED]
    assert len(findings.trials[Key(test="a")].replicates) == 1


def test_what_one_side_measures_alone_is_kept_by_name():
    findings = play(Arena({"a": Test(lone={"new": "head"})}))
    assert findings.lone == {Key(test="a", name="new"): "head"}


def test_the_rest_of_a_pair_that_was_ended_goes_on_in_another():
    arena = Arena({"a": Test(), "b": Test(dies={1: "head"}), "c": Test(), "d": Test()})
    findings = play(arena)
    assert arena.names(1) == ["a", "b"]
    assert arena.names(2) == ["c", "d"]
    assert arena.names(3) == ["a", "c", "d"]
    assert findings.broken == {"b": "on head: it ended"}
    assert findings.ended_by == {"b": "head"}
    assert "b" not in findings.said
    assert {key.test: len(trial.replicates) for key, trial in findings.trials.items()} == {"a": 3, "c": 3, "d": 3}


def test_a_test_that_ends_a_later_pair_keeps_what_it_said_first():
    arena = Arena({"a": Test(dies={2: "base"}), "b": Test()})
    findings = play(arena)
    assert findings.ended_by == {"a": "base"}
    assert findings.said["a"] == [PASSED, PASSED]
    assert arena.names(3) == ["b"]
    assert not any("a" in arena.names(number) for number in range(3, findings.pairs + 1))


def test_there_is_an_end_where_every_test_ends_its_pair():
    names = "abcdefgh"
    arena = Arena({name: Test(dies={0: "head"}) for name in names})
    findings = play(arena)
    assert findings.pairs == len(names)
    assert set(findings.broken) == set(names)


def test_where_no_pair_can_start_there_is_no_comparison():
    arena = Arena({"a": Test()}, fails_to_start=(1,))
    with pytest.raises(WorkerDiedError, match="on base: it did not start"):
        play(arena)


def test_a_start_that_fails_later_costs_nothing_of_what_is_known():
    arena = Arena({"a": Test()}, fails_to_start=(2,))
    findings = play(arena)
    assert findings.failures == ["on base: it did not start"]
    assert len(findings.trials[Key(test="a")].replicates) == 3


def test_a_start_that_fails_in_the_first_round_leaves_nobody_out():
    tests = {"a": Test(), "b": Test(dies={1: "head"}), "c": Test(), "d": Test()}
    arena = Arena(tests, fails_to_start=(2,))
    findings = play(arena)
    assert arena.names(3) == ["c", "d"]
    assert set(findings.said) == {"a", "c", "d"}
    assert len(findings.failures) == 1


def test_there_is_an_end_where_no_pair_can_start_any_more():
    arena = Arena({"a": Test()}, start=0.0, fails_to_start=range(2, 10**6))
    findings = play(arena)
    assert 1 <= len(findings.failures) <= 10
    assert len(findings.trials[Key(test="a")].replicates) == 1


def test_a_sentinel_that_ends_a_pair_is_nobodys_fault():
    arena = Arena({"a": Test(), "b": Test()})
    watch = arena.sentinel

    def once(timeout):
        if arena.number == 2:
            raise WorkerDiedError("head", "it ended")
        return watch(timeout)

    arena.sentinel = once
    findings = play(arena)
    assert findings.broken == {}
    assert len(findings.failures) == 1
    assert [len(trial.replicates) for trial in findings.trials.values()] == [3, 3]


def test_the_sentinel_is_watched_in_every_pair():
    arena = Arena({"a": Test()})
    findings = play(arena)
    assert arena.watched == 3
    assert [each.pair for each in findings.sentinel.replicates] == [1, 2, 3]
    assert {each.stage for each in findings.sentinel.replicates} == {Stage.SEARCH}
    assert findings.sentinel.key == Key(test="", name="sentinel")
    assert findings.sentinel.key not in findings.trials


def test_a_sentinel_that_could_not_be_measured_is_left_out():
    findings = play(Arena({"a": Test()}, sentinel=Measured))
    assert findings.sentinel.replicates == ()


def test_exact_metrics_are_counted_in_two_pairs():
    arena = Arena({"a": Test(), "b": Test()})
    entries = [Entry(test="a", body=False, exact=True), Entry(test="b", body=False, exact=False)]
    findings = play(arena, referee=until(4), entries=entries)
    assert arena.counted == [(1, "a", "b"), (2, "a", "b")]
    assert [[said["count"] for said in both] for both in findings.exact["a"]] == [[1, 1], [2, 2]]
    assert "b" not in findings.exact
    # While the same test is to be run once more, what it shares with itself stays.
    following = [visit.following for _, visit in arena.visits if visit.test == "a"]
    assert following == ["a", "a", "b", "b"]


def test_a_test_of_exact_metrics_alone_is_not_timed():
    arena = Arena({"a": Test()})
    findings = play(arena, entries=[Entry(test="a", body=True, exact=True, timed=False)])
    assert arena.visits == []
    assert findings.pairs == EXACT_PAIRS
    assert len(findings.exact["a"]) == EXACT_PAIRS
    assert findings.said["a"][0]["outcome"] == "passed"


def test_a_test_that_wants_neither_time_nor_counts_is_run():
    arena = Arena({"a": Test(names=())})
    play(arena, entries=[Entry(test="a", body=True, exact=False, timed=False)])
    assert [visit.body for _, visit in arena.visits] == [False]


def test_a_test_that_does_not_pass_is_not_counted():
    arena = Arena({"a": Test(ran={1: [failed(), PASSED]})})
    play(arena, entries=[Entry(test="a", body=False, exact=True)])
    assert arena.counted == []


def test_tests_after_others_that_ended_their_pairs_are_counted_as_often():
    arena = Arena({"a": Test(dies={0: "head"}), "b": Test(dies={0: "base"}), "c": Test()})
    findings = play(arena, entries=[Entry(test=name, body=False, exact=True) for name in "abc"])
    assert len(findings.exact["c"]) == EXACT_PAIRS
    assert set(findings.broken) == {"a", "b"}


def test_a_test_that_ends_its_pair_while_it_is_counted_is_broken():
    arena = Arena({"a": Test(dies={0: "head"}), "b": Test()})
    entries = [Entry(test="a", body=True, exact=True, timed=False), Entry(test="b", body=False, exact=False)]
    findings = play(arena, entries=entries)
    assert findings.ended_by == {"a": "head"}
    assert len(findings.trials[Key(test="b")].replicates) == 3


def test_the_time_given_for_all_is_kept():
    arena = Arena({name: Test(seconds=0.5) for name in "abcd"}, finish=0.2)
    findings = play(arena, referee=until(10**6), seconds=30.0)
    assert findings.overtime
    assert 20.0 < arena.clock.seconds <= 30.0 + 0.2


def test_the_time_of_a_run_is_that_of_its_measurements():
    arena = Arena({name: Test(seconds=0.5, names=("x", "y")) for name in map(str, range(20))})
    findings = play(arena, referee=until(10**6), seconds_each=5.0)
    assert 150.0 < arena.clock.seconds <= 20 * 2 * 5.0
    assert findings.overtime


def test_few_tests_have_the_time_to_be_decided():
    arena = Arena({"a": Test()})
    play(arena, referee=until(10**6), seconds_each=1.0)
    assert LEAST_SECONDS - 3 < arena.clock.seconds <= LEAST_SECONDS


def test_every_test_is_run_once_however_little_time_there_is():
    arena = Arena({name: Test(seconds=1.0) for name in "abcdef"})
    findings = play(arena, referee=until(10), seconds=3.0)
    assert findings.pairs == 1
    assert set(findings.said) == set("abcdef")
    assert findings.overtime
    efforts = [visit.effort for _, visit in arena.visits]
    assert efforts[0] >= 1.0
    assert efforts[-1] == 0.0  # with no more blocks than it takes to compare at all


def test_a_later_pair_ends_where_the_time_does():
    arena = Arena({name: Test(seconds=1.0) for name in "abcdef"})
    tests = arena.tests

    def referee(trials):
        for test in tests.values():
            test.seconds = 4.0  # slower than the first time
        return until(10)(trials)

    findings = play(arena, referee=referee, seconds=16.0)
    assert arena.clock.seconds < 16.0 + 4.0 + 1.0
    assert findings.overtime
    assert len(arena.names(2)) < 6


def test_the_most_urgent_come_first_where_the_time_is_not_enough_for_all():
    arena = Arena({name: Test(seconds=2.0) for name in "abcd"})
    play(arena, referee=until(10, urgency={"a": 0.1, "b": 0.9, "c": 0.2, "d": 0.8}), seconds=15.0)
    assert arena.names(2) == ["b", "d"]


def test_a_slow_test_does_not_take_the_time_of_the_others():
    arena = Arena({**{f"quick{n}": Test(seconds=0.1) for n in range(20)}, "slow": Test(seconds=8.0)})
    findings = play(arena, referee=until(30), seconds=105.0)
    pairs = {key.test: len(trial.replicates) for key, trial in findings.trials.items()}
    assert min(pairs[f"quick{n}"] for n in range(20)) >= 20
    assert pairs["slow"] >= 1


def test_what_had_its_share_has_the_rest_when_the_others_are_done():
    arena = Arena({"quick": Test(seconds=0.1), "slow": Test(seconds=8.0)})
    findings = play(arena, referee=until(6), seconds=100.0)
    assert {key.test: len(trial.replicates) for key, trial in findings.trials.items()} == {"quick": 6, "slow": 6}


def test_where_starting_is_dear_more_is_measured_at_once():
    efforts = {}
    for start in (0.1, 1.6, 1000.0):
        arena = Arena({"a": Test()}, start=start)
        play(arena, referee=until(2), seconds=10**5)
        efforts[start] = arena.visits[1][1].effort
    assert efforts == {0.1: pytest.approx(1.0), 1.6: pytest.approx(4.0), 1000.0: 4.0}


def test_pairs_take_turns_on_the_processors_and_the_coordinator_stands_aside(machine):
    arena = Arena({"a": Test()})
    play(arena, referee=until(4), cores=(2, 3))
    cores = [core for _, core in arena.opened]
    assert sorted(cores) == [2, 2, 3, 3]
    assert cores[0] != cores[1]
    assert machine == cores


def test_where_nobody_can_be_bound_pairs_run_anywhere():
    arena = Arena({"a": Test()})
    findings = play(arena)
    assert {core for _, core in arena.opened} == {None}
    assert findings.trials[Key(test="a")].replicates[0].core is None


def test_workers_are_started_before_the_coordinator_leaves_their_processor(monkeypatch):
    events = []

    @contextlib.contextmanager
    def aside(core):
        events.append("aside")
        yield
        events.append("back")

    arena = Arena({"a": Test()})
    opening = arena.open_pair

    @contextlib.contextmanager
    def open_pair(number, core):
        events.append("start")
        with opening(number, core) as duel:
            yield duel
        events.append("end")

    arena.open_pair = open_pair
    monkeypatch.setattr(tournament.machine, "aside", aside)
    play(arena, referee=until(1))
    assert events == ["start", "aside", "back", "end"]


@pytest.mark.parametrize(
    ("readings", "share"),
    [
        ([(10, 1000), (35, 1100)], 0.25),
        ([(10, 1000), (10, 1000)], None),
        ([None, (10, 1000)], None),
        ([None, None], None),
    ],
)
def test_stolen_time_is_a_share_of_all_that_passed(monkeypatch, readings, share):
    rest = iter(readings)
    monkeypatch.setattr(tournament.machine, "stolen", lambda: next(rest))
    assert play(Arena({"a": Test()})).steal == share


def test_progress_is_told_before_each_test():
    told = []
    arena = Arena({"a": Test(seconds=1.0), "b": Test(seconds=1.0)})
    play(arena, referee=until(3), seconds=100.0, progress=told.append)
    assert [(each.pair, each.test, each.place, each.tests) for each in told] == [
        (pair, test, place, 2) for pair in (1, 2, 3) for place, test in enumerate("ab")
    ]
    assert [each.elapsed for each in told] == pytest.approx([1, 2, 4, 5, 7, 8])
    assert [each.undecided for each in told] == [2] * 6
    assert all(each.elapsed <= each.expected <= 100.0 for each in told)
    assert told[2].expected == pytest.approx(4 + 2 * 3)  # two more pairs of 3 s are wanted


def test_what_is_expected_never_lies_in_the_past():
    told = []
    arena = Arena({name: Test(seconds=5.0) for name in "abc"})
    play(arena, referee=until(3), seconds=1.0, progress=told.append)
    assert all(each.expected >= each.elapsed for each in told)


def test_an_interruption_closes_the_pair():
    arena = Arena({"a": Test()})

    def interrupt(visit):
        raise KeyboardInterrupt

    arena.measure = interrupt
    with pytest.raises(KeyboardInterrupt):
        play(arena)
    assert arena.open == 0


def test_the_timeout_of_a_test_is_handed_on():
    arena = Arena({"a": Test()})
    play(arena, timeout=12.0)
    assert {visit.timeout for _, visit in arena.visits} == {12.0}
