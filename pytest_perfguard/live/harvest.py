"""What a comparison's findings say of one side: its measurements, put together from all that it recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pytest_perfguard.live.duel import HEAD
from pytest_perfguard.live.tournament import Findings
from pytest_perfguard.live.wire import Message
from pytest_perfguard.model.codec import from_plain
from pytest_perfguard.model.measurement import Key, Measurement
from pytest_perfguard.model.metric import CPU, OF_QUERIES, TIME, WALL, Metric, Nature
from pytest_perfguard.model.sample import Series


def head_measurements(findings: Findings, test: str) -> list[Measurement]:
    """Return what head measured in a test: its times in all pairs, and what was counted in the first."""
    recorded = _recorded(findings.said.get(test), HEAD)
    passes = findings.exact.get(test, [])
    counts = _recorded(passes[0], HEAD) if passes else []
    return _merge((*counts, *recorded), _times(findings, test))


def counts(findings: Findings, test: str, side: int) -> list[list[Measurement]]:
    """Return what a side recorded in a test beside its times, once for each pair that counted."""
    recorded = _recorded(findings.said.get(test), side)
    passes = findings.exact.get(test, [])
    return [_merge((*_recorded(said, side), *recorded), {}) for said in passes] or [_merge(recorded, {})]


def _merge(recorded: Sequence[Measurement], times: Mapping[Key, tuple[Series, ...]]) -> list[Measurement]:
    """Return one measurement for each key: `times`, and of what was recorded all that is no time."""
    merged: dict[Key, Measurement] = {key: Measurement(key=key, series=series) for key, series in times.items()}
    for measurement in recorded:
        known = merged.get(measurement.key) or Measurement(key=measurement.key, series=())
        names = {series.metric.name for series in known.series}
        added = (s for s in measurement.series if _is_counted(s.metric) and s.metric.name not in names)
        merged[measurement.key] = replace(
            known,
            series=(*known.series, *added),
            group=known.group or measurement.group,
            queries=known.queries or measurement.queries,
            notes=tuple(dict.fromkeys((*known.notes, *measurement.notes))),
        )
    return list(merged.values())


def _recorded(said: Sequence[Message] | None, side: int) -> list[Measurement]:
    return [] if not said else [from_plain(Measurement, each) for each in said[side].get("measured", ())]


def _times(findings: Findings, test: str) -> dict[Key, tuple[Series, ...]]:
    return {
        key: tuple(
            Series(
                metric=metric,
                values=tuple(round(getattr(block, metric.name) * iterations * 1e9) for block in blocks),
                iterations=iterations,
            )
            for metric in (TIME, WALL, CPU)
        )
        for key, (iterations, blocks) in findings.head.items()
        if key.test == test and blocks
    }


def _is_counted(metric: Metric) -> bool:
    # Times of statements come from passes of their own; only those of the clock are taken in turns.
    return metric.nature is not Nature.TIMED or metric.name in OF_QUERIES
