"""SQLAlchemy's DialectEvents: where a user's listener may execute a statement itself, past the dialect's methods."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from pytest_perfguard.probes.watch.entry import Entry
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.rows import CountingCursor
from pytest_perfguard.probes.watch.tape import Tape

EXECUTING = ("do_execute", "do_executemany", "do_execute_no_params")
"""Methods of dialects, and events before each of them."""


def listen_beside(tape: Tape, record: Callable[..., Entry], patches: Patches) -> Callable[[], None]:
    """Listen on all dialects as soon as somebody else does; return what ends this.

    The end also resets the flag that listening sets on the dialects' base class.
    """
    event: Any = sys.modules["sqlalchemy.event"]
    base: Any = sys.modules["sqlalchemy.engine.interfaces"].Dialect
    flag = base.__dict__.get("_has_events")
    handlers: dict[str, Callable[..., Any]] = {}

    def begin() -> None:
        if not handlers:
            handlers.update({name: _handler(name, tape, record) for name in EXECUTING})
            for name, handler in handlers.items():
                event.listen(base, name, handler, insert=True)

    def listening(original: Any) -> Any:
        def _listen(kind: Any, event_key: Any, /, **kwargs: Any) -> None:
            original.__get__(None, kind)(event_key, **kwargs)
            if event_key.identifier in EXECUTING:
                begin()

        return classmethod(_listen)

    def end() -> None:
        for name, handler in handlers.items():
            event.remove(base, name, handler)
        if handlers and not _has_listeners(base):  # none that were added meanwhile
            if flag is None:
                del base._has_events
            else:
                base._has_events = flag

    if _is_listened_to():
        begin()
    patches.wrap(sys.modules["sqlalchemy.engine.events"].DialectEvents, "_listen", listening)
    return end


def _handler(name: str, tape: Tape, record: Callable[..., Entry]) -> Callable[..., bool | None]:
    def handle(cursor: Any, statement: str, *rest: Any) -> bool | None:
        context = rest[-1]
        if context is None or tape.hidden():
            return None
        entry = record(name, statement, rest[0] if len(rest) > 1 else None, context)
        with entry:
            for listener in getattr(context.dialect.dispatch, name):
                if listener is not handle and listener(cursor, statement, *rest):
                    break
            else:
                getattr(context.dialect, name)(cursor, statement, *rest)
        if tape.counts_rows:
            count_rows(context, cursor, entry)
        return True

    return handle


def count_rows(context: Any, cursor: Any, entry: Entry) -> None:
    """Let the rows of `entry` be counted as they are fetched, where it gives any."""
    # The result fetches by the context's cursor, which is made into a result only after the statement was executed.
    if getattr(context, "cursor", None) is cursor and getattr(cursor, "description", None):
        context.cursor = CountingCursor(cursor, entry)


def _is_listened_to() -> bool:
    try:
        keys = list(sys.modules["sqlalchemy.event.registry"]._key_to_collection)
        return any(identifier in EXECUTING for _, identifier, _ in keys)
    except Exception:  # noqa: BLE001 - another version of SQLAlchemy: rather slower than deaf
        return True


def _has_listeners(base: Any) -> bool:
    try:
        return any(getattr(base.dispatch, name)._clslevel.get(base) for name in base.dispatch._event_names)
    except AttributeError:
        return True  # another version of SQLAlchemy: rather slower than deaf
