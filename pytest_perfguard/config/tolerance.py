"""What exact metrics may differ from a baseline without being called a regression, as users write it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pytest_perfguard import quantity
from pytest_perfguard.config.names import unknown
from pytest_perfguard.errors import ConfigError
from pytest_perfguard.model.metric import Metric, Nature, Tolerance
from pytest_perfguard.quantity import Unit


def read_tolerances(
    given: Mapping[str, Any] | Iterable[str], *, metrics: Mapping[str, Metric], origin: str
) -> dict[str, Tolerance]:
    """Return tolerances by metric, of `{"memory": "4 MiB"}` or of texts such as `memory=4 MiB`.

    A percentage is relative to the baseline, anything else an amount in the metric's unit; the chosen one stands in
    place of the metric's own, both of its parts. Raises `ConfigError` or `QuantityError`.
    """
    if isinstance(given, (str, bytes)) or not isinstance(given, (Mapping, list, tuple)):
        raise ConfigError(f"tolerance is a {type(given).__name__} ({origin}); write tolerance={{'memory': '4 MiB'}}")
    pairs = given.items() if isinstance(given, Mapping) else [_pair(item, origin) for item in given]
    exact = {name: metric for name, metric in metrics.items() if metric.nature is Nature.EXACT and metric.compared}
    found = {}
    for name, amount in pairs:
        if name in metrics and name not in exact:
            why = "is judged by statistics; its margin is min_effect" if metrics[name].compared else "has no baseline"
            raise ConfigError(f"{name} cannot have a tolerance ({origin}): it {why}")
        if name not in exact:
            raise unknown("metric", name, exact, origin)
        where = f"tolerance of {name}, {origin}"
        if isinstance(amount, str) and amount.rstrip().endswith("%"):
            found[name] = Tolerance(relative=quantity.parse(amount, Unit.RATIO, where=where))
        else:
            found[name] = Tolerance(absolute=quantity.parse(amount, exact[name].unit, where=where))
    return found


def _pair(item: str, origin: str) -> tuple[str, str]:
    name, equals, amount = (part.strip() for part in item.partition("="))
    if not (name and equals and amount):
        raise ConfigError(f"cannot use {item!r:.80} for tolerance ({origin}); write for example memory=4 MiB")
    return name, amount
