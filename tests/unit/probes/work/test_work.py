from __future__ import annotations

import asyncio
import contextlib
import cProfile
import functools
import gc
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import pytest_perfguard
from pytest_perfguard.errors import ProbeError
from pytest_perfguard.measure.caller import Caller
from pytest_perfguard.measure.observation import observe
from pytest_perfguard.measure.passes import Block
from pytest_perfguard.measure.plan import Call
from pytest_perfguard.measure.runner import _perform, _perform_async
from pytest_perfguard.model.metric import CALLS, TIME, Reduce
from pytest_perfguard.model.sample import Series
from pytest_perfguard.probes.work import CallProbe, WorkProbe, note_unsteady
from tests.unit.probes.work import functions
from tests.unit.probes.work.functions import FUNCTIONS, PROBES, nothing, read, recursion, steady, unit, units

MONITORED = sys.version_info >= (3, 12)
monitored = pytest.mark.skipif(not MONITORED, reason="sys.monitoring came with Python 3.12")


@pytest.fixture(params=PROBES, ids=lambda kind: kind.__name__)
def probe(request):
    return request.param()


@pytest.fixture(autouse=True)
def nothing_left():
    """Check that nothing is left in the process after each test."""
    yield
    assert sys.getprofile() is None
    assert threading.getprofile() is None
    assert gc.isenabled()
    if MONITORED:
        assert [sys.monitoring.get_tool(number) for number in (2, 3, 4, 5)] == [None] * 4


@pytest.mark.parametrize(
    ("function", "calls"),
    [
        (nothing, 1),
        (unit, 3),
        (functools.partial(units, 10), 31),
        (lambda: len([]), 2),
        (lambda: functions.Thing(1), 2),  # the lambda and __init__
        (lambda: [*(n for n in range(3))], 5),  # the lambda and four resumptions
        (recursion, 465),
    ],
)
def test_calls_are_counted_as_cprofile_counts_them(function, calls):
    assert steady(CallProbe(), function) == calls
    profile = cProfile.Profile()
    profile.runcall(function)
    entries = [e.callcount for e in profile.getstats() if "_lsprof" not in str(e.code)]
    assert sum(entries) == calls


@monitored
@pytest.mark.parametrize(
    ("function", "work"),
    [
        (nothing, 1),
        (unit, 4),  # entering both functions, calling nothing() and count()
        (lambda: [None for _ in range(100)], 203),
        (functions.exceptions, None),
    ],
)
def test_work_sees_loops_and_branches(function, work):
    value = steady(WorkProbe(), function)
    if work is not None:
        # A compiler may end a loop with one step more or fewer.
        assert abs(value - work) <= 3
    assert value >= 1


@monitored
def test_work_sees_what_calls_do_not():
    def loop(count):
        total = 0
        for number in range(count):
            total += number
        return total

    small, large = (functools.partial(loop, count) for count in (1000, 1100))
    assert steady(CallProbe(), small) == steady(CallProbe(), large)
    assert steady(WorkProbe(), large) - steady(WorkProbe(), small) == 200


def test_injected_work_is_followed_exactly(probe):
    base = steady(probe, functools.partial(units, 1000))
    one = steady(probe, functools.partial(units, 1001)) - base
    assert one > 0
    assert steady(probe, functools.partial(units, 1010)) == base + 10 * one
    assert steady(probe, functools.partial(units, 1050)) == base + 50 * one
    assert 0.009 < 10 * one / base <= 0.0101
    assert 0.049 < 50 * one / base <= 0.0501


def test_counts_are_the_same_in_every_process_and_with_every_hash_seed():
    folders = os.pathsep.join({str(Path(m.__file__).parents[n]) for m, n in ((pytest_perfguard, 1), (functions, 4))})
    started = [
        subprocess.Popen(
            [sys.executable, "-m", functions.__name__],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": folders},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("0", "1", "4242")
    ]
    counted = [json.loads(process.communicate(timeout=60)[0]) for process in started]
    assert counted[0] == counted[1] == counted[2] == functions.count_all()
    assert all(len(values) == len(FUNCTIONS) and min(values) > 0 for values in counted[0].values())


def test_the_frames_of_perfguard_are_not_counted(probe):
    bare = read(probe, nothing)
    assert bare == 1
    for function in (nothing, unit, recursion):
        expected = steady(probe, function)
        reply = _perform(Caller(Call(func=function)), Block(probe, 1))
        assert set(reply.reading.values.values()) == {expected}
        assert _in_context(probe, function) == expected


def _in_context(probe, function):
    """Count a call made within context managers, some of them in others, as those of a test's body are."""

    @contextlib.contextmanager
    def outer():
        with observe(probe) as readings:
            yield readings

    def wrapper(*args, **kwargs):
        with outer() as readings:
            function(*args, **kwargs)
        return readings

    (value,) = wrapper()[0].values.values()
    return value


def test_coroutines_are_counted(probe):
    async def answer(count):
        for _ in range(count):
            unit()
        return count

    async def read_async(count):
        reply = await _perform_async(Caller(Call(func=answer, args=(count,)), asynchronous=True), Block(probe, 1))
        (value,) = reply.reading.values.values()
        return value

    async def all_of_them():
        return [await read_async(count) for count in (0, 10, 20)]

    none, ten, twenty = asyncio.run(all_of_them())
    assert none <= 3
    assert ten - none >= 30
    assert abs((twenty - ten) - (ten - none)) <= 2


def test_coroutines_that_wait_are_counted_the_same_each_time(probe):
    async def wait():
        for _ in range(5):
            await asyncio.sleep(0)

    async def rounds():
        caller = Caller(Call(func=wait), asynchronous=True)
        return [tuple((await _perform_async(caller, Block(probe, 1))).reading.values.values()) for _ in range(4)]

    values = asyncio.run(rounds())
    assert len(set(values)) == 1


def test_threads_that_start_meanwhile_are_counted(probe):
    def in_a_thread(count):
        thread = threading.Thread(target=units, args=(count,))
        thread.start()
        thread.join()

    # Starting a thread may take a call more or fewer, as the other is fast or slow to say that it runs.
    few, many = (min(read(probe, functools.partial(in_a_thread, count)) for _ in range(5)) for count in (10, 1010))
    one = steady(probe, functools.partial(units, 11)) - steady(probe, functools.partial(units, 10))
    assert abs(many - few - 1000 * one) <= 20


def test_a_thread_that_goes_on_is_left_alone(probe):
    goes_on, end = threading.Event(), threading.Event()
    left = []

    def run():
        goes_on.set()
        end.wait()
        nothing()
        left.append(sys.getprofile())

    def start():
        thread = threading.Thread(target=run)
        thread.start()
        goes_on.wait()
        return thread

    token = probe.start()
    thread = start()
    probe.stop(token)
    end.set()
    thread.join()
    assert left == [None]


def test_measurements_nest(probe):
    alone = steady(probe, recursion)
    outer = probe.start()
    recursion()
    inner = probe.start()
    recursion()
    (within,) = probe.stop(inner).values.values()
    recursion()
    (around,) = probe.stop(outer).values.values()
    assert within == alone
    assert 3 * alone <= around <= 3 * alone + 200


@monitored
def test_both_kinds_nest():
    calls, work = CallProbe(), WorkProbe()
    outer = calls.start()
    assert read(work, nothing) == 1
    assert calls.stop(outer).values["calls"] >= 1


def test_tokens_that_end_in_another_order_are_all_closed(probe):
    first, second = probe.start(), probe.start()
    nothing()
    probe.stop(first)
    probe.stop(second)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_where_the_call_raises(probe, error):
    def fail():
        raise error

    with pytest.raises(error):
        _perform(Caller(Call(func=fail)), Block(probe, 1))
    with pytest.raises(error):
        _in_context(probe, fail)
    assert read(probe, nothing) == 1


def test_finalizers_run_at_the_same_place_each_time(probe):
    class Cycle:
        def __init__(self):
            self.me = self

        def __del__(self):
            unit()

    def make():
        for _ in range(30):
            Cycle()

    before = gc.get_threshold()
    gc.set_threshold(17)
    try:
        steady(probe, make, rounds=6)
    finally:
        gc.set_threshold(*before)


def test_a_collector_that_was_off_stays_off(probe):
    gc.disable()
    try:
        read(probe, nothing)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_calls_are_not_counted_beside_a_profiler():
    sys.setprofile(_profile)
    try:
        with pytest.raises(
            ProbeError, match=r"calls cannot be counted: .*_profile is profiling .*leave out the budget"
        ):
            CallProbe().start()
        assert sys.getprofile() is _profile
    finally:
        sys.setprofile(None)
    with cProfile.Profile() as theirs:
        with pytest.raises(ProbeError, match="is profiling this process"):
            CallProbe().start()
        units(10)
    assert max(entry.callcount for entry in theirs.getstats()) >= 10
    assert gc.isenabled()
    assert read(CallProbe(), nothing) == 1


def _profile(frame, event, arg):
    pass


@pytest.mark.skipif(MONITORED, reason="from 3.12 on, Python itself refuses the second profiler")
def test_a_profiler_within_the_measured_code_is_found():
    with pytest.raises(ProbeError, match="the measured code put a profiler in place"):
        read(CallProbe(), functools.partial(sys.setprofile, _profile))
    assert sys.getprofile() is None
    threading.setprofile(_profile)
    try:
        with pytest.raises(ProbeError, match="_profile is profiling"):
            CallProbe().start()
        assert threading.getprofile() is _profile
    finally:
        threading.setprofile(None)


@pytest.mark.skipif(MONITORED, reason="work is counted from 3.12 on")
def test_work_says_that_it_needs_a_newer_python():
    with pytest.raises(ProbeError, match=r"Python 3\.11: .*put a budget on 'calls' in its place, or use a newer"):
        WorkProbe().start()


@monitored
def test_work_says_where_no_tool_is_free():
    taken = (3, 4, 5)
    for number in taken:
        sys.monitoring.use_tool_id(number, f"tool {number}")
    try:
        with pytest.raises(ProbeError, match="taken by tool 4, tool 3, tool 5; run this test without"):
            WorkProbe().start()
    finally:
        for number in taken:
            sys.monitoring.free_tool_id(number)


@monitored
def test_work_is_counted_beside_a_coverage_tool():
    alone = steady(WorkProbe(), recursion)
    seen = []
    tool = sys.monitoring.COVERAGE_ID
    sys.monitoring.use_tool_id(tool, "coverage")
    sys.monitoring.register_callback(tool, sys.monitoring.events.PY_START, lambda *_: seen.append(1))
    sys.monitoring.set_events(tool, sys.monitoring.events.PY_START)
    try:
        assert steady(WorkProbe(), recursion) == alone
        assert seen
    finally:
        sys.monitoring.set_events(tool, 0)
        sys.monitoring.register_callback(tool, sys.monitoring.events.PY_START, None)
        sys.monitoring.free_tool_id(tool)


def test_other_implementations_are_refused(probe, monkeypatch):
    monkeypatch.setattr(sys.implementation, "name", "pypy")
    with pytest.raises(ProbeError, match="cannot be counted on pypy"):
        probe.start()


def test_a_count_of_nothing_says_that_c_code_is_not_seen(probe):
    reply = _perform(Caller(Call(func=sorted, args=([3, 1, 2],))), Block(probe, 1))
    assert list(reply.reading.values.values()) == [0]
    (note,) = reply.reading.notes
    assert note.code == "unseen-work"
    assert "C code" in str(note)


def test_only_counts_that_differ_are_called_unsteady():
    assert CALLS.reduce is Reduce.MINIMUM
    assert note_unsteady([Series(metric=CALLS, values=(5, 5, 5)), Series(metric=TIME, values=(1, 2, 3))]) == ()
    (note,) = note_unsteady([Series(metric=CALLS, values=(5, 7, 5))])
    assert note.code == "unsteady-work"
    assert "calls differed from round to round, from 5 to 7" in str(note)
