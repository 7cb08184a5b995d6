"""Counting the rows that a cursor gives, where its driver does not tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_perfguard.probes.watch.entry import Entry


class CountingCursor:
    """Stands in for a DB-API cursor, and counts what is fetched through it."""

    def __init__(self, cursor: Any, entry: Entry) -> None:
        self._perfguard_cursor = cursor
        self._perfguard_entry = entry

    def __getattr__(self, name: str) -> Any:
        return getattr(self._perfguard_cursor, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_perfguard_"):
            object.__setattr__(self, name, value)
        else:
            setattr(self._perfguard_cursor, name, value)

    def __iter__(self) -> Iterator[Any]:
        for row in self._perfguard_cursor:
            self._perfguard_entry.rows += 1
            yield row

    def fetchone(self) -> Any:
        """Return the next row, None where there is none."""
        row = self._perfguard_cursor.fetchone()
        self._perfguard_entry.rows += row is not None
        return row

    def fetchmany(self, *args: Any, **kwargs: Any) -> Any:
        """Return the next rows."""
        rows = self._perfguard_cursor.fetchmany(*args, **kwargs)
        self._perfguard_entry.rows += len(rows)
        return rows

    def fetchall(self) -> Any:
        """Return all further rows."""
        rows = self._perfguard_cursor.fetchall()
        self._perfguard_entry.rows += len(rows)
        return rows
