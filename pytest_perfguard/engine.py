"""The pipeline on one page: settings in; plans, verdicts, a stored run and reports out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from pytest_perfguard.config.resolve import Settings
from pytest_perfguard.errors import MeasurementError, PerfguardError
from pytest_perfguard.judge.bases import Base, base_for, bases_of, gaps
from pytest_perfguard.judge.budget import judge_budget
from pytest_perfguard.judge.noise import Noise, learn
from pytest_perfguard.judge.policy import Policy
from pytest_perfguard.judge.regression import compare_metric
from pytest_perfguard.measure.plan import Plan, Progress
from pytest_perfguard.measure.runner import Runner
from pytest_perfguard.model.baseline import Baseline, Header, Record
from pytest_perfguard.model.budget import Budget, Method
from pytest_perfguard.model.commit import Commit, Machine
from pytest_perfguard.model.measurement import Key, Measurement
from pytest_perfguard.model.metric import OF_QUERIES
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.pairs import Contest
from pytest_perfguard.model.protocols import Lineage, Store
from pytest_perfguard.model.queries import QueryLog
from pytest_perfguard.model.run import Run
from pytest_perfguard.model.task import Task
from pytest_perfguard.model.verdict import Verdict
from pytest_perfguard.registry import Registry


class Engine:
    """Everything that one process does for one run; it knows files and history, but no pytest."""

    def __init__(
        self,
        settings: Settings,
        *,
        root: Path,
        registry: Registry,
        workers: int = 0,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self.settings = settings
        self.root = root
        self.registry = registry
        self.workers = workers
        self.policy = _policy(settings)
        self.runner = Runner(registry.clock(), progress=progress)
        self._references: dict[str, Measurement] = {}
        self._open = ExitStack()

    def begin(self, tasks: Sequence[Task], *, queries: bool = False) -> None:
        """Tell the guarded tests of the run: they share its chance of a false alarm. Then `close` must follow.

        `queries` says that statements will be recorded, whatever the tasks say.
        """
        self.policy = self.policy.of(len(tasks))
        if not self.settings.disable and (queries or any(task.metrics & OF_QUERIES for task in tasks)):
            self.watch_connections()

    def watch_connections(self) -> None:
        """Let connections opened from now on, by fixtures too, be seen entirely when statements are recorded."""
        from pytest_perfguard.probes.queries import watch_connections

        self._open.callback(watch_connections())

    def close(self) -> None:
        """Leave nothing behind: what is watched, and what reading the history opened."""
        self._open.close()

    @property
    def contended(self) -> bool:
        """Return whether other workers compete with the measurements of this process."""
        return self.workers > 1

    @cached_property
    def machine(self) -> Machine:
        """The class of this machine."""
        from pytest_perfguard.baseline.machine import current_machine

        return current_machine(self.settings.machine)

    @cached_property
    def store(self) -> Store:
        """Where runs are kept."""
        from pytest_perfguard.baseline.folder import FolderStore

        return FolderStore(self.root / self.settings.store)

    @cached_property
    def _history(self) -> tuple[Lineage, tuple[Note, ...]]:
        from pytest_perfguard.baseline.lineage import open_lineage

        lineage, notes = open_lineage(self.root, exclude=self.root / self.settings.store)
        self._open.callback(lineage.close)
        return lineage, notes

    def check(self) -> None:
        """Raise `LineageError` or `StoreError` where a baseline is asked for by a name that names nothing."""
        if self.settings.compare in (None, "auto"):
            return
        from pytest_perfguard.baseline.selection import check_wanted

        lineage, _ = self._history
        check_wanted(self.store, lineage, self.settings.compare)

    @cached_property
    def baseline(self) -> Baseline | None:
        """What this run is compared with, None where it is with nothing; what is wrong with it is in its notes."""
        if self.settings.compare is None:
            return None
        from pytest_perfguard.baseline.selection import select

        lineage, notes = self._history
        try:
            where = str(self.root / self.settings.store)
            chosen = select(self.store, lineage, self.machine, lineage.head(), self.settings.compare, where=where)
        except PerfguardError as error:
            return Baseline(notes=(*notes, Note(code="no-baseline", message=str(error))))
        return replace(chosen, notes=(*notes, *chosen.notes, *self.store.notes))

    @cached_property
    def noise(self) -> Noise:
        """What the stored runs tell of the noise on this machine."""
        baseline = self.baseline
        if baseline is None:
            return Noise()
        same = [run for run in (*baseline.runs, *baseline.history) if run.header.machine.key == self.machine.key]
        return learn(same, self.registry.metrics.values())

    @cached_property
    def _bases(self) -> tuple[Base, ...]:
        if self.baseline is None:
            return ()
        lineage, _ = self._history
        return bases_of(self.baseline, lineage.distance, self.machine)

    def plan(self, task: Task, name: str, method: Method | None = None) -> Plan:
        """Return how the measurement `name` of `task` is made."""
        budgets = (budget for budget in task.budgets if budget.measurement in (None, name))
        metrics = {budget.metric for budget in budgets} | set(task.method.metrics)
        return Plan(
            key=Key(test=task.test, name=name), method=method or task.method, probes=self.registry.probes(metrics)
        )

    def complete(self, measurement: Measurement) -> Measurement:
        """Return `measurement` with what this process knows of its circumstances."""
        notes = measurement.notes
        if any(series.metric.name in ("calls", "work") for series in measurement.series):
            from pytest_perfguard.probes.work import note_unsteady

            notes = (*notes, *note_unsteady(measurement.series))
        return replace(measurement, contended=self.contended, notes=notes)

    def judge(self, task: Task, measurements: Sequence[Measurement], *, compare: bool = True) -> tuple[Verdict, ...]:
        """Return the verdicts on the measurements of a test that ran to its end; by budgets alone without `compare`.

        Raises `MeasurementError` for a budget that nothing of the test was measured for: that is never a pass.
        """
        references = {**self._references, **{m.key.name: m for m in measurements if m.key.name}}
        verdicts = [
            judge_budget(
                budget,
                measurement,
                self.registry.metrics[budget.metric],
                references=references,
                noise=self.noise,
                policy=self.policy,
                before=self._known_queries(budget, measurement.key),
            )
            for budget, measurement in _limits(task, measurements)
        ]
        for measurement in measurements if compare else ():
            verdicts.extend(self._compare(task, measurement, len(measurements)))
            self._remember(measurement)
        return tuple(verdicts)

    def check_limits(self, measurement: Measurement) -> tuple[Verdict, ...]:
        """Return the verdicts on the limits that were set where `measurement` was made, at once."""
        return self.judge(Task(test=measurement.key.test, budgets=(), method=Method()), [measurement], compare=False)

    def finish(
        self,
        measurements: Sequence[Measurement],
        verdicts: Sequence[Verdict],
        notes: Sequence[Note] = (),
        contest: Contest | None = None,
        survey: Sequence[Measurement] = (),
    ) -> Run:
        """Return the run, made of what all processes measured and concluded; nothing is written."""
        return Run(
            header=self._header(measurements),
            measurements=tuple(sorted(measurements, key=lambda measurement: measurement.key)),
            verdicts=tuple(verdicts),
            baseline=self.baseline,
            contest=contest,
            survey=tuple(sorted(survey, key=lambda measurement: measurement.key)),
            notes=(*notes, *self._gaps(measurements)),
        )

    def save(self, run: Run) -> Note:
        """Store `run` and return where it went, as a remark."""
        if not run.measurements:
            return Note(code="not-saved", message="nothing was measured, so nothing was stored")
        place = self.store.save(run.header, run.measurements)
        several = "" if not run.header.commit.dirty else "; it holds uncommitted changes and is not chosen by itself"
        return Note(code="saved", message=f"stored {run.header.commit.short} in {self._shown(Path(place))}{several}")

    def report(self, run: Run) -> list[Note]:
        """Write the reports that the settings ask for and return where they went; a failure is a remark as well."""
        from pytest_perfguard.report.write import write_report

        notes = []
        for name, path in self.settings.report:
            try:
                reporter = self.registry.reporter(name, self.settings.origin("report"))
                target = write_report(path or f"perfguard{reporter.suffix}", reporter.render(run))
                notes.append(Note(code="report", message=f"wrote {name} report to {self._shown(target)}"))
            except PerfguardError as error:
                notes.append(Note(code="report-failed", message=str(error)))
            except Exception as error:  # noqa: BLE001 - what others wrote may raise anything, and must not end the run
                reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
                notes.append(
                    Note(
                        code="report-failed",
                        message=f"the {name} report was not written, its reporter raised {reason}",
                        remedy="leave that format out, or tell whoever wrote the reporter",
                    )
                )
        return notes

    def _compare(self, task: Task, measurement: Measurement, comparisons: int) -> list[Verdict]:
        baseline = self.baseline
        if baseline is None:
            return []
        head = Record.of(measurement)
        doubted = {metric for note in measurement.notes for metric in note.undermines}
        return [
            compare_metric(
                task.method.tolerated(series.metric),
                [head],
                base.records.get(measurement.key, []),
                against=base.against,
                noise=self.noise,
                policy=self.policy,
                margin=task.method.min_effect,
                comparisons=comparisons,
            )
            for series in measurement.series
            if series.metric.compared and series.metric.name not in doubted
            for base in [base_for(self._bases, measurement.key, series.metric.name)]
        ]

    def _known_queries(self, budget: Budget, key: Key) -> QueryLog | None:
        """Return what the baseline knows of the statements behind a budget that no comparison speaks of."""
        if budget.metric not in OF_QUERIES or not self._bases:
            return None
        if self.registry.metrics[budget.metric].compared and not budget.table:
            return None
        records = base_for(self._bases, key, "queries").records.get(key, [])
        return next((record.queries for record in records if record.queries is not None), None)

    def _gaps(self, measurements: Sequence[Measurement]) -> tuple[Note, ...]:
        if self.baseline is None:
            return ()
        return gaps(self.baseline, self._bases, (measurement.key for measurement in measurements))

    def _remember(self, measurement: Measurement) -> None:
        test = measurement.key.test
        names = (measurement.key.name,) if measurement.key.name else (test, test.rpartition("::")[2])
        for name in names:
            self._references[name] = measurement

    def _header(self, measurements: Sequence[Measurement]) -> Header:
        from pytest_perfguard.baseline.header import make_header

        commit, notes = self._identity() if self._needs_identity else (Commit(), ())
        metrics = {series.metric.name: series.metric for each in measurements for series in each.series}
        return make_header(commit, self.machine, metrics.values(), workers=self.workers, notes=notes)

    @property
    def _needs_identity(self) -> bool:
        """Whether anybody will see of which commit this run is; reading it loads a library and asks git."""
        return self.settings.save or self.settings.compare is not None or bool(self.settings.report)

    def _identity(self) -> tuple[Commit, tuple[Note, ...]]:
        lineage, notes = self._history
        try:
            return lineage.head(), notes
        except PerfguardError as error:
            return Commit(), (*notes, Note(code="no-history", message=str(error)))

    def _shown(self, path: Path) -> str:
        try:
            return str(path.relative_to(self.root))
        except ValueError:
            return str(path)


def _policy(settings: Settings) -> Policy:
    return Policy(
        confidence=settings.confidence,
        margin=settings.min_effect,
        fail_on=frozenset(settings.fail_on),
        weak_fails=settings.gate_weak,
        contended_fails=settings.gate_contended,
    )


def _limits(task: Task, measurements: Sequence[Measurement]) -> list[tuple[Budget, Measurement]]:
    """Return each budget with each measurement that it applies to: those of the test, then those of measurements."""
    return [
        *((budget, measurement) for budget in task.budgets for measurement in _measured_for(budget, measurements)),
        *((budget, measurement) for measurement in measurements for budget in measurement.budgets),
    ]


def _measured_for(budget: Budget, measurements: Sequence[Measurement]) -> list[Measurement]:
    """Return the measurements that `budget` applies to: those that have its metric, or say why they have not."""
    found = [
        measurement
        for measurement in measurements
        if budget.measurement in (None, measurement.key.name)
        and (
            measurement.get(budget.metric) is not None
            or any(budget.metric in note.undermines for note in measurement.notes)
        )
    ]
    if found:
        return found
    if budget.folder and measurements:
        return [measurements[0]]  # a test that measures something else: said of it, and no error of the test's own
    made = ", ".join(repr(measurement.key.name) for measurement in measurements if measurement.key.name)
    wanted = "anything" if budget.measurement is None else f"a measurement called {budget.measurement!r}"
    raise MeasurementError(
        f"the budget on {budget.metric} ({budget.origin}) was not checked: the test did not measure it for {wanted}"
        f"{f', only for {made}' if made else ''}; call perf(...) in the test, or take the budget away"
    )
