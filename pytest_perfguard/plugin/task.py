"""What collecting leaves on a test for running it: its task, or why it can have none."""

from __future__ import annotations

import pytest

from pytest_perfguard.model.task import Task

TASK = pytest.StashKey[Task]()

TROUBLE = pytest.StashKey[str]()
"""Why a test cannot be guarded as it asks to be; raised when it is set up."""


class Troubles:
    """Stands in for the guard where the settings could not be read: the tests say so, and nothing is measured."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Fail a test that cannot be guarded as it asks to be."""
        fail_on_trouble(item)


def fail_on_trouble(item: pytest.Item) -> None:
    """Raise what is wrong with the budgets of `item`, if anything is."""
    trouble = item.stash.get(TROUBLE, None)
    if trouble is not None:
        pytest.fail(f"perfguard: {trouble}", pytrace=False)
