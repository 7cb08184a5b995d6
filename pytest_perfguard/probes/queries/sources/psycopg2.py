"""psycopg2: every cursor and connection, also of subclasses, and those that were open before."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable
from itertools import compress
from typing import Any
from weakref import WeakKeyDictionary

from pytest_perfguard.probes.queries.sources.postgresql import unseen_note
from pytest_perfguard.probes.queries.sources.psycopg2_classes import classes, hand_out, topmost, with_subclasses
from pytest_perfguard.probes.queries.sources.psycopg2_methods import DRIVER, Methods
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.tape import Tape


class Psycopg2Source:
    """Hands out cursors of a subclass of its own, and replaces the methods of all subclasses.

    psycopg2's types, written in C, cannot be changed; whatever is written in Python can: psycopg2's own subclasses and
    the user's. Connections that are open make cursors of the subclass for the time of the block. Cursors of the plain
    type that executed something in the block are named in a note, and so are connections that were opened past
    `connect`. What connections of the plain type commit is not shown, and large objects are no statements.
    """

    name = "psycopg2"
    module = "psycopg2"

    def installed(self) -> bool:
        """Return whether psycopg2 is loaded, entirely."""
        module = sys.modules.get("psycopg2")
        return hasattr(module, "connect") and hasattr(module, "_connect") and "psycopg2.extensions" in sys.modules

    def install(self, tape: Tape) -> Callable[[], None]:
        """Watch all subclasses, what opens connections, and what is open."""
        return _Block(tape).end


def watch_connections() -> Callable[[], None]:
    """Let cursors that psycopg2 makes from now on be seen by later blocks; return what ends this.

    For what makes them before a block starts: fixtures. It records nothing. Where psycopg2 is not loaded, it does
    nothing.
    """
    return hand_out() if Psycopg2Source().installed() else lambda: None


class _Block:
    """What was replaced for a block, and what there was before."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._release = hand_out()
        self._patches = Patches()
        self._methods = Methods(self._patches, tape)
        self._watched: set[type] = set()
        self._factories: WeakKeyDictionary[Any, tuple[Any, Any]] = WeakKeyDictionary()
        """Connections of the plain type, what made their cursors, and what does so now."""
        for kind in topmost(classes().plain_connection):
            self._methods.watch_connection(kind, self._seen)
        for kind in topmost(classes().plain_cursor):
            self._watch_cursor(kind)
        self._patches.wrap(sys.modules["psycopg2"], "_connect", self._connecting)
        connections, self._cursors = _plain_ones({classes().plain_cursor})
        self._queries = [cursor.query for cursor in self._cursors]
        for connection in connections:
            self._follow(connection)

    def end(self) -> None:
        """Put everything back, and remark what was not seen."""
        for connection, (before, now) in list(self._factories.items()):
            if connection.cursor_factory is now:
                connection.cursor_factory = before
        self._patches.undo()
        self._release()
        unseen = set(with_subclasses(classes().plain_cursor)) - self._seen_kinds()
        connections, cursors = _plain_ones(unseen)
        known = dict(zip(map(id, self._cursors), self._queries, strict=True))
        used = sum(cursor.query is not known.get(id(cursor)) for cursor in cursors)
        if used:
            self._tape.remark(_unseen_cursors(used))
        past = sum(connection not in self._factories and not connection.closed for connection in connections)
        if past:
            self._tape.remark(_past(past))

    def _seen_kinds(self) -> set[type]:
        return {each for kind in self._watched for each in with_subclasses(kind)}

    def _watch_cursor(self, kind: type) -> None:
        self._watched.add(kind)
        self._methods.watch_cursor(kind)

    def _seen(self, connection: Any, made: Any) -> Any:
        """Return what is seen in the place of a cursor that `connection` made; its class may be new."""
        cursor = classes().refine(connection, made)
        for kind in type(cursor).__mro__:
            if kind in self._watched:
                break
        else:
            for kind in set(topmost(classes().plain_cursor)) - self._watched:
                self._watch_cursor(kind)
        return cursor

    def _follow(self, connection: Any) -> None:
        """Let a connection of the plain type make cursors that are seen, as long as the block lasts."""
        before = connection.cursor_factory
        now = before
        if before is None or before is classes().plain_cursor:
            now = classes().cursor
        elif not isinstance(before, type):

            def now(connection: Any, *args: Any) -> Any:
                return self._seen(connection, before(connection, *args))

        connection.cursor_factory = now
        self._factories[connection] = before, now

    def _connecting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def _connect(*args: Any, **kwargs: Any) -> Any:
            connection = original(*args, **kwargs)
            if type(connection) is classes().plain_connection:  # a function was given to make it
                self._follow(connection)
            if not self._tape.hidden():
                self._tape.opened(DRIVER, connection, _is_open)
            return connection

        return _connect


def _is_open(connection: Any) -> bool:
    return not connection.closed


def _plain_ones(kinds: Iterable[type]) -> tuple[list[Any], list[Any]]:
    """Return all connections of the plain type, and all cursors of `kinds`."""
    plain = classes().plain_connection
    wanted = {plain, *kinds}
    # Instances of types that are written in C do not refer to these: there is no shorter way to them.
    everything = gc.get_objects()
    found = list(compress(everything, map(wanted.__contains__, map(type, everything))))
    return [each for each in found if type(each) is plain], [each for each in found if type(each) is not plain]


def _unseen_cursors(count: int) -> Any:
    plural = "cursors" if count > 1 else "cursor"
    return unseen_note(
        "unseen-cursor",
        f"{count} psycopg2 {plural} executed statements that cannot be seen, being of the type that is written in C",
        "make the cursor in the measured call, or in a fixture of a test that has a query budget",
    )


def _past(count: int) -> Any:
    plural = "connections were" if count > 1 else "connection was"
    return unseen_note(
        "unseen-opening",
        f"{count} psycopg2 {plural} opened past psycopg2.connect, and cannot be seen",
        "open it with psycopg2.connect",
    )
