"""pytest-perfguard: performance budgets, baselines per commit and statistically sound verdicts for pytest.

The public names are loaded when they are first used, so that a suite without guarded tests pays nothing for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_perfguard.errors import PerfguardError, PerfguardWarning
    from pytest_perfguard.model import Measurement, Metric, Outcome, Run, Verdict
    from pytest_perfguard.model.protocols import Lineage, Probe, Reporter, Store
    from pytest_perfguard.plugin.fixture import Perf

__version__ = "0.1.0"

__all__ = [
    "Lineage",
    "Measurement",
    "Metric",
    "Outcome",
    "Perf",
    "PerfguardError",
    "PerfguardWarning",
    "Probe",
    "Reporter",
    "Run",
    "Store",
    "Verdict",
    "__version__",
]

_HOMES = {
    "pytest_perfguard.errors": ("PerfguardError", "PerfguardWarning"),
    "pytest_perfguard.model": ("Measurement", "Metric", "Outcome", "Run", "Verdict"),
    "pytest_perfguard.model.protocols": ("Lineage", "Probe", "Reporter", "Store"),
    "pytest_perfguard.plugin.fixture": ("Perf",),
}


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
