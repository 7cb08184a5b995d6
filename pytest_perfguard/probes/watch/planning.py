"""Carrying out what a planner wants to ask, on the connection that is about to execute a statement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pytest_perfguard.probes.watch.entry import Entry
from pytest_perfguard.probes.watch.tape import Tape


def ask_by_cursor(
    tape: Tape, entry: Entry, parameters: object, open_cursor: Callable[[], Any], *, in_transaction: bool
) -> None:
    """Let the tape's planner, if it has one, ask through cursors of a DB-API connection; nothing of it is written down.

    `open_cursor` returns a new cursor, which is closed again. `in_transaction` tells whether the connection is in one,
    or will open one by itself.
    """
    planner = tape.planner
    if planner is None:
        return

    def run(text: str, values: object) -> Sequence[Sequence[Any]]:
        cursor = open_cursor()
        try:
            if values is None:
                cursor.execute(text)
            else:
                cursor.execute(text, values)
            return list(cursor.fetchall()) if cursor.description else []
        finally:
            cursor.close()

    with tape.layer():
        planner.ask(entry, parameters, run, in_transaction=in_transaction)
