"""The coordinator's hooks: the comparison is made before the tests are reported, and its verdicts are theirs."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_perfguard.errors import PerfguardError
from pytest_perfguard.plugin import transport
from pytest_perfguard.plugin.task import TASK, TROUBLE

if TYPE_CHECKING:
    from pytest_perfguard.comparison import Compared, Found
    from pytest_perfguard.plugin.guard import Guard


class LiveComparison:
    """Has guarded tests run by pairs of workers, and reports what head's said of them, with the verdicts."""

    def __init__(self, config: pytest.Config, guard: Guard) -> None:
        self._config = config
        self._guard = guard
        self._compared: Compared | None = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Compare, then let the tests be reported, or run where they are not guarded."""
        items = [item for item in session.items if TASK in item.stash and TROUBLE not in item.stash]
        option = session.config.option
        broken = session.testsfailed and not option.continue_on_collection_errors
        if items and not option.collectonly and not broken:
            self._compare(items)
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Report a test that the workers ran; leave it to pytest where they did not."""
        found = None if self._compared is None else self._compared.tests.get(item.nodeid)
        if found is None or not (found.reports or found.crashed):
            return None
        self._guard.leave()
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        reports = self._reports(item, found)
        calls = [report for report in reports if report.when == "call"]
        for report in reports:
            if calls and report is calls[-1]:  # those before it are of subtests
                transport.attach(report, (found.measurements, found.verdicts))
                _settle(item, report, found.failure)
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _reports(self, item: pytest.Item, found: Found) -> list[pytest.TestReport]:
        if found.crashed:
            return [_crash(item, found.crashed)]
        hook = self._config.hook
        plain = ({name: _tuple(name, value) for name, value in each.items()} for each in found.reports)
        return [hook.pytest_report_from_serializable(config=self._config, data=each) for each in plain]

    def _compare(self, items: list[pytest.Item]) -> None:
        from pytest_perfguard.comparison import Invocation, compare

        config = self._config
        loaded = {
            name: str(place)
            for name, module in list(sys.modules.items())
            if "." not in name
            and (place := getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None))
        }
        invocation = Invocation(
            root=Path(config.rootpath),
            cwd=Path(config.invocation_params.dir),
            ini=config.inipath,
            arguments=(*map(str, config.invocation_params.args), *_neutral(config)),
            files=tuple(dict.fromkeys(item.path for item in items)),
            loaded=tuple(loaded.items()),
            here=str(Path.cwd()) in sys.path or "" in sys.path,
            caches=config.pluginmanager.has_plugin("cacheprovider"),
        )
        bodies = {item.nodeid for item in items if "perf" not in getattr(item, "fixturenames", ())}
        tasks = [item.stash[TASK] for item in items]
        try:
            self._compared = compare(
                self._guard.engine, tasks, bodies, invocation,
                say=self._guard.display.say, progress=self._guard.display.live,
            )  # fmt: skip
        except PerfguardError as error:
            raise pytest.UsageError(f"perfguard: {error}") from None
        self._guard.compared = self._compared


def _settle(item: pytest.Item, report: pytest.TestReport, failure: str) -> None:
    """Make the report of a test that passed that of a failure, where a verdict says so."""
    if not failure or report.outcome != "passed":
        return
    xfail = getattr(report, "wasxfail", None)
    if xfail is not None:
        report.outcome = "skipped"  # it was expected to fail, and it does
        return
    report.outcome = "failed"
    report.longrepr = failure


def _tuple(name: str, value: Any) -> Any:
    """Return what JSON has made a list of as the tuple that pytest's reports expect."""
    return tuple(value) if name in ("longrepr", "location") and isinstance(value, list) else value


def _crash(item: pytest.Item, reason: str) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid=item.nodeid, location=item.location, keywords=dict.fromkeys(item.keywords, 1), outcome="failed",
        longrepr=f"perfguard: {reason}", when="call",
    )  # fmt: skip


def _neutral(config: pytest.Config) -> list[str]:
    """Return arguments that keep other plugins from measuring, sharing out or reordering the tests of workers."""
    manager = config.pluginmanager
    arguments = []
    if manager.has_plugin("xdist"):
        arguments += ["-n0"]
    if manager.has_plugin("timeout"):
        arguments += ["--timeout=0"]
    if manager.has_plugin("pytest_cov"):
        arguments += ["--no-cov"]
    if manager.has_plugin("randomly"):
        arguments += ["--randomly-seed=1"]
    return arguments
