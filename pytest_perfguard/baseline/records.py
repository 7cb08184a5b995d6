"""A measurement as one line of text, and back.

A line is the JSON list `[test, name, [summary, …], extras]`; `extras` is left out where it is empty, and may hold
`"queries"` (a query log, by field names), `"growth"` (a list, by field names) and `"contended": true`.

A summary is the list `[metric, rounds, iterations, minimum, low, median, high, value]`. `low`, `median` and `high` are
differences from `minimum`; trailing ones that are 0 are left out. `low` may have decimals: its integer is the rounded
sum. `value` is left out where it is `(minimum + low) * scale / iterations` to the last bit, with the `scale` of the
metric's definition; as an integer it says how many floats further it lies, and otherwise it is the value itself. The
first two hold for nearly all, and a float would be the longest part of the line.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

from pytest_perfguard.errors import StoreFormatError
from pytest_perfguard.model import Growth, Key, Metric, QueryLog, Record, Summary
from pytest_perfguard.model.codec import from_plain, to_plain

Plain = list[Any]
_DECIMALS = (0, 1, 2, 3, 4)
_STEPS = (0, 1, -1, 2, -2)


def encode_record(record: Record, scales: Mapping[str, float]) -> str:
    """Return `record` as a line without its end; `scales` holds the scale of every metric by name."""
    line: Plain = [record.key.test, record.key.name, [_encode_summary(item, scales) for item in record.summaries]]
    extras: dict[str, Any] = {}
    if record.queries is not None:
        extras["queries"] = _encode_log(record.queries)
    if record.growth:
        extras["growth"] = [{name: getattr(each, name) for name in _GROWTH} for each in record.growth]
    if record.contended:
        extras["contended"] = True
    if extras:
        line.append(extras)
    return json.dumps(line, separators=(",", ":"))


def decode_record(line: Plain, scales: Mapping[str, float]) -> Record:
    """Return the record of a line as JSON gave it; raises `StoreFormatError` where it is not of that shape."""
    try:
        extras = line[3] if len(line) > 3 else {}
        queries = extras.get("queries")
        return Record(
            key=Key(test=line[0], name=line[1]),
            summaries=tuple(_decode_summary(item, scales) for item in line[2]),
            queries=None if queries is None else from_plain(QueryLog, queries),
            growth=tuple(from_plain(Growth, each) for each in extras.get("growth", ())),
            contended=bool(extras.get("contended", False)),
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise StoreFormatError(
            f"the record {json.dumps(line)[:80]} cannot be read ({error}); delete its run, or restore it from git"
        ) from error


_KEPT = ("fingerprint", "kind", "count", "distinct", "tables", "function", "driver")
"""What is stored of a statement; the rest belongs to one run, as lines do, which age."""


_GROWTH = ("kind", "owner", "count", "size")
"""What is stored of what grows: lines age."""


def _encode_log(log: QueryLog) -> dict[str, Any]:
    plain: dict[str, Any] = to_plain(log.kept())
    return {**plain, "statements": [{name: each[name] for name in _KEPT} for each in plain["statements"]]}


def is_record(line: object) -> bool:
    """Return whether `line`, as JSON gave it, has the outer shape of a record."""
    return (
        type(line) is list
        and 3 <= len(line) <= 4
        and type(line[0]) is str
        and type(line[1]) is str
        and type(line[2]) is list
    )


def scales_of(metrics: Sequence[Metric]) -> dict[str, float]:
    """Return the scale of each of `metrics` by its name."""
    return {metric.name: metric.scale for metric in metrics}


def _encode_summary(summary: Summary, scales: Mapping[str, float]) -> Plain:
    minimum = summary.minimum
    rest: Plain = [summary.low - minimum, summary.median - minimum, summary.high - minimum]
    factor = scales[summary.metric] / summary.iterations
    total = summary.value / factor
    for decimals in _DECIMALS:
        low = round(total - minimum, decimals)
        steps = _steps((minimum + low) * factor, summary.value)
        if steps is not None and round(minimum + low) == summary.low:
            rest[0] = int(low) if low == int(low) else low
            if steps:
                rest.append(steps)
            break
    else:
        rest.append(summary.value)
    while rest and len(rest) < 4 and rest[-1] == 0:
        rest.pop()
    return [summary.metric, summary.rounds, summary.iterations, minimum, *rest]


def _decode_summary(item: Plain, scales: Mapping[str, float]) -> Summary:
    """Return the summary of its list; raises what a wrong shape raises."""
    metric, rounds, iterations, minimum, *rest = item
    low = rest[0] if rest else 0
    return Summary(
        metric=metric,
        rounds=rounds,
        iterations=iterations,
        minimum=minimum,
        low=round(minimum + low),
        median=minimum + (rest[1] if len(rest) > 1 else 0),
        high=minimum + (rest[2] if len(rest) > 2 else 0),
        value=_value(rest[3] if len(rest) > 3 else 0, (minimum + low) * (scales[metric] / iterations)),
    )


def _value(stored: float, derived: float) -> float:
    if not isinstance(stored, int):
        return stored
    for _ in range(abs(stored)):
        derived = math.nextafter(derived, math.copysign(math.inf, stored))
    return derived


def _steps(derived: float, value: float) -> int | None:
    """Return how many floats `value` lies above `derived`, None for more than a few."""
    return next((steps for steps in _STEPS if _value(steps, derived) == value), None)


class Records(Sequence[Record]):
    """The records of a run, each decoded when it is first asked for: a run has many and a question needs few."""

    __slots__ = ("_decoded", "_lines", "_scales")

    def __init__(self, lines: Sequence[Plain], scales: Mapping[str, float]) -> None:
        self._lines = lines
        self._scales = scales
        self._decoded: dict[int, Record] = {}

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Record, ...]: ...
    def __getitem__(self, index: int | slice) -> Record | tuple[Record, ...]:
        if isinstance(index, slice):
            return tuple(self[place] for place in range(len(self))[index])
        place = range(len(self))[index]
        record = self._decoded.get(place)
        if record is None:
            record = self._decoded[place] = decode_record(self._lines[place], self._scales)
        return record

    def __iter__(self) -> Iterator[Record]:
        return (self[place] for place in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (tuple, Records)):
            return NotImplemented
        return tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"<{len(self)} records>"
