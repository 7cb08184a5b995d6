"""`perfguard compare`: stored runs of one state of the code judged against those of another."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pytest_perfguard.cli.output import print_lines, width
from pytest_perfguard.cli.report import read
from pytest_perfguard.cli.workplace import Workplace
from pytest_perfguard.errors import LineageError, StoreError
from pytest_perfguard.model import Baseline, Commit, Outcome, Record, Run, StoredRun, Verdict
from pytest_perfguard.model.metric import Nature
from pytest_perfguard.report.digest import plural
from pytest_perfguard.report.terminal import summary_lines

_REGRESSED = 1


def run(arguments: argparse.Namespace, place: Workplace) -> int:
    """Print the verdicts on A against B, and return 1 where something regressed."""
    machine = place.machine(arguments.machine)
    head, base, foreign = comparable(
        find(place, arguments.head, machine),
        find(place, arguments.base, machine),
    )
    verdicts = judge(base, head)
    result = Run(
        header=head[0].header,
        verdicts=verdicts,
        baseline=Baseline(
            runs=tuple(base),
            commit=base[0].header.commit,
            reason=f"named as {arguments.base}",
            distance=_distance(place, base[0].header.commit, head[0].header.commit),
            foreign=foreign,
        ),
    )
    now, before = head[0].header.commit, base[0].header.commit
    print(
        f"{plural(len(head), 'run')} of {now.short} (now) against {plural(len(base), 'run')} of {before.short} (before)"
    )
    if _is_older(place, now, before):
        print(
            f"note: {now.short} is older than {before.short}; to ask what the latter changed, write: "
            f"perfguard compare {shlex.quote(arguments.base)} {shlex.quote(arguments.head)}"
        )
    print_lines(summary_lines(result, verbose=arguments.verbose, width=width()))
    return _REGRESSED if any(verdict.outcome is Outcome.REGRESSED for verdict in verdicts) else 0


def judge(base: Sequence[StoredRun], head: Sequence[StoredRun]) -> tuple[Verdict, ...]:
    """Return the verdicts on `head` against `base`, made as in a run of pytest."""
    from pytest_perfguard.judge.stored import judge_stored

    return judge_stored(base, head)


def find(place: Workplace, name: str, machine: str | None) -> Sequence[StoredRun]:
    """Return the runs that `name` means: the one in a report or a store's run file of that path, or stored ones."""
    if Path(name).is_file():
        from pytest_perfguard.baseline.folder import load_file
        from pytest_perfguard.baseline.schema import SUFFIX

        if name.endswith(SUFFIX):
            return [load_file(Path(name))]
        result = read(name)
        return [StoredRun(header=result.header, records=tuple(Record.of(each) for each in result.measurements))]
    stored = place.store.load(place.runs(name, machine))
    if not stored:
        raise StoreError(
            f"the runs of {name!r} in {place.store_path} cannot be read; restore their files or measure again"
        )
    return stored


def comparable(
    head: Sequence[StoredRun], base: Sequence[StoredRun]
) -> tuple[Sequence[StoredRun], Sequence[StoredRun], tuple[str, ...]]:
    """Return both sides in the machine class that has most runs of both, and why times cannot be compared, if so.

    Without a class in common only exact metrics are left of the records.
    """

    def size(key: str) -> tuple[int, str]:
        return min(_count(head, key), _count(base, key)), key

    common = {each.header.machine.key for each in head} & {each.header.machine.key for each in base}
    if common:
        best = max(common, key=size)
        return _of_class(head, best), _of_class(base, best), ()
    why = f"measured on {base[0].header.machine.key}, the other side on {head[0].header.machine.key}"
    return [_exact(each) for each in head], [_exact(each) for each in base], (why,)


def _of_class(runs: Sequence[StoredRun], key: str) -> Sequence[StoredRun]:
    return [each for each in runs if each.header.machine.key == key]


def _count(runs: Sequence[StoredRun], key: str) -> int:
    return len(_of_class(runs, key))


def _exact(stored: StoredRun) -> StoredRun:
    from pytest_perfguard.cli.show import definition

    def keep(record: Record) -> Record:
        exact = [each for each in record.summaries if definition(stored.header, each.metric).nature is Nature.EXACT]
        return replace(record, summaries=tuple(exact))

    return replace(stored, records=tuple(keep(record) for record in stored.records))


def _is_older(place: Workplace, head: Commit, base: Commit) -> bool:
    """Return whether `head` comes before `base` in the history, or where the clone does not tell, in time."""
    try:
        from_head, from_base = place.lineage.distance(head.sha), place.lineage.distance(base.sha)
    except LineageError:
        from_head = from_base = None
    if from_head is not None and from_base is not None:
        return from_head > from_base
    return 0 < head.time < base.time


def _distance(place: Workplace, base: Commit, head: Commit) -> int | None:
    """Return the first-parent commits from base to head, None where they are not in this order on the line at hand."""
    try:
        from_base, from_head = place.lineage.distance(base.sha), place.lineage.distance(head.sha)
    except LineageError:
        return None
    if from_base is None or from_head is None or from_base < from_head:
        return None
    return from_base - from_head
