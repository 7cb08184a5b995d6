"""The perf fixture: what it measures, what it gives back, and what it refuses."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest


def test_what_is_called_is_measured_and_its_first_result_returned(either):
    either.write(
        test_it="""
        import pytest

        def test_result(perf):
            numbers = iter(range(1_000_000))
            assert perf(next, numbers) == 0

        def test_arguments(perf):
            assert perf(sorted, [3, 1, 2], reverse=True) == [3, 2, 1]

        def test_names(perf):
            perf(sorted, [1])
            perf(sorted, [2])
            perf(sorted, [3])
            perf.using(name="mine")(sorted, [4])

        def test_span(perf):
            for _ in range(3):
                with perf.span("part"):
                    sorted([3, 1, 2])

        def test_metric(perf):
            perf.metric("hit rate", 0.75, "ratio", better="higher")
            perf.metric("row count", 12)

        @pytest.mark.perf_budget(time="10 s")
        @pytest.mark.perf(rounds=3, group="g")
        def test_named_budget(perf):
            perf(sorted, [1])
            perf.using(name="fast")(sorted, [1])

        def test_unguarded():
            pass
        """
    )
    inner = either.run(code=0)
    assert inner.outcomes == {"passed": 7}
    for test in ("test_result", "test_arguments"):
        series = inner.measured(test)["series"]
        assert set(series) == {"time", "wall", "cpu", "reference"}
        assert series["time"]["iterations"] > 1
        assert len(series["time"]["values"]) >= 5
    assert inner.names("test_names") == ["", "mine", "sorted", "sorted#2"]
    assert len(inner.measured("test_span", "part")["series"]["time"]["values"]) == 3
    assert inner.report["metrics"]["hit rate"]["better"] == "higher"
    assert inner.value("hit rate", "test_metric") == 750_000_000
    assert inner.value("row count", "test_metric") == 12_000_000_000
    judged = inner.verdicts("test_named_budget", "time")
    assert [(each["name"], each["outcome"]) for each in judged] == [("", "passed"), ("fast", "passed")]
    assert {each["group"] for each in inner.report["measurements"] if "named" in each["test"]} == {"g"}
    assert inner.names("test_unguarded") == []


def test_a_budget_with_a_name_is_for_the_measurement_of_that_name(project):
    project.write(
        test_it="""
        import pytest

        @pytest.mark.perf_budget(time="10 s")
        @pytest.mark.perf_budget(time="0.001 ns", name="bad")
        def test_it(perf):
            perf.using(name="good")(sorted, [1])
            perf.using(name="bad")(sorted, [1])
        """
    )
    inner = project.run(code=1)
    assert {(each["name"], each["limit"], each["outcome"]) for each in inner.verdicts()} == {
        ("good", 10.0, "passed"),
        ("bad", 10.0, "passed"),
        ("bad", 1e-12, "over budget"),
    }


def test_method_of_one_measurement(project):
    project.write(
        test_it="""
        def count(calls):
            calls.append(1)

        def test_rounds(perf):
            calls = []
            perf.using(rounds=7, iterations=3, warmup=2)(count, calls)
            assert len(calls) == 2 + 7 * 3

        def test_setup_each_iteration(perf):
            given = []
            def setup():
                given.append([3, 1, 2])
                return (given[-1],), {"reverse": True}
            result = perf.using(setup=setup, rounds=4, iterations=2, warmup=1)(list.sort)
            assert result is None
            assert len(given) == 1 + 4 * 2
            assert all(each == [3, 2, 1] for each in given)

        def test_setup_each_round(perf):
            state = {"fresh": 0, "used": 0}
            def setup():
                state["fresh"] = 1
            def use():
                state["used"] += state.pop("fresh")
            perf.using(setup=setup, rounds=4, warmup=0)(use)
            assert state["used"] >= 4

        def test_collector(perf):
            import gc
            seen = []
            perf.using(rounds=2, iterations=1)(lambda: seen.append(gc.isenabled()))
            assert not any(seen)
            seen.clear()
            perf.using(name="on", rounds=2, iterations=1, gc=True)(lambda: seen.append(gc.isenabled()))
            assert all(seen)
            assert gc.isenabled()

        def test_max_time(perf):
            import time
            perf.using(max_time="30 ms", rounds=1000, iterations=1)(time.sleep, 0.005)
        """
    )
    inner = project.run(code=0)
    assert len(inner.measured("test_rounds")["series"]["time"]["values"]) == 7
    assert inner.measured("test_rounds")["series"]["time"]["iterations"] == 3
    (note,) = inner.measured("test_max_time")["notes"]
    assert note["code"] == "capped"
    assert 1 <= len(inner.measured("test_max_time")["series"]["time"]["values"]) < 10


def test_what_the_code_raises_comes_through_and_leaves_nothing(either):
    either.write(
        test_it="""
        import gc, sqlite3
        import pytest

        class Broken(Exception):
            pass

        def fail():
            raise Broken("by design")

        @pytest.mark.perf_budget(queries=1, retained=0, result_size="1 MB", time="10 s")
        def test_caught(perf):
            with pytest.raises(Broken):
                perf(fail)
            assert gc.isenabled()
            assert sqlite3.connect.__module__ == "_sqlite3"
            assert perf(sorted, [1]) == [1]

        def test_later(perf):
            calls = []
            def third():
                calls.append(1)
                if len(calls) == 3:
                    raise Broken("the third time")
            perf.using(iterations=1)(third)

        def test_plain():
            pass

        def test_fails_after(perf):
            perf(sorted, [1])
            assert 1 == 2
        """
    )
    inner = either.run(code=1)
    assert inner.outcomes == {"passed": 2, "failed": 2}
    inner.result.stdout.fnmatch_lines_random(["*test_it.py*: Broken*", "*assert 1 == 2*"])
    # What failed for another reason has no verdict and no measurement to be stored.
    assert inner.names("test_later") == inner.names("test_fails_after") == []


def test_misuse_says_what_to_do(project):
    project.write(
        test_it="""
        import pytest

        def test_nested(perf):
            perf(lambda: perf(sorted, [1]))

        def test_twice(perf):
            perf.using(name="a")(sorted, [1])
            perf.using(name="a")(sorted, [1])

        def test_setup(perf):
            perf.using(setup=lambda: [1, 2, 3])(sorted, [1])

        def test_unit(perf):
            perf.metric("speed", 1, "furlong")

        def test_reserved(perf):
            perf.metric("queries", 1)

        def test_rounds(perf):
            perf.using(rounds="many")

        def test_span_without_name(perf):
            with perf.span(""):
                pass

        def test_name_using(perf):
            perf.using(name=5)(len, [])

        def test_name_span(perf):
            with perf.span(3):
                pass

        def test_name_metric(perf):
            perf.metric(7, 1)

        def test_surrogate(perf):
            perf.using(name="a\\udcffb")(len, [])

        def test_not_callable(perf):
            perf(len([1]))

        def test_setup_not_callable(perf):
            perf.using(setup=[1])

        @pytest.mark.parametrize(
            "value", [float("nan"), float("inf"), "12", None, 10**400, 10**5000, 1e308], ids=list("abcdefg")
        )
        def test_value(perf, value):
            perf.metric("speed", value)

        def test_exact_value(perf):
            import decimal
            perf.metric("decimal", decimal.Decimal("0.25"))

        def test_two_units(perf):
            perf.metric("same", 1, "s")
            perf.metric("same", 1, "B")

        def test_unit_of_another_test(perf):
            perf.metric("same", 1, "s", better="higher")

        def test_coroutine(perf):
            async def work():
                pass
            perf(work)

        def test_asynchronous_generator(perf):
            async def stream():
                yield
            perf(lambda: stream())

        def test_repr(perf):
            assert repr(perf) == "<perf of test_it.py::test_repr>"

        def test_dynamic(request):
            request.getfixturevalue("perf")
        """
    )
    inner = project.run("-W", "error", code=1)
    assert inner.outcomes == {"failed": 8 + 6 + 7 + 4, "passed": 2}
    assert inner.value("decimal", "test_exact_value") == 250_000_000
    assert inner.text.count("perf.metric('speed') was given ") >= 7
    inner.result.stdout.no_fnmatch_line("*never awaited*")
    inner.result.stdout.fnmatch_lines_random(
        [
            "*perf was called while it was measuring (test_it.py::test_nested); measure one thing at a time*",
            "*two measurements of test_it.py::test_twice are called 'a'; give each its own name*",
            "*set-up test_setup.<locals>.<lambda> returned list; return None, or the arguments*",
            "*unit='furlong'*the unit is one of 's', 'B'*",
            "*perf.metric('queries') in test_it.py::test_reserved: this name is a metric of perfguard's*",
            "*rounds is 'many' (perf.using() in test_it.py::test_rounds, rounds=); write a whole number*",
            "*perf.span('') in test_it.py::test_span_without_name: a span needs a name*",
            "*the perf fixture cannot be used by test_it.py::test_dynamic*name it*argument*",
            "perfguard: the name given to perf.using(name=…) is 5; a name must be text, so write '5'",
            "perfguard: the name given to perf.span is 3; a name must be text*",
            "perfguard: the name given to perf.metric is 7; a name must be text*",
            "perfguard: the name given to perf.using(name=…) is 'a*b', which holds characters*",
            "perfguard: perf was given 1, which cannot be called; give it the function*",
            "perfguard: perf.using(setup=…) was given [[]1], which cannot be called*",
            "perfguard: the metric 'same' is in 'B' here, lower is better, and was in 's', lower is better, before*",
            "perfguard: the metric 'same' is in 's' here, higher is better*",
            "perfguard: perf(work) made a coroutine and ran nothing of it; write: await perf.aio(work, …)",
            "perfguard: perf(<lambda>) made an asynchronous generator and ran nothing of it; *await perf.aio*",
        ]
    )


def test_perf_in_other_fixtures_classes_and_parameters(project):
    project.write(
        test_it="""
        import pytest

        @pytest.fixture
        def measured(perf):
            return perf(sorted, [2, 1])

        def test_through_a_fixture(measured):
            assert measured == [1, 2]

        class TestClass:
            @pytest.fixture(autouse=True)
            def keep(self, perf):
                self.perf = perf

            @pytest.mark.parametrize("size", [1, 2], ids=["a::b", "[c]"])
            def test_method(self, size):
                assert self.perf(sorted, [0] * size) == [0] * size

        @pytest.fixture(scope="session")
        def wide(perf):
            pass

        def test_scope(wide):
            pass
        """
    )
    inner = project.run(code=1)
    assert inner.outcomes == {"passed": 3, "errors": 1}
    inner.result.stdout.fnmatch_lines(["*ScopeMismatch*"])
    assert [each["test"] for each in inner.report["measurements"]] == [
        "test_it.py::TestClass::test_method[[c]]",
        "test_it.py::TestClass::test_method[a::b]",
        "test_it.py::test_through_a_fixture",
    ]


def test_a_budget_that_nothing_is_measured_for_fails_its_test(project):
    project.write(
        test_it="""
        import pytest

        @pytest.mark.perf_budget(time="1 s")
        def test_nothing_called(perf):
            pass

        @pytest.mark.perf_budget(time="1 s", name="lod")
        def test_no_such_name(perf):
            perf.using(name="load")(sorted, [1])
        """
    )
    inner = project.run(code=1)
    assert inner.outcomes == {"failed": 2}
    inner.result.stdout.fnmatch_lines_random(
        [
            "perfguard: the budget on time (marker on test_it.py::test_nothing_called) was not checked*",
            "perfguard: the budget on time (marker on test_it.py::test_no_such_name) was not checked*'lod'*",
        ]
    )


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_long_measurements_show_progress_on_a_terminal(project):
    project.write(
        test_it="""
        import time

        def test_long(perf):
            perf.using(rounds=24, iterations=1)(time.sleep, 0.1)
        """
    )
    command = [sys.executable, "-m", "pytest", "-p", "perfguard", "-p", "no:cacheprovider", "--color=yes"]
    master, slave = pty.openpty()
    running = subprocess.Popen(command, stdout=slave, stderr=slave, stdin=slave, cwd=project.path)
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:
            break
        shown += part
        if not part:
            break
    os.close(master)
    assert running.wait() == 0
    text = shown.decode()
    assert "rounds] test_it.py::test_long" in text
    assert " [2 of about 2 s, " in text or " [2 of about 3 s, " in text
