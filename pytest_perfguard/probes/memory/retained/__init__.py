"""What every call leaves allocated: how much, what it is, and who holds it."""

from __future__ import annotations

from pytest_perfguard.probes.memory.retained.probe import RetainedProbe

__all__ = ["RetainedProbe"]
