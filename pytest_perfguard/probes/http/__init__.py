"""Counts outgoing calls over HTTP, and says where in the user's code each came from."""

from __future__ import annotations

from pytest_perfguard.probes.http.probe import HttpProbe

__all__ = ["HttpProbe"]
