"""`perfguard show`: the records of a run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pytest_perfguard.cli.output import moment, table
from pytest_perfguard.cli.workplace import Workplace
from pytest_perfguard.model import BUILTIN, Header, Metric, Record, StoredRun, custom
from pytest_perfguard.model.metric import Nature
from pytest_perfguard.quantity import Unit, render
from pytest_perfguard.report.digest import one_line

_QUANTILES = ("low", "median", "high")


def run(arguments: argparse.Namespace, place: Workplace) -> int:
    """Print every run that the name means."""
    headers = place.runs(arguments.run, place.machine(arguments.machine))
    for index, stored in enumerate(place.store.load(headers)):
        if index:
            print()
        print(description(stored.header))
        print()
        print(records(stored, everything=arguments.all))
    return 0


def description(header: Header) -> str:
    """Return what there is to know of a run beside its numbers."""
    commit = header.commit
    lines = [
        f"run {header.run_id} of {moment(header.created)} UTC",
        f"commit {commit.short}" + (f" on {commit.branch}" if commit.branch else ""),
        f"machine class {header.machine.key}",
    ]
    if commit.subject:
        lines[1] += f": {one_line(commit.subject)}"
    if header.versions:
        lines.append(", ".join(f"{name} {version}" for name, version in header.versions))
    if header.workers:
        lines.append(f"{header.workers} pytest-xdist workers")
    return "\n".join([*lines, *(f"note: {note}" for note in header.notes)])


def records(stored: StoredRun, *, everything: bool = False) -> str:
    """Return one row a measurement: quantiles of what varies, one value of what does not."""
    metrics = _columns(stored, everything=everything)
    headers = ["test"]
    for metric in metrics:
        headers += [f"{metric.name} {part}" for part in _QUANTILES] if metric.nature is Nature.TIMED else [metric.name]
    rows = [
        [_name(record), *(cell for metric in metrics for cell in _cells(record, metric))]
        for record in sorted(stored.records, key=lambda each: each.key)
    ]
    return table(headers, rows, right=headers[1:])


def definition(header: Header, name: str) -> Metric:
    """Return the definition of a metric as the run kept it, or the built-in one."""
    known = next((metric for metric in header.metrics if metric.name == name), None)
    return known or BUILTIN.get(name) or custom(name, Unit.COUNT)


def _columns(stored: StoredRun, *, everything: bool) -> Sequence[Metric]:
    """Return the metrics of a run, in the built-in order and then by name."""
    order = list(BUILTIN)
    names = {summary.metric for record in stored.records for summary in record.summaries}
    ranked = sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))
    metrics = [definition(stored.header, name) for name in ranked]
    return [metric for metric in metrics if everything or metric.compared]


def _name(record: Record) -> str:
    return one_line(str(record.key)) + (" (contended)" if record.contended else "")


def _cells(record: Record, metric: Metric) -> list[str]:
    summary = record.get(metric.name)
    if metric.nature is not Nature.TIMED:
        return ["" if summary is None else render(summary.value, metric.unit)]
    if summary is None:
        return [""] * len(_QUANTILES)
    factor = metric.scale / summary.iterations
    return [render(value * factor, metric.unit) for value in (summary.low, summary.median, summary.high)]
