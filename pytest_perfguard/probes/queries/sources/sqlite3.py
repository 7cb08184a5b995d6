"""The standard library's sqlite3: connections opened while recording, and those that were open before."""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Callable
from threading import get_ident
from typing import Any

from pytest_perfguard.model import Note
from pytest_perfguard.probes.queries.sources.sqlite3_classes import classes
from pytest_perfguard.probes.queries.sources.sqlite3_methods import DRIVER
from pytest_perfguard.probes.queries.sources.sqlite3_open import all_subclasses, instances, is_open
from pytest_perfguard.probes.queries.sources.sqlite3_trace import UNDERMINED, Tracer
from pytest_perfguard.probes.watch.rebinding import rebind
from pytest_perfguard.probes.watch.tape import Tape


class Sqlite3Source:
    """Hands out connections of a subclass, and follows by SQLite's own trace what does not pass through its methods.

    sqlite3's types cannot be changed, so `connect` is bound anew wherever something holds it. The subclasses have
    methods only while something records; a connection that outlives the block is then as fast as any other, and is seen
    entirely by the next block. The trace sees the rest: connections that were open before, cursors and bound methods
    that were taken before, cursors of sqlite3's own type. Connections opened past `connect` are named in a note.
    """

    name = "sqlite3"
    module = "sqlite3"

    def installed(self) -> bool:
        """Return whether sqlite3 is loaded, entirely."""
        module = sys.modules.get("sqlite3")
        return module is not None and hasattr(module, "connect") and hasattr(module, "Connection")

    def install(self, tape: Tape) -> Callable[[], None]:
        """Watch new connections and open ones; a note tells of those that cannot be seen: open, in other threads."""
        ours = classes()
        tracer = Tracer(tape)
        release = _acquire()
        ours.activate(tape, tracer)
        unseen = ours.open.follow(tracer)
        if unseen:
            tape.remark(_unseen(unseen))

        def undo() -> None:
            past = ours.open.count_past(tracer)
            if past:
                tape.remark(_past(past))
            tracer.release()
            ours.deactivate()
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
    return sum(1 for _ in instances(all_subclasses(sys.modules["sqlite3"].Connection)))


class _Connect:
    """Where `sqlite3.connect` was bound anew, for as long as anyone needs it."""

    users = 0
    original: Any = None
    wrapper: Any = None


def _acquire() -> Callable[[], None]:
    if _Connect.users == 0:
        classes().open.era += 1
        _Connect.original = sys.modules["sqlite3"].connect
        _Connect.wrapper = _wrap(_Connect.original)
        rebind(_Connect.original, _Connect.wrapper, keep=_own_holders(_Connect.wrapper))
    _Connect.users += 1
    done = False

    def release() -> None:
        nonlocal done
        if done:
            return
        done = True
        _Connect.users -= 1
        if _Connect.users == 0:
            wrapper, original = _Connect.wrapper, _Connect.original
            _Connect.wrapper = _Connect.original = None
            rebind(wrapper, original, keep=_own_holders(wrapper))  # also what came to hold it meanwhile

    return release


def _own_holders(wrapper: Any) -> list[object]:
    """Return what goes on holding what the wrapper stands for."""
    return [vars(wrapper), *(wrapper.__closure__ or ()), *gc.get_referents(_Connect)]


def _wrap(original: Any) -> Any:
    ours = classes()

    @functools.wraps(original)
    def connect(*args: Any, **kwargs: Any) -> Any:
        if _Connect.wrapper is not connect:  # someone kept it
            return original(*args, **kwargs)
        if len(args) > 5:
            args = (*args[:5], ours.variant(args[5]), *args[6:])
        else:
            kwargs["factory"] = ours.variant(kwargs.get("factory", ours.plain))
        connection = original(*args, **kwargs)
        ours.open.enlist(connection)
        tracer = ours.tracer
        if tracer is not None:
            if not tracer.tape.hidden():
                tracer.tape.opened(DRIVER, connection, is_open)
            watched = isinstance(connection, ours.connection)
            if not watched or get_ident() == tracer.thread:
                tracer.follow(connection, watched=watched)
        return connection

    return connect


def _unseen(count: int) -> Note:
    plural = "connections" if count > 1 else "connection"
    return Note(
        code="unseen-connection",
        message=f"{count} sqlite3 {plural} of another thread had been open before the measured call and cannot be seen",
        remedy="open it in the measured call, or in a fixture of a test that has a query budget",
        undermines=UNDERMINED,
    )


def _past(count: int) -> Note:
    plural = "connections were" if count > 1 else "connection was"
    return Note(
        code="unseen-opening",
        message=f"{count} sqlite3 {plural} opened past the name sqlite3.connect, and cannot be seen",
        remedy="call sqlite3.connect by its name, not sqlite3.Connection or a reference stored before",
        undermines=UNDERMINED,
    )
