"""Waking up: settings are read and the guard is registered, once in a process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_perfguard.config import SETTINGS
from pytest_perfguard.config.marker import parse_default_budgets
from pytest_perfguard.config.names import unknown
from pytest_perfguard.config.resolve import Settings, resolve
from pytest_perfguard.errors import ConfigError, PerfguardError
from pytest_perfguard.plugin import has_workers
from pytest_perfguard.registry import Registry

if TYPE_CHECKING:
    from pytest_perfguard.plugin.guard import Guard

_NAME = "perfguard_guard"

LIVE_WORKER = "perfguard_live_worker"
"""The name of the plugin that makes this process a worker of a live comparison."""


def wake(config: pytest.Config) -> Guard:
    """Return the guard of this process, which is registered now if it was not; bad settings are a `UsageError`."""
    from pytest_perfguard.plugin.guard import Guard

    guard = config.pluginmanager.get_plugin(_NAME)
    if guard is None:
        try:
            registry = Registry(root=Path(config.rootpath))
            config.hook.pytest_perfguard_register(registry=registry)
            settings = read_settings(config)
            worker = config.pluginmanager.get_plugin(LIVE_WORKER)
            make_guard = Guard if worker is None else worker.make_guard
            settings = settings if worker is None else worker.adapt(settings)
            registry.tables = settings.tables
            for name, _ in settings.report:
                registry.reporter(name, settings.origin("report"))
            for name in settings.metrics:
                if name not in registry.metrics:
                    raise unknown("metric", name, registry.metrics, settings.origin("metrics"))
            budgets = parse_default_budgets(settings.budgets, settings.origin("budgets"), registry.metrics)
            guard = make_guard(config, settings, registry, budgets)
            if not hasattr(config, "workerinput") and not settings.disable:
                guard.engine.check()
                if settings.against is not None:
                    from pytest_perfguard.live.preparation import check

                    check(settings.against, root=Path(config.rootpath), cwd=Path(config.invocation_params.dir))
        except PerfguardError as error:
            if guard is not None:
                guard.engine.close()
            raise pytest.UsageError(f"perfguard: {error}") from None
        config.pluginmanager.register(guard, _NAME)
        if guard.settings.queries:
            from pytest_perfguard.plugin.survey import Survey

            config.pluginmanager.register(Survey(config, guard), "perfguard_survey")
        if guard.settings.against is not None and not guard.settings.disable:
            if has_workers(config) or hasattr(config, "workerinput"):
                raise pytest.UsageError(
                    f"perfguard: a comparison side by side ({guard.settings.origin('against')}) starts processes of "
                    "its own, which take turns; workers of pytest-xdist would disturb it, so run it with -n 0"
                )
            from pytest_perfguard.plugin.live import LiveComparison

            config.pluginmanager.register(LiveComparison(config, guard), "perfguard_live")
    assert isinstance(guard, Guard)
    return guard


def read_settings(config: pytest.Config) -> Settings:
    """Return the settings of this run; raises `ConfigError`."""
    path = Path(config.inipath).name if config.inipath is not None else "the ini file"
    ini: dict[str, Any] = {}
    for setting in SETTINGS:
        if setting.ini is not None:
            try:
                ini[setting.ini] = config.getini(setting.ini)
            except (TypeError, ValueError, pytest.UsageError) as error:
                raise ConfigError(f"{setting.ini} in {path} cannot be read: {error}") from None
    return resolve(options=vars(config.option), environment=os.environ, ini=ini, ini_path=path)
