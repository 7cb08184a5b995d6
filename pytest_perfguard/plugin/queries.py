"""The facet `perf.queries`: blocks with limits of their own, and whether statements grow with the data."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_perfguard.config.marker import parse_budgets
from pytest_perfguard.errors import ConfigError, MeasurementError
from pytest_perfguard.measure.observation import log_of, observe_block
from pytest_perfguard.model import COUNTED, QueryLog
from pytest_perfguard.model.budget import Budget
from pytest_perfguard.model.measurement import Measurement
from pytest_perfguard.model.metric import SCALING
from pytest_perfguard.model.note import Note
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
        probes = self._recording.probes({budget.metric for budget in budgets} | _ALWAYS | self._recording.wanted)
        with self._recording.block(key, probes, budgets, record.keep):
            yield record

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
        looks: list[_Look] = []
        for size in _check_sizes(sizes):
            populate(size)
            if not looks:
                exercise()
            with self._look(looks):
                exercise()
        return self._judge_growth(sizes, looks, name)

    async def scales_aio(
        self,
        populate: Callable[[int], object | Awaitable[object]],
        exercise: Callable[[], object | Awaitable[object]],
        sizes: Sequence[int] = (2, 5),
        *,
        name: str = "scales",
    ) -> dict[int, int]:
        """Do what `scales` does for coroutine functions, on the running event loop; either may be a plain function."""
        looks: list[_Look] = []
        for size in _check_sizes(sizes):
            await _settle(populate(size))
            if not looks:
                await _settle(exercise())
            with self._look(looks):
                await _settle(exercise())
        return self._judge_growth(sizes, looks, name)

    def _parse(self, limits: dict[str, Any]) -> tuple[Budget, ...]:
        if not limits:
            return ()
        known = {name: metric for name, metric in self._recording.metrics.items() if name in LIMITED}
        return parse_budgets(limits, (), metrics=known, origin=f"perf.queries() in {self._recording.test}")

    @contextlib.contextmanager
    def _look(self, looks: list[_Look]) -> Iterator[None]:
        """Record a block, for what is judged of growth and for the test's own budgets on statements."""
        probes = self._recording.probes({"queries", "rows"} | self._recording.wanted)
        with observe_block(probes) as block:
            yield
        log = log_of(block.readings) or QueryLog(dialect="", driver="", statements=())
        looks.append(_Look(log=log, series=block.series, notes=block.notes))

    def _judge_growth(self, sizes: Sequence[int], looks: list[_Look], name: str) -> dict[int, int]:
        from pytest_perfguard.probes.queries.growth import growing

        counts = {size: look.log.count(COUNTED) for size, look in zip(sizes, looks, strict=True)}
        if not any(counts.values()) and not self._recording.disabled:
            raise MeasurementError(
                f"perf.queries.scales() in {self._recording.test} tested nothing: exercise made no statement that "
                "reads or writes, at no size; let it ask the database for what populate adds"
            )
        key = self._recording.numbered(name)
        log = growing(sizes, [look.log for look in looks])
        grown = {statement.fingerprint for statement in log.statements if statement.growth}
        shown = " and ".join(map(str, sizes)) if len(sizes) == 2 else ", ".join(map(str, sizes))
        origin = f"perf.queries.scales() with sizes {shown}"
        unreached = () if grown or not _reads_the_same(looks) else (_unreached(key.test),)
        self._recording.finish(
            Measurement(
                key=key,
                series=(*looks[-1].series, Series(metric=SCALING, values=(len(grown),))),
                queries=log,
                budgets=(Budget(metric=SCALING.name, limit=0, measurement=key.name, origin=origin),),
                notes=(*looks[-1].notes, *unreached),
            )
        )
        return counts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What was recorded of one call at one size."""

    log: QueryLog
    series: tuple[Series, ...]
    notes: tuple[Note, ...]


def _reads_the_same(looks: Sequence[_Look]) -> bool:
    """Return whether as many rows came back at the last size as at the first, where rows were counted at all."""
    first, last = (_rows(look) for look in (looks[0], looks[-1]))
    return first is not None and last is not None and last <= first


def _rows(look: _Look) -> int | None:
    series = next((each for each in look.series if each.metric.name == "rows"), None)
    told = look.log.dialects <= _TELL_ROWS and not any("rows" in note.undermines for note in look.notes)
    return series.values[-1] if series is not None and told else None


_TELL_ROWS = frozenset({"sqlite", "postgresql", "mysql", "mariadb"})
"""Dialects whose rows are counted by every source."""


def _unreached(test: str) -> Note:
    return Note(
        code="unreached",
        message=f"perf.queries.scales() in {test}: no more rows came back with more data than with less, so a loop "
        "over them could not show",
        remedy="let exercise read what populate adds; where it only counts or sums up, that is as it should be",
    )


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
