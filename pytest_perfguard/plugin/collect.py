"""From collected tests to tasks: which are guarded, by which budgets, measured how."""

from __future__ import annotations

import functools
import itertools
import re
from dataclasses import fields, replace

import pytest

from pytest_perfguard.config.marker import defaults_for, merge, parse_budgets, parse_method
from pytest_perfguard.errors import PerfguardError
from pytest_perfguard.model.budget import Budget, Method
from pytest_perfguard.model.metric import Metric
from pytest_perfguard.model.task import Task
from pytest_perfguard.plugin import is_guarded
from pytest_perfguard.plugin.guard import Guard
from pytest_perfguard.plugin.task import TASK, TROUBLE, Troubles
from pytest_perfguard.plugin.wake import wake

_METHOD = frozenset(field.name for field in fields(Method))
"""The keywords of the marker `perf`."""


def collect(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each guarded test its task, or its trouble, and put references before what refers to them."""
    try:
        guard = wake(config)
    except pytest.UsageError as error:
        if not hasattr(config, "workerinput"):
            raise
        # Raised in a worker, it would end the run without a word; so each guarded test says it.
        for item in filter(is_guarded, items):
            item.stash[TROUBLE] = str(error).removeprefix("perfguard: ")
        config.pluginmanager.register(Troubles(), "perfguard_troubles")
        return
    for item in items:
        _guard_item(item, guard)
    guarded = [item for item in items if TASK in item.stash or TROUBLE in item.stash]
    if guard.settings.only or guard.settings.skip:
        wanted = guarded if guard.settings.only else [item for item in items if item not in guarded]
        dropped = [item for item in items if item not in wanted]
        config.hook.pytest_deselected(items=dropped)
        items[:] = wanted
    _resolve_references(items)
    items[:] = _references_first(items)
    tasks = [item for item in items if TASK in item.stash]
    guard.engine.begin([item.stash[TASK] for item in tasks], queries=any(map(_names_queries, tasks)))


def _guard_item(item: pytest.Item, guard: Guard) -> None:
    metrics = guard.engine.registry.metrics
    path = item.nodeid.partition("::")[0]
    defaults = defaults_for(item.nodeid, path, guard.default_budgets)
    budget_markers = list(item.iter_markers("perf_budget"))
    method_markers = list(item.iter_markers("perf"))
    if not (defaults or budget_markers or method_markers or "perf" in getattr(item, "fixturenames", ())):
        return
    if not callable(getattr(item, "obj", None)):
        return  # a doctest, or a file of another kind: it has no body to measure
    origin = f"marker on {item.nodeid}"
    try:
        budgets = merge(
            defaults,
            *(_parse(marker, metrics, origin) for marker in reversed(budget_markers)),
        )
        method = parse_method(
            [marker.kwargs for marker in method_markers],
            guard.settings,
            metrics=metrics,
            origin=origin,
            args=tuple(argument for marker in method_markers for argument in marker.args),
        )
    except PerfguardError as error:
        item.stash[TROUBLE] = str(error)
        if any(marker.args or not marker.kwargs.keys() <= _METHOD for marker in method_markers):
            item.stash[TROUBLE] += "; if `perf` is a marker of your own with another meaning, give that another name"
        return
    # A bare `perf` asks for a measurement of time, and so does one that says how; a tolerance is for comparisons.
    explicit = any(not marker.kwargs or marker.kwargs.keys() - {"tolerance"} for marker in method_markers)
    item.stash[TASK] = Task(test=item.nodeid, budgets=budgets, method=method, explicit=explicit)


def _names_queries(item: pytest.Item) -> bool:
    """Return whether a test's own code speaks of `perf.queries`; where a function of its does, it is not known here."""
    code = getattr(getattr(item, "obj", None), "__code__", None)
    return "queries" in getattr(code, "co_names", ())


def _parse(marker: pytest.Mark, metrics: dict[str, Metric], origin: str) -> tuple[Budget, ...]:
    return parse_budgets(marker.kwargs, marker.args, metrics=metrics, origin=origin)


def _resolve_references(items: list[pytest.Item]) -> None:
    """Let a reference to a name that several tests have mean the nearest: in the same class, file or folder."""
    nodeids: dict[str, list[str]] = {}
    for item in items:
        nodeids.setdefault(item.name, []).append(item.nodeid)
    for item in items:
        task = item.stash.get(TASK, None)
        if task is None or not any(len(nodeids.get(budget.reference, ())) > 1 for budget in task.budgets):
            continue
        budgets = [
            replace(budget, reference=max(known, key=functools.partial(_kinship, item.nodeid)))
            if len(known := nodeids.get(budget.reference, [])) > 1
            else budget
            for budget in task.budgets
        ]
        item.stash[TASK] = replace(task, budgets=tuple(budgets))


def _kinship(one: str, other: str) -> int:
    """Return how many leading parts two node ids share."""
    pairs = zip(re.split("/|::", one), re.split("/|::", other), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _references_first(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return `items` in their order, but for tests that others refer to, which move before the first that does."""
    wanted = [
        (place, budget.reference)
        for place, item in enumerate(items)
        if (task := item.stash.get(TASK, None)) is not None
        for budget in task.budgets
        if budget.reference
    ]
    order = list(items)
    for place, reference in wanted:
        user = items[place]
        for item in items:
            if item is not user and reference in (item.nodeid, item.name) and order.index(item) > order.index(user):
                order.remove(item)
                order.insert(order.index(user), item)
    return order
