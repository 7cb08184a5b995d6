from __future__ import annotations

import contextlib
import functools
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pytest_perfguard import comparison
from pytest_perfguard.comparison import Invocation, compare
from pytest_perfguard.config.marker import parse_budgets
from pytest_perfguard.config.resolve import resolve
from pytest_perfguard.engine import Engine
from pytest_perfguard.errors import MeasurementError
from pytest_perfguard.live.duel import Block, Measured, Result
from pytest_perfguard.live.process import WorkerDiedError
from pytest_perfguard.live.sides import Side, Sides
from pytest_perfguard.live.tournament import Tournament
from pytest_perfguard.model import BUILTIN, Commit, Key, Measurement, Method, Note, Outcome, Series
from pytest_perfguard.model.codec import to_plain
from pytest_perfguard.model.task import Task
from pytest_perfguard.registry import Registry
from pytest_perfguard.testing import FakeClock

BASE, HEAD = 0, 1
REPORTS = [{"when": "setup"}, {"when": "call"}, {"when": "teardown"}]


def said(outcome="passed", why="", measured=(), **more):
    return {
        "at": "ran", "outcome": outcome, "why": why, "reports": REPORTS, "measured": to_plain(tuple(measured)), **more,
    }  # fmt: skip


@dataclass
class Script:
    """What a test says on both sides."""

    base: float = 0.001
    head: float = 0.001
    noise: float = 0.002
    names: tuple[str, ...] = ("",)
    ran: tuple[dict, dict] = field(default_factory=lambda: (said(), said()))
    later: tuple[dict, dict] | None = None
    """What it says from the second pair on, where that is something else."""
    counts: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    """The queries of base and of head, by pair."""
    dies: str = ""
    lone: dict[str, str] = field(default_factory=dict)


class ScriptedBench:
    """Pairs that play a script; `given` is what the bench was made of."""

    def __init__(self, scripts):
        self.scripts, self.given, self.pairs, self.open = scripts, {}, 0, 0
        self.sentinel_shift = 0.0
        self.clock = FakeClock()
        self._dice = random.Random(1)

    def __call__(self, **given):
        self.given = given
        return self

    @contextlib.contextmanager
    def open_pair(self, number, core):
        self.pairs += 1
        self.open += 1
        self.clock.advance(0.5)
        try:
            yield self
        finally:
            self.open -= 1

    def measure(self, visit):
        script = self.scripts[visit.test]
        self.clock.advance(0.05)
        if script.dies:
            raise WorkerDiedError(script.dies, "it ended")
        ran = script.later if script.later is not None and self.pairs > 1 else script.ran
        result = Result(ran=list(ran), lone=script.lone, seconds=0.05)
        if all(each["outcome"] == "passed" for each in ran):
            result.measured = {name: self._measured(script) for name in script.names}
        return result

    def exact(self, visit):
        script = self.scripts[visit.test]
        found = []
        for place, counts in enumerate(script.counts):
            series = Series(metric=BUILTIN["queries"], values=(counts[self.pairs - 1],)) if counts else None
            measurement = Measurement(key=Key(test=visit.test), series=(series,) if series else ())
            found.append(script.ran[place] | said(measured=[measurement]))
        return found

    def sentinel(self, timeout):
        return self._measured(Script(head=0.001 * (1 + self.sentinel_shift)))

    def _measured(self, script):
        noise = self._dice.gauss(0, script.noise)
        return Measured(base=[block(script.base)] * 8, head=[block(script.head * (1 + noise))] * 8, iterations=2)


def block(seconds):
    return Block(time=seconds, wall=seconds, cpu=seconds)


class Janitor:
    """Nothing is left, so nothing is cleaned up."""

    closed = 0

    def __init__(self):
        self.folder = Path("folder")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        Janitor.closed += 1


@pytest.fixture
def play(tmp_path, monkeypatch, bare_environment):
    """Compare the tests of a script; gives what came of it, and what the bench was made of."""

    def run(scripts, tasks=None, *, sentinel_shift=0.0, bodies=(), notes=(), processors=(0, 1), **options):
        bench = ScriptedBench(scripts)
        bench.sentinel_shift = sentinel_shift

        def side(name):
            return Side(name=name, tree=tmp_path, root=tmp_path, cwd=tmp_path, python="python")

        requests = []

        def prepare(request, janitor, say):
            requests.append(request)
            say("ready")
            return Sides(
                base=side("base"), head=side("head"), commit=Commit(sha="a" * 40), reason="main", home=tmp_path,
                notes=tuple(notes),
            )  # fmt: skip

        monkeypatch.setattr(comparison, "Janitor", Janitor)
        monkeypatch.setattr(comparison, "prepare", prepare)
        monkeypatch.setattr(comparison, "Bench", bench)
        monkeypatch.setattr(comparison, "Tournament", functools.partial(Tournament, now=bench.clock))
        monkeypatch.setattr(comparison.machine, "processors", lambda: processors)
        monkeypatch.setattr(comparison.machine, "bind", lambda _: None)
        settings = resolve(
            options={"perfguard_against": "main", **{f"perfguard_{name}": value for name, value in options.items()}},
            environment={}, ini={}, ini_path="",
        )  # fmt: skip
        engine = Engine(settings, root=tmp_path, registry=Registry(root=tmp_path))
        tasks = tasks or [task(name) for name in scripts]
        engine.begin(tasks)
        invocation = Invocation(
            root=tmp_path, cwd=tmp_path, ini=None, arguments=("-q",), files=(tmp_path / "test_a.py",), loaded=(),
            here=True,
        )  # fmt: skip
        spoken = []
        try:
            compared = compare(engine, tasks, bodies, invocation, say=spoken.append, progress=lambda _: None)
        finally:
            engine.close()
        assert bench.open == 0
        assert spoken == ["ready"]
        return compared, bench, requests[0]

    return run


def task(name, **budgets):
    limits = parse_budgets(budgets, (), metrics=BUILTIN, origin="marker") if budgets else ()
    return Task(test=name, budgets=limits, method=Method(), explicit=True)


def verdicts(found, metric="time"):
    return [(each.key.name, each.outcome) for each in found.verdicts if each.metric == metric]


def test_the_same_code_is_unchanged_and_a_slower_one_regressed(play):
    compared, bench, _ = play({"same": Script(), "slower": Script(head=0.0012), "faster": Script(head=0.0008)})
    found = compared.tests
    assert {name: verdicts(each) for name, each in found.items()} == {
        "same": [("", Outcome.UNCHANGED)],
        "slower": [("", Outcome.REGRESSED)],
        "faster": [("", Outcome.IMPROVED)],
    }
    assert found["slower"].failure
    assert "20 %" in found["slower"].failure
    assert "aaaaaaaaaaaa (main)" in found["slower"].failure
    assert found["same"].failure == found["faster"].failure == ""
    assert all(each.reports == tuple(REPORTS) for each in found.values())
    assert compared.contest.pairs == bench.pairs
    assert compared.contest.reason == "main"
    assert compared.contest.pinned
    assert compared.contest.blocks > 0


def test_everything_is_closed_before_it_is_judged(play):
    before = Janitor.closed
    play({"a": Script()})
    assert Janitor.closed == before + 1


def test_a_comparison_that_is_interrupted_is_cleaned_up(play, monkeypatch):
    before = Janitor.closed
    monkeypatch.setattr(ScriptedBench, "measure", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        play({"a": Script()})
    assert Janitor.closed == before + 1


def test_settings_reach_who_needs_them(play, tmp_path):
    _, bench, request = play(
        {"a": Script()}, against_tests="base", against_timeout="7 s", against_packages="one,two=src", notes=()
    )
    assert (request.against, request.tests, request.packages) == ("main", "base", ("one", "two=src"))
    assert (request.root, request.files) == (tmp_path, (tmp_path / "test_a.py",))
    assert bench.given["timeout"] == 7.0
    assert bench.given["arguments"] == ("-q",)
    assert bench.given["here"] is True


def test_remarks_on_the_sides_are_the_contests(play):
    note = Note(code="advice", message="do")
    assert note in play({"a": Script()}, notes=[note])[0].contest.notes


def test_where_nothing_can_be_pinned_it_says_so_and_asks_for_more(play):
    compared, _, _ = play({"a": Script(head=0.001 * 1.015)}, processors=())
    assert not compared.contest.pinned
    assert verdicts(compared.tests["a"]) != [("", Outcome.REGRESSED)]


def test_budgets_are_checked_on_heads_times_in_all_pairs(play):
    tasks = [task("a", time="2 ms"), task("b", time="0.5 ms")]
    compared, _, _ = play({"a": Script(), "b": Script()}, tasks)
    assert verdicts(compared.tests["a"]) == [("", Outcome.PASSED), ("", Outcome.UNCHANGED)]
    assert verdicts(compared.tests["b"]) == [("", Outcome.OVER_BUDGET), ("", Outcome.UNCHANGED)]
    assert compared.tests["b"].failure
    [measurement] = compared.tests["a"].measurements
    assert len(measurement.get("time")) >= 6 * 8
    assert measurement.get("time").reduced() == pytest.approx(0.001, rel=0.02)


def test_a_budget_on_what_nobody_measured_fails(play):
    compared, _, _ = play({"a": Script(names=())}, [task("a", time="1 s")])
    assert compared.tests["a"].failure.startswith("perfguard: the budget on time")


def test_several_measurements_are_judged_each(play):
    compared, _, _ = play({"a": Script(names=("x", "y"))})
    assert verdicts(compared.tests["a"]) == [("x", Outcome.UNCHANGED), ("y", Outcome.UNCHANGED)]


def test_counts_are_compared_exactly(play):
    scripts = {
        "same": Script(counts=((3, 3), (3, 3))),
        "more": Script(counts=((3, 3), (4, 4))),
        "fewer": Script(counts=((3, 3), (2, 2))),
    }
    compared, _, _ = play(scripts, [task(name, queries=9) for name in scripts])
    found = {name: verdicts(each, "queries") for name, each in compared.tests.items()}
    assert found["same"] == [("", Outcome.PASSED), ("", Outcome.UNCHANGED)]
    assert found["more"] == [("", Outcome.PASSED), ("", Outcome.REGRESSED)]
    assert found["fewer"] == [("", Outcome.PASSED), ("", Outcome.IMPROVED)]
    assert compared.tests["more"].failure


def test_counts_that_vary_by_themselves_are_named(play):
    compared, _, _ = play({"a": Script(counts=((3, 4), (4, 3)))}, [task("a", queries=9)])
    [note] = [note for verdict in compared.tests["a"].verdicts for note in verdict.notes if note.code == "varies"]
    assert "head and of base" in note.message
    assert not compared.tests["a"].failure


@pytest.mark.parametrize("outcome", ["failed", "skipped"])
def test_what_does_not_pass_on_head_is_reported_as_it_is_and_not_judged(play, outcome):
    for base in ("passed", outcome):
        compared, _, _ = play({"a": Script(ran=(said(base), said(outcome, "why")))}, [task("a", time="1 ns")])
        found = compared.tests["a"]
        assert found.reports == tuple(REPORTS)
        assert (found.verdicts, found.failure, found.crashed) == ((), "", "")


@pytest.mark.parametrize(
    ("outcome", "why"),
    [("missing", "there is no such test"), ("failed", "no attribute 'new'"), ("skipped", "not here")],
)
def test_what_base_cannot_follow_has_no_baseline_and_does_not_fail(play, outcome, why):
    compared, _, _ = play(
        {"a": Script(ran=(said(outcome, why), said())), "b": Script()}, [task("a", time="1 s"), task("b")]
    )
    found = compared.tests["a"]
    assert verdicts(found) == [("", Outcome.NO_BASELINE)]
    assert why in found.verdicts[0].sentence
    assert not found.verdicts[0].fails
    assert found.failure == ""
    assert found.reports == ()  # it is run by itself, where its budgets hold
    assert verdicts(compared.tests["b"]) == [("", Outcome.UNCHANGED)]


def test_a_new_test_of_counts_alone_has_no_baseline(play):
    missing = said("missing", "there is no such test")
    script = Script(ran=(missing, said()), counts=((), (3, 3)))
    only = Task(test="a", budgets=task("a", queries=9).budgets, method=Method())
    compared, _, _ = play({"a": script}, [only], bodies=("a",))
    found = compared.tests["a"]
    assert verdicts(found, "queries") == [("", Outcome.PASSED), ("", Outcome.NO_BASELINE)]
    assert not found.failure


def test_a_test_that_fails_later_on_base_is_invalid(play):
    script = Script(later=(said("failed", "flaky"), said()))
    compared, _, _ = play({"a": script, "b": Script()})
    found = compared.tests["a"]
    assert found.verdicts[0].outcome is Outcome.INVALID
    assert "flaky" in found.verdicts[0].sentence
    assert found.failure == ""


def test_a_test_that_ends_heads_process_fails(play):
    compared, _, _ = play({"a": Script(dies="head"), "b": Script()})
    found = compared.tests["a"]
    assert found.crashed == "on head: it ended"
    assert (found.reports, found.verdicts) == ((), ())
    assert verdicts(compared.tests["b"]) == [("", Outcome.UNCHANGED)]


def test_a_test_that_ends_bases_process_is_invalid_and_run_by_itself(play):
    found = play({"a": Script(dies="base"), "b": Script()})[0].tests["a"]
    assert verdicts(found) == [("", Outcome.INVALID)]
    assert "on base: it ended" in found.verdicts[0].sentence
    assert (found.reports, found.crashed, found.failure) == ((), "", "")


def test_a_measurement_of_head_alone_has_no_baseline(play):
    compared, _, _ = play({"a": Script(names=("x",), lone={"new": "head"})})
    found = compared.tests["a"]
    assert verdicts(found) == [("x", Outcome.UNCHANGED), ("new", Outcome.NO_BASELINE)]
    assert not found.failure


def test_a_measurement_of_base_alone_is_invalid(play):
    found = play({"a": Script(names=("x",), lone={"old": "base"})})[0].tests["a"]
    assert verdicts(found) == [("x", Outcome.UNCHANGED), ("old", Outcome.INVALID)]
    assert found.reports == tuple(REPORTS)


def test_a_new_measurement_does_not_hide_counts_that_grew(play):
    script = Script(lone={"new": "head"}, counts=((3, 3), (4, 4)))
    found = play({"a": script}, [task("a", queries=9)])[0].tests["a"]
    assert ("", Outcome.REGRESSED) in verdicts(found, "queries")


def test_when_the_sentinel_alarms_no_time_fails_a_test(play):
    compared, _, _ = play({"a": Script(head=0.0012)}, sentinel_shift=0.1)
    found = compared.tests["a"]
    assert verdicts(found) == [("", Outcome.REGRESSED)]
    assert not found.failure
    assert "sentinel" in [note.code for note in found.verdicts[0].notes]


def test_when_the_sentinel_alarms_no_time_fails_a_test_that_broke_later_either(play, monkeypatch):
    shifted = []
    judge = comparison._judge

    def with_broken(engine, tasks, findings, *rest):
        findings.broken["a"] = "it failed on base (flaky), in pair 99, after it had passed"
        shifted.extend(judge(engine, tasks, findings, *rest)["a"].verdicts)
        return {}

    monkeypatch.setattr(comparison, "_judge", with_broken)
    play({"a": Script(head=0.0012)}, sentinel_shift=0.1)
    assert [verdict.outcome for verdict in shifted] == [Outcome.INVALID, Outcome.REGRESSED]
    assert not any(verdict.fails for verdict in shifted)


def test_where_base_lacks_compiled_modules_nothing_is_compared(play):
    missed = ["app._fast (/x/_fast.so)"]
    scripts = {"a": Script(ran=(said(missed=missed), said())), "b": Script(head=0.002)}
    compared, _, _ = play(scripts, [task("a", time="1 s"), task("b")])
    assert verdicts(compared.tests["a"]) == [("", Outcome.PASSED), ("", Outcome.INVALID)]
    assert verdicts(compared.tests["b"]) == [("", Outcome.INVALID)]
    assert "--perfguard-against-install" in compared.tests["b"].verdicts[0].sentence


def test_what_a_worker_says_of_leaks_ends_the_comparison(play, monkeypatch):
    def leak(*_):
        raise MeasurementError("the tests of base imported app")

    monkeypatch.setattr(ScriptedBench, "measure", leak)
    with pytest.raises(MeasurementError, match="base imported app"):
        play({"a": Script()})


def test_a_test_that_was_never_run_says_so(play):
    scripts = {"a": Script(dies="head"), "b": Script()}

    def starts(number):
        if number > 1:
            raise WorkerDiedError("base", "it did not start")

    opening = ScriptedBench.open_pair

    @contextlib.contextmanager
    def open_pair(self, number, core):
        starts(number)
        with opening(self, number, core) as duel:
            yield duel

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptedBench, "open_pair", open_pair)
        compared, _, _ = play({"x": Script(), **scripts})
    found = compared.tests["b"]
    assert verdicts(found) == [("", Outcome.INVALID)]
    assert "it was not run" in found.verdicts[0].sentence
    assert "pair-failed" in [note.code for note in compared.contest.notes]


def test_too_little_time_is_inconclusive_and_does_not_fail(play):
    compared, bench, _ = play({"a": Script(head=0.002)}, max_time="2 s")
    assert bench.pairs == 3
    assert verdicts(compared.tests["a"]) == [("", Outcome.INCONCLUSIVE)]
    assert not compared.tests["a"].failure


def test_bodies_and_counts_are_asked_for_as_the_tasks_say(play):
    visits = []
    measure = ScriptedBench.measure

    def watch(self, visit):
        visits.append(visit)
        return measure(self, visit)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptedBench, "measure", watch)
        play({"body": Script(), "call": Script()}, bodies=("body",))
    assert {visit.test: visit.body for visit in visits} == {"body": True, "call": False}
