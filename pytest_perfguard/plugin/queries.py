"""The facet `perf.queries`: blocks with limits of their own, and whether statements grow with the data."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_perfguard.config.marker import parse_budgets
from pytest_perfguard.errors import ConfigError, MeasurementError
from pytest_perfguard.measure.runner import log_of, observe, to_series
from pytest_perfguard.model import COUNTED, QueryLog
from pytest_perfguard.model.budget import Budget
from pytest_perfguard.model.measurement import Measurement
from pytest_perfguard.model.metric import SCALING
from pytest_perfguard.model.sample import Series
from pytest_perfguard.plugin.query_record import LIMITED, QueryRecord

if TYPE_CHECKING:
    from pytest_perfguard.plugin.recording import Recording

_ALWAYS = frozenset(
    {"queries", "round_trips", "duplicates", "n_plus_one", "batchable", "select_star"}
    | {"connections_opened", "connections_leaked", "pool_in_use"}
)
"""What a record of a block always holds: reading it costs nothing while the block runs."""


class Queries:
    """Records the statements of blocks of a test, and checks that they do not grow with the data."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    @contextlib.contextmanager
    def __call__(self, *, max: int | None = None, name: str = "queries", **limits: Any) -> Iterator[QueryRecord]:  # noqa: A002
        """Record the statements of a block, which fails where a limit is exceeded; give a `QueryRecord`.

        `max` is the limit of `queries`; further limits are those of the marker `perf_budget` that are about statements.
        `name` is what reports and baselines call it. What the block raises comes through.
        """
        budgets = self._parse(limits if max is None else {"queries": max, **limits})
        record = QueryRecord(self._recording.test)
        key = self._recording.numbered(name)
        probes = self._recording.probes({budget.metric for budget in budgets} | _ALWAYS)
        with contextlib.ExitStack() as stack:
            observed = [(probe, stack.enter_context(observe(probe))) for probe in probes]
            yield record
        readings = [reading for _, made in observed for reading in made]
        log = log_of(readings)
        record.keep(log, {metric: value for reading in readings for metric, value in reading.values.items()})
        self._recording.finish(
            Measurement(
                key=key,
                series=tuple(each for probe, made in observed for each in to_series(probe.metrics, made)),
                queries=log,
                budgets=tuple(replace(budget, measurement=key.name) for budget in budgets),
                notes=tuple(dict.fromkeys(note for reading in readings for note in reading.notes)),
            )
        )

    def scales(
        self,
        populate: Callable[[int], object],
        exercise: Callable[[], object],
        sizes: Sequence[int] = (2, 5),
        *,
        name: str = "scales",
    ) -> dict[int, int]:
        """Fail where a statement is made more often when there are more data; return the statements at each size.

        `populate(size)` is called with each of `sizes` in turn, and leaves more data than before; `exercise()` after
        each, and once more after the first, since caches are filled then. There is no threshold. The idea is that of
        Ruby's n_plus_one_control.
        """
        for function in (populate, exercise):
            if inspect.iscoroutinefunction(function):
                raise MeasurementError(
                    f"perf.queries.scales() was given the coroutine function {function.__qualname__}, and would run "
                    "nothing of it; write: await perf.queries.scales_aio(…)"
                )
        logs: list[QueryLog] = []
        for size in _check_sizes(sizes):
            populate(size)
            if not logs:
                exercise()
            with self._watch(logs):
                exercise()
        return self._judge_growth(sizes, logs, name)

    async def scales_aio(
        self,
        populate: Callable[[int], object | Awaitable[object]],
        exercise: Callable[[], object | Awaitable[object]],
        sizes: Sequence[int] = (2, 5),
        *,
        name: str = "scales",
    ) -> dict[int, int]:
        """Do what `scales` does for coroutine functions, on the running event loop; either may be a plain function."""
        logs: list[QueryLog] = []
        for size in _check_sizes(sizes):
            await _settle(populate(size))
            if not logs:
                await _settle(exercise())
            with self._watch(logs):
                await _settle(exercise())
        return self._judge_growth(sizes, logs, name)

    def _parse(self, limits: dict[str, Any]) -> tuple[Budget, ...]:
        if not limits:
            return ()
        known = {name: metric for name, metric in self._recording.metrics.items() if name in LIMITED}
        return parse_budgets(limits, (), metrics=known, origin=f"perf.queries() in {self._recording.test}")

    @contextlib.contextmanager
    def _watch(self, logs: list[QueryLog]) -> Iterator[None]:
        (probe,) = self._recording.probes({"queries"})
        with observe(probe) as readings:
            yield
        logs.extend(reading.queries for reading in readings if reading.queries is not None)

    def _judge_growth(self, sizes: Sequence[int], logs: list[QueryLog], name: str) -> dict[int, int]:
        from pytest_perfguard.probes.queries.growth import growing

        key = self._recording.numbered(name)
        log = growing(sizes, logs)
        grown = {statement.fingerprint for statement in log.statements if statement.growth}
        shown = " and ".join(map(str, sizes)) if len(sizes) == 2 else ", ".join(map(str, sizes))
        origin = f"perf.queries.scales() with sizes {shown}"
        self._recording.finish(
            Measurement(
                key=key,
                series=(Series(metric=SCALING, values=(len(grown),)),),
                queries=log,
                budgets=(Budget(metric=SCALING.name, limit=0, measurement=key.name, origin=origin),),
            )
        )
        return {size: each.count(COUNTED) for size, each in zip(sizes, logs, strict=True)}


def _check_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    numbers = tuple(sizes)
    whole = all(type(size) is int and size > 0 for size in numbers)
    if len(numbers) < 2 or not whole or sorted(set(numbers)) != list(numbers):
        raise ConfigError(
            f"sizes={sizes!r:.60} of perf.queries.scales(): these must be two or more whole numbers that grow; "
            "write for example sizes=(2, 5)"
        )
    return numbers


async def _settle(value: object) -> None:
    if inspect.isawaitable(value):
        await value
