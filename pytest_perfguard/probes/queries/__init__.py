"""Counts database statements, of sqlite3 and SQLAlchemy, and says where in the user's code each came from."""

from __future__ import annotations

import sys
from collections.abc import Callable

from pytest_perfguard.probes.queries.fingerprint import fingerprint, tables
from pytest_perfguard.probes.queries.probe import QueryProbe, QueryTimeProbe
from pytest_perfguard.probes.queries.sources import sqlite3

__all__ = ["QueryProbe", "QueryTimeProbe", "fingerprint", "tables", "watch_connections"]


def watch_connections() -> Callable[[], None]:
    """Let what drivers written in C open from now on be seen entirely by later blocks; return what ends this.

    For fixtures, which open connections and make cursors before a block starts. It records nothing.
    """
    ends = [sqlite3.watch_connections()]
    if "psycopg2" in sys.modules:
        from pytest_perfguard.probes.queries.sources import psycopg2

        ends.append(psycopg2.watch_connections())

    def end() -> None:
        for each in ends:
            each()

    return end
