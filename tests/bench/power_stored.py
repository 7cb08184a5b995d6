"""Injects slowdowns of known size and counts which are found: what the verdicts on stored baselines can see.

A suite of sixteen workloads in a temporary repository is stored as a baseline of 1, 3 and 8 runs. After a commit each
measured function does more of its own work (5 % more, 10 % more ...; see bench_subject/size.py in workloads), and the
suite is compared in fresh processes with the defaults of pytest-perfguard, which calls no change of up to 10 % a
regression. Then three runs of the slowed code are stored as well and judged together, by the function behind
`perfguard compare`.

The size 0 is the control: what is called regressed there is a false alarm, and exit code 1 if a run fails. The column
"change read" is the median of what was measured in the tests, which says that the slowdowns had their size; "said
findable" is the median of what the verdicts themselves say they would have found four times out of five, which the
share that was found can be held against. At 10 % that share is small by design: the margin is 10 %. The defaults take
about 16 minutes.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from contestants import Compared, Stored, workload, worst
from figures import Requirement, conclude, print_table, share, tell, write_json
from processes import end_on_signals
from repository import Repository, repository

from pytest_perfguard.baseline.folder import FolderStore
from pytest_perfguard.judge.stored import judge_stored
from pytest_perfguard.model import StoredRun

PERCENT = (0, 5, 10, 20, 50, 100, 200)
HEADS = 3
"""Runs of the slowed code that are judged together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """All comparisons of one injected size with baselines of so many runs, by so many runs each."""

    percent: float
    base_runs: int
    head_runs: int
    compared: tuple[Compared, ...]


def main() -> int:
    """Measure, print, and return the exit code."""
    options = parse(sys.argv[1:])
    end_on_signals()
    tool = Stored(options.target_time)
    with repository() as subject:
        bases = store(tool, subject, options.base_runs)
        cells = [cell for percent in options.percent for cell in inject(tool, subject, bases, percent, options)]
    cells.sort(key=lambda cell: (cell.head_runs, cell.base_runs, cell.percent))
    print_table(
        "Slowdowns called regressed",
        (
            "injected",
            "base runs",
            "head runs",
            "change read",
            "said findable",
            "called regressed [95 %]",
            "inconclusive",
            "others",
        ),
        [row(cell) for cell in cells],
    )
    write_json(options.json, {"repeats": options.repeats, "cells": [asdict(cell) for cell in cells]})
    requirements = [
        Requirement(
            text=f"nothing injected: no run fails, {cell.base_runs} base runs, {cell.head_runs} head runs",
            figure=f"{sum(run.failed for run in cell.compared)} of {len(cell.compared)}",
            met=not any(run.failed for run in cell.compared),
        )
        for cell in cells
        if cell.percent == 0
    ]
    return conclude(requirements, quick=options.quick)


def store(tool: Stored, subject: Repository, counts: Sequence[int]) -> dict[int, Path]:
    """Store the suite and return the places of the stores that hold the first so many of the runs."""
    place = subject.folder.parent / "all"
    places = {}
    for number in range(1, max(counts) + 1):
        tell(f"stored base run {number} of {max(counts)} in {tool.store(subject, place):.1f} s")
        if number in counts:
            places[number] = Path(shutil.copytree(place, subject.folder.parent / f"base-{number}"))
    return places


def inject(
    tool: Stored, subject: Repository, bases: dict[int, Path], percent: float, options: argparse.Namespace
) -> list[Cell]:
    """Compare the suite, slowed by `percent`, with each baseline; the baselines take turns."""
    subject.commit(f"{percent:g} % slower", percent=percent)
    single: dict[int, list[Compared]] = {count: [] for count in bases}
    for repeat in range(options.repeats):
        for count, place in bases.items():
            single[count].append(tool.compare(subject, place))
        tell(f"+{percent:g} %: repeat {repeat + 1} of {options.repeats}")
    cells = [
        Cell(percent=percent, base_runs=count, head_runs=1, compared=tuple(found)) for count, found in single.items()
    ]
    if not options.no_heads:
        place = subject.folder.parent / f"heads-{percent:g}"
        for _ in range(HEADS):
            tool.store(subject, place)
        heads = load(place)
        tell(f"+{percent:g} %: stored {len(heads)} head runs")
        cells += [
            Cell(percent=percent, base_runs=count, head_runs=len(heads), compared=(judge(load(base), heads),))
            for count, base in bases.items()
        ]
    return cells


def load(place: Path) -> Sequence[StoredRun]:
    """Return all runs of a store, newest first."""
    store = FolderStore(place)
    return store.load(store.headers())


def judge(base: Sequence[StoredRun], heads: Sequence[StoredRun]) -> Compared:
    """Return what `perfguard compare` says of `heads`, all judged together."""
    verdicts = judge_stored(base, heads)
    found = {v.key.test: v.effect for v in verdicts if v.metric == "time" and v.effect is not None}
    return Compared(
        failed=any(verdict.fails for verdict in verdicts),
        outcomes=worst((workload(verdict.key.test), str(verdict.outcome)) for verdict in verdicts),
        changes={workload(test): effect.change for test, effect in found.items()},
        detectable={workload(t): e.detectable for t, e in found.items() if e.detectable is not None},
        seconds=0.0,
    )


def row(cell: Cell) -> tuple[str, ...]:
    """Return the figures of a cell."""
    counts: Counter[str] = sum((run.count() for run in cell.compared), Counter())
    changes = [change for run in cell.compared for change in run.changes.values()]
    findable = [change for run in cell.compared for change in run.detectable.values()]
    others = ", ".join(
        f"{count} {name}" for name, count in counts.most_common() if name not in ("regressed", "inconclusive")
    )
    return (
        f"+{cell.percent:g} %", str(cell.base_runs), str(cell.head_runs),
        f"{statistics.median(changes):+.1%}" if changes else "",
        f"{statistics.median(findable):+.0%}" if findable else "",
        share(counts["regressed"], counts.total()), str(counts["inconclusive"]), others,
    )  # fmt: skip


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--percent", nargs="+", type=float, default=None, help=f"injected sizes (default: {PERCENT})")
    parser.add_argument("--base-runs", nargs="+", type=int, default=None, metavar="N", help="default: 1 3 8")
    parser.add_argument("--repeats", type=int, default=None, help="comparisons of each size and baseline (default: 4)")
    parser.add_argument("--no-heads", action="store_true", help=f"leave out the judgement of {HEADS} runs together")
    parser.add_argument("--target-time", metavar="TIME", help="passed on as --perfguard-target-time")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every outcome of every run there too")
    parser.add_argument("--quick", action="store_true", help="little of everything, to see that it works")
    options = parser.parse_args(arguments)
    options.repeats = options.repeats or (1 if options.quick else 4)
    options.base_runs = options.base_runs or ([1, 3] if options.quick else [1, 3, 8])
    options.percent = options.percent or ([0, 20, 200] if options.quick else list(PERCENT))
    if options.quick:
        options.target_time = options.target_time or "0.02 s"
    return options


if __name__ == "__main__":
    sys.exit(main())
