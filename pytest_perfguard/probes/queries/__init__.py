"""Counts database statements, of sqlite3 and SQLAlchemy, and says where in the user's code each came from."""

from __future__ import annotations

from pytest_perfguard.probes.queries.fingerprint import fingerprint, tables
from pytest_perfguard.probes.queries.probe import QueryProbe, QueryTimeProbe
from pytest_perfguard.probes.queries.sources.sqlite3 import watch_connections

__all__ = ["QueryProbe", "QueryTimeProbe", "fingerprint", "tables", "watch_connections"]
