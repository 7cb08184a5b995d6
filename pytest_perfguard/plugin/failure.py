"""The failure of a test for what was measured in it."""

from __future__ import annotations

from _pytest.outcomes import Failed


class PerfguardFailed(Failed):
    """A test that was over its budget, or slower than its baseline; the message is all there is to read."""

    __module__ = "builtins"  # as pytest's own outcomes: short summaries show the message, not our package

    def __init__(self, message: str) -> None:
        super().__init__(message, pytrace=False)
