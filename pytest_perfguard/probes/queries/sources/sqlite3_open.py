"""Connections of sqlite3 that are open: those that were handed out, and those that came another way."""

from __future__ import annotations

import functools
import gc
import itertools
import sys
import weakref
from collections.abc import Iterator
from contextlib import suppress
from types import BuiltinMethodType
from typing import Any

from pytest_perfguard.probes.queries.sources.sqlite3_trace import Tracer, follows


class OpenConnections:
    """Finds open connections, without going through all objects where there can be no others than those it knows.

    `plain` classes are sqlite3's own, `watched` ones those of ours.
    """

    def __init__(self, *, plain: Any, plain_cursor: Any, watched: Any, watched_cursor: Any) -> None:
        self._plain = plain
        self._plain_cursor = plain_cursor
        self._watched = watched
        self._watched_cursor = watched_cursor
        self._known: dict[int, weakref.ref[Any]] = {}
        self._counts: list[tuple[int, int]] = []
        self._looked_in = -1
        self.era = 0
        """Grows each time that `connect` begins to be watched."""

    def follow(self, tracer: Tracer) -> int:
        """Let `tracer` follow all open connections; return how many there are that cannot be seen."""
        refused = [
            connection
            for connection in itertools.chain(self._opened(), self._others())
            if not tracer.follow(connection, watched=isinstance(connection, self._watched))
        ]
        unseen = 0
        while refused:
            # Its own cache of statements refers to a connection: one that was let go unclosed waits for the collector.
            own = sum(1 for found in gc.get_referrers(refused[-1]) if _is_cache(found))
            if sys.getrefcount(refused[-1]) - 2 > own:
                unseen += not isinstance(refused[-1], self._watched) or self._bypassed(refused[-1])
            tracer.held.append(refused.pop())  # or one that is opened in the block could be taken for it, by its id
        return unseen

    def count_past(self, tracer: Tracer) -> int:
        """Return how many connections are open now that went past `connect`, and so past everything that sees."""
        # An audit hook would see those that are closed again too, but cannot be removed, and slows every `open`.
        return sum(1 for connection in self._others() if not follows(connection) and id(connection) not in tracer.known)

    def enlist(self, connection: Any) -> None:
        """Remember a connection that was handed out, for as long as it lives."""
        if isinstance(connection, self._watched):
            key = id(connection)
            self._known[key] = weakref.ref(connection, lambda _: self._known.pop(key, None))

    def _opened(self) -> Iterator[Any]:
        """Give the open connections that were handed out."""
        for refer in list(self._known.values()):
            with suppress(Exception):
                connection = refer()
                is_open(connection)
                yield connection

    def _others(self) -> Iterator[Any]:
        """Give the open connections of no class of ours; goes through all objects only where there may be some.

        Each refers to its class. While nothing new does, there is none, if there was none the last time. That holds
        only where `connect` was watched all the time since: one may come when something else goes.
        """
        kinds = [kind for kind in all_subclasses(self._plain) if not issubclass(kind, self._watched)]
        counts = [(id(kind), sys.getrefcount(kind)) for kind in kinds]
        if counts == self._counts and self._looked_in == self.era and _counts_references():
            return
        self._counts, self._looked_in = counts, self.era
        for found in gc.get_referrers(*kinds):
            if type(found) in kinds:
                self._counts = []  # look again the next time
                with suppress(Exception):
                    is_open(found)
                    yield found

    def _bypassed(self, connection: Any) -> bool:
        """Return whether someone has a way around the methods of this watched connection, taken before they were on."""
        return any(
            isinstance(found, self._plain_cursor) and not isinstance(found, self._watched_cursor)
            if type(found) is not BuiltinMethodType
            else found.__name__.startswith("execute")
            for found in gc.get_referrers(connection)
        )


def _counts_references() -> bool:
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def is_open(connection: Any) -> bool:
    """Return True; raises where `connection` is closed."""
    connection.in_transaction  # noqa: B018 - raises where the connection is closed, and checks no thread
    return True


def _is_cache(found: object) -> bool:
    kind = functools._lru_cache_wrapper
    return type(found) is kind or (type(found) is dict and "__wrapped__" in found and "cache_parameters" in found)


def all_subclasses(kind: type) -> list[type]:
    """Return `kind` with all classes below it."""
    below: list[type] = kind.__subclasses__()
    return [kind, *(found for each in below for found in all_subclasses(each))]


def instances(kinds: list[type]) -> Iterator[Any]:
    """Give the open connections of exactly these types."""
    # An object refers to its type: asking for referrers is four times as fast as looking at every object.
    wanted = set(kinds)
    for found in gc.get_referrers(*kinds):
        if type(found) in wanted:
            with suppress(Exception):
                is_open(found)
                yield found
