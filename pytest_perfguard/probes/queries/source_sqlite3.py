"""The standard library's sqlite3: connections opened while recording, and those that were open before."""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from pytest_perfguard.model import Note
from pytest_perfguard.probes.queries.tape import Tape
from pytest_perfguard.probes.queries.tokens import split
from pytest_perfguard.probes.queries.trace import Tracer

_DIALECT = "sqlite"
_DRIVER = "sqlite3"


class Sqlite3Source:
    """Hands out connections of a subclass, and follows those that are open already by SQLite's own trace.

    sqlite3's types cannot be changed, so `connect` is bound anew wherever a module holds it. The subclasses have
    methods only while something records; a connection that outlives the block is then as fast as any other, and is seen
    entirely by the next block. `sqlite3.Connection(…)` and `sqlite3.Cursor(…)` called directly are not seen.
    """

    name = "sqlite3"
    module = "sqlite3"

    def installed(self) -> bool:
        """Return whether sqlite3 is loaded, entirely."""
        module = sys.modules.get("sqlite3")
        return module is not None and hasattr(module, "connect") and hasattr(module, "Connection")

    def install(self, tape: Tape) -> Callable[[], None]:
        """Watch new connections and open ones; those of other threads that were open before are named in a note."""
        classes = _classes()
        tracer = Tracer(tape)
        release = _acquire()
        classes.activate(tape, tracer)
        for connection in classes.open_elsewhere():
            tracer.follow(connection)
        if tracer.unseen:
            tape.remark(_unseen(tracer.unseen))

        def undo() -> None:
            tracer.release()
            classes.deactivate()
            release()

        return undo


def watch_connections() -> Callable[[], None]:
    """Let connections that sqlite3 opens from now on be seen entirely by later blocks; return what ends this.

    For what opens connections before a block starts: fixtures. It records nothing and slows nothing down. Without it
    such connections are seen by SQLite's trace, which repeats `executemany` once per row. Where sqlite3 is not loaded,
    it does nothing.
    """
    if not Sqlite3Source().installed():
        return lambda: None
    return _acquire()


def open_connections() -> int:
    """Return how many sqlite3 connections are open in this process; 0 where sqlite3 is not loaded."""
    if not Sqlite3Source().installed():
        return 0
    return sum(1 for _ in _instances(_all_subclasses(sys.modules["sqlite3"].Connection)))


class _Classes:
    """The subclasses of sqlite3's types: empty while nothing records."""

    def __init__(self) -> None:
        sqlite3: Any = sys.modules["sqlite3"]
        self.plain: Any = sqlite3.Connection
        self.plain_cursor: Any = sqlite3.Cursor
        self.connection = _subclass(sqlite3.Connection)
        self.cursor = _subclass(sqlite3.Cursor)
        self._variants: dict[type, type] = {self.plain: self.connection, self.plain_cursor: self.cursor}
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
                return variant
        return factory

    def open_elsewhere(self) -> Iterator[Any]:
        """Yield open connections that are of no watched class."""
        plain = [kind for kind in _all_subclasses(self.plain) if not issubclass(kind, self.connection)]
        return _instances(plain)

    def activate(self, tape: Tape, tracer: Tracer) -> None:
        """Give the watched classes their methods."""
        self.tracer = tracer
        plain, plain_cursor, cursor = self.plain, self.plain_cursor, self.cursor
        handled, hidden, write = tape.handled, tape.hidden, tape.write

        # Connection's C methods make cursors of the plain class, past any override of `cursor`.
        def connection_execute(self: Any, *args: Any) -> Any:
            return plain.cursor(self, cursor).execute(*args)

        def connection_executemany(self: Any, *args: Any) -> Any:
            return plain.cursor(self, cursor).executemany(*args)

        def connection_executescript(self: Any, *args: Any) -> Any:
            return plain.cursor(self, cursor).executescript(*args)

        def connection_cursor(self: Any, factory: Any = plain_cursor) -> Any:
            made = plain.cursor(self, variant(factory))
            if not isinstance(made, cursor):
                tape.remark(_unseen_cursor(factory))
            return made

        def execute(self: Any, *args: Any) -> Any:
            if not (hidden() or (handled and id(self.connection) in handled)) and args and isinstance(args[0], str):
                write(args[0], args[1] if len(args) > 1 else None, dialect=_DIALECT, driver=_DRIVER)
            return plain_cursor.execute(self, *args)

        def executemany(self: Any, *args: Any) -> Any:
            if not (hidden() or (handled and id(self.connection) in handled)) and args and isinstance(args[0], str):
                write(args[0], args[1] if len(args) > 1 else None, dialect=_DIALECT, driver=_DRIVER)
            return plain_cursor.executemany(self, *args)

        def executescript(self: Any, *args: Any) -> Any:
            if not (hidden() or (handled and id(self.connection) in handled)) and args and isinstance(args[0], str):
                for statement in split(args[0]):
                    write(statement, None, dialect=_DIALECT, driver=_DRIVER)
            return plain_cursor.executescript(self, *args)

        variant = self.variant
        for watched, methods in (
            (
                self.connection,
                (connection_execute, connection_executemany, connection_executescript, connection_cursor),
            ),
            (self.cursor, (execute, executemany, executescript)),
        ):
            for method in methods:
                setattr(watched, method.__name__.removeprefix("connection_"), method)

    def deactivate(self) -> None:
        """Take the methods away again."""
        self.tracer = None
        for name in ("execute", "executemany", "executescript"):
            delattr(self.connection, name)
            delattr(self.cursor, name)
        del self.connection.cursor


@functools.cache
def _classes() -> _Classes:
    return _Classes()


class _Connect:
    """Where `sqlite3.connect` was bound anew, for as long as anyone needs it."""

    users = 0
    original: Any = None
    wrapper: Any = None


def _acquire() -> Callable[[], None]:
    if _Connect.users == 0:
        _Connect.original = sys.modules["sqlite3"].connect
        _Connect.wrapper = _wrap(_Connect.original)
        _rebind(_Connect.original, _Connect.wrapper)
    _Connect.users += 1
    done = False

    def release() -> None:
        nonlocal done
        if done:
            return
        done = True
        _Connect.users -= 1
        if _Connect.users == 0:
            _rebind(_Connect.wrapper, _Connect.original)  # also in modules that were imported meanwhile
            _Connect.wrapper = _Connect.original = None

    return release


def _wrap(original: Any) -> Any:
    classes = _classes()

    @functools.wraps(original)
    def connect(*args: Any, **kwargs: Any) -> Any:
        if _Connect.wrapper is not connect:  # someone kept it
            return original(*args, **kwargs)
        if len(args) > 5:
            args = (*args[:5], classes.variant(args[5]), *args[6:])
        else:
            kwargs["factory"] = classes.variant(kwargs.get("factory", classes.plain))
        connection = original(*args, **kwargs)
        if classes.tracer is not None and not isinstance(connection, classes.connection):
            classes.tracer.follow(connection)
        return connection

    return connect


def _rebind(old: Any, new: Any) -> None:
    for module in list(sys.modules.values()):
        namespace = getattr(module, "__dict__", None)
        if not isinstance(namespace, dict):
            continue
        for name in [name for name, value in list(namespace.items()) if value is old]:
            namespace[name] = new


def _subclass(plain: Any) -> Any:
    names = {"__slots__": (), "__module__": plain.__module__, "__qualname__": plain.__qualname__}
    return type(plain.__name__, (plain,), names)


def _all_subclasses(kind: type) -> list[type]:
    below: list[type] = kind.__subclasses__()
    return [kind, *(found for each in below for found in _all_subclasses(each))]


def _instances(kinds: list[type]) -> Iterator[Any]:
    # An object refers to its type: asking for referrers is four times as fast as looking at every object.
    wanted = set(kinds)
    for found in gc.get_referrers(*kinds):
        if type(found) in wanted:
            with suppress(Exception):
                found.in_transaction  # noqa: B018 - raises where the connection is closed, and checks no thread
                yield found


def _unseen(count: int) -> Note:
    plural = "connections" if count > 1 else "connection"
    return Note(
        code="unseen-connection",
        message=f"{count} sqlite3 {plural} of another thread had been open before the measured call and cannot be seen",
        remedy="open it in the measured call, or in a fixture of a test that has a query budget",
    )


def _unseen_cursor(factory: object) -> Note:
    name = getattr(factory, "__qualname__", repr(factory))
    return Note(
        code="unseen-cursor",
        message=f"statements of the cursors that {name} makes cannot be seen",
        remedy="give sqlite3's cursor() a subclass of sqlite3.Cursor",
    )
