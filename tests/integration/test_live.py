"""Comparisons side by side of small projects: what is judged, what fails, and what is refused."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ET

import pytest

from .conftest import git
from .live_projects import PLUGINS, compare, left, own_temp

SHOP = """
    import sqlite3

    SIDE = "base"

    def work(number):
        return sum(range(number))

    def units(number):
        for _ in range(number):
            len([])

    def read(connection):
        connection.execute("select 1").fetchall()
        connection.execute("select 2").fetchall()
"""
# What base and head differ in, and nothing but that.
MORE = """
        connection.execute("select 3").fetchall()

    def fresh():
        return 7

    def units(number):
        for _ in range(number + 1):
            len([])
"""

LARGE = "--perfguard-against-min-effect=20%"
"""What is unchanged is shown to be so as soon as what is slower: the run takes no longer for it."""

SLOW = """
    def work(number):
        return [sum(range(number)) for _ in range({times})]

    def steady(number):
        return sum(range(number))
"""


def slow(times):
    """Return a module of which one function takes `times` times longer than another."""
    return SLOW.format(times=times)


def test_a_slowdown_fails_its_test_and_no_other(project, monkeypatch):
    temp = own_temp(project, monkeypatch)
    project.write(
        shop=slow(1),
        test_it="""
        import shop

        def test_slow(perf):
            assert perf(shop.work, 2000)

        def test_steady(perf):
            perf(shop.steady, 2000)
        """,
    )
    base = project.commit()
    project.write(shop=slow(3))
    inner = compare(project, LARGE, limit="60s", code=1)
    assert inner.outcomes == {"passed": 1, "failed": 1}
    assert inner.judged("test_slow", "time") == ("regressed", True)
    assert inner.verdicts("test_steady", "time")[0]["outcome"] in ("unchanged", "inconclusive")
    effect = inner.verdicts("test_slow", "time")[0]["effect"]
    assert effect["low"] > 1.2
    assert effect["low"] < effect["change"] < effect["high"] < 3.5
    assert effect["pairs"] >= 8
    assert effect["seconds"] > 0
    contest = inner.report["contest"]
    assert contest["base"]["sha"] == base
    assert contest["reason"] == "HEAD"
    assert contest["pairs"] >= effect["pairs"]
    assert contest["blocks"] > contest["dropped"] >= 0
    assert contest["seconds"] > 1
    assert inner.report["baseline"] is None
    inner.result.stdout.fnmatch_lines(["*test_it.py::test_slow got slower by *, confirmed by fresh pairs: *"])
    assert left(project, temp) == []
    changes = git(project.path, "status", "--porcelain").splitlines()
    assert [line for line in changes if "runpytest" not in line] == ["M shop.py"]


def test_tests_of_base_since_the_merge_base(project):
    # The slowdown is on a branch; main has gone on, and there it is slower still, which is no matter here.
    project.write(
        shop=slow(1),
        test_it="""
        import shop

        def test_slow(perf):
            assert perf(shop.work, 2000) is not None

        def test_changed(perf):
            perf(shop.steady, 2000)
        """,
    )
    base = project.commit()
    git(project.path, "checkout", "-q", "-b", "topic")
    project.write(
        shop=slow(3).replace("def steady", "def renamed"),
        test_it="""
        import shop

        def test_slow(perf):
            assert perf(shop.steady, 1), "a test of head"

        def test_changed(perf):
            perf(shop.renamed, 2000)

        def test_new(perf):
            perf(shop.renamed, 2000)
        """,
    )
    project.commit()
    git(project.path, "checkout", "-q", "main")
    project.write(shop=slow(100))
    project.commit()
    git(project.path, "checkout", "-q", "topic")
    inner = compare(
        project, "--perfguard-against-tests=base", "-k", "not new", LARGE,
        against="merge-base:main", limit="60s", code=1,
    )  # fmt: skip
    assert inner.report["contest"]["base"]["sha"] == base
    assert inner.report["contest"]["reason"] == "merge base with main"
    assert inner.judged("test_slow", "time") == ("regressed", True)
    assert inner.verdicts("test_slow", "time")[0]["effect"]["high"] < 3.5
    # A test of base that head's code does not stand is a failure of head's, as base's own test suite would say.
    assert inner.outcomes == {"failed": 2, "deselected": 1}
    inner.result.stdout.fnmatch_lines(["*AttributeError: module 'shop' has no attribute 'steady'*"])


@pytest.fixture
def whole(project):
    """A project with tests of all kinds, and head's changes."""
    project.ini("asyncio_default_fixture_loop_scope = function")
    project.write(
        shop=SHOP,
        conftest="""
        import os, sqlite3, pytest

        def scoped(scope):
            @pytest.fixture(scope=scope)
            def value():
                log = os.environ.get("LOG")
                with open(f"{log}-{os.environ.get('PERFGUARD_SIDE', 'user')}", "a") as stream:
                    stream.write(f"+{scope}\\n")
                yield 100
                with open(f"{log}-{os.environ.get('PERFGUARD_SIDE', 'user')}", "a") as stream:
                    stream.write(f"-{scope}\\n")
            return value

        at_session, at_package, at_module, at_class, at_function = map(
            scoped, ("session", "package", "module", "class", "function")
        )

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.fixture(scope="module")
        def db():
            connection = sqlite3.connect(":memory:")
            yield connection
            connection.close()
        """,
        test_kinds="""
        import asyncio, unittest, pytest, shop

        class TestScopes:
            def test_first(self, perf, at_session, at_package, at_module, at_class, at_function):
                perf(shop.work, at_session)

            @pytest.mark.perf
            def test_second(self, at_session, at_package, at_module, at_class, at_function):
                shop.work(at_function)

        @pytest.mark.asyncio
        async def test_asyncio(perf):
            async def work():
                await asyncio.sleep(0)
                return 5
            assert await perf.aio(work) == 5

        @pytest.mark.perf
        @pytest.mark.asyncio
        async def test_asyncio_body():
            await asyncio.sleep(0)

        @pytest.mark.anyio
        async def test_anyio(perf):
            assert await perf.aio(asyncio.sleep, 0, 3) == 3

        class TestUnit(unittest.TestCase):
            def setUp(self):
                self.number = 1000

            @pytest.mark.perf
            def test_unit(self):
                shop.work(self.number)

        @pytest.mark.parametrize("number", [10, 1000], ids=["few", "a/b::c"])
        def test_parameters(perf, number):
            assert perf(shop.work, number) == sum(range(number))

        @pytest.mark.perf_budget(time="10 s")
        def test_body():
            shop.work(1000)

        def test_setup(perf):
            used = []
            def setup():
                used.append(1)
                return ([3, 1, 2],), {}
            assert perf.using(setup=setup)(list.sort) is None
            assert used

        def test_spans(perf):
            for _ in range(2):
                with perf.span("a"):
                    shop.work(1000)
            with perf.span("b"):
                shop.work(2000)

        def test_names(perf):
            perf.using(name="one")(shop.work, 10)
            perf.using(name="two")(shop.work, 20)

        def test_metric(perf):
            perf.metric("row count", 5 if shop.SIDE == "base" else 6)
            perf(shop.work, 10)

        def test_metric_better(perf):
            perf.metric("hits", 5 if shop.SIDE == "base" else 6, better="higher")

        @pytest.mark.perf_budget(queries=9)
        def test_queries(perf, db):
            perf(shop.read, db)

        @pytest.mark.perf_budget(queries=9)
        def test_queries_body(db):
            db.execute("select 1").fetchall()

        @pytest.mark.perf(metrics=("time", "calls"))
        def test_calls(perf):
            perf(shop.units, 100)

        @pytest.mark.perf_budget(time="1 ns")
        def test_over(perf):
            perf(shop.work, 1000)

        @pytest.mark.perf_budget(queries=2)
        def test_queries_over(perf, db):
            perf(shop.read, db)
        """,
        test_fates="""
        import pytest, shop

        BASE = shop.SIDE == "base"

        def test_new(perf):
            assert perf(shop.fresh) == 7

        @pytest.mark.perf_budget(time="1 ns")
        def test_new_over(perf):
            perf(shop.fresh)

        @pytest.mark.perf_budget(calls=1)
        def test_new_body_over():
            shop.fresh()

        def test_fails(perf):
            perf(shop.work, 10)
            assert False, "on both sides"

        def test_fails_on_head(perf):
            perf(shop.work, 10)
            assert BASE, "on head alone"

        def test_skipped(perf):
            pytest.skip("on both sides")

        def test_skipped_on_base(perf):
            if BASE:
                pytest.skip("on base")
            perf(shop.work, 10)

        def test_skipped_on_head(perf):
            if not BASE:
                pytest.skip("on head")
            perf(shop.work, 10)

        @pytest.mark.xfail
        def test_xfail(perf):
            perf(shop.work, 10)
            assert False

        @pytest.mark.xfail(strict=True)
        def test_xpass_strict(perf):
            perf(shop.work, 10)

        @pytest.mark.xfail
        @pytest.mark.perf_budget(time="1 ns")
        def test_xfail_over(perf):
            perf(shop.work, 10)

        def test_lone_measurement(perf):
            perf.using(name="both")(shop.work, 10)
            if not BASE:
                perf.using(name="head")(shop.work, 10)

        def test_unguarded():
            assert not BASE

        def test_unguarded_fails():
            assert BASE
        """,
        test_uncollected="""
        import pytest
        from shop import fresh

        def test_beside_new_import(perf):
            perf(fresh)

        @pytest.mark.perf_budget(time="1 ns")
        def test_beside_new_import_over(perf):
            perf(fresh)
        """,
    )
    project.commit()
    project.write(shop=SHOP.replace('"base"', '"head"') + MORE)
    return project


def test_tests_of_all_kinds(whole, monkeypatch):
    temp = own_temp(whole, monkeypatch)
    log = whole.path.parent / f"{whole.path.name}-log"
    monkeypatch.setenv("LOG", str(log))
    inner = compare(whole, "--junitxml=junit.xml", "-o", "junit_family=xunit2", plugins=PLUGINS, code=1)

    # Nothing that did not change fails for its time, in one pair or in a hundred.
    assert {each["outcome"] for each in inner.verdicts(metric="time")} <= {
        "inconclusive", "unchanged", "passed", "over budget", "no baseline", "invalid",
    }  # fmt: skip
    failing = {
        (each["test"].rpartition("::")[2], each["metric"], each["outcome"])
        for each in inner.report["verdicts"]
        if each["fails"]
    }
    assert failing == {
        ("test_queries", "queries", "regressed"),
        ("test_queries", "reads", "regressed"),
        ("test_metric", "row count", "regressed"),
        ("test_calls", "calls", "regressed"),
        ("test_over", "time", "over budget"),
        ("test_queries_over", "queries", "regressed"),
        ("test_queries_over", "reads", "regressed"),
        ("test_queries_over", "queries", "over budget"),
        ("test_new_over", "time", "over budget"),
        ("test_new_body_over", "calls", "over budget"),
        ("test_beside_new_import_over", "time", "over budget"),
        ("test_xfail_over", "time", "over budget"),
    }
    cases = {case.get("name"): case for case in ET.parse(whole.path / "junit.xml").iter("testcase")}
    fates = {name: {child.tag for child in case} - {"properties", "system-out"} for name, case in cases.items()}
    assert {name for name, fate in fates.items() if "failure" in fate} == {
        *({test for test, _, _ in failing} - {"test_xfail_over"}),
        "test_fails", "test_fails_on_head", "test_xpass_strict", "test_unguarded_fails",
    }  # fmt: skip
    assert {name for name, fate in fates.items() if "skipped" in fate} == {
        "test_skipped", "test_skipped_on_head", "test_xfail", "test_xfail_over",
    }  # fmt: skip
    assert not [name for name, fate in fates.items() if "error" in fate]
    assert len(cases) == sum(inner.outcomes.values()) == 35

    # Every kind of test is compared, by the name of each of its measurements.
    compared = {
        (each["test"].rpartition("::")[2], each["name"])
        for each in inner.verdicts(metric="time")
        if each["effect"] is not None or "not compared" in each["sentence"]
    }
    names = [
        "test_first", "test_second", "test_asyncio", "test_asyncio_body", "test_anyio", "test_unit",
        "test_parameters[few]", "test_body", "test_setup", "test_queries", "test_calls",
        "test_over",
    ]  # fmt: skip
    assert compared >= {(name, "") for name in names}
    assert compared >= {("test_spans", "a"), ("test_spans", "b"), ("test_names", "one"), ("test_names", "two")}
    assert len(inner.verdicts("[a/b::c]", "time")) == 1

    # Exact metrics are decided at once.
    found = [each["outcome"] for each in inner.verdicts("::test_queries_body", "queries")]
    assert sorted(found) == ["passed", "unchanged"]
    effects = [each["effect"] for each in inner.verdicts("::test_queries", "queries") if each["effect"] is not None]
    assert [(effect["change"], effect["low"], effect["high"]) for effect in effects] == [(0.5, 0.5, 0.5)]
    assert [each["outcome"] for each in inner.verdicts("test_metric_better", "hits")] == ["improved"]
    assert inner.value("row count", "test_metric") == 6_000_000_000

    # What base cannot follow is judged by its budgets.
    for test in ("test_new", "test_new_over", "test_new_body_over", "test_skipped_on_base", "test_beside_new_import"):
        assert "no baseline" in {each["outcome"] for each in inner.verdicts(f"::{test}")}, test
    assert "no baseline" in {each["outcome"] for each in inner.verdicts("test_lone_measurement")}
    assert inner.measured("::test_new")
    inner.result.stdout.fnmatch_lines(["*on both sides*", "*on head alone*"])

    # Each side sets up and tears down what pytest would.
    for side in ("base", "head"):
        lines = log.with_name(f"{log.name}-{side}").read_text().split()
        counts = {line: lines.count(line) for line in lines}
        for scope in ("session", "package", "module", "class"):
            assert counts[f"+{scope}"] == counts[f"-{scope}"] == 1, (side, scope, counts)
        assert counts["+function"] == counts["-function"] > 2
    assert not log.with_name(f"{log.name}-user").exists()
    assert left(whole, temp) == []


def test_what_base_may_be(project, monkeypatch):
    temp = own_temp(project, monkeypatch)
    project.write(
        shop=SHOP,
        test_it="""
        import pytest, shop

        @pytest.mark.perf(metrics=("time", "calls"))
        def test_calls(perf):
            perf(shop.units, 100)
        """,
    )
    project.commit()
    other = project.path.parent / f"{project.path.name}-other"
    shutil.copytree(project.path, other)
    project.write(shop=SHOP + MORE)
    inner = compare(project, against=str(other), code=1)
    assert inner.judged("test_calls", "calls") == ("regressed", True)
    assert git(other, "status", "--porcelain") == ""
    inner = compare(project, against="self", code=0)
    assert inner.judged("test_calls", "calls") == ("unchanged", False)
    assert inner.report["contest"]["reason"] == "the same tree"
    assert left(project, temp) == []


def test_what_is_refused(project, monkeypatch):
    temp = own_temp(project, monkeypatch)
    project.write(
        test_it="""
        def test_one(perf):
            perf(sum, range(100))

        def test_unguarded():
            pass
        """
    )
    project.commit()

    def refuse(*args, against="HEAD"):
        inner = project.run(f"--perfguard-against={against}", *args, code=4)
        return inner.text + inner.result.stderr.str()

    assert "run it with -n 0" in refuse("-n", "2")
    assert "nowhere" in refuse(against="nowhere")
    assert "nowhere" in refuse(against="merge-base:nowhere")
    for option in ("--perfguard-save", "--perfguard-compare"):
        text = refuse(option)
        assert "--perfguard-against" in text
        assert option.removeprefix("--perfguard-") in text
    assert "--perfguard-against" in refuse(against="")
    assert left(project, temp) == []


def test_what_compares_nothing(project, monkeypatch):
    temp = own_temp(project, monkeypatch)
    project.write(
        test_it="""
        import os

        def test_one(perf):
            assert "PERFGUARD_SIDE" not in os.environ
            perf(sum, range(100))

        def test_unguarded():
            pass
        """
    )
    project.commit()
    against = "--perfguard-against=HEAD"
    inner = project.run(against, "--perfguard-disable", code=0)
    assert inner.outcomes == {"passed": 2}
    assert inner.report is None or inner.report["contest"] is None
    inner = project.run(against, "--collect-only", "-q", code=0)
    inner.result.stdout.fnmatch_lines(["test_it.py::test_one", "test_it.py::test_unguarded"])
    inner = project.run(against, "-k", "unguarded", code=0)
    assert inner.outcomes == {"passed": 1, "deselected": 1}
    assert left(project, temp) == []
