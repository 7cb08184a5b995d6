"""Asks databases for their plans: which filters and joins no index can serve, and which index would."""

from __future__ import annotations

from pytest_perfguard.probes.queries.plans.planner import IndexPlanner

__all__ = ["IndexPlanner"]
