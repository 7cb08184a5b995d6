"""`perfguard history`: a metric of a test from commit to commit."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_perfguard.cli.output import moment, sparkline, table
from pytest_perfguard.cli.show import definition
from pytest_perfguard.cli.workplace import Workplace
from pytest_perfguard.errors import ConfigError
from pytest_perfguard.model import Header, Key
from pytest_perfguard.quantity import Unit, render
from pytest_perfguard.report.digest import change_text, one_line

_LONGEST = 60
_RECENT = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The runs of one commit in one machine class, and the median of their values in the metric's base unit."""

    header: Header
    runs: int
    value: float


def run(arguments: argparse.Namespace, place: Workplace) -> int:
    """Print a table and a sparkline for each measurement of the test and each machine class."""
    machine = place.machine(arguments.machine)
    test = find_test(place, arguments.test, machine)
    values = place.store.history(test, arguments.metric, machine)
    if not values:
        raise ConfigError(f"no {arguments.metric!r} is stored of {test}; --metric names another one")
    for index, ((key, machine_key), points) in enumerate(developments(values).items()):
        if index:
            print()
        unit = definition(points[-1].header, arguments.metric).unit
        print(f"{arguments.metric} of {one_line(str(key))} on {machine_key}")
        print(development(points, unit))
        line = [point.value for point in points[-_LONGEST:]]
        drawn = sparkline(line, encoding=sys.stdout.encoding)
        print(f"{drawn}  {render(min(line), unit)} … {render(max(line), unit)}")
    return 0


def find_test(place: Workplace, name: str, machine: str | None) -> str:
    """Return the one stored test that `name` is or is a part of; raises `ConfigError`."""
    headers = place.store.headers(machine)
    known: set[str] = set()
    # The newest runs name nearly every test; older ones are only read for a test that has gone.
    for part in (headers[:_RECENT], headers[_RECENT:]):
        known |= {record.key.test for stored in place.store.load(part) for record in stored.records}
        if name in known:
            return name
        found = sorted(test for test in known if name in test)
        if len(found) == 1:
            return found[0]
        if found:
            shown = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
            raise ConfigError(f"{name!r} is part of {len(found)} tests: {shown}; name one of them")
    raise ConfigError(
        f"no stored test is named {name!r} or has it in its name, in {place.store_path}; see perfguard show"
    )


def developments(values: Iterable[tuple[Header, Key, float]]) -> dict[tuple[Key, str], list[Point]]:
    """Return the points of each measurement and machine class, oldest commit first as it was first measured."""
    grouped: dict[tuple[Key, str], dict[str, list[tuple[Header, float]]]] = {}
    for header, key, value in values:
        line = grouped.setdefault((key, header.machine.key), {})
        commit = header.commit
        line.setdefault(f"{commit.sha} {commit.dirty_tree}" if commit.sha else header.run_id, []).append(
            (header, value)
        )
    return {
        group: [
            Point(header=members[0][0], runs=len(members), value=statistics.median(value for _, value in members))
            for members in line.values()
        ]
        for group, line in sorted(grouped.items())
    }


def development(points: Sequence[Point], unit: Unit) -> str:
    """Return the table of the points; a change is against the row above."""
    rows = []
    before: float | None = None
    for point in points:
        change = change_text(point.value / before - 1) if before else ""
        commit = point.header.commit
        rows.append((commit.short, moment(point.header.created), str(point.runs), render(point.value, unit), change))
        before = point.value
    return table(("commit", "date (UTC)", "runs", "value", "change"), rows, right=("runs", "value", "change"))
