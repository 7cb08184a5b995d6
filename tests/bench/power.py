"""Injects slowdowns of known size into the package under test and counts which are found side by side.

Each size is a commit of its own on top of the first one of a temporary repository: a number in the code of the package
that sixteen workloads are imported from (100 pieces of work become 102, 105, 110 or 200). The tests are the same on
both sides, so that a slowdown is seen only if base's package is truly what base runs. `pytest
--perfguard-against=HEAD~1` is run in turns over the sizes, as often as --repeats says, with the time for each test that
--times says.

What a call costs beside the pieces is measured at first (truth.py), so that the true change of each workload is known:
"coverage" is the share of verdicts whose interval contains it; "error" is the median distance of what was read from it.
"found" are tests that were called regressed and failed. Shares have 95 % intervals after Clopper and Pearson; the tests
of one run share its moment, so they are somewhat too narrow.

The defaults take about an hour and a half. With --json everything that was found is written after each run; --read
prints the tables of such files again, of several together, and --aa adds the rows of unchanged code from files of
aa.py. What verdicts on stored baselines can see is another question: power_stored.py.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from contestants import Against, Compared, workload
from figures import Requirement, conclude, plain, print_table, read_json, share, tell, write_json
from processes import end_on_signals, load
from repository import repository
from truth import fixed_shares, true_change

CONDITIONS = ("quiet", "busy", "loaded", "onset")
TIMES = {2.0: "15 s", 5.0: "5 s", 10.0: "5 s", 100.0: "5 s"}
"""Per cent that are injected, and the time for each test."""
WANTED = {(2.0, "15 s"): 0.85, (5.0, "5 s"): 0.95, (10.0, "5 s"): 0.99, (100.0, "5 s"): 0.99}
"""The share that is to be found, quiet."""
COVERAGE = (0.92, 0.98)
CLEAR_LIMIT = 3.0
"""Seconds that a test may take whose time has doubled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One comparison: what was injected, the time for each test, and the true change of each workload."""

    condition: str
    percent: float
    time: str
    number: int
    started: float
    truth: dict[str, float]
    compared: Compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One workload in one comparison."""

    name: str
    truth: float
    outcome: str
    found: bool
    flagged: bool
    effect: dict[str, float] | None

    @property
    def covered(self) -> bool | None:
        """Return whether the interval contains the truth; None where there is none."""
        if self.effect is None:
            return None
        low, high = float(self.effect["low"]), float(self.effect["high"])  # an infinity is a text in JSON
        return low <= self.truth <= high


def main() -> int:
    """Measure, print, and return the exit code."""
    options = parse(sys.argv[1:])
    end_on_signals()
    records = [] if options.read or options.aa else measure(options)
    for path in options.read:
        records += [Record(**each | {"compared": Compared(**each["compared"])}) for each in read_json(path)["records"]]
    for path in options.aa:
        records += unchanged(read_json(path))
    return report(records, quick=options.quick)


def measure(options: argparse.Namespace) -> list[Record]:
    """Compare each size as often as was asked for; after each comparison everything is written to the JSON file."""
    tell("measuring what a call of each workload costs beside its pieces of work")
    seconds, processes = (0.1, 1) if options.quick else (2.0, 3)
    shares = fixed_shares(seconds=seconds, processes=processes)
    tell(", ".join(f"{name} {value:+.1%}" for name, value in shares.items()))
    records: list[Record] = []
    with repository() as subject:
        base = subject.head()
        heads = {}
        for percent, _ in options.cells:
            subject.checkout(base)
            heads[percent] = subject.commit(f"{percent:g} % slower", percent=percent)
        with load(options.condition):
            for number in range(options.repeats):
                for turn in range(len(options.cells)):
                    percent, each = options.cells[(number + turn) % len(options.cells)]
                    subject.checkout(heads[percent])
                    started = time.time()
                    compared = Against(each).compare(subject, subject.folder.parent)
                    truth = {name: true_change(percent, value) for name, value in shares.items()}
                    records.append(
                        Record(
                            condition=options.condition, percent=percent, time=each, number=number, started=started,
                            truth=truth, compared=compared,
                        )
                    )  # fmt: skip
                    found = sum(case.found for case in cases(records[-1]))
                    tell(
                        f"{options.condition}: repeat {number + 1} of {options.repeats}: +{percent:g} % in {each}: "
                        f"found {found} of {len(truth)}, {compared.seconds:.0f} s"
                    )
                    data = {"options": plain(options), "shares": shares, "records": [asdict(r) for r in records]}
                    write_json(options.json, data)
    return records


def unchanged(data: dict[str, object]) -> Iterator[Record]:
    """Return the live comparisons of aa.py as those of a slowdown of nothing."""
    for each in data["records"]:  # type: ignore[attr-defined]
        if each["tool"] == Against.name:
            compared = Compared(**each["compared"])
            yield Record(
                condition=each["condition"], percent=0.0, time=data["options"]["time"] or "default",  # type: ignore[index]
                number=each["number"], started=each["started"], truth=dict.fromkeys(compared.outcomes, 0.0),
                compared=compared,
            )  # fmt: skip


def cases(record: Record) -> Iterator[Case]:
    """Return what was said of each workload; one that nothing was said of is one that was not found."""
    verdicts = {workload(each["test"]): each for each in record.compared.verdicts}
    for name, truth in record.truth.items():
        said = verdicts.get(name, {})
        outcome = said.get("outcome", "nothing")
        yield Case(
            name=name, truth=truth, outcome=outcome, found=outcome == "regressed" and said["fails"],
            flagged=name in record.compared.flagged, effect=said.get("effect"),
        )  # fmt: skip


def report(records: Sequence[Record], *, quick: bool) -> int:
    """Print the tables and return the exit code."""
    keys = list({(each.condition, each.percent, each.time) for each in records})
    keys.sort(key=lambda key: (CONDITIONS.index(key[0]), *key[1:]))
    cells = {key: [r for r in records if (r.condition, r.percent, r.time) == key] for key in keys}
    print_table(
        "Slowdowns that were injected, and what was found of them",
        ("condition", "injected", "time a test", "found [95 %]", "flagged", "coverage [95 %]", "error", "interval",
         "pairs", "seconds a test", "a run / tests", "other outcomes"),
        [row(key, found) for key, found in cells.items()], text=3,
    )  # fmt: skip
    print_table(
        "The same by workload: found / covered of how many, and the median distance from the truth",
        ("workload", *(f"{condition} +{percent:g} % {each}" for condition, percent, each in keys)),
        by_workload(cells),
    )
    for each in records:
        if each.compared.trouble:
            print(f"\n{each.condition}, +{each.percent:g} %, repeat {each.number + 1}:\n{each.compared.trouble}")
    return conclude(requirements(cells), quick=quick)


def row(key: tuple[str, float, str], records: Sequence[Record]) -> tuple[str, ...]:
    """Return the figures of one size under one condition."""
    condition, percent, each = key
    found = [case for record in records for case in cases(record)]
    covered = [case.covered for case in found if case.covered is not None]
    effects = [case.effect for case in found if case.effect is not None]
    others = Counter(case.outcome for case in found if not case.found)
    wall = sum(record.compared.seconds for record in records)
    return (
        condition, f"+{percent:g} %", each, share(sum(case.found for case in found), len(found)),
        str(sum(case.flagged for case in found)), share(sum(covered), len(covered)), error(found),
        middle([(float(e["high"]) - float(e["low"])) / 2 for e in effects], "±{:.2%}"),
        middle([e["pairs"] for e in effects], "{:.0f}"), middle(seconds_of(found), "{:.1f}"),
        f"{wall / max(len(found), 1):.1f}",
        ", ".join(f"{count} {name}" for name, count in others.most_common()),
    )  # fmt: skip


def by_workload(cells: dict[tuple[str, float, str], list[Record]]) -> Iterator[tuple[str, ...]]:
    """Return a row for each workload."""
    names = dict.fromkeys(name for records in cells.values() for record in records for name in record.truth)
    for name in names:
        columns = []
        for records in cells.values():
            found = [case for record in records for case in cases(record) if case.name == name]
            covered = [case.covered for case in found if case.covered is not None]
            columns.append(f"{sum(c.found for c in found)}/{sum(covered)} of {len(found)}, {error(found)}")
        yield (name, *columns)


def requirements(cells: dict[tuple[str, float, str], list[Record]]) -> Iterator[Requirement]:
    """Return what must hold where nothing else is started on the machine."""
    quiet = [case for key, records in cells.items() if key[0] == "quiet" for r in records for case in cases(r)]
    for (condition, percent, each), records in cells.items():
        found = [case for record in records for case in cases(record)]
        if condition != "quiet":
            continue
        if percent == 0:
            wrong = sum(case.found for case in found)
            yield Requirement(text="+0 %: none found", figure=share(wrong, len(found)), met=wrong == 0)
        wanted = WANTED.get((percent, each))
        if wanted is not None:
            part = sum(case.found for case in found)
            yield Requirement(
                text=f"+{percent:g} % in {each} a test: at least {wanted:.0%} found",
                figure=share(part, len(found)), met=part >= wanted * len(found),
            )  # fmt: skip
        if percent == 100:
            spent = sum(record.compared.seconds for record in records) / max(len(found), 1)
            yield Requirement(
                text=f"+100 %: at most {CLEAR_LIMIT:.0f} s a test of the whole run", figure=f"{spent:.2f} s",
                met=spent <= CLEAR_LIMIT if any(case.found for case in found) else None,
            )  # fmt: skip
    covered = [case.covered for case in quiet if case.covered is not None]
    if covered:
        low, high = COVERAGE
        yield Requirement(
            text=f"intervals contain the truth in {low:.0%} to {high:.0%}, quiet, all sizes",
            figure=share(sum(covered), len(covered)), met=low <= sum(covered) / len(covered) <= high,
        )  # fmt: skip


def error(found: Sequence[Case]) -> str:
    """Return the median distance of the measured from the true change."""
    return middle([case.effect["change"] - case.truth for case in found if case.effect is not None], "{:+.2%}")


def seconds_of(found: Sequence[Case]) -> list[float]:
    """Return the seconds that the verdicts say they took."""
    return [case.effect["seconds"] for case in found if case.effect and case.effect["seconds"] is not None]


def middle(values: Sequence[float], form: str) -> str:
    """Return the median in a form, nothing without values."""
    return form.format(statistics.median(values)) if values else ""


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the options; `cells` are pairs of per cent and time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--percent", nargs="+", type=float, default=None, help=f"default: {', '.join(map(str, TIMES))}")
    parser.add_argument(
        "--times", nargs="+", default=None, metavar="TIME",
        help="passed on as --perfguard-against-time; each size is measured with each of them (default: 15 s for up to "
        "2 %%, 5 s for more)",
    )  # fmt: skip
    parser.add_argument("--repeats", type=int, default=None, help="comparisons of each size (default: 8)")
    parser.add_argument("--condition", choices=CONDITIONS[:3], default="quiet", help="see aa.py")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every outcome of every run there too")
    parser.add_argument("--read", nargs="+", type=Path, default=[], metavar="PATH", help="measure nothing, show these")
    parser.add_argument("--aa", nargs="+", type=Path, default=[], metavar="PATH", help="the same with files of aa.py")
    parser.add_argument("--quick", action="store_true", help="little of everything, to see that it works")
    options = parser.parse_args(arguments)
    options.repeats = options.repeats or (1 if options.quick else 8)
    percents = options.percent or ([5.0, 100.0] if options.quick else list(TIMES))
    options.cells = [
        (percent, each)
        for percent in percents
        for each in options.times or (["1 s"] if options.quick else [TIMES[2.0] if percent <= 2 else TIMES[5.0]])
    ]
    return options


if __name__ == "__main__":
    sys.exit(main())
