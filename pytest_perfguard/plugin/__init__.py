"""The entry point of the pytest plugin: options, markers, the fixture, and what wakes the rest when it is needed.

Nothing here runs for each test. The guard, which does, is registered when the first guarded test is collected.
"""

from __future__ import annotations

import copy
import os
from typing import TYPE_CHECKING, Any

import pytest

from pytest_perfguard.config import SETTINGS

if TYPE_CHECKING:
    from pytest_perfguard.registry import Registry

_MARKERS = (
    "perf_budget(time=, cpu=, wall=, memory=, retained=, result_size=, queries=, reads=, writes=, round_trips=, "
    "duplicates=, n_plus_one=, batchable=, select_star=, rows=, unindexed=, query_p95=, slowest_query=, db_time=, "
    "connections_opened=, connections_leaked=, pool_in_use=, pool_wait_p95=, http_calls=, calls=, work=, "
    "instructions=, callgrind=, name=): "
    "limits that this test must keep, such as time='20 ms', queries=3, queries={'orders': 2}",
    "perf(rounds=, iterations=, warmup=, target_time=, max_time=, min_effect=, group=, gc=, metrics=, tolerance=): "
    "how this test is measured",
)

_COMPARE = "--perfguard-compare"


class Hooks:
    """Hooks for plugins and conftest files."""

    @pytest.hookspec
    def pytest_perfguard_register(self, registry: Registry) -> None:
        """Add instruments and reports to `registry`; called once in each process that measures or reports."""


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks of perfguard."""
    pluginmanager.add_hookspecs(Hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare every setting as an option, an ini key, or both."""
    group = parser.getgroup("perfguard", "performance budgets, baselines and verdicts")
    for setting in SETTINGS:
        if setting.flag is not None:
            group.addoption(setting.flag, **setting.option())
        if setting.ini is not None:
            parser.addini(setting.ini, setting.help, type=setting.ini_type, default=None)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    """Keep a bare `--perfguard-compare` from taking the path after it for a revision."""
    if _COMPARE not in args:
        return
    place = args.index(_COMPARE)
    following = args[place + 1] if place + 1 < len(args) else ""
    if "::" in following or os.path.lexists(following):
        args[place] = f"{_COMPARE}=auto"
        early_config.known_args_namespace = parser.parse_known_args(args, namespace=copy.copy(early_config.option))


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers; wake up at once where the user asked for something, or where workers will report."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    asked = any(getattr(config.option, setting.dest, None) is not None for setting in SETTINGS)
    asked = asked or any(os.environ.get(setting.environment or "") for setting in SETTINGS)
    if asked or has_workers(config):
        from pytest_perfguard.plugin.wake import wake

        wake(config)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Wake up where a test is guarded: by a marker, by the fixture, or by a budget for its folder."""
    if config.getini("perfguard_budgets") or any(is_guarded(item) for item in items):
        from pytest_perfguard.plugin.collect import collect

        collect(config, items)
    elif (guard := config.pluginmanager.get_plugin("perfguard_guard")) is not None and guard.settings.only:
        config.hook.pytest_deselected(items=items[:])
        items[:] = []


def has_workers(config: pytest.Config) -> bool:
    """Return whether this process hands its tests to workers of pytest-xdist."""
    # Not by xdist's plugin for it, which is registered before or after ours is configured, as the two were found.
    option = config.option
    return getattr(option, "dist", "no") != "no" and bool(getattr(option, "tx", None)) and not option.collectonly


def is_guarded(item: pytest.Item) -> bool:
    """Return whether a test asks to be guarded, by a marker or by the fixture."""
    return "perf" in getattr(item, "fixturenames", ()) or any(
        mark.name in ("perf_budget", "perf") for mark in item.iter_markers()
    )


@pytest.fixture
def perf(request: pytest.FixtureRequest) -> Any:
    """Measure calls, coroutines and blocks of a test: `perf(func, *args)`, `await perf.aio(…)`, `perf.span(name)`."""
    from pytest_perfguard.plugin.fixture import open_perf

    return open_perf(request)
