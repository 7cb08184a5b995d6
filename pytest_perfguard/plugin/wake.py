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
from pytest_perfguard.registry import Registry

if TYPE_CHECKING:
    from pytest_perfguard.plugin.guard import Guard

_NAME = "perfguard_guard"


def wake(config: pytest.Config) -> Guard:
    """Return the guard of this process, which is registered now if it was not; bad settings are a `UsageError`."""
    from pytest_perfguard.plugin.guard import Guard

    guard = config.pluginmanager.get_plugin(_NAME)
    if guard is None:
        try:
            registry = Registry(root=Path(config.rootpath))
            config.hook.pytest_perfguard_register(registry=registry)
            settings = read_settings(config)
            for name, _ in settings.report:
                registry.reporter(name, settings.origin("report"))
            for name in settings.metrics:
                if name not in registry.metrics:
                    raise unknown("metric", name, registry.metrics, settings.origin("metrics"))
            budgets = parse_default_budgets(settings.budgets, settings.origin("budgets"), registry.metrics)
            guard = Guard(config, settings, registry, budgets)
            if not hasattr(config, "workerinput") and not settings.disable:
                guard.engine.check()
        except PerfguardError as error:
            if guard is not None:
                guard.engine.close()
            raise pytest.UsageError(f"perfguard: {error}") from None
        config.pluginmanager.register(guard, _NAME)
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
