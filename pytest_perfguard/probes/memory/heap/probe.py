"""What a call allocates, to the byte: peak, number and total, as memray sees them (extra `memray`)."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from pytest_perfguard.model.growth import Detail
from pytest_perfguard.model.metric import ALLOCATED, ALLOCATIONS, HEAP, Metric
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.protocols import Reading, Stage
from pytest_perfguard.probes.memory.heap.capture import Capture, Spending
from pytest_perfguard.probes.memory.heap.route import describe_route
from pytest_perfguard.probes.memory.heap.tracing import Tracing, has_greenlets
from pytest_perfguard.quantity import render

METRICS = (HEAP, ALLOCATIONS, ALLOCATED)

_ALL = frozenset(metric.name for metric in METRICS)

_FURTHER_ROUNDS = 3
"""Rounds more, where the first do not agree."""

_SHOWN = 3
"""Call paths that explain a value."""

_LEAST_SHARE = 0.01
"""Of the value, that a call path must have to be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally(Reading):
    """A reading with the number of allocations of each size, which the call paths are corrected by."""

    sizes: Mapping[int, int] = field(default_factory=dict)


@final
class HeapProbe:
    """Reads the peak of what is allocated during a call, how many allocations it makes, and their bytes.

    `memray.Tracker` with `trace_python_allocators=True` sees each allocation by Python's allocators and by C code, in
    all threads of the process, with the size that was asked for: no arena, no free list and no page hides anything, so
    there is no floor. `heap` is the most bytes allocated during the call and not yet freed; what was there before does
    not count, nor does it help to free it. Child processes are not seen, with a note "children" where one ended.

    Of the stack, only the frames are known by memray's profile function, which has the interpreter make an object for
    each call of a Python function: 150 to 500 bytes that are not there otherwise. It is taken away as soon as memray
    has begun, so values are of calls without it, which is also faster, and a further call with it tells the paths. What
    memray allocates itself in between, a constant, is subtracted. All garbage is collected first, which empties the
    interpreter's free lists too.

    Two calls suffice, as they give the same number; where they differ by more than the metric's tolerance, three more
    are made, the median counts, and a note "unsteady-heap" says so.

    `start` raises `ProbeError` on Windows, where memray is not installed, where its version is known to crash the
    process, where another tracker is active (`pytest --memray`, `memray run`, a `perf` within this one: memray cannot
    be nested), and where a profiler is, as memray takes its place. `stop` does where memray's file cannot be read.
    """

    metrics: tuple[Metric, ...] = METRICS
    intrusive: bool = True
    wants_result: bool = False
    # The first call fills caches and imports.
    warmup: int = 1
    rounds: int = 2

    def __init__(self, root: Path | None = None, metrics: Collection[str] = _ALL) -> None:
        """`root` is what paths are shown relative to; where `metrics` names no count, none is made."""
        self._root = root or Path.cwd()
        self._counting = not {ALLOCATIONS.name, ALLOCATED.name}.isdisjoint(metrics)

    def start(self) -> Tracing:
        """Let memray begin; raises `ProbeError` where it cannot."""
        _weigh_nothing(has_greenlets())
        return Tracing()

    def stop(self, token: Any, result: object = None) -> Tally:
        """End it, and read what it wrote; `result` is not looked at."""
        token.end()
        del result
        nothing = _weigh_nothing(token.greenlets)

        def read(capture: Capture) -> Tally:
            peak, large = capture.peak()
            if large and not self._counting:
                return Tally(values={HEAP.name: peak}, notes=token.notes())
            peak, sizes = capture.tally()
            sizes -= Counter(nothing.sizes)
            values = {HEAP.name: peak if peak > nothing.values[HEAP.name] else 0}
            if self._counting:
                values[ALLOCATIONS.name] = sizes.total()
                values[ALLOCATED.name] = sum(size * count for size, count in sizes.items())
            return Tally(values=values, sizes=sizes, notes=token.notes())

        tally: Tally = token.read(read)
        return tally

    def proceed(self, stages: Sequence[Sequence[Reading]]) -> Stage | Reading:
        """Return the calls still to be made: more where the first differ, and one for the call paths."""
        tallies = [each for stage in stages for each in stage if isinstance(each, Tally)]
        last = stages[-1][-1]
        if isinstance(last, Tally):
            if len(stages) == 1 and any(_differ(metric, tallies) for metric in METRICS):
                return Stage(probe=self, warmup=0, rounds=_FURTHER_ROUNDS)
            return Stage(probe=_PathProbe(self._root, last, counting=self._counting), warmup=0, rounds=1)
        names = [metric.name for metric in METRICS if all(metric.name in each.values for each in tallies)]
        return Reading(
            values={name: statistics.median_low([each.values[name] for each in tallies]) for name in names},
            details=last.details,
            notes=tuple(
                dict.fromkeys(
                    [
                        *(note for each in tallies for note in each.notes),
                        *(_unsteady(metric, tallies) for metric in METRICS if _differ(metric, tallies)),
                    ]
                )
            ),
        )


_nothing: dict[bool, Tally] = {}
"""What is read where nothing is called, with greenlets and without; made when it is first needed."""


def _weigh_nothing(greenlets: bool) -> Tally:
    if greenlets not in _nothing:
        tally = _nothing[greenlets] = Tally(values={HEAP.name: 0})
        probe = HeapProbe()
        for _ in range(2):  # in the first, memray itself starts up
            token = probe.start()
            tally = probe.stop(token)
        _nothing[greenlets] = tally
    return _nothing[greenlets]


@final
class _PathProbe:
    """Reads where a call allocates: details, and no values."""

    metrics: tuple[Metric, ...] = METRICS
    intrusive: bool = True
    wants_result: bool = False
    warmup: int = 0
    rounds: int = 1

    def __init__(self, root: Path, tally: Tally, *, counting: bool) -> None:
        """`tally` is what was read without paths; `counting` is whether the counts are to be explained, too."""
        self._root = root
        self._tally = tally
        self._metrics = METRICS if counting else (HEAP,)

    def start(self) -> Tracing:
        return Tracing(paths=True)

    def stop(self, token: Any, result: object = None) -> Reading:
        del result
        token.end()
        reading: Reading = token.read(self._explain)
        return reading

    def _explain(self, capture: Capture) -> Reading:
        sizes = self._tally.sizes
        spent = capture.spent(sizes) if len(self._metrics) > 1 else []
        spent_by_metric = {
            HEAP: capture.spent_at_peak(sizes) if sizes else capture.spent_at_large_peak(),
            ALLOCATIONS: spent,
            ALLOCATED: spent,
        }
        found = [self._detail(metric, spent_by_metric[metric]) for metric in self._metrics]
        return Reading(details=tuple(detail for detail in found if detail.lines))

    def _detail(self, metric: Metric, spent: Sequence[Spending]) -> Detail:
        """Return the paths that `metric` is most of, with the share of each."""
        paths: dict[str, float] = {}
        for each in spent:
            path = describe_route(each.frames, self._root)
            paths[path] = paths.get(path, 0.0) + (each.count if metric is ALLOCATIONS else each.size)
        total = self._tally.values[metric.name]
        greatest = sorted(paths.items(), key=lambda item: -item[1])[:_SHOWN]
        return Detail(
            metric=metric.name,
            lines=tuple(
                f"{render(round(value), metric.unit)}, {min(round(100 * value / total), 100)} %: {path}"
                for path, value in greatest
                if value >= _LEAST_SHARE * total > 0
            ),
        )


def _differ(metric: Metric, readings: Sequence[Reading]) -> bool:
    values = [each.values[metric.name] for each in readings if metric.name in each.values]
    return bool(values) and max(values) - min(values) > metric.tolerance.around(max(values))


def _unsteady(metric: Metric, readings: Sequence[Reading]) -> Note:
    values = [each.values[metric.name] for each in readings]
    low, high = render(min(values), metric.unit), render(max(values), metric.unit)
    return Note(
        code="unsteady-heap",
        message=f"{metric.name} differed from call to call, from {low} to {high}, and the median counts: "
        "something in it depends on time, on chance, on earlier calls, or on the order of threads",
        remedy="take that out of what is measured, or allow for it in the budget",
    )
