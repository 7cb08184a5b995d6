"""The workloads as tests for pytest-perfguard and pytest-benchmark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench_subject.size import UNITS
from bench_subject.workloads import WORKLOADS


@pytest.mark.parametrize("name", WORKLOADS)
def test_workload(name: str, measure: Callable[..., Any], tmp_path: Path) -> None:
    with WORKLOADS[name](UNITS, tmp_path) as work:
        measure(work)
