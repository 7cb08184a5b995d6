"""Follows sqlite3 connections that were open before anything recorded, by SQLite's own trace."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

from pytest_perfguard.model import Note
from pytest_perfguard.probes.queries.tape import Tape

_WRITE = re.compile(r"\s*(?:INSERT|UPDATE|DELETE|REPLACE|WITH)\b", re.IGNORECASE)


class Tracer:
    """Sets trace callbacks and takes them away.

    A trace tells less than a call does: `executemany` shows as one statement per row, and SQLite repeats a statement
    for each trigger and each foreign key's action that it sets off. The second can be told where the database has such
    things; the first is remarked upon. A trace callback of the user's own is lost: sqlite3 cannot be asked for it.
    """

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._followed: list[Any] = []
        self.unseen = 0

    def follow(self, connection: Any) -> None:
        """Let the statements of `connection` run past the tape; counts it as unseen where its thread forbids that."""
        try:
            connection.set_trace_callback(self._callback(connection))
        except Exception:  # noqa: BLE001 - sqlite3.ProgrammingError, without importing sqlite3
            self.unseen += 1
        else:
            self._followed.append(connection)

    def release(self) -> None:
        """Take all callbacks away."""
        while self._followed:
            connection = self._followed.pop()
            try:
                connection.set_trace_callback(None)
            except Exception:  # noqa: BLE001, S112 - it was closed meanwhile
                continue

    def _callback(self, connection: Any) -> Callable[[str], None]:
        tape = self._tape
        identity = id(connection)
        last: tuple[str, int, int] = ("", 0, 0)

        @cache
        def repeats_itself() -> bool:
            with tape.layer():
                return _has_actions(connection)

        def counts() -> bool:
            return not repeats_itself()

        def traced(sql: str) -> None:
            nonlocal last
            if tape.hidden() or identity in tape.handled:
                return
            frame = sys._getframe(1)
            place = (sql, id(frame), frame.f_lasti)
            again = place[1:] == last[1:]
            doubtful = again and sql == last[0] and _WRITE.match(sql) is not None
            if again and "executemany" in frame.f_code.co_names:
                tape.remark(_ROWS)
            last = place
            tape.write(sql, None, dialect="sqlite", driver="sqlite3", counts=counts if doubtful else None)

        return traced


def _has_actions(connection: Any) -> bool:
    try:
        cursor = connection.cursor()
        cursor.row_factory = None
        triggers = "SELECT 1 FROM {} WHERE type = 'trigger' LIMIT 1"
        return any(
            cursor.execute(question).fetchone() not in (None, (0,))
            for question in (
                "PRAGMA foreign_keys",
                triggers.format("sqlite_master"),
                triggers.format("sqlite_temp_master"),
            )
        )
    except Exception:  # noqa: BLE001 - closed or locked: rather count once too often
        return False


_ROWS = Note(
    code="executemany-rows",
    message="a sqlite3 connection had been open before the measured call: each row of executemany counts as one",
    remedy="open it in the measured call, or in a fixture of a test that has a query budget",
)
