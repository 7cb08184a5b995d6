"""`--perfguard-queries`: what each test of a suite asks of databases, guarded or not, without a change to the tests."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.measure.observation import to_series
from pytest_perfguard.model.codec import from_plain, to_plain
from pytest_perfguard.model.measurement import Key, Measurement
from pytest_perfguard.model.protocols import Reading
from pytest_perfguard.plugin.task import TASK

if TYPE_CHECKING:
    from pytest_perfguard.plugin.guard import Guard

_METRICS = frozenset({"queries", "duplicates", "n_plus_one", "batchable"})
_ATTRIBUTE = "perfguard_survey"
_SEEN = pytest.StashKey[Measurement]()


class Survey:
    """Watches the call phase of each test that is not guarded; guarded ones are measured as they ask to be.

    A test is never failed by it, also where it cannot be seen what the test asks.
    """

    def __init__(self, config: pytest.Config, guard: Guard) -> None:
        self._guard = guard
        self._is_worker = hasattr(config, "workerinput")
        (self._probe,) = guard.engine.registry.probes(_METRICS)

    @pytest.hookimpl
    def pytest_collection_finish(self) -> None:
        """Let connections that fixtures open be seen entirely."""
        if not self._guard.settings.disable:
            self._guard.engine.watch_connections()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Watch one test."""
        if TASK in item.stash:
            return (yield)
        try:
            token = self._probe.start()
        except ProbeError:
            return (yield)
        try:
            return (yield)
        finally:
            with contextlib.suppress(ProbeError):  # nothing that could be seen is loaded: nothing is said of the test
                item.stash[_SEEN] = self._measurement(item, self._probe.stop(token))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put what was seen on the report of the call, as plain data."""
        report = yield
        seen = item.stash.get(_SEEN, None)
        if call.when == "call" and seen is not None:
            del item.stash[_SEEN]
            setattr(report, _ATTRIBUTE, to_plain(seen))
        return report

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather what a process saw; it is the same path with and without xdist."""
        found = None if self._is_worker else report.__dict__.pop(_ATTRIBUTE, None)
        if found is not None and report.outcome != "rerun":  # type: ignore[comparison-overlap]
            self._guard.surveyed.append(from_plain(Measurement, found))

    def _measurement(self, item: pytest.Item, reading: Reading) -> Measurement:
        series = to_series(self._probe.metrics, [reading])
        return Measurement(key=Key(test=item.nodeid), series=series, queries=reading.queries)
