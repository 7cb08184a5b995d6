"""Leaks are found in a session of pytest: the failure says who holds what stays; clean code passes."""

from __future__ import annotations

QUICK = "--perfguard-measurement-time=5 ms"


def test_a_leak_fails_and_its_owner_is_named_by_fixture_and_by_marker(either):
    either.write(
        test_it="""
        import pytest

        SEEN = []

        class Service:
            def __init__(self):
                self.seen = []

            def handle(self):
                self.seen.append({"number": object()})

        @pytest.mark.perf_budget(retained=0)
        def test_fixture(perf):
            perf(Service().handle)

        @pytest.mark.perf_budget(retained=0)
        def test_body():
            SEEN.append([1])
        """,
    )
    inner = either.run(QUICK, code=1)
    assert inner.outcomes == {"failed": 2}
    assert inner.judged("test_fixture", "retained") == ("over budget", True)
    inner.result.stdout.fnmatch_lines_random(
        [
            "*retained of test_it.py::test_fixture is over its budget*",
            "*dict*1*test_it:Service.seen (list)*test_it.py:5*",
            "*list*1*test_it:SEEN (list)*test_it.py:3*",
        ]
    )
    (row, *_) = inner.measured("test_body")["growth"]
    assert row["owner"] == "test_it:SEEN (list)"


def test_clean_code_passes_with_fixtures_logs_and_mocks(either):
    either.write(
        test_it="""
        import asyncio
        import functools
        import itertools
        import logging
        from unittest import mock

        import pytest

        pytestmark = pytest.mark.perf_budget(retained=0)
        NUMBERS = itertools.count()

        @functools.lru_cache(maxsize=10_000_000)
        def price(number):
            return [number]

        @pytest.fixture
        def orders():
            return []

        def test_state_of_a_fixture(orders):
            orders.append([1])

        def test_log(caplog):
            logging.getLogger("shop").warning("late")
            assert caplog.messages == ["late"]

        def test_patch(monkeypatch):
            monkeypatch.setenv("SHOP", "open")

        def test_cache():
            price(next(NUMBERS))

        def test_mock():
            double = mock.MagicMock()
            double.method(1)

        def test_coroutine(perf):
            async def answer():
                await asyncio.sleep(0)

            perf(lambda: asyncio.run(answer()))

        def test_log_by_fixture(perf):
            perf(lambda: logging.getLogger("shop").warning("late"))
        """,
    )
    inner = either.run(QUICK, code=0)
    assert inner.outcomes == {"passed": 7}
    assert {verdict["outcome"] for verdict in inner.verdicts(metric="retained")} == {"passed"}


def test_a_regression_against_the_stored_baseline_names_what_is_new(either):
    shop = """
    class Orders:
        def __init__(self):
            self.seen = []
            self.failed = []

        def place(self, number):
            order = {{"id": number}}
            self.seen.append(order)
            {more}
    """
    test = """
    import pytest
    import shop

    @pytest.mark.perf(metrics=("retained",), target_time="5 ms")
    def test_place(perf):
        perf(shop.Orders().place, 7)
    """
    either.write(shop=shop.format(more="pass"), test_shop=test)
    either.commit("first")
    either.run("--perfguard-save", code=0)
    either.run("--perfguard-compare", code=0)
    either.write(shop=shop.format(more="self.failed.append([order])"))
    either.commit("second")
    inner = either.run("--perfguard-compare", code=1)
    assert inner.judged("test_place", "retained") == ("regressed", True)
    inner.result.stdout.fnmatch_lines(
        [
            "*retained of test_shop.py::test_place rose to *",
            "*NEW      1 × list a call, *shop:Orders.failed (list), shop.py:*",
        ]
    )
    inner.result.stdout.no_fnmatch_line("*NEW*dict*")
