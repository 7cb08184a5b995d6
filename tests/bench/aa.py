"""Compares unchanged code with itself, again and again: whatever is called regressed is a false alarm.

A suite of sixteen workloads from a microsecond to fifty milliseconds, in a temporary repository of two commits that do
not differ in what is measured, is compared 20 times under each condition, each time in fresh processes, as CI would:

    quiet   nothing else is started on the machine
    busy    one processor's worth of work is done by a process that is free to move
    loaded  every processor is kept busy by a process of its own, bound to it
    onset   what stores baselines does so as in quiet, then the load of loaded begins

The contestants take turns, so that they see the same hours; which is first changes with each run:

    against           pytest --perfguard-against=HEAD~1
    stored            pytest --perfguard-compare with a baseline of the first commit (of so many --base-runs)
    pytest-benchmark  --benchmark-compare-fail=median:5% with a baseline of the first commit
    asv               asv continuous main~1 main
    benchmatrix       five runs of each commit, then benchmatrix compare --threshold 5% --fail-on-regression; it also
                      fails where its evidence is inconclusive

Shares are given with their 95 % intervals after Clopper and Pearson; the tests of one run share its moment, so those of
tests are somewhat too narrow. "Before confirmation" counts what `against` called changed in its search, be it confirmed
later or not.

Exit code 1 if a run of `against` or `stored` failed. One run of `against` takes as long as it says, about a minute;
of stored and pytest-benchmark half a minute; of asv and benchmatrix two to four minutes: `--few asv=5` makes fewer of
these. With --json everything that was found is written after each run; --read prints the tables of such files again,
of several together. Ctrl-C leaves nothing behind.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from contestants import Against, Compared, Contestant, PytestBenchmark, Stored
from figures import Requirement, conclude, plain, print_table, read_json, share, tell, write_json
from peers import Asv, Benchmatrix
from processes import end_on_signals, load
from repository import Repository, repository

CONDITIONS = ("quiet", "busy", "loaded", "onset")
TOOLS = (Against.name, Stored.name, PytestBenchmark.name, Asv.name, Benchmatrix.name)
PACKAGES = {PytestBenchmark.name: "pytest_benchmark", Asv.name: "asv", Benchmatrix.name: "benchmatrix"}
OURS = (Against.name, Stored.name)
FLAGGED_LIMIT = 0.01
"""Share of the tests that may be called changed before that is confirmed."""
SHOWN = 6
"""Names in one cell of a table; the JSON file has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One comparison: by whom, under which condition, and when."""

    condition: str
    tool: str
    base_runs: int
    number: int
    started: float
    compared: Compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """All comparisons of one contestant, with baselines of so many runs, under one condition or under all."""

    condition: str
    tool: str
    base_runs: int
    runs: Sequence[Compared]

    @property
    def failed(self) -> int:
        """Return how many runs failed."""
        return sum(run.failed for run in self.runs)

    @property
    def accusing(self) -> int:
        """Return how many runs called a test regressed; others may fail for being inconclusive."""
        return sum("regressed" in run.outcomes.values() for run in self.runs)

    @property
    def flagged(self) -> int:
        """Return how many tests were called changed before that was confirmed."""
        return sum(len(run.flagged) for run in self.runs)

    def count(self) -> Counter[str]:
        """Return how often each outcome was given to a test."""
        return sum((run.count() for run in self.runs), Counter())


def main() -> int:
    """Measure, print, and return the exit code."""
    options = parse(sys.argv[1:])
    end_on_signals()
    records = [] if options.read else measure(options)
    records += [
        Record(**each | {"compared": Compared(**each["compared"])})
        for path in options.read
        for each in read_json(path)["records"]
    ]
    return report(records, quick=options.quick)


def measure(options: argparse.Namespace) -> list[Record]:
    """Compare under each condition and return everything; after each comparison it is written to the JSON file."""
    records: list[Record] = []
    for condition in options.conditions:
        for record in repeat(condition, options):
            records.append(record)
            write_json(options.json, {"options": plain(options), "records": [asdict(each) for each in records]})
    return records


def repeat(condition: str, options: argparse.Namespace) -> Iterator[Record]:
    """Store baselines and compare, under one condition."""
    tools = contestants(options)
    before, after = ("quiet", "loaded") if condition == "onset" else (condition, condition)
    with repository() as subject:
        with load(before):
            places = list(store(tools, subject, options, condition))
        subject.commit("Second")
        with load(after):
            for number in range(options.runs):
                for turn in range(len(places)):
                    tool, base_runs, place = places[(number + turn) % len(places)]
                    if not due(number, options.few.get(tool.name, options.runs), options.runs):
                        continue
                    started = time.time()
                    compared = tool.compare(subject, place)
                    tell(f"{condition}: run {number + 1} of {options.runs}: {tool.name}: {summary(compared)}")
                    yield Record(
                        condition=condition, tool=tool.name, base_runs=base_runs, number=number, started=started,
                        compared=compared,
                    )  # fmt: skip


def due(number: int, wanted: int, runs: int) -> bool:
    """Return whether run `number` is one of `wanted` that are spread evenly over all `runs`."""
    return (number + 1) * wanted // runs > number * wanted // runs


def store(
    tools: list[Contestant], subject: Repository, options: argparse.Namespace, condition: str
) -> Iterator[tuple[Contestant, int, Path]]:
    """Store the baselines and yield each contestant with the runs of its baseline and a place of its own."""
    for tool in tools:
        place = subject.folder.parent / tool.name
        place.mkdir()
        if not tool.stores:
            yield tool, 0, place
            continue
        counts = options.base_runs if tool.name == Stored.name else [1]
        for number in range(1, max(counts) + 1):
            seconds = tool.store(subject, place)
            tell(f"{condition}: stored run {number} of {max(counts)} with {tool.name} in {seconds:.1f} s")
            if number in counts:
                yield tool, number, Path(shutil.copytree(place, place.with_name(f"{tool.name}-{number}")))


def contestants(options: argparse.Namespace) -> list[Contestant]:
    """Return the contestants that were asked for."""
    known: dict[str, Contestant] = {
        Against.name: Against(options.time, options.max_time),
        Stored.name: Stored(options.target_time),
        PytestBenchmark.name: PytestBenchmark(quick=options.quick),
        Asv.name: Asv(quick=options.quick),
        Benchmatrix.name: Benchmatrix(quick=options.quick),
    }
    return [known[name] for name in options.tools]


def summary(compared: Compared) -> str:
    """Return one comparison in a few words."""
    words = f"{'failed' if compared.failed else 'passed'} in {compared.seconds:.0f} s, {show(compared.count())}"
    if compared.flagged:
        words += f"; before confirmation: {', '.join(compared.flagged)}"
    return f"{words}\n{compared.trouble}" if compared.trouble else words


def report(records: Sequence[Record], *, quick: bool) -> int:
    """Print the tables and return the exit code."""
    found = group(records)
    print_table(
        "Unchanged code, compared with itself",
        ("condition", "tool", "base runs", "runs failed [95 %]", "with a regression", "tests called regressed [95 %]",
         "before confirmation [95 %]", "seconds a run"),
        [row(series) for series in found], text=2,
    )  # fmt: skip
    print_table(
        "What was said of the tests",
        ("condition", "tool", "base runs", "outcomes"),
        [(s.condition, s.tool, base_runs(s), show(s.count())) for s in found], text=4,
    )  # fmt: skip
    print_table(
        "Tests called regressed, and those that were called changed before confirmation, most frequent first",
        ("condition", "tool", "base runs", "regressed", "before confirmation"),
        [(s.condition, s.tool, base_runs(s), show(accused(s)), show(suspected(s))) for s in found], text=5,
    )  # fmt: skip
    troubled = [each for each in records if each.compared.trouble]
    for each in troubled:
        print(f"\n{each.condition}, {each.tool}, run {each.number + 1}:\n{each.compared.trouble}")
    return conclude(requirements(found), quick=quick)


def group(records: Sequence[Record]) -> list[Series]:
    """Return the series of each contestant under each condition, and those of `against` under all together."""
    keys = list(dict.fromkeys((each.condition, each.tool, each.base_runs) for each in records))
    keys.sort(key=lambda key: (CONDITIONS.index(key[0]), TOOLS.index(key[1]), key[2]))
    found = [
        Series(
            condition=condition, tool=tool, base_runs=runs,
            runs=[e.compared for e in records if (e.condition, e.tool, e.base_runs) == (condition, tool, runs)],
        )
        for condition, tool, runs in keys
    ]  # fmt: skip
    live = [each.compared for each in records if each.tool == Against.name]
    if len({series.condition for series in found if series.tool == Against.name}) > 1:
        found.append(Series(condition="all", tool=Against.name, base_runs=0, runs=live))
    return found


def requirements(found: Sequence[Series]) -> Iterator[Requirement]:
    """Return what must hold of our own contestants; what is said of all conditions is said once."""
    all_there = any(series.condition == "all" for series in found)
    for series in found:
        if series.tool not in OURS or (series.tool == Against.name and all_there and series.condition != "all"):
            continue
        words = f"{series.tool}, {series.condition}" + (f", {series.base_runs} base runs" if series.base_runs else "")
        yield Requirement(
            text=f"{words}: no run fails", figure=share(series.failed, len(series.runs)), met=series.failed == 0
        )
        silent = sum(bool(run.trouble) for run in series.runs)
        if silent:
            yield Requirement(
                text=f"{words}: every run says something of every test", figure=f"{silent} do not", met=False
            )
        if series.tool == Against.name:
            whole = series.count().total()
            yield Requirement(
                text=f"{words}: at most {FLAGGED_LIMIT:.0%} of the tests called changed before confirmation",
                figure=share(series.flagged, whole), met=series.flagged <= FLAGGED_LIMIT * whole if whole else None,
            )  # fmt: skip


def accused(series: Series) -> Counter[str]:
    """Return how often each test was called regressed."""
    return Counter(name for run in series.runs for name, outcome in run.outcomes.items() if outcome == "regressed")


def suspected(series: Series) -> Counter[str]:
    """Return how often each test was called changed before that was confirmed, or not."""
    return Counter(name for run in series.runs for name in run.flagged)


def row(series: Series) -> tuple[str, ...]:
    """Return the figures of a series."""
    counts = series.count()
    seconds = sum(run.seconds for run in series.runs) / len(series.runs)
    return (
        series.condition, series.tool, base_runs(series), share(series.failed, len(series.runs)),
        str(series.accusing), share(counts["regressed"], counts.total()),
        share(series.flagged, counts.total()) if series.tool == Against.name else "", f"{seconds:.1f}",
    )  # fmt: skip


def base_runs(series: Series) -> str:
    """Return the number of runs in the baseline, where there is one."""
    return str(series.base_runs or "")


def show(counts: Counter[str]) -> str:
    """Return counts in words, most frequent first."""
    shown = [f"{count} {name}" for name, count in counts.most_common(SHOWN)]
    if len(counts) > SHOWN:
        shown.append(f"and {len(counts) - SHOWN} more")
    return ", ".join(shown) or "none"


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=None, help="comparisons under each condition (default: 20)")
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=["quiet", "busy", "loaded"])
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=[name for name in TOOLS if name != Stored.name],
                        help="default: all but stored")  # fmt: skip
    parser.add_argument(
        "--few", nargs="+", default=[], metavar="TOOL=RUNS", help="fewer runs of a tool that takes long: asv=5"
    )
    parser.add_argument(
        "--base-runs", nargs="+", type=int, default=[1], metavar="N",
        help="runs in the baseline of stored; with several numbers each is tried on the same moments (default: 1)",
    )  # fmt: skip
    parser.add_argument("--time", metavar="TIME", help="passed on to against as --perfguard-against-time")
    parser.add_argument("--max-time", metavar="TIME", help="passed on to against as --perfguard-max-time")
    parser.add_argument("--target-time", metavar="TIME", help="passed on to stored as --perfguard-target-time")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every outcome of every run there too")
    parser.add_argument("--read", nargs="+", type=Path, default=[], metavar="PATH", help="measure nothing, show these")
    parser.add_argument("--quick", action="store_true", help="2 runs of a fraction of the time, to see that it works")
    options = parser.parse_args(arguments)
    try:
        options.few = {tool: int(runs) for tool, _, runs in (each.partition("=") for each in options.few)}
    except ValueError:
        parser.error("--few wants TOOL=RUNS, such as asv=5")
    missing = [name for name in options.tools if name in PACKAGES and not importlib.util.find_spec(PACKAGES[name])]
    if missing and not options.read:
        parser.error(f"not installed: {', '.join(missing)}; pip install --group bench, or leave them out with --tools")
    if options.quick:
        options.target_time = options.target_time or "0.02 s"
        options.time = options.time or "1 s"
    options.runs = options.runs or (2 if options.quick else 20)
    return options


if __name__ == "__main__":
    sys.exit(main())
