"""Markers without the fixture: the test's own body is measured, by running its whole protocol once for each pass."""

from __future__ import annotations

LOG = """
    import pytest

    LOG = []

    def _fixture(scope):
        @pytest.fixture(scope=scope, name=scope)
        def fixture():
            LOG.append(f"+{scope}")
            yield
            LOG.append(f"-{scope}")
        return fixture

    session, module, klass, function = (_fixture(each) for each in ("session", "module", "class", "function"))

    def pytest_sessionfinish():
        import pathlib
        with pathlib.Path("log.txt").open("a") as stream:
            stream.write(" ".join(LOG) + "\\n")
"""


def test_each_round_has_the_test_s_own_fixtures_and_shares_the_others(either):
    either.write(
        conftest=LOG,
        test_it="""
        import pytest
        from conftest import LOG

        class TestClass:
            @pytest.mark.perf(rounds=3, warmup=1)
            @pytest.mark.perf_budget(time="10 s")
            def test_first(self, session, module, request, function):
                request.getfixturevalue("class")
                assert not hasattr(self, "seen"), "each round has an instance of its own"
                self.seen = True
                LOG.append("body")

            def test_second(self, function, tmp_path):
                LOG.append("second")
        """,
    )
    inner = either.run("--dist=loadfile" if either.workers else "-v", "--durations=0", code=0)
    assert inner.outcomes == {"passed": 2}
    series = inner.measured("test_first")["series"]
    assert len(series["time"]["values"]) == 3
    assert series["time"]["iterations"] == 1
    lines = (either.path / "log.txt").read_text().split("\n")
    (log,) = [line.split() for line in lines if "body" in line]
    rounds = ["+function", "body", "-function"]
    start = log.index("+function")
    assert log[:start] == ["+session", "+module"]
    assert log[start:] == [
        "+function", "+class", "body", "-function", *rounds * 3, "+function", "second", "-function",
        "-class", "-module", "-session",
    ]  # fmt: skip


def test_instruments_that_disturb_time_have_runs_of_their_own(either):
    either.write(
        test_it="""
        import sqlite3, pytest

        CALLS = []

        @pytest.fixture
        def db():
            connection = sqlite3.connect(":memory:")
            yield connection
            connection.close()

        @pytest.mark.perf_budget(time="10 s", queries=1, retained=1000, memory="500 MB")
        @pytest.mark.perf(rounds=2, warmup=0)
        def test_all(db):
            CALLS.append(sqlite3.connect.__module__)
            db.execute("select 1").fetchone()
            print("output of the body")

        def test_later():
            assert CALLS[:2] == ["_sqlite3"] * 2, "nothing is patched while time is measured"
            assert sqlite3.connect.__module__ == "_sqlite3"
        """
    )
    inner = either.run(*(["--dist=loadfile"] if either.workers else []), code=0)
    assert {verdict["metric"]: verdict["outcome"] for verdict in inner.verdicts("test_all")} == {
        "memory": "passed",
        "queries": "passed",
        "retained": "passed",
        "time": "passed",
    }
    assert len(inner.measured("test_all")["series"]["time"]["values"]) == 2
    assert inner.value("queries", "test_all") == 1


ENDINGS = """
    import time
    import pytest

    COUNT = {}

    def call(name):
        COUNT[name] = COUNT.get(name, 0) + 1
        print(f"call {COUNT[name]} of {name}")
        return COUNT[name]

    pytestmark = [pytest.mark.perf(rounds=4, warmup=0), pytest.mark.perf_budget(time="10 s")]

    def test_fails_at_third():
        assert call("third") < 3, "third"

    def test_fails_at_last():
        assert call("last") < 4, "last"

    def test_skips():
        call("skips")
        pytest.skip("not here")

    @pytest.mark.xfail(strict=True)
    def test_expected():
        assert call("expected") < 0

    @pytest.mark.xfail(strict=True)
    def test_unexpected():
        call("unexpected")

    @pytest.mark.xfail
    def test_lenient():
        call("lenient")

    @pytest.mark.xfail(strict=True)
    @pytest.mark.perf_budget(time="1 ms")
    def test_expected_over_budget():
        call("over")
        time.sleep(0.01)

    @pytest.fixture
    def setup():
        if call("setup") == 2:
            raise ValueError("second setup")

    def test_setup(setup):
        call("setup body")

    @pytest.fixture
    def teardown():
        yield
        if call("teardown") == 2:
            raise ValueError("second teardown")

    def test_teardown(teardown):
        call("teardown body")

    @pytest.mark.perf_budget(queries=0)
    def test_probe_that_does_not_work(setup_module_done=None):
        call("probe")

    @pytest.mark.perf_budget(time=None)
    def test_counts():
        print(sorted(COUNT.items()))
        assert COUNT == {
            "third": 3, "last": 4, "skips": 1, "expected": 1, "unexpected": 4, "lenient": 4, "over": 4,
            "setup": 2, "setup body": 1, "teardown": 3, "teardown body": 3, "probe": COUNT["probe"],
        }
"""


def test_a_pass_that_does_not_succeed_ends_the_test_and_is_reported_once(project):
    project.write(test_it=ENDINGS)
    inner = project.run("-v", "-rA", code=1)
    # test_teardown is reported twice by pytest: its call passed, and its teardown is an error.
    assert inner.outcomes == {"passed": 3, "failed": 3, "skipped": 1, "xfailed": 2, "xpassed": 1, "errors": 2}
    lines = inner.result.outlines
    for test, outcome in (
        ("test_fails_at_third", "FAILED"),
        ("test_fails_at_last", "FAILED"),
        ("test_unexpected", "FAILED"),
        ("test_skips", "SKIPPED"),
        ("test_expected", "XFAIL"),
        ("test_expected_over_budget", "XFAIL"),
        ("test_lenient", "XPASS"),
        ("test_setup", "ERROR"),
        ("test_counts", "PASSED"),
    ):
        assert sum(line.startswith(f"test_it.py::{test} {outcome}") for line in lines) == 1, test
    # Tracebacks are of the test, not of perfguard; output is that of the run which is reported.
    assert "guard.py" not in inner.text
    assert "protocol.py" not in inner.text
    inner.result.stdout.fnmatch_lines(["E   *AssertionError: third", "*Captured stdout call*", "call 3 of third"])
    assert "call 3 of last" not in inner.text
    assert inner.text.count("call 4 of last") == 1
    # Only what ran to its end was judged.
    judged = {verdict["test"].partition("::")[2] for verdict in inner.verdicts(metric="time")}
    assert judged == {"test_unexpected", "test_lenient", "test_expected_over_budget", "test_probe_that_does_not_work"}


def test_a_failure_in_a_later_run_says_which_it_was(either):
    either.write(
        test_it="""
        import sqlite3
        import pytest

        SEEN = []

        @pytest.mark.perf_budget(queries=1)
        def test_second():
            SEEN.append(1)
            assert SEEN.count(1) < 2

        @pytest.mark.perf_budget(gc_pause="10 s")
        def test_third(tmp_path_factory):
            SEEN.append(3)
            assert SEEN.count(3) != 3

        @pytest.mark.perf_budget(queries=1)
        def test_first():
            assert 0

        @pytest.mark.perf_budget(queries=1)
        def test_over():
            connection = sqlite3.connect(":memory:")
            connection.execute("select 1")
            connection.execute("select 1")
            connection.close()
        """
    )
    text = either.run(code=1).text
    assert text.count("perfguard: this was run ") == 2
    assert "this was run 2 of 2 of the test's body" in text
    assert "this was run 3 of 6 of the test's body" in text


def test_quiet_runs_leave_nothing_in_the_reports(either):
    either.write(
        conftest="""
        def pytest_exception_interact(node, call, report):
            with open("interact.log", "a") as stream:
                stream.write(f"{node.name}\\n")
        """,
        test_it="""
        import unittest
        import pytest

        COUNT = []

        @pytest.mark.perf(rounds=5)
        def test_property(record_property):
            record_property("key", len(COUNT))

        @pytest.mark.perf(rounds=5)
        def test_fails(record_property):
            COUNT.append(1)
            assert len(COUNT) < 3

        class Case(unittest.TestCase):
            @pytest.mark.perf(rounds=4)
            def test_it(self):
                for number in range(2):
                    with self.subTest(number=number):
                        pass
        """,
    )
    inner = either.run("-v", "--junitxml=junit.xml", "-o", "junit_family=legacy", code=1)
    assert (either.path / "junit.xml").read_text().count("<property ") == 1
    assert (either.path / "interact.log").read_text().split() == ["test_fails"]
    assert inner.outcomes.get("subtests passed", 2) == 2
    assert len(inner.measured("test_property")["series"]["time"]["values"]) == 5


def test_markers_of_class_and_module_and_parameters(either):
    either.write(
        test_it="""
        import pytest

        pytestmark = pytest.mark.perf_budget(time="10 s", queries=7)

        import sqlite3

        def test_module():
            pass

        @pytest.mark.perf_budget(queries=8)
        @pytest.mark.perf(rounds=2)
        class TestClass:
            def test_class(self):
                pass

            @pytest.mark.perf_budget(queries=9)
            @pytest.mark.perf(rounds=3)
            def test_nearest(self):
                pass

            @pytest.mark.perf_budget(queries=None, time="off")
            def test_lifted(self):
                pass

        @pytest.mark.parametrize("limit", [pytest.param(1, marks=pytest.mark.perf_budget(queries=1)), "a b"])
        def test_param(limit):
            pass
        """
    )
    inner = either.run(code=0)
    limits = {
        (each["test"].partition("::")[2], each["metric"]): each["limit"] for each in inner.verdicts(metric="queries")
    }
    assert limits == {
        ("test_module", "queries"): 7,
        ("TestClass::test_class", "queries"): 8,
        ("TestClass::test_nearest", "queries"): 9,
        ("test_param[1]", "queries"): 1,
        ("test_param[a b]", "queries"): 7,
    }
    rounds = {
        each["test"].rpartition("::")[2]: len(each["series"]["time"]["values"]) for each in inner.report["measurements"]
    }
    assert (rounds["test_module"], rounds["test_class"], rounds["test_nearest"]) == (1, 2, 3)
    assert inner.verdicts("test_lifted") == []


def test_default_budgets_of_the_ini_file(either):
    either.ini(
        """
        perfguard_budgets =
            test_api.py: time=10 s, result_size=off
            test_api.py::test_slow: time=1 ms
            # a comment
            other/*: time=10 s
        """
    )
    either.write(
        test_api="""
        import time
        import pytest

        def test_quick():
            pass

        def test_slow():
            time.sleep(0.02)

        @pytest.mark.perf_budget(time="5 s")
        def test_slow_but_marked():
            pass

        @pytest.mark.perf_budget(time=None)
        def test_lifted():
            pass
        """,
        test_free="def test_free(): pass",
        other___test_deep='''
        """
        >>> 1 + 1
        2
        """

        import unittest

        class Case(unittest.TestCase):
            def test_it(self):
                pass
        ''',
    )
    inner = either.run("--doctest-modules")
    assert inner.outcomes.get("errors", 0) == 0
    assert {each["test"].rpartition("/")[2]: (each["outcome"], each["limit"]) for each in inner.verdicts()} == {
        "test_api.py::test_quick": ("passed", 10),
        "test_api.py::test_slow": ("over budget", 0.001),
        "test_api.py::test_slow_but_marked": ("passed", 5),
        "test_deep.py::Case::test_it": ("passed", 10),
    }
    sentence = inner.verdicts("test_slow")[0]["sentence"]
    assert "budget from perfguard_budgets in pytest.ini, line 'test_api.py::test_slow'" in sentence


def test_relative_budgets_run_their_reference_first(project):
    project.write(
        test_it="""
        import pytest

        ORDER = []

        def test_unrelated():
            pass

        @pytest.mark.perf_budget(time="0.001x test_reference")
        def test_over(perf):
            ORDER.append("over")
            perf(sorted, list(range(1000)))

        @pytest.mark.perf_budget(time="1000 % of test_it.py::test_reference")
        def test_within(perf):
            perf(sorted, list(range(1000)))

        @pytest.mark.perf_budget(time="10x test_reference")
        def test_within_by_name(perf):
            perf(sorted, list(range(1000)))

        @pytest.mark.perf_budget(time="5x slow")
        def test_named(perf):
            perf.using(name="slow")(sum, range(10000))
            perf.using(name="fast")(sum, range(10))

        def test_reference(perf):
            ORDER.append("reference")
            perf(sorted, list(range(1000)))

        @pytest.mark.perf_budget(time="2x test_nowhere")
        def test_dangling(perf):
            perf(sorted, [1])

        def test_order():
            assert ORDER == ["reference", "over"]
        """,
        test_other="""
        import pytest

        @pytest.mark.perf_budget(time="5x test_reference")
        def test_same_name(perf):
            perf(sorted, list(range(1000)))

        def test_reference(perf):
            perf(sorted, [1])
        """,
    )
    inner = project.run(code=1)
    assert inner.outcomes == {"failed": 2, "passed": 8}
    assert inner.judged("test_over", "time") == ("over budget", True)
    assert inner.judged("test_within", "time") == ("passed", False)
    assert [each["outcome"] for each in inner.verdicts("test_named", "time")] == ["passed", "passed"]
    assert inner.judged("test_dangling", "time") == ("invalid", False)
    assert "its reference 'test_nowhere' was not measured before it" in inner.verdicts("test_dangling")[0]["sentence"]
    assert inner.judged("test_within_by_name", "time") == ("passed", False)
    # Of two tests of that name the one in the same file is meant, in both files.
    assert inner.judged("test_same_name", "time") == ("over budget", True)


def test_a_reference_on_another_worker_is_no_reference(project):
    project.workers = ("-n", "2")
    project.write(
        test_a="""
        def test_reference(perf):
            perf(sorted, list(range(1000)))
        """,
        test_b="""
        import pytest

        @pytest.mark.perf_budget(time="0.001x test_reference")
        def test_over(perf):
            perf(sorted, list(range(1000)))
        """,
    )
    inner = project.run(code=0)
    assert inner.judged("test_over") == ("invalid", False)
    assert "run both on the same worker" in inner.verdicts("test_over")[0]["sentence"]


STAGED = """
    from pytest_perfguard.model import Metric
    from pytest_perfguard.model.metric import Nature
    from pytest_perfguard.model.protocols import Reading, Stage
    from pytest_perfguard.quantity import Unit

    BODIES = Metric(name="bodies", unit=Unit.COUNT, nature=Nature.EXACT, description="runs that were read")
    CALLS = []

    class BodyProbe:
        metrics = (BODIES,)
        intrusive, wants_result, warmup, rounds = True, False, 1, 2
        stages = 1

        def start(self):
            return None

        def stop(self, token, result=None):
            return Reading(values={"bodies": 1})

        def proceed(self, stages):
            if len(stages) <= self.stages:
                return Stage(probe=self, warmup=1, rounds=3)
            return Reading(values={"bodies": sum(map(len, stages))})

    def pytest_perfguard_register(registry):
        registry.add_probe([BODIES], BodyProbe)

    def pytest_sessionfinish():
        import pathlib
        if CALLS:
            pathlib.Path("calls.txt").write_text(str(len(CALLS)))
"""


def test_an_instrument_in_stages_gets_the_runs_it_asks_for_before_the_reported_one(either):
    either.write(
        conftest=STAGED,
        test_it="""
        import pytest
        from conftest import CALLS

        @pytest.mark.perf_budget(bodies=4)
        def test_it(tmp_path):
            CALLS.append(0)
        """,
    )
    inner = either.run(code=1)
    assert inner.measured("test_it")["series"]["bodies"]["values"] == [5]
    assert "bodies of test_it.py::test_it is over its budget: 5, budget 4" in inner.result.stdout.str()
    # 1 and 2, then 1 and 3 of the further stage, and the one that is reported.
    assert (either.path / "calls.txt").read_text() == "8"


def test_a_stage_that_a_failure_ends_is_reported_as_that_run(either):
    either.write(
        conftest=STAGED,
        test_it="""
        import pytest
        from conftest import CALLS

        @pytest.mark.perf_budget(bodies=9)
        def test_it():
            CALLS.append(0)
            assert len(CALLS) < 5
        """,
    )
    inner = either.run(code=1)
    assert inner.outcomes == {"failed": 1}
    assert "this was run 5 of 8 of the test's body" in inner.result.stdout.str()
