"""What all tests share: an environment that does not depend on where they run."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

# The same examples in each run, so that a failure belongs to a change; HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

# What starts the suite in the background, or under nohup, lets it ignore these, and so all processes that it starts;
# tests that send them would then wait in vain.
for _signal, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (getattr(signal, "SIGHUP", None), signal.SIG_DFL),
):
    if _signal is not None and signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, _handler)

_FOREIGN = ("PERFGUARD_", "GITHUB_", "CI_", "PYTEST_", "GIT_")


@pytest.fixture
def bare_environment(monkeypatch):
    """Take away what a developer or a CI service has set for perfguard, git or pytest."""
    for name in list(os.environ):
        if name.startswith(_FOREIGN) and name not in ("PYTEST_CURRENT_TEST", "PYTEST_VERSION"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("CI", raising=False)
