"""What a call leaves behind beside memory: threads, tasks, files, sockets, processes, temporary files."""

from __future__ import annotations

from pytest_perfguard.probes.memory.leftovers.probe import LeftoverProbe

__all__ = ["LeftoverProbe"]
