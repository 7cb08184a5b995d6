"""One suite for two plugins: `measure` is the fixture `perf` or `benchmark`, and `units` is the amount of work.

Each measured function does `units` equal pieces of work: 100, or WORKLOAD_FACTOR times as many. So a factor of 1.1
makes its time 1.1 times as long, but for the cost of the call around the pieces: about 6 % of the smallest
workload, so that it becomes 1.094 times as long, and less than 1 % of the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

UNITS = 100

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


@pytest.fixture
def units() -> int:
    """Return how many pieces of work a measured function does."""
    return round(UNITS * float(os.environ.get("WORKLOAD_FACTOR", "1")))
