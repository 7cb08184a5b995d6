"""One suite for two plugins: `measure` is the fixture `perf`, or `benchmark` where WORKLOAD_FIXTURE says so."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

if os.environ.get("WORKLOAD_FIXTURE", "perf") == "benchmark":

    @pytest.fixture
    def measure(benchmark: Callable[..., Any]) -> Callable[..., Any]:
        """Measure with pytest-benchmark."""
        return benchmark

else:

    @pytest.fixture
    def measure(perf: Callable[..., Any]) -> Callable[..., Any]:
        """Measure with pytest-perfguard."""
        return perf
