"""What all tests share: an environment that does not depend on where they run."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# The same examples in each run, so that a failure belongs to a change; HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

_FOREIGN = ("PERFGUARD_", "GITHUB_", "CI_", "PYTEST_", "GIT_")


@pytest.fixture
def bare_environment(monkeypatch):
    """Take away what a developer or a CI service has set for perfguard, git or pytest."""
    for name in list(os.environ):
        if name.startswith(_FOREIGN) and name not in ("PYTEST_CURRENT_TEST", "PYTEST_VERSION"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("CI", raising=False)
