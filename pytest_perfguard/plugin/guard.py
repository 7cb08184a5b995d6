"""The guard: hooks that measure guarded tests, judge them, and gather what all processes found."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_perfguard.config.resolve import Settings
from pytest_perfguard.engine import Engine
from pytest_perfguard.errors import PerfguardError
from pytest_perfguard.judge.sentence import paragraphs
from pytest_perfguard.model.budget import Budget
from pytest_perfguard.model.measurement import Measurement
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.run import Run
from pytest_perfguard.model.task import Task
from pytest_perfguard.model.verdict import Verdict
from pytest_perfguard.plugin import has_workers, transport
from pytest_perfguard.plugin.body import PASSES, BodyPasses
from pytest_perfguard.plugin.failure import PerfguardFailed
from pytest_perfguard.plugin.protocol import BROKEN, QUIET, note_broken, raise_broken, run_quiet_passes, tell_run
from pytest_perfguard.plugin.recording import RECORDING, Recording
from pytest_perfguard.plugin.task import TASK, fail_on_trouble
from pytest_perfguard.plugin.terminal import Display
from pytest_perfguard.plugin.tracebacks import hide_own_frames
from pytest_perfguard.registry import Registry

if TYPE_CHECKING:
    from pytest_perfguard.comparison import Compared

DefaultBudgets = tuple[tuple[str, tuple[Budget, ...]], ...]
"""Patterns of node ids, and the budgets of what they match."""


_ENDED: dict[int, str] = {
    pytest.ExitCode.INTERRUPTED: "was interrupted",
    pytest.ExitCode.INTERNAL_ERROR: "was ended by an internal error",
    pytest.ExitCode.USAGE_ERROR: "was ended by an error of usage",
}
"""Exit statuses of runs that did not come to their end, in words."""


class Guard:
    """Measures and judges in the process where a test runs; on the controller it gathers, stores and reports."""

    judges = True
    """Whether limits within a test are judged in this process, or by who told it to measure."""

    def __init__(
        self, config: pytest.Config, settings: Settings, registry: Registry, default_budgets: DefaultBudgets = ()
    ) -> None:
        self.settings = settings
        self.default_budgets = default_budgets
        self._config = config
        self.display = Display(config)
        workerinput: dict[str, Any] | None = getattr(config, "workerinput", None)
        self._is_worker = workerinput is not None
        workers = workerinput["workercount"] if workerinput is not None else _asked_workers(config)
        self.engine = Engine(
            settings, root=Path(config.rootpath), registry=registry, workers=workers, progress=self.display.progress
        )
        self._measurements: list[Measurement] = []
        self._verdicts: list[Verdict] = []
        self._notes: list[Note] = []
        self._run: Run | None = None
        self.surveyed: list[Measurement] = []
        """What tests that are not guarded asked of databases, where that is wanted."""
        self._current: pytest.Item | None = None
        self._interrupted = False
        self.compared: Compared | None = None
        """What came of base and head side by side, where they were compared."""

    def leave(self) -> None:
        """Forget the test whose attempts began last: what follows is reported, and not run in this process."""
        self._current = None

    def _compared_before(self, item: pytest.Item) -> tuple[Verdict, ...]:
        """Return what is known already of a test that base could not follow, and that is now run by itself."""
        found = None if self.compared is None else self.compared.tests.get(item.nodeid)
        return () if found is None else found.verdicts

    @pytest.hookimpl
    def pytest_unconfigure(self) -> None:
        """Leave nothing behind."""
        self.engine.close()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """Remember the test whose attempts begin."""
        self._current = item

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logstart(self) -> None:
        """Before an attempt of a test, run it once for each pass over its body but the last.

        It is called for each attempt, also where another plugin makes several, and outside of all phases.
        """
        item = self._current
        task = None if item is None else item.stash.get(TASK, None)
        if item is None or task is None or self.settings.disable or "perf" in getattr(item, "fixturenames", ()):
            return
        forget(item, PASSES, BROKEN)
        try:
            item.stash[PASSES] = BodyPasses(self.engine, task)
        except PerfguardError:
            return  # said when the test is called
        run_quiet_passes(item, item.stash[PASSES])

    @pytest.hookimpl
    def pytest_runtest_logfinish(self) -> None:
        """Let go of what is left of an attempt."""
        if self._current is not None:
            forget(self._current, PASSES, BROKEN, RECORDING)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Fail a test that cannot be guarded as it asks to be; prepare what the fixture records into."""
        fail_on_trouble(item)
        raise_broken(item, "setup")
        task = item.stash.get(TASK, None)
        if task is not None:
            item.stash[RECORDING] = Recording(self.engine, task, judges=self.judges)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        """Fail where the teardown of an earlier pass did, after this one's."""
        raise_broken(item, "teardown")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Measure the call phase of a guarded test, and fail it where a verdict says so."""
        task = item.stash.get(TASK, None)
        if task is None or self.settings.disable:
            return (yield)
        raise_broken(item, "call")
        passes = item.stash.get(PASSES, None)
        recording = item.stash[RECORDING]
        try:
            if "perf" in getattr(item, "fixturenames", ()):
                result = yield
                measured = recording.take()
            else:
                passes = passes or BodyPasses(self.engine, task)
                with passes.around(item):
                    result = yield
                measured = passes.finish() if not passes.remaining else []
            if getattr(item, "_excinfo", None) or (passes is not None and passes.remaining):
                return result  # a failed unittest.TestCase, or not the last pass
            verdicts = (*self.engine.judge(task, measured), *self._compared_before(item))
        except PerfguardFailed:  # a block of the test's own, which had a limit
            self._keep_found(item, task, recording)
            raise
        except PerfguardError as error:
            raise PerfguardFailed(f"perfguard: {error}") from None
        item.stash[transport.FOUND] = (tuple(measured), verdicts)
        failures = [verdict for verdict in verdicts if verdict.fails]
        if failures:
            raise PerfguardFailed(paragraphs(failures))
        return result

    def _keep_found(self, item: pytest.Item, task: Task, recording: Recording) -> None:
        """Keep what a test had measured when it failed, so that its verdicts are in the report."""
        measured = recording.take()
        with contextlib.suppress(PerfguardError):
            verdicts = self.engine.judge(replace(task, budgets=()), measured)
            item.stash[transport.FOUND] = (tuple(measured), verdicts)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put what was found on the report of the call, as plain data."""
        hide_own_frames(call.excinfo)
        report = yield
        passes = item.stash.get(PASSES, None)
        if passes is not None:
            note_broken(item, call, passes)
            raised = call.excinfo is not None and not isinstance(call.excinfo.value, PerfguardFailed)
            if raised and report.failed and (QUIET not in item.stash or BROKEN in item.stash):
                tell_run(item, report, passes)
        if call.when == "call" and transport.FOUND in item.stash:
            transport.attach(report, item.stash[transport.FOUND])
            del item.stash[transport.FOUND]
        return report

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather what a process found; it is the same path with and without xdist."""
        if self._is_worker or report.when != "call" or report.outcome == "rerun":  # type: ignore[comparison-overlap]
            return
        found = transport.detach(report)
        if found is not None:
            self._measurements.extend(found[0])
            self._verdicts.extend(found[1])

    @pytest.hookimpl
    def pytest_keyboard_interrupt(self) -> None:
        """Remember that the run was ended early: `pytest.exit` may give it any exit status."""
        self._interrupted = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Make the run, store it and write reports; on the controller only."""
        wanted = self.settings.save or self.settings.report or self.settings.compare is not None or self.compared
        if self._is_worker or not (self._measurements or wanted):
            return
        if self.settings.disable:
            self._notes.append(_disabled(self.settings))
            return
        ended = _ENDED.get(pytest.ExitCode.INTERRUPTED if self._interrupted else exitstatus)
        unfit = [_unfinished(ended)] if self.settings.save and ended is not None else []
        try:
            contest = None if self.compared is None else self.compared.contest
            run = self.engine.finish(self._measurements, self._verdicts, unfit, contest, survey=self.surveyed)
            notes = []
            if self.settings.save and not unfit:
                try:
                    notes.append(self.engine.save(run))
                except PerfguardError as error:
                    notes.append(Note(code="not-saved", message=f"the baseline was not stored: {error}"))
            notes.extend(self.engine.report(run))
            self._run = run
            self._notes.extend(notes)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong here, the tests have run, and their results stand
            kind = "" if isinstance(error, PerfguardError) else f"{type(error).__name__}: "
            self._notes.append(Note(code="failed", message=f"the run was not summed up or stored: {kind}{error}"))

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the verdicts of the run."""
        if not self._is_worker:
            self.display.summary(terminalreporter, self._run, self._notes)
            if self.settings.queries:
                self.display.survey(terminalreporter, [*self._measurements, *self.surveyed])


def forget(item: pytest.Item, *keys: pytest.StashKey[Any]) -> None:
    """Drop what `item` holds under `keys`."""
    for key in keys:
        if key in item.stash:
            del item.stash[key]


def _unfinished(ended: str) -> Note:
    return Note(
        code="not-saved",
        message=f"the baseline was not stored: the run {ended}, and part of a run is no baseline",
        remedy="run it again to its end",
    )


def _disabled(settings: Settings) -> Note:
    return Note(
        code="disabled",
        message=f"nothing was measured, so no baseline was stored or compared with, and no report written "
        f"({settings.origin('disable')})",
        remedy="leave that out to measure",
    )


def _asked_workers(config: pytest.Config) -> int:
    """Return how many workers this controller has been asked for; 0 without xdist."""
    return len(config.option.tx) if has_workers(config) else 0
