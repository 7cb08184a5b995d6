"""The live comparison on one page: two sides in; pairs of workers, verdicts, and the story of the contest out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_perfguard.engine import Engine
from pytest_perfguard.errors import ConfigError, PerfguardError
from pytest_perfguard.judge.live import Rule, assess
from pytest_perfguard.judge.live_verdict import judge_trials
from pytest_perfguard.judge.regression import Against, compare_metric
from pytest_perfguard.judge.sentence import invalid, paragraph
from pytest_perfguard.live import machine
from pytest_perfguard.live.bench import Bench
from pytest_perfguard.live.duel import BASE, HEAD
from pytest_perfguard.live.harvest import counts, head_measurements
from pytest_perfguard.live.janitor import Janitor
from pytest_perfguard.live.pinned import prepare as pin
from pytest_perfguard.live.preparation import prepare
from pytest_perfguard.live.sides import Request, Sides
from pytest_perfguard.live.tournament import Entry, Findings, Progress, Standing, Tournament
from pytest_perfguard.model.baseline import Record
from pytest_perfguard.model.measurement import Key, Measurement
from pytest_perfguard.model.metric import TIME, Metric, Nature
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.pairs import Contest, Trial
from pytest_perfguard.model.task import Task
from pytest_perfguard.model.verdict import Outcome, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """How pytest was called, and what it has collected."""

    root: Path
    cwd: Path
    ini: Path | None
    arguments: tuple[str, ...]
    files: tuple[Path, ...]
    loaded: tuple[tuple[str, str], ...]
    here: bool
    """Whether `cwd` is on the import path, as with `python -m pytest`."""
    caches: bool = True
    """Whether pytest's cache is on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What came of one test."""

    measurements: tuple[Measurement, ...] = ()
    """Head's."""
    verdicts: tuple[Verdict, ...] = ()
    reports: tuple[dict[str, object], ...] = ()
    """Head's reports of pytest, as plain data; none where the test is to be run again, by itself, since base could not
    follow and its budgets hold nevertheless."""
    failure: str = ""
    """Why the test fails, where its own assertions hold."""
    crashed: str = ""
    """How it ended head's process, if it did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What came of all tests, and how it went."""

    tests: Mapping[str, Found]
    contest: Contest


def compare(
    engine: Engine,
    tasks: Sequence[Task],
    bodies: Collection[str],
    invocation: Invocation,
    *,
    say: Callable[[str], None],
    progress: Callable[[Progress], None],
) -> Compared:
    """Return what base and head, side by side, say of `tasks`; raises `PerfguardError` where there is no comparison.

    `bodies` are the tests whose whole body is measured; `say` is told what is being made ready.
    """
    settings = engine.settings
    assert settings.against is not None
    request = Request(
        against=settings.against, root=invocation.root, cwd=invocation.cwd, ini=invocation.ini,
        tests=settings.against_tests, files=invocation.files, packages=settings.against_packages,
        install=settings.against_install, loaded=invocation.loaded,
    )  # fmt: skip
    with Janitor() as janitor:
        sides = prepare(request, janitor, say)
        _refuse_itself(sides)
        bench = Bench(
            sides=sides, arguments=invocation.arguments, files=invocation.files, folder=janitor.folder, groups=janitor,
            here=invocation.here, pin=pin, home=sides.home, ini=invocation.ini, timeout=settings.against_timeout,
            caches=invocation.caches,
        )  # fmt: skip
        cores = machine.processors()
        rule = Rule(margin=settings.against_min_effect, confidence=settings.confidence, pinned=bool(cores))
        tournament = Tournament(
            [_entry(engine, task, task.test in bodies) for task in tasks],
            open_pair=bench.open_pair,
            referee=lambda trials: _standings(trials, rule),
            seconds_each=settings.against_time,
            seconds=settings.max_time,
            timeout=settings.against_timeout,
            cores=cores,
            progress=progress,
        )
        findings = tournament.play()
    contest = _contest(findings, sides, pinned=bool(cores))
    return Compared(tests=_judge(engine, tasks, findings, sides, rule), contest=contest)


def _refuse_itself(sides: Sides) -> None:
    own = __name__.partition(".")[0]
    if any(name == own for side in (sides.base, sides.head) for name, _ in side.pins):
        raise ConfigError(
            "perfguard cannot be compared with another version of itself: it would measure each side with its own "
            "methods; compare stored runs with --perfguard-compare"
        )


def _entry(engine: Engine, task: Task, body: bool) -> Entry:
    counted = task.counted
    return Entry(
        test=task.test,
        body=body,
        exact=bool(counted.metrics and engine.registry.probes(counted.metrics)),
        margin=task.method.min_effect,
        timed=task.timed or not body,
    )


def _standings(trials: Mapping[Key, Trial], rule: Rule) -> dict[Key, Standing]:
    return {
        key: Standing(stage=each.stage, urgency=each.urgency, remaining=each.remaining)
        for key, each in assess(trials.values(), rule).items()
    }


def _contest(findings: Findings, sides: Sides, *, pinned: bool) -> Contest:
    return Contest(
        base=sides.commit, reason=sides.reason, pairs=findings.pairs, seconds=findings.seconds, pinned=pinned,
        blocks=findings.blocks, dropped=findings.dropped, steal=findings.steal,
        notes=(*sides.notes, *map(_failed_start, findings.failures[:1])),
    )  # fmt: skip


def _failed_start(reason: str) -> Note:
    return Note(code="pair-failed", message=f"a pair of processes could not be started or ended: {reason}")


def _judge(engine: Engine, tasks: Sequence[Task], findings: Findings, sides: Sides, rule: Rule) -> dict[str, Found]:
    """Return what came of each test, in the order of the suite: budgets refer to what was measured before them."""
    words = f"{sides.commit.short} ({sides.reason})" if sides.commit.sha else sides.reason
    times: dict[str, list[Verdict]] = {}
    for verdict in judge_trials(
        list(findings.trials.values()), rule, engine.policy, words=words, sentinel=findings.sentinel
    ):
        times.setdefault(verdict.key.test, []).append(verdict)
    return {task.test: _judge_test(engine, task, findings, times.get(task.test, []), words) for task in tasks}


def _judge_test(engine: Engine, task: Task, findings: Findings, times: Sequence[Verdict], words: str) -> Found:
    said = findings.said.get(task.test)
    passed = said is not None and said[HEAD]["outcome"] == "passed"
    broken = findings.broken.get(task.test)
    if said is not None and not passed:
        return Found(reports=tuple(said[HEAD].get("reports", ())))
    if findings.ended_by.get(task.test) == "head":
        return Found(crashed=broken or "")
    alone = [_lone(key, side) for key, side in findings.lone.items() if key.test == task.test]
    if broken is not None or said is None or any(verdict.outcome is Outcome.NO_BASELINE for verdict in alone):
        verdict = _without_base(task.test, findings) if broken is not None else _invalid(task.test, "it was not run")
        whole = [verdict] if broken is not None or said is None else []
        counted = [] if broken is not None else _exact(engine, findings, task, words)
        settle = engine.policy.settle
        return Found(verdicts=(*map(settle, whole), *times, *counted, *map(settle, alone)))
    measured = head_measurements(findings, task.test)
    verdicts: list[Verdict] = []
    failure = ""
    try:
        verdicts.extend(engine.judge(task, measured))
    except PerfguardError as error:
        failure = f"perfguard: {error}"
    if missed := _missed(findings):
        verdicts.append(engine.policy.settle(_invalid(task.test, missed)))
    else:
        verdicts.extend([*times, *_exact(engine, findings, task, words), *map(engine.policy.settle, alone)])
    failing = [verdict for verdict in verdicts if verdict.fails]
    return Found(
        measurements=tuple(engine.complete(measurement) for measurement in measured),
        verdicts=tuple(verdicts),
        reports=tuple(said[HEAD].get("reports", ())),
        failure="\n".join([*([failure] if failure else []), *(paragraph(verdict) for verdict in failing)]),
    )


def _exact(engine: Engine, findings: Findings, task: Task, words: str) -> list[Verdict]:
    """Return the verdicts on everything that is no time: the runs of base against those of head."""
    heads, bases = ([_by_key(each) for each in counts(findings, task.test, side)] for side in (HEAD, BASE))
    metrics: dict[tuple[Key, str], Metric] = {}
    for measurements in heads:
        for key, measurement in measurements.items():
            for series in measurement.series:
                if series.metric.nature is Nature.EXACT and series.metric.compared:
                    metrics[key, series.metric.name] = series.metric
    verdicts = []
    for (key, name), metric in metrics.items():
        head = [Record.of(each[key]) for each in heads if key in each and each[key].get(name) is not None]
        base = [Record.of(each[key]) for each in bases if key in each and each[key].get(name) is not None]
        verdict = compare_metric(
            task.method.tolerated(metric),
            head,
            base,
            against=Against(words=words),
            noise=engine.noise,
            policy=engine.policy,
        )
        varying = [side for side, records in (("head", head), ("base", base)) if len(_values(records, name)) > 1]
        if varying:
            verdict = replace(verdict, notes=(*verdict.notes, _varies(name, varying)))
        verdicts.append(verdict)
    return verdicts


def _by_key(measurements: Sequence[Measurement]) -> dict[Key, Measurement]:
    return {measurement.key: measurement for measurement in measurements}


def _values(records: Sequence[Record], name: str) -> set[float]:
    return {summary.value for record in records if (summary := record.get(name)) is not None}


def _varies(name: str, sides: Sequence[str]) -> Note:
    return Note(
        code="varies",
        message=f"{name} of unchanged code differed between two processes of {' and of '.join(sides)}: it depends on "
        "the order of hashes, on time or on chance, and is judged by what all of them have in common",
        remedy="sort what comes from sets, and fix seeds, in the measured code or its data",
    )


def _invalid(test: str, reason: str) -> Verdict:
    key = Key(test=test)
    return Verdict(
        key=key, metric=TIME.name, unit=TIME.unit, outcome=Outcome.INVALID, sentence=invalid(key, TIME, reason)
    )


def _without_base(test: str, findings: Findings) -> Verdict:
    """Return the verdict on a test that head runs and base does not."""
    key, reason = Key(test=test), findings.broken[test]
    said = findings.said.get(test)
    fresh = said is not None and said[BASE]["outcome"] != "passed"
    outcome = Outcome.NO_BASELINE if fresh else Outcome.INVALID
    return Verdict(key=key, metric=TIME.name, unit=TIME.unit, outcome=outcome, sentence=invalid(key, TIME, reason))


def _lone(key: Key, side: str) -> Verdict:
    outcome = Outcome.NO_BASELINE if side == "head" else Outcome.INVALID
    return Verdict(
        key=key, metric=TIME.name, unit=TIME.unit, outcome=outcome,
        sentence=f"{TIME.name} of {key} was measured on {side} alone: the other side does not come to that place",
    )  # fmt: skip


def _missed(findings: Findings) -> str:
    """Return why nothing can be compared where base lacks modules that head has, empty where it does not."""
    missed = [*dict.fromkeys(name for said in findings.said.values() for name in said[BASE].get("missed", ()))]
    if not missed:
        return ""
    return (
        f"base lacks {', '.join(missed)}, which is compiled or generated and there only for head; "
        "compare with --perfguard-against-install, which builds both sides"
    )
