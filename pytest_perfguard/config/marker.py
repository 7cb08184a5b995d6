"""What markers and the ini key `perfguard_budgets` say: limits that must hold, and how to measure; no pytest in here.

A budget's value is a quantity ("20 ms", 3), a multiple of another measurement of the same run ("1.5x test_reference",
"150 % of test_reference"), or None, "off" or "none" to lift a budget that was set farther away.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pytest_perfguard import quantity
from pytest_perfguard.config import SETTINGS, Setting
from pytest_perfguard.config.names import unknown
from pytest_perfguard.config.resolve import Settings, check_range
from pytest_perfguard.config.tolerance import read_tolerances
from pytest_perfguard.errors import ConfigError
from pytest_perfguard.model import Budget, Method, Metric
from pytest_perfguard.model.metric import OF_TABLES
from pytest_perfguard.quantity import Unit

MEMORY_FLOOR = 2_000_000
"""Bytes; the kernel counts resident memory in steps, which are more than 5 % of less than this."""

NOT_BUDGETABLE = frozenset({"reference"})
"""Metrics that say something of the machine, not of the code."""


def parse_budgets(
    kwargs: Mapping[str, Any], args: tuple[Any, ...], *, metrics: Mapping[str, Metric], origin: str
) -> tuple[Budget, ...]:
    """Return the budgets of one `perf_budget(...)`: one for each keyword, which is the name of one of `metrics`.

    Budgets on statements may be a dict of tables: `queries={"orders": 2}`, which is written "queries[orders]" where the
    names of metrics are text. The keyword `name` restricts all of them to the measurement of that name. A budget that
    is to be lifted has neither limit nor factor; `merge` removes it with what it lifts. Raises `ConfigError` or
    `QuantityError`.
    """
    if args:
        raise ConfigError(
            f"perf_budget takes no positional arguments, and was given {len(args)} ({origin}); "
            "name the metric, for example time='20 ms'"
        )
    known = [name for name in metrics if name not in NOT_BUDGETABLE]
    measurement = kwargs.get("name")
    if measurement is not None and not (isinstance(measurement, str) and measurement.strip()):
        raise ConfigError(
            f"name must be the name of a measurement ({origin}); write it as text, or leave it out for all of them"
        )
    limits = [
        limit for metric, value in kwargs.items() if metric != "name" for limit in _by_table(metric, value, origin)
    ]
    for metric, _, _ in limits:
        if metric not in known:
            raise unknown("budget", metric, known, origin)
    if not limits:
        raise ConfigError(f"perf_budget sets no limit ({origin}); write for example time='20 ms'")
    return tuple(
        replace(_budget(metrics[metric], value, measurement=measurement, origin=origin), table=table)
        for metric, table, value in limits
    )


def _by_table(name: str, value: Any, origin: str) -> list[tuple[str, str, Any]]:
    """Return metric, table and limit of each limit that a keyword sets; the table is empty where there is none."""
    metric, bracket, table = name.partition("[")
    tables = value if isinstance(value, Mapping) else {table.removesuffix("]"): value} if bracket else None
    if tables is None:
        return [(name, "", value)]
    if metric not in OF_TABLES:
        raise ConfigError(f"{metric} cannot be limited by table ({origin}); these can: {', '.join(sorted(OF_TABLES))}")
    if not tables or not all(isinstance(key, str) and key.strip() for key in tables):
        raise ConfigError(
            f"{metric}= in {origin} is to be limited by table, and names none; write {metric}={{'orders': 2}}"
        )
    return [(metric, key.strip(), limit) for key, limit in tables.items()]


def merge(*levels: Iterable[Budget]) -> tuple[Budget, ...]:
    """Return the budgets that hold, by metric and measurement: the last level that has one decides, also to lift it.

    Give all levels at once, farthest first: a lifted budget is not in the result, so it cannot lift anything later.
    The result is sorted by metric and measurement.
    """
    nearest = {(budget.metric, budget.measurement or "", budget.table): budget for level in levels for budget in level}
    return tuple(nearest[key] for key in sorted(nearest) if not _lifts(nearest[key]))


def parse_default_budgets(
    lines: Iterable[str], origin: str, metrics: Mapping[str, Metric]
) -> tuple[tuple[str, tuple[Budget, ...]], ...]:
    """Return patterns and budgets of lines such as `tests/api/*: time=200 ms, queries=20`, in their order.

    Empty lines and those that begin with # are left out. Raises `ConfigError` or `QuantityError`.
    """
    table = []
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise ConfigError(
                f"cannot read the line {line.strip()!r:.100} ({origin}); "
                "write a pattern, a colon and budgets, for example 'tests/api/*: time=200 ms, queries=20'"
            )
        pattern = found["pattern"]
        place = f"{origin}, line {pattern!r}"
        limits: dict[str, str] = {}
        for part in _BETWEEN_BUDGETS.split(found["budgets"]):
            metric, _, value = (side.strip() for side in part.partition("="))
            if metric in limits:
                raise ConfigError(f"{metric!r} is given twice ({place}); drop one of them")
            quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
            limits[metric] = value[1:-1] if quoted else value
        budgets = parse_budgets(limits, (), metrics=metrics, origin=place)
        table.append((pattern, tuple(replace(budget, folder=True) for budget in budgets)))
    return tuple(table)


def defaults_for(nodeid: str, path: str, table: Iterable[tuple[str, tuple[Budget, ...]]]) -> tuple[Budget, ...]:
    """Return the default budgets of a test; where several patterns match, the later one wins for its metrics.

    A pattern is compared with the node id and with `path`, the test file's path with forward slashes. `*` stands for
    any text, slashes too, and `?` for one character; a folder, file, class or test without its parameters stands for
    everything in it. Brackets stand for themselves, since node ids have them.
    """
    return merge(*(budgets for pattern, budgets in table if _matches(pattern, nodeid) or _matches(pattern, path)))


def parse_method(
    markers: Sequence[Mapping[str, Any]],
    defaults: Settings,
    *,
    metrics: Mapping[str, Metric],
    origin: str = "marker perf",
    args: tuple[Any, ...] = (),
) -> Method:
    """Return how to measure, from the keywords of the `perf(...)` markers on a test, nearest first.

    For each keyword the nearest marker decides; None gives it back to `defaults`. The metrics that the settings ask
    for are measured besides the marker's. `args` are positional arguments of any of the markers, which are refused.
    Raises `ConfigError` or `QuantityError`.
    """
    if args:
        raise ConfigError(
            f"perf takes no positional arguments, and was given {len(args)} ({origin}); "
            f"name them: {', '.join(sorted(_KEYWORDS))}"
        )
    found: dict[str, Any] = {}
    for marker in markers:
        for key, raw in marker.items():
            if key not in _KEYWORDS:
                raise unknown("keyword of perf", key, _KEYWORDS, origin)
            if key in _METHOD_READERS:
                found.setdefault(key, None if raw is None else _METHOD_READERS[key](key, raw, origin))
    chosen: dict[str, Any] = {"target_time": defaults.target_time, "max_time": defaults.measurement_time}
    chosen.update({key: value for key, value in found.items() if value is not None})
    asked = ((name, origin) for name in found.get("metrics") or ())
    everywhere = ((name, defaults.origin("metrics")) for name in defaults.metrics)
    names: dict[str, None] = {}
    for name, place in (*asked, *everywhere):
        if name not in metrics:
            raise unknown("metric", name, metrics, place)
        names[name] = None
    tolerances = read_tolerances(defaults.tolerance, metrics=metrics, origin=defaults.origin("tolerance"))
    for marker in reversed(markers):
        tolerances.update(read_tolerances(marker.get("tolerance") or {}, metrics=metrics, origin=origin))
    return Method(**{**chosen, "metrics": tuple(names), "tolerance": tuple(sorted(tolerances.items()))})


_NUMBER = r"(?P<number>[0-9]+(?:\.[0-9]+)?)"
_MULTIPLE = re.compile(rf"{_NUMBER}\s*[x×](?:\s+(?P<reference>.+))?", re.DOTALL)
_SHARE = re.compile(rf"{_NUMBER}\s*%\s*of\b\s*(?P<reference>.*)", re.DOTALL)
_METRIC = r"[A-Za-z_]\w*(?:\[[\w.$]+\])?"
_LINE = re.compile(rf"(?P<pattern>.+?)\s*(?<!:):(?!:)\s*(?P<budgets>{_METRIC}\s*=.*)")
_BETWEEN_BUDGETS = re.compile(rf"\s*,\s*(?={_METRIC}\s*=)")
_OFF = frozenset({"off", "none"})


def _budget(metric: Metric, value: Any, *, measurement: str | None, origin: str) -> Budget:
    where = f"{metric.name}= in {origin}"
    budget = functools.partial(Budget, metric=metric.name, measurement=measurement, origin=origin)
    if value is None or (isinstance(value, str) and value.strip().casefold() in _OFF):
        return budget()
    if isinstance(value, str):
        multiple, share = _MULTIPLE.fullmatch(value.strip()), _SHARE.fullmatch(value.strip())
        found = multiple or share
        if found is not None:
            factor = float(found["number"]) / (100 if share else 1)
            reference = (found["reference"] or "").strip()
            if not reference:
                raise ConfigError(
                    f"{value!r:.80} ({where}) is relative to nothing; "
                    "name a test or a measurement of the same run: '1.5x test_reference'"
                )
            if not 0 < factor < 1e9:
                raise ConfigError(f"{value!r:.80} ({where}) has no usable factor; write '1.5x {reference}'")
            return budget(factor=factor, reference=reference)
    limit = quantity.parse(value, metric.unit, where=where)
    if metric.name == "memory" and limit < MEMORY_FLOOR:
        raise ConfigError(
            f"a memory budget of {quantity.render(limit, Unit.BYTES)} cannot be checked ({where}): less than about "
            "2 MB of resident memory is not told exactly; allow 2 MB or more, or bound what the call allocates (heap=, "
            "exact, with the extra memray), keeps (retained=) or returns (result_size=)"
        )
    return budget(limit=limit)


def _lifts(budget: Budget) -> bool:
    return budget.limit is None and budget.factor is None


def _matches(pattern: str, name: str) -> bool:
    return _expression(pattern).fullmatch(name) is not None


@functools.cache
def _expression(pattern: str) -> re.Pattern[str]:
    wildcards = {"*": ".*", "?": "."}
    body = "".join(wildcards.get(character) or re.escape(character) for character in pattern.rstrip("/"))
    return re.compile(rf"(?:{body})(?:(?:/|::|\[).*)?", re.DOTALL)


def _whole(least: int, key: str, raw: Any, origin: str) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise ConfigError(f"{key} is {_shown(raw)} ({origin}, {key}=); write a whole number, for example {key}=10")
    if not least <= raw <= _MOST:
        raise ConfigError(f"{key} is outside of {least} to {_MOST} ({origin}, {key}=); write for example {key}=10")
    return raw


def _time(key: str, raw: Any, origin: str) -> float:
    seconds = quantity.parse(raw, Unit.SECONDS, where=f"{key}= in {origin}")
    check_range(_BY_NAME[key], seconds, raw, origin)
    return seconds


def _ratio(key: str, raw: Any, origin: str) -> float:
    ratio = quantity.parse(raw, Unit.RATIO, where=f"{key}= in {origin}")
    check_range(_BY_NAME[key], ratio, raw, origin)
    return ratio


def _group(key: str, raw: Any, origin: str) -> str:
    if not isinstance(raw, str):
        raise ConfigError(f"{key} is {_shown(raw)} ({origin}, {key}=); write the group's name as text")
    return raw


def _switch(key: str, raw: Any, origin: str) -> bool:
    if not isinstance(raw, bool):
        raise ConfigError(f"{key} is {_shown(raw)} ({origin}, {key}=); write True or False")
    return raw


def _metrics(key: str, raw: Any, origin: str) -> tuple[str, ...]:
    names = [name.strip() for name in raw.split(",")] if isinstance(raw, str) else raw
    if not isinstance(names, (list, tuple, set, frozenset)) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{key} is {_shown(raw)} ({origin}, {key}=); write names: metrics=('memory', 'queries')")
    return tuple(sorted(names) if isinstance(names, (set, frozenset)) else names)


def _shown(raw: Any) -> str:
    return repr(raw) if isinstance(raw, (str, float, bool)) else f"a {type(raw).__name__}"


_MOST = 1_000_000_000
_BY_NAME: dict[str, Setting] = {setting.name: setting for setting in SETTINGS}
_BY_NAME["max_time"] = _BY_NAME["measurement_time"]
_METHOD_READERS: dict[str, Callable[[str, Any, str], Any]] = {
    "rounds": functools.partial(_whole, 1),
    "iterations": functools.partial(_whole, 1),
    "warmup": functools.partial(_whole, 0),
    "target_time": _time,
    "max_time": _time,
    "min_effect": _ratio,
    "group": _group,
    "gc": _switch,
    "metrics": _metrics,
}
_KEYWORDS = (*_METHOD_READERS, "tolerance")
"""Those of the marker `perf`. A tolerance is read by metric, so that each metric has it from its nearest marker."""
