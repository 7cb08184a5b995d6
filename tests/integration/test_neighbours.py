"""Beside other plugins and in other kinds of tests: each keeps working, and the measurement is right."""

from __future__ import annotations

import importlib.util

import pytest

QUERY = """
    import sqlite3

    def query():
        connection = sqlite3.connect(":memory:")
        connection.execute("select 1")
        connection.close()
"""


def test_workers_report_and_store_once(project):
    project.workers = ("-n", "2")
    project.write(
        conftest="""
        class Counter:
            name, suffix = "counter", ".txt"

            def render(self, run):
                with open("rendered.log", "a") as stream:
                    stream.write("x")
                return ""

        def pytest_perfguard_register(registry):
            registry.add_reporter("counter", Counter)
        """,
        **{
            f"test_{letter}": """
            import pytest

            @pytest.mark.parametrize("number", range(4))
            def test_it(perf, number):
                perf(sorted, [1])
            """
            for letter in "abc"
        },
    )
    project.commit()
    inner = project.run("--perfguard-save", "--perfguard-compare", "--perfguard-report=counter", code=0)
    assert (project.path / "rendered.log").read_text() == "x"
    assert inner.outcomes == {"passed": 12}
    assert len(inner.report["measurements"]) == 12
    assert all(each["contended"] for each in inner.report["measurements"])
    assert len(project.stored()) == 1
    assert inner.text.count("stored ") == inner.text.count("perfguard: ") == 1
    # One worker competes with nobody.
    project.workers = ("-n", "1")
    inner = project.run(code=0)
    assert not any(each["contended"] for each in inner.report["measurements"])
    assert inner.report["header"]["workers"] == 1


def test_the_controller_wakes_whichever_plugin_is_loaded_first(project):
    project.write(test_it="def test_it(perf): perf(sorted, [1])")
    for names in (("perfguard", "xdist.plugin"), ("xdist.plugin", "perfguard")):
        plugins = [part for name in names for part in ("-p", name)]
        result = project.pytester.runpytest_inprocess(*plugins, "-p", "no:cacheprovider", "-n", "2")
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["perfguard: 1 measured*"])


def test_unittest(either):
    either.write(
        database=QUERY,
        test_it="""
        import unittest, pytest
        from database import query

        CALLS = []

        class Plain(unittest.TestCase):
            def setUp(self):
                CALLS.append("up")

            def tearDown(self):
                CALLS.append("down")

            @pytest.mark.perf_budget(queries=1, time="10 s")
            def test_within(self):
                query()
                self.assertEqual(CALLS[-1], "up")

            @pytest.mark.perf_budget(queries=1)
            def test_over(self):
                query()
                query()

            @pytest.mark.perf_budget(queries=1, time="10 s")
            def test_fails(self):
                self.fail("by design")

            @pytest.mark.perf_budget(queries=1, time="10 s")
            def test_skips(self):
                self.skipTest("not here")

            @unittest.expectedFailure
            @pytest.mark.perf_budget(queries=1, time="10 s")
            def test_expected(self):
                self.fail("by design")

            @pytest.mark.perf_budget(queries=6, time="10 s")
            def test_subtests(self):
                for number in range(3):
                    with self.subTest(number=number):
                        query()

        class Asynchronous(unittest.IsolatedAsyncioTestCase):
            async def asyncSetUp(self):
                self.ready = True

            @pytest.mark.perf_budget(queries=1, time="10 s")
            async def test_awaits(self):
                import asyncio
                await asyncio.sleep(0.02)
                query()
                self.assertTrue(self.ready)
        """,
    )
    inner = either.run(code=1)
    outcomes = {name: count for name, count in inner.outcomes.items() if "subtests" not in name}
    assert outcomes == {"passed": 3, "failed": 2, "skipped": 1, "xfailed": 1}
    assert inner.judged("test_within", "queries") == ("passed", False)
    assert inner.judged("test_over", "queries") == ("over budget", True)
    assert inner.judged("test_awaits", "queries") == ("passed", False)
    assert inner.value("queries", "test_subtests") == 3
    assert min(inner.measured("test_awaits")["series"]["wall"]["values"]) >= 20_000_000
    for test in ("test_fails", "test_skips", "test_expected"):
        assert inner.names(test) == []


ASYNCHRONOUS = """
    import asyncio, pytest
    from database import query

    {mark}

    async def work(seconds):
        {sleep}
        query()
        return seconds

    @pytest.mark.perf_budget(queries=1, time="10 s")
    async def test_body():
        await work(0.01)

    @pytest.mark.perf_budget(queries=0)
    async def test_over():
        await work(0)

    @pytest.mark.perf_budget(queries=1)
    async def test_fixture(perf):
        assert await perf.using(iterations=1).aio(work, 0.01) == 0.01

    async def test_raises(perf):
        async def fail():
            raise ValueError("by design")
        with pytest.raises(ValueError, match="by design"):
            await perf.aio(fail)
"""


@pytest.mark.parametrize(
    ("plugin", "arguments", "mark", "sleep", "names"),
    [
        ("pytest_asyncio.plugin", ["-o", "asyncio_mode=auto"], "", "await asyncio.sleep(seconds)", [""]),
        (
            "pytest_asyncio.plugin",
            ["-o", "asyncio_mode=strict"],
            "pytestmark = pytest.mark.asyncio",
            "await asyncio.sleep(seconds)",
            [""],
        ),
        (
            "anyio.pytest_plugin",
            [],
            "pytestmark = pytest.mark.anyio",
            "import anyio; await anyio.sleep(seconds)",
            ["[asyncio]", "[trio]"],
        ),
    ],
    ids=["asyncio-auto", "asyncio-strict", "anyio"],
)
def test_coroutines(project, plugin, arguments, mark, sleep, names):
    if "trio" in str(names) and importlib.util.find_spec("trio") is None:
        pytest.fail("trio belongs to the test dependencies")
    project.ini("asyncio_default_fixture_loop_scope = function" if "asyncio" in plugin else "")
    project.write(database=QUERY, test_it=ASYNCHRONOUS.format(mark=mark, sleep=sleep))
    # Apart: a loop that another session of this process has closed is not what users have.
    inner = project.run(*arguments, plugins=[plugin], apart=True, code=1)
    assert inner.outcomes == {"passed": 3 * len(names), "failed": len(names)}
    for name in names:
        assert inner.judged(f"test_body{name}", "queries") == ("passed", False)
        assert inner.judged(f"test_over{name}", "queries") == ("over budget", True)
        assert inner.judged(f"test_fixture{name}", "queries") == ("passed", False)
        for test in ("test_body", "test_fixture"):
            assert min(inner.measured(f"{test}{name}")["series"]["wall"]["values"]) >= 10_000_000


@pytest.mark.skipif(pytest.version_tuple < (9,), reason="subtests came with pytest 9")
def test_builtin_subtests(either):
    either.write(
        database=QUERY,
        test_it="""
        import pytest
        from database import query

        @pytest.mark.perf_budget(queries=3, time="10 s")
        def test_within(subtests):
            for number in range(3):
                with subtests.test(number=number):
                    query()

        @pytest.mark.perf_budget(queries=3, time="10 s")
        def test_fails(subtests):
            for number in range(3):
                with subtests.test(number=number):
                    assert number != 1
        """,
    )
    inner = either.run(code=1)
    assert inner.judged("test_within", "queries") == ("passed", False)
    assert inner.value("queries", "test_within") == 3
    assert inner.outcomes["passed"] == 1
    # The first pass that fails is the last one, and each failure is reported once.
    inner.result.stdout.fnmatch_lines(
        ["SUBFAILED(number=*1*) test_it.py::test_fails*", "FAILED test_it.py::test_fails*"]
    )
    assert inner.text.count("SUBFAILED(") == 1
    assert either.run("-v", "-k", "within", code=0).text.count("SUBPASSED(") == 3
    assert inner.names("test_fails") == []


def test_rerunfailures(project):
    project.write(
        database=QUERY,
        test_it="""
        import time
        import pytest
        from database import query

        CALLS = {}

        def fail_at(name, *numbers):
            CALLS[name] = CALLS.get(name, 0) + 1
            assert CALLS[name] not in numbers, f"call {CALLS[name]}"

        @pytest.mark.perf_budget(time="10 s")
        def test_fixture(perf):
            perf(query)
            fail_at("fixture", 1)

        @pytest.mark.perf_budget(queries=1)
        def test_one_pass():
            query()
            fail_at("one", 1)

        @pytest.mark.perf(rounds=3)
        @pytest.mark.perf_budget(queries=1, time="10 s")
        def test_early_pass():
            query()
            fail_at("early", 2)

        @pytest.mark.perf(rounds=3)
        @pytest.mark.perf_budget(time="10 s")
        def test_last_pass():
            query()
            fail_at("last", 3)

        @pytest.mark.perf(rounds=3)
        def test_always():
            fail_at("always", *range(100))

        @pytest.mark.perf_budget(time="1 ms")
        def test_over():
            time.sleep(0.02)

        @pytest.mark.perf(rounds=2)
        @pytest.mark.flaky(reruns=0)
        def test_marked():
            fail_at("marked", 1)
        """,
    )
    inner = project.run("--reruns=2", "-rR", plugins=["rerunfailures"], apart=True, code=1)
    assert inner.outcomes == {"passed": 4, "failed": 3, "rerun": 1 + 1 + 1 + 1 + 2 + 2}
    for test in ("test_fixture", "test_one_pass", "test_early_pass", "test_last_pass"):
        assert len([each for each in inner.report["measurements"] if each["test"].endswith(test)]) == 1
        assert {each["outcome"] for each in inner.verdicts(test)} == {"passed"}
    assert len(inner.measured("test_early_pass")["series"]["time"]["values"]) == 3
    assert len(inner.verdicts("test_over")) == 1


def test_repeat_and_randomly(project):
    project.write(
        test_it="""
        import pytest, random

        @pytest.mark.perf_budget(time="10 s")
        def test_body():
            random.random()

        @pytest.mark.perf_budget(time="1000x test_body[1-2]")
        def test_fixture(perf):
            perf(random.random)
        """
    )
    inner = project.run(
        "--count=2", "-p", "randomly", "-p", "pytest_repeat", "-p", "no:xdist", "--randomly-seed=3",
        plugins=[], apart=True, code=0,
    )  # fmt: skip
    assert inner.outcomes == {"passed": 4}
    tests = sorted(each["test"] for each in inner.report["measurements"])
    assert tests == [f"test_it.py::test_{name}[{number}-2]" for name in ("body", "fixture") for number in (1, 2)]
    # Whatever the order was, references came first.
    assert {each["outcome"] for each in inner.verdicts("test_fixture[1-2]")} == {"passed"}


def test_hypothesis_and_mocks(project):
    project.write(
        test_it="""
        import unittest.mock, os, pytest
        from hypothesis import given, settings, strategies

        class TestClass:
            @pytest.mark.perf_budget(time="10 s")
            @pytest.mark.perf(rounds=2)
            @settings(max_examples=5, database=None, deadline=None)
            @given(strategies.integers())
            def test_given(self, number):
                assert isinstance(number, int)

        @pytest.mark.perf_budget(time="10 s")
        @unittest.mock.patch("os.getcwd", return_value="here")
        def test_patched(mock):
            assert os.getcwd() == "here"

        @pytest.mark.perf_budget(time="10 s")
        def test_monkeypatched(perf, monkeypatch):
            monkeypatch.setattr("time.perf_counter", lambda: 0.0)
            monkeypatch.setattr("time.perf_counter_ns", lambda: 0)
            perf.using(rounds=5, iterations=2)(sorted, [1])
        """
    )
    inner = project.run(plugins=["_hypothesis_pytestplugin"], apart=True)
    assert inner.outcomes == {"passed": 3}
    assert inner.judged("test_given", "time") == ("passed", False)
    assert inner.judged("test_patched", "time") == ("passed", False)


def test_pytest_s_own_options(project):
    project.write(
        conftest="""
        def pytest_runtest_logreport(report):
            assert not any(isinstance(value, (set, tuple)) for _, value in report.user_properties)
        """,
        database=QUERY,
        test_it="""
        import pytest, warnings
        from database import query

        @pytest.fixture
        def resource():
            yield 1

        @pytest.mark.perf(rounds=2)
        @pytest.mark.perf_budget(queries=1, time="10 s")
        def test_body(resource):
            query()

        @pytest.mark.perf_budget(queries=0)
        def test_over(perf):
            perf(query)

        @pytest.mark.perf_budget(queries=1)
        def test_fixture(perf):
            perf(query)
        """,
    )
    project.ini("filterwarnings = error\nxfail_strict = true")
    options = ["-W", "error", "--strict-markers", "--strict-config", "--setup-show", "-vv", "--tb=long", "-rA"]
    inner = project.run(*options, apart=True, code=1)
    assert inner.outcomes == {"passed": 2, "failed": 1}
    assert inner.text.count("SETUP    F resource") == inner.text.count("TEARDOWN F resource") > 2
    assert project.run("-p", "no:terminal").judged("test_over") == ("over budget", True)
    assert project.run("-x").outcomes == {"passed": 1, "failed": 1}
    assert project.run("--setup-only", code=0).report["measurements"] == []
    assert project.run("--setup-plan", code=0).report["measurements"] == []
    assert project.run("--collect-only", "-q", code=0).report["measurements"] == []
    for capture in ("no", "sys", "tee-sys"):
        assert project.run(f"--capture={capture}", "-q").outcomes == {"passed": 2, "failed": 1}


def test_last_failed_runs_what_was_over_its_budget(project):
    project.write(
        database=QUERY,
        test_it="""
        import pytest
        from database import query

        def test_free():
            pass

        @pytest.mark.perf_budget(queries=0)
        def test_over():
            query()
        """,
    )
    command = ("-p", "perfguard", "--perfguard-target-time=5ms")
    project.pytester.runpytest_inprocess(*command).assert_outcomes(passed=1, failed=1)
    result = project.pytester.runpytest_inprocess(*command, "--lf")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*rerun previous 1 failure*"])
