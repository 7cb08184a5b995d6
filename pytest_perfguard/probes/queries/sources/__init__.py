"""The libraries whose statements can be seen, one module each; none of them imports its library."""

from __future__ import annotations

from pytest_perfguard.probes.queries.sources.aiosqlite import AiosqliteSource
from pytest_perfguard.probes.queries.sources.sqlalchemy import SQLAlchemySource
from pytest_perfguard.probes.queries.sources.sqlite3 import Sqlite3Source
from pytest_perfguard.probes.watch.source import Source

SOURCES: tuple[Source, ...] = (Sqlite3Source(), AiosqliteSource(), SQLAlchemySource())
"""Drivers first: what is installed later may call down into what was installed before."""
