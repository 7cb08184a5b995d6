"""Counts of work: budgets and baselines of calls, steps of the interpreter and machine instructions."""

from __future__ import annotations

import platform
import shutil
import sys

import pytest

MONITORED = sys.version_info >= (3, 12)

CODE = """
    import pytest

    def unit():
        return len([])

    def units(number):
        for _ in range(number):
            unit()
"""

METRICS = ["calls", pytest.param("work", marks=pytest.mark.skipif(not MONITORED, reason="counted from 3.12 on"))]
each_metric = pytest.mark.parametrize("metric", METRICS)


def test_calls_have_budgets_with_and_without_workers(either):
    either.write(
        test_it=CODE
        + """
    @pytest.mark.perf_budget(calls=201)
    def test_within(perf):
        perf(units, 100)

    @pytest.mark.perf_budget(calls="0.2k")
    def test_over(perf):
        perf(units, 100)

    @pytest.mark.perf_budget(calls=202, time="10 s")
    def test_body():
        units(100)

    class TestClass:
        @pytest.mark.perf_budget(calls=201)
        def test_body_over(self):
            units(100)

    @pytest.mark.parametrize("number", [1, 5])
    @pytest.mark.perf_budget(calls=None)
    @pytest.mark.perf(metrics=("calls",))
    def test_recorded(perf, number):
        perf(units, number)
    """
    )
    inner = either.run(code=1)
    assert inner.outcomes == {"passed": 4, "failed": 2}
    assert inner.judged("test_within", "calls") == ("passed", False)
    assert inner.judged("test_over", "calls") == ("over budget", True)
    assert inner.judged("::test_body", "calls") == ("passed", False)
    assert inner.judged("test_body_over", "calls") == ("over budget", True)
    inner.result.stdout.fnmatch_lines(["*calls of test_it.py::test_over is over its budget: 201, budget 200*"])
    assert inner.value("calls", "test_within") == 201
    assert inner.value("calls", "::test_body") == 202  # the body of the test is a call of its own
    assert inner.value("calls", "test_body_over") == 202
    assert [inner.value("calls", f"test_recorded[{n}]") for n in (1, 5)] == [3, 11]


@pytest.mark.skipif(not MONITORED, reason="counted from 3.12 on")
def test_work_has_budgets_in_a_body_and_in_a_call(either):
    either.write(
        test_it=CODE
        + """
    @pytest.mark.perf_budget(work="1k", calls=500)
    def test_within(perf):
        perf(units, 100)

    @pytest.mark.perf_budget(work=100)
    def test_over():
        units(100)

    @pytest.mark.perf_budget(work="1k")
    def test_body():
        units(100)
    """
    )
    inner = either.run(code=1)
    assert inner.judged("test_within", "work") == ("passed", False)
    assert inner.judged("test_over", "work") == ("over budget", True)
    called, body = inner.value("work", "test_within"), inner.value("work", "::test_body")
    assert called > 400
    assert body == called + 2  # entering the body, and its call of units


@pytest.mark.skipif(MONITORED, reason="counted from 3.12 on")
def test_work_on_an_older_python_says_what_to_do(either):
    either.write(
        test_it=CODE
        + """
    @pytest.mark.perf_budget(work=100)
    def test_it(perf):
        perf(units, 1)

    @pytest.mark.perf_budget(work=100)
    def test_body():
        units(1)
    """
    )
    inner = either.run(code=1)
    assert inner.outcomes["failed"] == 2
    inner.result.stdout.fnmatch_lines(["*perfguard: work cannot be counted on Python 3.11*budget on 'calls'*"])
    inner.result.stdout.no_fnmatch_line("*Traceback*")


@each_metric
def test_one_more_call_is_a_regression_and_one_less_an_improvement(project, metric):
    def write(number):
        project.write(
            subject=f"""
            def nothing():
                pass

            def work():
                for _ in range({number}):
                    nothing()
            """,
            test_it=f"""
            import pytest, subject

            @pytest.mark.perf(metrics=("{metric}",))
            def test_it(perf):
                perf(subject.work)
            """,
        )
        return project.commit()

    write(1000)
    project.run("--perfguard-save", code=0)
    assert project.run("--perfguard-compare", code=0).judged("test_it", metric) == ("unchanged", False)
    write(1001)
    slower = project.run("--perfguard-compare", code=1)
    assert slower.judged("test_it", metric) == ("regressed", True)
    write(999)
    assert project.run("--perfguard-compare", code=0).judged("test_it", metric) == ("improved", False)


@each_metric
def test_asynchronous_tests_and_unittest_classes_are_counted(project, metric):
    project.write(
        test_it=CODE
        + f"""
    import asyncio, unittest

    async def several(number):
        for _ in range(number):
            await asyncio.sleep(0)
            unit()

    @pytest.fixture
    def anyio_backend():
        return "asyncio"

    @pytest.mark.anyio
    @pytest.mark.perf_budget({metric}="1M")
    async def test_call(perf):
        await perf.aio(several, 10)

    @pytest.mark.anyio
    @pytest.mark.perf_budget({metric}="1M")
    async def test_body():
        await several(10)

    class TestCase(unittest.TestCase):
        @pytest.mark.perf_budget({metric}="1M")
        def test_method(self):
            units(10)

    class TestAsync(unittest.IsolatedAsyncioTestCase):
        @pytest.mark.perf_budget({metric}="1M")
        async def test_coroutine(self):
            await several(10)
    """
    )
    inner = project.run(plugins=("anyio",), code=0)
    for test in ("test_call", "::test_body", "test_method", "test_coroutine"):
        assert inner.judged(test, metric) == ("passed", False)
        assert inner.value(metric, test) >= 20  # one value: the same in each round


@each_metric
def test_a_test_that_fails_or_raises_leaves_nothing_behind(project, metric):
    project.write(
        conftest="""
        import gc, sys, threading, pytest

        @pytest.fixture(autouse=True)
        def clean():
            yield
            assert sys.getprofile() is threading.getprofile() is None
            assert gc.isenabled()
            if sys.version_info >= (3, 12):
                assert not any(sys.monitoring.get_tool(number) for number in range(6))
        """,
        test_it=CODE
        + f"""
    @pytest.mark.perf_budget({metric}=100)
    def test_body_fails():
        assert units(1)

    @pytest.mark.perf_budget({metric}=100)
    def test_call_raises(perf):
        perf(units, "many")

    @pytest.mark.perf_budget({metric}=100)
    def test_skips():
        pytest.skip("not here")

    @pytest.mark.perf_budget({metric}=100)
    def test_good(perf):
        perf(units, 1)
    """,
    )
    inner = project.run(code=1)
    assert inner.outcomes == {"passed": 1, "failed": 2, "skipped": 1}
    assert inner.judged("test_good", metric) == ("passed", False)


def test_calls_beside_a_profiler_say_so(project):
    project.write(
        test_it=CODE
        + """
    import cProfile

    @pytest.mark.perf_budget(calls=100)
    def test_it(perf):
        with cProfile.Profile():
            perf(units, 1)
    """
    )
    inner = project.run(code=1)
    inner.result.stdout.fnmatch_lines(["*perfguard: calls cannot be counted: *is profiling this process*"])


def test_instructions_are_counted_or_refused_with_a_reason(project):
    project.write(
        test_it=CODE
        + """
    @pytest.mark.perf_budget(instructions="100M")
    def test_it(perf):
        perf(units, 1000)
    """
    )
    inner = project.run()
    if inner.code:
        inner.result.stdout.fnmatch_lines(["*perfguard: instructions cannot be counted: *leave out the budget*"])
    else:
        assert inner.judged("test_it", "instructions") == ("passed", False)


CALLGRIND = shutil.which("valgrind") and sys.platform == "linux" and platform.machine() == "x86_64"


@pytest.mark.skipif(not CALLGRIND, reason="needs valgrind, on Linux with x86-64")
def test_callgrind_counts_c_code(project):
    project.write(
        test_it=CODE
        + """
    @pytest.mark.perf_budget(callgrind="100M")
    @pytest.mark.perf_budget(callgrind="100k", name="less")
    def test_it(perf):
        rows = [(number * 7919) % 5000 for number in range(5000)]
        perf.using(name="once")(sorted, rows)
        perf.using(name="more")(sorted, rows * 2)
        perf.using(name="less")(units, 1000)
    """
    )
    inner = project.run("--perfguard-save", code=1)
    once, more, less = (inner.value("callgrind", "test_it", name) for name in ("once", "more", "less"))
    assert 100_000 < 1.5 * once < more
    assert less > 100_000
    assert {each["outcome"] for each in inner.verdicts("test_it", "callgrind")} == {"passed", "over budget"}
    assert len(project.stored()) == 1  # the run under valgrind stored nothing


@pytest.mark.skipif(CALLGRIND, reason="valgrind is there")
def test_callgrind_says_what_is_missing(project):
    project.write(
        test_it=CODE + '\n    @pytest.mark.perf_budget(callgrind="1M")\n    def test_it():\n        units(1)\n'
    )
    inner = project.run(code=1)
    inner.result.stdout.fnmatch_lines(["*perfguard: callgrind *leave out*callgrind*"])
