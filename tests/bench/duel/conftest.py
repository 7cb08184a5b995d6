"""Lets the tests of all contestants alternate, and writes down how long each test took and what timeit said."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

SECONDS: dict[str, float] = defaultdict(float)
PER_CALL: dict[str, float] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests by turns: all contestants once, then all of them again."""
    items.sort(key=lambda item: item.callspec.params["turn"])  # type: ignore[attr-defined]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up the phases of a test."""
    SECONDS[report.nodeid] += report.duration


def pytest_sessionfinish() -> None:
    """Write what was gathered to the file that DUEL_OUTPUT names."""
    found = {"seconds": SECONDS, "per_call": PER_CALL}
    Path(os.environ["DUEL_OUTPUT"]).write_text(json.dumps(found), encoding="utf-8")


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[float], None]:
    """Keep the time of one call, in seconds, as this test's result."""

    def keep(seconds: float) -> None:
        PER_CALL[request.node.nodeid] = seconds

    return keep
