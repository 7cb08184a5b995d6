"""Asks for plans on a sqlite3 connection, unseen by whatever its user has set on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_perfguard.probes.queries.sources.sqlite3_trace import silence
from pytest_perfguard.probes.watch.entry import Entry
from pytest_perfguard.probes.watch.tape import Tape


def ask(tape: Tape, entry: Entry, parameters: object, cursor: Any, plain_cursor: Any) -> None:
    """Let the tape's planner ask about `entry`, which `cursor` is about to execute."""
    planner = tape.planner
    connection = getattr(cursor, "connection", None)
    if planner is None or connection is None:
        return

    def run(text: str, values: Any) -> Sequence[Sequence[Any]]:
        # A cursor made by its type has no row factory, and is of no type of ours or the user's.
        asking = plain_cursor(connection)
        factory = connection.text_factory
        with silence(connection):
            connection.text_factory = str
            try:
                rows: list[tuple[Any, ...]] = asking.execute(text, values or ()).fetchall()
            finally:
                connection.text_factory = factory
                asking.close()
        return rows

    with tape.layer():
        planner.ask(entry, parameters, run, in_transaction=connection.in_transaction)
