"""What instruments read around a block of code, and the measurement that it comes to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.measure.environment import disturbances
from pytest_perfguard.model.budget import Budget
from pytest_perfguard.model.measurement import Key, Measurement
from pytest_perfguard.model.metric import Metric
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.protocols import Probe, Reading
from pytest_perfguard.model.queries import QueryLog, merge_logs
from pytest_perfguard.model.sample import Series


@dataclass(slots=True)
class Observation:
    """What each of several instruments read of a block; empty until it has ended."""

    observed: list[tuple[Probe, list[Reading]]] = field(default_factory=list)

    @property
    def readings(self) -> list[Reading]:
        """Return all readings, in the order of the instruments."""
        return [reading for _, made in self.observed for reading in made]

    @property
    def values(self) -> dict[str, int]:
        """Return what was read, in stored units, by metric."""
        return {metric: value for reading in self.readings for metric, value in reading.values.items()}

    @property
    def series(self) -> tuple[Series, ...]:
        """Return the series of all metrics that were read."""
        return tuple(each for probe, made in self.observed for each in to_series(probe.metrics, made))

    @property
    def notes(self) -> tuple[Note, ...]:
        """Return all notes, each once."""
        return tuple(dict.fromkeys(note for reading in self.readings for note in reading.notes))

    def measurement(self, key: Key, budgets: Sequence[Budget] = ()) -> Measurement:
        """Return the measurement of the block, with limits of its own."""
        limits = tuple(replace(budget, measurement=key.name) for budget in budgets)
        return replace(to_measurement(key, self.series, self.readings), budgets=limits)


def to_measurement(
    key: Key, series: Sequence[Series], readings: Sequence[Reading], *, group: str = "", notes: Sequence[Note] = ()
) -> Measurement:
    """Return the measurement that `series` are of, with all that `readings` explain, and `notes` before theirs."""
    return Measurement(
        key=key,
        group=group,
        series=tuple(series),
        queries=log_of(readings),
        growth=tuple(each for reading in readings for each in reading.growth),
        details=tuple(dict.fromkeys(each for reading in readings for each in reading.details)),
        notes=tuple(dict.fromkeys((*notes, *(note for reading in readings for note in reading.notes)))),
    )


@contextlib.contextmanager
def observe_block(probes: Sequence[Probe]) -> Iterator[Observation]:
    """Read `probes` around a block, nested in their order; the `Observation` given is filled when that has ended."""
    seen = Observation()
    with contextlib.ExitStack() as stack:
        seen.observed.extend((probe, stack.enter_context(observe(probe))) for probe in probes)
        yield seen


@contextlib.contextmanager
def observe(probe: Probe) -> Iterator[list[Reading]]:
    """Read `probe` around a block of code, once; the reading is in the list that is given when the block has ended."""
    readings: list[Reading] = []
    disturbed = () if probe.intrusive else disturbances()
    token = probe.start()
    try:
        yield readings
    except BaseException:
        with contextlib.suppress(ProbeError):  # what the block raised is what the user is to see
            readings.append(_disturbed(probe.stop(token), disturbed))
        raise
    readings.append(_disturbed(probe.stop(token), disturbed))


def _disturbed(reading: Reading, notes: tuple[Note, ...]) -> Reading:
    return replace(reading, notes=(*reading.notes, *notes))


def to_series(metrics: Sequence[Metric], readings: Sequence[Reading], iterations: int = 1) -> tuple[Series, ...]:
    """Return the series of `metrics`, in the order of `readings`; a metric that no reading holds has none."""
    columns = (
        (metric, tuple(r.values[metric.name] for r in readings if metric.name in r.values)) for metric in metrics
    )
    return tuple(Series(metric=metric, values=values, iterations=iterations) for metric, values in columns if values)


def log_of(readings: Sequence[Reading]) -> QueryLog | None:
    """Return the statements and the requests of the last readings that saw any."""
    return merge_logs([reading.queries for reading in readings])
