"""Compares unchanged code with its own baseline, again and again: whatever is called regressed is a false alarm.

A suite of sixteen workloads in a temporary repository is stored as a baseline and, after a commit that changes nothing
it measures, compared 20 times, each time in a fresh process, as CI would. Conditions:

    quiet   nothing else is started on the machine
    loaded  every processor is kept busy by a process of its own, from before the baseline is stored
    onset   the baseline is stored as in quiet, then the load of loaded begins

The plugins take turns, so that they see the same moments; which is first changes with each run. pytest-perfguard runs
with its defaults, pytest-benchmark with its own and `--benchmark-compare-fail=median:5%`; it keeps one run as baseline,
whatever --base-runs says. The share of tests is given with its 95 % interval after Clopper and Pearson; the tests of
one run share its moment, so that interval is somewhat too narrow.

Exit code 1 if a run of pytest-perfguard failed. The defaults take about 20 minutes, `--base-runs 5 --tools perfguard`
about 8. Ctrl-C leaves nothing behind.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contestants import Compared, Contestant, Perfguard, PytestBenchmark, commit, project
from figures import Requirement, conclude, print_table, share, tell, write_json
from processes import busy, end_on_signals

CONDITIONS = ("quiet", "loaded", "onset")
SHOWN = 6
"""Names in one cell of a table; the JSON file has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """All comparisons of one contestant, with baselines of so many runs, under one condition."""

    condition: str
    tool: str
    base_runs: int
    runs: tuple[Compared, ...]

    @property
    def failed(self) -> int:
        """Return how many runs failed."""
        return sum(run.failed for run in self.runs)

    def count(self) -> Counter[str]:
        """Return how often each outcome was given to a test."""
        return sum((run.count() for run in self.runs), Counter())


def main() -> int:
    """Measure, print, and return the exit code."""
    options = parse(sys.argv[1:])
    end_on_signals()
    found = [series for condition in options.conditions for series in repeat(condition, options)]
    print_table(
        f"Unchanged code, compared {options.runs} times",
        ("condition", "plugin", "base runs", "runs failed", "tests called regressed [95 %]", "seconds a run"),
        [row(series) for series in found],
        text=2,
    )
    print_table(
        "What was said of the tests",
        ("condition", "plugin", "base runs", "outcomes"),
        [(s.condition, s.tool, str(s.base_runs), show(s.count())) for s in found],
        text=4,
    )
    print_table(
        "Tests called regressed, those that were most often first",
        ("condition", "plugin", "base runs", "tests"),
        [(s.condition, s.tool, str(s.base_runs), show(accused(s))) for s in found],
        text=4,
    )
    write_json(options.json, {"options": plain(options), "series": [asdict(series) for series in found]})
    requirements = [
        Requirement(
            text=f"perfguard fails no run, {series.condition}, {series.base_runs} base runs",
            figure=f"{series.failed} of {len(series.runs)}",
            met=series.failed == 0,
        )
        for series in found
        if series.tool == Perfguard.name
    ]
    return conclude(requirements, quick=options.quick)


def repeat(condition: str, options: argparse.Namespace) -> list[Series]:
    """Store baselines and compare with them under one condition."""
    tools = contestants(options)
    with project() as folder:
        with busy(on=condition == "loaded"):
            places = list(store(tools, folder, options, condition))
        commit(folder, "Second")
        runs: list[list[Compared]] = [[] for _ in places]
        with busy(on=condition != "quiet"):
            for number in range(options.runs):
                turns = [(number + turn) % len(places) for turn in range(len(places))]
                for turn in turns:
                    tool, _, place = places[turn]
                    runs[turn].append(tool.compare(folder, place))
                said = ", ".join(
                    f"{tool.name}/{base_runs} {'failed' if found[-1].failed else 'passed'}"
                    for (tool, base_runs, _), found in zip(places, runs, strict=True)
                )
                tell(f"{condition}: run {number + 1} of {options.runs}: {said}")
    return [
        Series(condition=condition, tool=tool.name, base_runs=base_runs, runs=tuple(found))
        for (tool, base_runs, _), found in zip(places, runs, strict=True)
    ]


def store(
    tools: list[Contestant], folder: Path, options: argparse.Namespace, condition: str
) -> Iterator[tuple[Contestant, int, Path]]:
    """Store the baselines and yield each contestant with the runs of its baseline and where they are."""
    for tool in tools:
        counts = options.base_runs if tool.name == Perfguard.name else [1]
        place = folder.parent / tool.name
        for number in range(1, max(counts) + 1):
            seconds = tool.store(folder, place)
            tell(f"{condition}: stored run {number} of {max(counts)} with {tool.name} in {seconds:.1f} s")
            if number in counts:
                yield tool, number, Path(shutil.copytree(place, folder.parent / f"{tool.name}-{number}"))


def contestants(options: argparse.Namespace) -> list[Contestant]:
    """Return the contestants that were asked for."""
    known: dict[str, Contestant] = {
        Perfguard.name: Perfguard(options.target_time),
        PytestBenchmark.name: PytestBenchmark(quick=options.quick),
    }
    return [known[name] for name in options.tools]


def accused(series: Series) -> Counter[str]:
    """Return how often each test was called regressed."""
    return Counter(
        test.rpartition("::")[2]
        for run in series.runs
        for test, outcome in run.outcomes.items()
        if outcome == "regressed"
    )


def row(series: Series) -> tuple[str, ...]:
    """Return the figures of a series."""
    counts = series.count()
    seconds = sum(run.seconds for run in series.runs) / len(series.runs)
    return (
        series.condition, series.tool, str(series.base_runs), f"{series.failed} of {len(series.runs)}",
        share(counts["regressed"], counts.total()), f"{seconds:.1f}",
    )  # fmt: skip


def show(counts: Counter[str]) -> str:
    """Return counts in words, most frequent first."""
    shown = [f"{count} {name.removeprefix('test_')}" for name, count in counts.most_common(SHOWN)]
    if len(counts) > SHOWN:
        shown.append(f"and {len(counts) - SHOWN} more")
    return ", ".join(shown) or "none"


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=None, help="comparisons under each condition (default: 20)")
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=["quiet", "loaded"])
    parser.add_argument(
        "--base-runs", nargs="+", type=int, default=[1], metavar="N",
        help="runs in the baseline of perfguard; with several numbers each is tried on the same moments (default: 1)",
    )  # fmt: skip
    names = (Perfguard.name, PytestBenchmark.name)
    parser.add_argument("--tools", nargs="+", choices=names, default=list(names))
    parser.add_argument("--target-time", metavar="TIME", help="passed on as --perfguard-target-time")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every outcome of every run there too")
    parser.add_argument("--quick", action="store_true", help="2 runs of a fraction of the time, to see that it works")
    options = parser.parse_args(arguments)
    if options.quick:
        options.target_time = options.target_time or "0.02 s"
    options.runs = options.runs or (2 if options.quick else 20)
    return options


def plain(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options as JSON data."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}


if __name__ == "__main__":
    sys.exit(main())
