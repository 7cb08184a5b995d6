"""Follows sqlite3 connections by SQLite's own trace, for what does not pass through a method of ours."""

from __future__ import annotations

import gc
import re
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from threading import get_ident
from typing import Any

from pytest_perfguard.model import Note
from pytest_perfguard.model.metric import QUERIES, READS, WRITES
from pytest_perfguard.probes.watch.tape import Tape

UNDERMINED = (QUERIES.name, READS.name, WRITES.name)
"""What cannot be trusted where statements may have gone unseen."""

_WRITE = re.compile(r"\s*(?:INSERT|UPDATE|DELETE|REPLACE|WITH)\b", re.IGNORECASE)
_CONTROL = re.compile(r"\s*(?:BEGIN|COMMIT|ROLLBACK(?!\s+TO))\b", re.IGNORECASE)


class Tracer:
    """Sets trace callbacks and takes them away, and puts back the user's own, which is called meanwhile.

    A trace tells less than a call does: `executemany` shows as one statement per row, and SQLite repeats a statement
    for each trigger and each foreign key's action that it sets off. The second can be told where the database has such
    things; the first is remarked upon. What a method of ours has written down is not written down again.
    """

    def __init__(self, tape: Tape) -> None:
        self.busy: set[tuple[int, int]] = set()
        """Threads and ids of connections that execute what a method of ours has written down."""
        self.thread = get_ident()
        """The one that will take the callbacks away: a connection lets no other do so, unless its user allows it."""
        self.known: set[int] = set()
        """Ids of connections that were open before, or were opened in a way that is seen."""
        self.tape = tape
        self.held: list[Any] = []
        """Known ones, kept for the block: one that is opened in it could be taken for them, by its id."""
        self.traces: dict[int, _Trace] = {}
        """The callbacks by the ids of their connections."""
        self.pausable: dict[int, _Trace] = {}
        """Those that can be off while a method of ours executes, since SQLite writes each text out for them with its
        values; but for those that are off just now."""
        self._followed: list[_Trace] = []
        self._set: Callable[..., None] = sys.modules["sqlite3"].Connection.set_trace_callback

    def follow(self, connection: Any, *, watched: bool) -> bool:
        """Let the statements of `connection` run past the tape; False where its thread forbids that.

        `watched` connections are those that have methods of ours.
        """
        if not watched:  # those of ours are told by their class
            self.known.add(id(connection))
        before = gc.get_referents(connection)
        trace = _Trace(self.tape, self.busy, connection, self._forget, watched=watched)
        try:
            self._set(connection, trace)
        except Exception:  # noqa: BLE001 - sqlite3.ProgrammingError, without importing sqlite3
            return follows(connection)
        users = _missing(before, gc.get_referents(connection))
        trace.users = users.users if isinstance(users, _Trace) else users
        self._followed.append(trace)
        self.traces[id(connection)] = trace
        if watched and trace.users is None:
            self.pausable[id(connection)] = trace
        if not watched:
            self.held.append(connection)
        return True

    def resume(self, connection: Any, trace: _Trace) -> None:
        """Put a callback on again that was taken out of `pausable` and off."""
        if trace.ended:  # in another thread, or by a callback of the user's
            return
        self.pausable[id(connection)] = trace
        try:  # noqa: SIM105 - `suppress` costs more than all of this
            self._set(connection, trace)
        except Exception:  # noqa: BLE001, S110 - it was closed meanwhile
            pass

    def yield_to_user(self, connection: Any) -> None:
        """Leave `connection` to the callback that its user has set just now."""
        self.pausable.pop(id(connection), None)
        trace = self.traces.get(id(connection))
        if trace is not None:
            trace.ended = True

    def _forget(self, key: int, _reference: object) -> None:
        self.pausable.pop(key, None)
        self.traces.pop(key, None)

    def release(self) -> None:
        """Take all callbacks away."""
        self.held.clear()
        self.pausable.clear()
        self.traces.clear()
        while self._followed:
            trace = self._followed.pop()
            trace.ended = True
            connection = trace.connection()
            try:
                connection.in_transaction  # noqa: B018 - raises where it was closed meanwhile
                if trace in gc.get_referents(connection):
                    self._set(connection, trace.users)
                elif not trace.watched:
                    self.tape.remark(_REPLACED)
            except Exception:  # noqa: BLE001, S112
                continue


@contextmanager
def silence(connection: Any) -> Iterator[None]:
    """Keep what is executed in the block from any trace callback of `connection`, the user's too."""
    before = gc.get_referents(connection)
    set_callback = sys.modules["sqlite3"].Connection.set_trace_callback
    set_callback(connection, None)
    callback = _missing(before, gc.get_referents(connection))
    try:
        yield
    finally:
        set_callback(connection, callback)


def follows(connection: Any) -> bool:
    """Return whether a callback of ours is on `connection`."""
    return any(type(found) is _Trace for found in gc.get_referents(connection))


class _Trace:
    def __init__(
        self,
        tape: Tape,
        busy: set[tuple[int, int]],
        connection: Any,
        forget: Callable[[int, object], None],
        *,
        watched: bool,
    ) -> None:
        self.users: Callable[[str], object] | None = None
        self.watched = watched
        self.connection: Callable[[], Any] = _refer(connection, forget)
        self._identity = id(connection)
        self._tape = tape
        self._busy = busy
        self._last: tuple[str, int, int] = ("", 0, 0)
        self.ended = False
        """Whether it is not to be set again."""

    def __call__(self, sql: str) -> None:
        self._record(sql)
        if self.users is not None:
            self.users(sql)

    def _record(self, sql: str) -> None:
        tape = self._tape
        identity = self._identity
        if tape.hidden() or (get_ident(), identity) in self._busy:
            return
        if sql.startswith("-- ") and all(line.startswith("-- ") for line in sql.split("\n")):
            return  # SQLite's way to show what a statement runs for itself: full-text search, R-trees
        if self.watched and _CONTROL.match(sql):
            return  # of its `commit` and the like: these are not written down for any connection of ours
        frame = sys._getframe(2)
        last = self._last
        self._last = (sql, id(frame), frame.f_lasti)
        again = self._last[1:] == last[1:]
        doubtful = again and sql == last[0] and _WRITE.match(sql) is not None
        if again and "executemany" in frame.f_code.co_names:
            tape.remark(_ROWS)
        if tape.counts_rows:
            tape.remark(_UNCOUNTED_ROWS)
        if tape.planner is not None:
            tape.remark(_UNPLANNED)
        entry = tape.write(sql, None, dialect="sqlite", driver="sqlite3")
        if doubtful:
            entry.counts = self._counts

    def _counts(self) -> bool:
        return not self._repeats_itself

    @cached_property
    def _repeats_itself(self) -> bool:
        with self._tape.layer():
            return _has_actions(self.connection())


def _refer(connection: Any, forget: Callable[[int, object], None]) -> Callable[[], Any]:
    try:
        return weakref.ref(connection, partial(forget, id(connection)))
    except TypeError:  # one of sqlite3's own type
        return lambda: connection


def _missing(before: Iterable[object], after: Iterable[object]) -> Any:
    """Return the callable that `before` has and `after` has not: sqlite3 cannot be asked for it."""
    left = Counter(map(id, after))
    for found in before:
        left[id(found)] -= 1
        if left[id(found)] < 0 and callable(found):
            return found
    return None


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


_REMEDY = "open it in the measured call, or in a fixture of a test that has a query budget"
_ROWS = Note(
    code="executemany-rows",
    message="a sqlite3 connection or cursor had been made before the measured call: each row of executemany counts as "
    "one",
    remedy=_REMEDY,
)
_UNCOUNTED_ROWS = Note(
    code="uncounted-rows",
    message="a sqlite3 connection or cursor had been made before the measured call: its rows were not counted",
    remedy=_REMEDY,
    undermines=("rows",),
)
_UNPLANNED = Note(
    code="no-plans",
    message="a sqlite3 connection or cursor had been made before the measured call: it was not asked for plans",
    remedy=_REMEDY,
    undermines=("unindexed",),
)
_REPLACED = Note(
    code="unseen-connection",
    message="the measured call set a trace callback on a sqlite3 connection that had been open before: what followed "
    "was not seen",
    remedy=_REMEDY,
    undermines=UNDERMINED,
)
