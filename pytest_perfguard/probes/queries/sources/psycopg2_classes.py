"""psycopg2's own types, written in C, and the subclasses that are handed out in their places."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from pytest_perfguard.probes.watch.patching import Patches

_HEAP_TYPE = 1 << 9  # CPython's Py_TPFLAGS_HEAPTYPE: a class that was made by Python code, and can be changed


class Classes:
    """The types of connections and cursors, each with a subclass that adds nothing by itself."""

    def __init__(self) -> None:
        extensions: Any = sys.modules["psycopg2.extensions"]
        self.plain_connection: Any = extensions.connection
        self.plain_cursor: Any = extensions.cursor
        self.connection = _subclass(extensions.connection)
        self.cursor = _subclass(extensions.cursor)

    def refine(self, connection: Any, made: Any) -> Any:
        """Return a cursor of the subclass in the place of `made`, where that is of the plain type and was not used."""
        if type(made) is not self.plain_cursor or made.query is not None:
            return made
        of_server = {} if made.name is None else {"scrollable": made.scrollable, "withhold": made.withhold}
        cursor = self.plain_connection.cursor(connection, made.name, self.cursor, **of_server)
        for name in ("arraysize", "itersize", "row_factory", "tzinfo_factory", "string_types", "binary_types"):
            with suppress(AttributeError, TypeError):
                if (value := getattr(made, name)) is not getattr(cursor, name):
                    setattr(cursor, name, value)
        return cursor


@functools.cache
def classes() -> Classes:
    """Return the types of the psycopg2 that is loaded."""
    return Classes()


def _subclass(plain: Any) -> Any:
    names = {"__slots__": (), "__module__": plain.__module__, "__qualname__": plain.__qualname__}
    return type(plain.__name__, (plain,), names)


def topmost(plain: Any) -> Iterator[Any]:
    """Yield the subclasses of `plain` that can be changed, and that have nothing above them that can."""
    for kind in plain.__subclasses__():
        if kind.__flags__ & _HEAP_TYPE:
            yield kind
        else:
            yield from topmost(kind)


def with_subclasses(kind: Any) -> Iterator[Any]:
    """Yield `kind` and everything that is derived from it."""
    yield kind
    for each in kind.__subclasses__():
        yield from with_subclasses(each)


class _HandedOut:
    users = 0
    patches = Patches()


def hand_out() -> Callable[[], None]:
    """Let connections be of the subclass from now on, and their cursors too; return what ends this."""
    if _HandedOut.users == 0:
        _HandedOut.patches.wrap(sys.modules["psycopg2"], "_connect", _connecting)
        _HandedOut.patches.wrap(classes().connection, "cursor", _refining)
    _HandedOut.users += 1
    done = False

    def end() -> None:
        nonlocal done
        if not done:
            done = True
            _HandedOut.users -= 1
            if _HandedOut.users == 0:
                _HandedOut.patches.undo()

    return end


def _connecting(original: Callable[..., Any]) -> Callable[..., Any]:
    def _connect(dsn: Any, connection_factory: Any = None, **kwargs: Any) -> Any:
        if connection_factory is None or connection_factory is classes().plain_connection:
            connection_factory = classes().connection
        return original(dsn, connection_factory=connection_factory, **kwargs)

    return _connect


def _refining(original: Callable[..., Any]) -> Callable[..., Any]:
    def cursor(self: Any, *args: Any, **kwargs: Any) -> Any:
        return classes().refine(self, original(self, *args, **kwargs))

    return cursor
