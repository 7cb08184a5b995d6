"""The peak of resident memory during a call, read in a copy of the process where that is safe."""

from __future__ import annotations

from pytest_perfguard.probes.memory.peak.probe import PeakProbe

__all__ = ["PeakProbe"]
