"""What a call allocates, to the byte, by memray."""

from __future__ import annotations

from pytest_perfguard.probes.memory.heap.probe import HeapProbe

__all__ = ["HeapProbe"]
