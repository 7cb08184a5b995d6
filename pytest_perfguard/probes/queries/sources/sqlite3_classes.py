"""Connections and cursors of sqlite3 that have methods of ours, for as long as something records."""

from __future__ import annotations

import functools
import sys
from typing import Any

from pytest_perfguard.probes.queries.sources import sqlite3_methods as methods
from pytest_perfguard.probes.queries.sources.sqlite3_open import OpenConnections
from pytest_perfguard.probes.queries.sources.sqlite3_trace import Tracer
from pytest_perfguard.probes.watch.tape import Tape


class Classes:
    """The subclasses of sqlite3's types: empty while nothing records."""

    def __init__(self) -> None:
        sqlite3: Any = sys.modules["sqlite3"]
        self.plain: Any = sqlite3.Connection
        self.plain_cursor: Any = sqlite3.Cursor
        self.connection = _subclass(sqlite3.Connection)
        self.cursor = _subclass(sqlite3.Cursor, methods.ENTRY, methods.ABOVE)
        self._variants: dict[type, type] = {self.plain: self.connection, self.plain_cursor: self.cursor}
        self.open = OpenConnections(
            plain=self.plain, plain_cursor=self.plain_cursor, watched=self.connection, watched_cursor=self.cursor
        )
        self._methods: dict[Any, tuple[methods.Function, ...]] = {}
        self.tracer: Tracer | None = None

    def variant(self, factory: Any) -> Any:
        """Return the watched subclass of `factory`, or `factory` where there can be none."""
        if factory in self._variants:
            return self._variants[factory]
        for watched, plain in ((self.connection, self.plain), (self.cursor, self.plain_cursor)):
            if isinstance(factory, type) and issubclass(factory, plain) and not issubclass(factory, watched):
                try:
                    # The user's methods come first and call down into the watched ones.
                    variant = type(factory)(
                        factory.__name__,
                        (factory, watched),
                        {"__module__": factory.__module__, "__qualname__": factory.__qualname__, "__slots__": ()},
                    )
                except TypeError:  # a metaclass or __init_subclass__ with wishes of its own
                    return factory
                self._variants[factory] = variant
                if self.tracer is not None:
                    self.tracer.tape.stand_ins[variant] = factory
                return variant
        return factory

    def activate(self, tape: Tape, tracer: Tracer) -> None:
        """Give the watched classes their methods."""
        self.tracer = tracer
        for plain, watched in self._variants.items():
            tape.stand_ins[watched] = plain
        kinds = methods.Kinds(self.plain, self.plain_cursor, self.cursor, self._variants, self.variant)
        self._methods = {
            self.connection: methods.of_connections(kinds, tape, tracer),
            self.cursor: methods.of_cursors(kinds, tape, tracer),
        }
        for watched, own in self._methods.items():
            for method in own:
                setattr(watched, method.__name__, method)
        self._unwatch_rows = tape.watch_rows(self._count_rows)

    def _count_rows(self, on: bool) -> None:
        """Let fetching count rows, or no more: a method of ours for each row is too dear for who does not ask."""
        for method in methods.fetching(self.plain_cursor):
            if on:
                setattr(self.cursor, method.__name__, method)
            else:
                delattr(self.cursor, method.__name__)

    def deactivate(self) -> None:
        """Take the methods away again."""
        if self.tracer is not None:
            self.tracer.tape.carriers.clear()
            self.tracer.tape.stand_ins.clear()
        self.tracer = None
        self._unwatch_rows()
        while self._methods:
            watched, own = self._methods.popitem()
            for method in own:
                delattr(watched, method.__name__)


@functools.cache
def classes() -> Classes:
    """Return those of this process."""
    return Classes()


def _subclass(plain: Any, *slots: str) -> Any:
    slots = slots if plain.__weakrefoffset__ else (*slots, "__weakref__")
    names = {"__slots__": slots, "__module__": plain.__module__, "__qualname__": plain.__qualname__}
    return type(plain.__name__, (plain,), names)
