"""A worker of a live comparison: pytest on one side, which runs what its coordinator tells it to."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import sys
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from pytest_perfguard.config.resolve import Settings
from pytest_perfguard.errors import PerfguardError
from pytest_perfguard.live import layout
from pytest_perfguard.live.process import call_home
from pytest_perfguard.live.turns import TurnRunner, is_parallel, usage
from pytest_perfguard.live.wire import Channel, Message
from pytest_perfguard.model.codec import to_plain
from pytest_perfguard.model.measurement import Measurement
from pytest_perfguard.model.task import Task
from pytest_perfguard.plugin.body import PASSES, BodyPasses
from pytest_perfguard.plugin.failure import PerfguardFailed
from pytest_perfguard.plugin.guard import Guard, forget
from pytest_perfguard.plugin.protocol import BROKEN, freshen, run_quiet_passes
from pytest_perfguard.plugin.recording import RECORDING
from pytest_perfguard.plugin.task import TASK
from pytest_perfguard.plugin.wake import LIVE_WORKER

_OFF: dict[str, Any] = {
    "usepdb": False, "trace": False, "maxfail": 0, "xmlpath": None, "pastebin": None, "collectonly": False,
    "lf": False, "failedfirst": False, "newfirst": False, "stepwise": False, "stepwise_skip": False,
    "cacheclear": False, "durations": None, "numprocesses": None, "dist": "no", "tx": [], "looponfail": False,
}  # fmt: skip
"""Options of the user's command line that only the coordinator is to follow."""


class LiveGuard(Guard):
    """Prepares guarded tests as ever, but measures in turns and judges nothing."""

    measured: tuple[Measurement, ...] = ()
    """What the last test recorded."""
    judges = False
    parallel = False
    """Whether its body kept others than its thread busy."""

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logstart(self) -> None:
        """Leave repetitions to the coordinator."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Measure the call phase of a guarded test."""
        task = item.stash.get(TASK, None)
        if task is None:
            return (yield)
        passes = item.stash.get(PASSES, None)
        try:
            if "perf" in getattr(item, "fixturenames", ()):
                result = yield
                self.measured = tuple(item.stash[RECORDING].take())
            else:
                assert passes is not None
                before = usage()
                with passes.around(item):
                    result = yield
                self.parallel = is_parallel(before, usage())
                self.measured = () if passes.remaining else tuple(passes.finish())
        except PerfguardError as error:
            raise PerfguardFailed(f"perfguard: {error}") from None
        return result

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather nothing."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Report nothing."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print nothing."""


class LiveWorker:
    """Runs single tests as often as it is told to, and says what came of them."""

    def __init__(self, channel: Channel, hello: Message, pin: ModuleType | None, strewn: object) -> None:
        self._strewn = strewn
        self._channel = channel
        self._hello = hello
        self._pin = pin
        self._items: dict[str, pytest.Item] = {}
        self._errors: dict[str, str] = {}
        self._reports: list[pytest.TestReport] = []
        self._made: list[pytest.TestReport] = []
        self._last: pytest.Item | None = None
        self._session: Any = None
        self._guard: LiveGuard | None = None
        self._runner: TurnRunner | None = None

    def make_guard(self, *args: Any) -> LiveGuard:
        """Return the guard of this process."""
        guard = self._guard = LiveGuard(*args)
        self._runner = TurnRunner(guard.engine.registry.clock(), self._channel)
        guard.engine.runner = self._runner
        return guard

    def adapt(self, settings: Settings) -> Settings:
        """Return the settings of a process that stores, judges and reports nothing."""
        return replace(
            settings, save=False, compare=None, against=None, report=(), only=False, skip=False, disable=False
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Keep other plugins from doing what is the coordinator's, and collect only what is wanted."""
        for name, value in _OFF.items():
            if hasattr(config.option, name):
                setattr(config.option, name, value)
        config.args = [file for file in self._hello["files"] if Path(file).exists()]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Look like a worker of pytest-xdist, to fixtures and plugins that name databases and ports by it.

        Not earlier: some plugins then expect what only a controller of pytest-xdist would have sent them.
        """
        session.config.workerinput = self._hello["workerinput"]  # type: ignore[attr-defined]

    @pytest.hookimpl
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remember what could not be collected, and why."""
        if report.failed:
            self._errors[report.nodeid] = _reason(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Do what the coordinator says, until it says that it is the end."""
        self._session = session
        self._items = {item.nodeid: item for item in session.items if TASK in item.stash}
        pinned = self._pin is not None
        order = self._channel.ask({"at": "collected", "tests": list(self._items), "pinned": pinned, **self._state()})
        while order["do"] != "end":
            order = self._channel.ask(getattr(self, f"_{order['do']}")(order))
        self._leave({"following": None})
        # Nobody reads a summary, for which some plugins load what takes as long as a pair measures.
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            session.config.pluginmanager.unregister(reporter)
        self._channel.send({"at": "end"})
        return True

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the reports of subtests, which are made while a test runs."""
        self._reports.append(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """Run a test as pytest would, between what other plugins do around it, and keep its reports."""
        self._made = runtestprotocol(item, log=False, nextitem=nextitem)
        return True

    def _bind(self, order: Message) -> Message:
        if self._runner is not None:
            self._runner.bind(order["core"])
        return {"at": "bound"}

    def _sentinel(self, order: Message) -> Message:
        if self._runner is not None:
            self._runner.counting, self._runner.known = False, {}
            self._runner.sentinel()
        return {"at": "ran", "outcome": "passed"}

    def _run(self, order: Message) -> Message:
        """Run a test once, with the clock as its instrument."""
        item = self._items.get(order["test"])
        if item is None or self._guard is None or self._runner is None:
            return self._missing(order["test"])
        self._runner.counting, self._runner.known = False, order["iterations"]
        task = item.stash[TASK]
        item.stash[TASK] = _timed(task)
        if "perf" not in getattr(item, "fixturenames", ()):
            item.stash[PASSES] = BodyPasses(self._guard.engine, _once(task))
        # Only the chain of parents is asked of a next item, and that of the test's parent ends above the test itself.
        again = not order["last"] or order["following"] == order["test"]
        following: Any = item.parent if again else self._items.get(order["following"])
        try:
            return self._protocol(item, following)
        finally:
            item.stash[TASK] = task

    def _exact(self, order: Message) -> Message:
        """Run a test once for each pass of the instruments that are no clock."""
        item = self._items.get(order["test"])
        if item is None or self._guard is None or self._runner is None:
            return self._missing(order["test"])
        self._runner.counting = True
        task = item.stash[TASK]
        counted = task.counted
        item.stash[TASK] = counted
        try:
            self._tear_down(item.parent)
            if "perf" not in getattr(item, "fixturenames", ()):
                passes = item.stash[PASSES] = BodyPasses(self._guard.engine, counted)
                run_quiet_passes(item, passes)
            return self._protocol(item, self._items.get(order["following"]))
        except PerfguardError as error:
            return {"at": "ran", "outcome": "failed", "why": str(error), "reports": [], "times": {}, **self._state()}
        finally:
            item.stash[TASK] = task

    def _leave(self, order: Message) -> Message:
        following = self._items.get(order["following"])
        teardown = functools.partial(self._session._setupstate.teardown_exact, following)
        call = pytest.CallInfo.from_call(teardown, when="teardown")
        if call.excinfo is None or self._last is None:
            return {"at": "left"}
        item = self._last
        report = item.ihook.pytest_runtest_makereport(item=item, call=call)
        return {"at": "left", "reports": [self._plain(item, report)]}

    def _plain(self, item: pytest.Item, report: pytest.TestReport) -> Any:
        report.user_properties = [(name, _worded(value)) for name, value in report.user_properties]
        return item.config.hook.pytest_report_to_serializable(config=item.config, report=report)

    def _tear_down(self, following: Any) -> None:
        """Tear down what `following` does not need; what that raises was said when a test was torn down, or is lost."""
        with contextlib.suppress(Exception):
            self._session._setupstate.teardown_exact(following)

    def _protocol(self, item: pytest.Item, following: Any) -> Message:
        assert self._guard is not None
        self._tear_down(item.parent)  # what was kept for a test that was not to come after all
        self._last = item
        self._reports.clear()
        self._guard.measured, self._guard.parallel = (), False
        properties = item.user_properties[:]
        item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
        reports = [*self._reports, *self._made]
        outcome, why = _outcome(reports)
        said = {
            "at": "ran",
            "outcome": outcome,
            "why": why,
            "reports": [self._plain(item, report) for report in reports],
            "measured": to_plain(self._guard.measured),
            "times": _times(self._guard.measured),
            "parallel": self._guard.parallel,
            **self._state(),
        }
        forget(item, PASSES, BROKEN, RECORDING)
        freshen(item)
        item.user_properties[:] = properties
        return said

    def _missing(self, test: str) -> Message:
        path = test.partition("::")[0]
        why = next((text for node, text in self._errors.items() if path.startswith(node.partition("::")[0])), "")
        why = f"its file could not be collected: {why}" if why else "there is no such test"
        return {"at": "ran", "outcome": "missing", "why": why, "reports": [], "times": {}, **self._state()}

    def _state(self) -> Message:
        """Return what the pin has found since it was last asked, where it has found anything."""
        if self._pin is None:
            return {}
        self._pin.reassert()
        found = {"leaks": self._pin.leaks(), "missed": self._pin.missed()}
        return {name: texts for name, texts in found.items() if texts}


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Make this process a worker: called where this module is a plugin, which only a coordinator asks for."""
    layout.restore()
    pin = _pin()
    if pin is not None:
        pin.reassert()
    channel = call_home()
    common = random.Random(os.environ.get("PYTHONHASHSEED"))  # noqa: S311 - no secret
    strewn = layout.strew(common, random.Random(os.urandom(8)))  # noqa: S311 - no secret
    early_config.pluginmanager.register(LiveWorker(channel, channel.receive(), pin, strewn), LIVE_WORKER)


def _pin() -> ModuleType | None:
    """Return the module that pins imports in this process, which a `sitecustomize` has loaded before."""
    return sys.modules.get("_perfguard_pin") or sys.modules.get("pytest_perfguard.live.pin")


def _worded(value: object) -> object:
    """Return what a test gave for a property, as text where it is no plain value: it may refer to itself, or refuse."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - what others wrote may raise anything
        return object.__repr__(value)


def _timed(task: Task) -> Task:
    """Return a task for the clock alone."""
    return replace(task, budgets=(), method=replace(task.method, metrics=()), explicit=True)


def _once(task: Task) -> Task:
    """Return a task whose body is timed once in a run: the coordinator has it run as often as it needs."""
    timed = _timed(task)
    return replace(timed, method=replace(timed.method, rounds=1, warmup=0))


def _times(measured: tuple[Measurement, ...]) -> dict[str, dict[str, float]]:
    """Return what was timed as a whole in this run: the body, or spans, whose times are added up by their name."""
    times: dict[str, dict[str, float]] = {}
    for measurement in measured:
        series = {each.metric.name: each for each in measurement.series}
        if "time" in series:
            times[measurement.key.name] = {
                name: sum(series[name].values) / len(series[name]) for name in ("time", "wall", "cpu")
            }
    return times


def _outcome(reports: list[pytest.TestReport]) -> tuple[str, str]:
    """Return "passed", "failed" or "skipped", and why."""
    for report in reports:
        if report.failed:
            return "failed", _reason(report)
    for report in reports:
        if report.skipped:
            return "skipped", _reason(report)
    return "passed", ""


def _reason(report: Any) -> str:
    longrepr = report.longrepr
    if isinstance(longrepr, tuple):
        return str(longrepr[-1])
    crash = getattr(longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(longrepr or "")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[0] if crash is not None else lines[-1]) if lines else ""
