"""Django: every connection, cursor and thread, through the ORM or past it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from pytest_perfguard.model import StatementKind
from pytest_perfguard.probes.queries.sources.asgiref import watch_callers
from pytest_perfguard.probes.watch.entry import Entry
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.planning import ask_by_cursor
from pytest_perfguard.probes.watch.rows import CountingCursor
from pytest_perfguard.probes.watch.sending import Sending
from pytest_perfguard.probes.watch.tape import Tape

_UTILS = "django.db.backends.utils"
_BASE = "django.db.backends.base.base"
_SQLITE = "django.db.backends.sqlite3.base"

_TELLING = frozenset({"django+psycopg", "django+psycopg2", "django+MySQLdb", "django+pymysql"})
"""Where the driver's own source says whether it sends."""


class DjangoSource:
    """Replaces what all cursors and connections of Django run through, in their classes.

    An entry hides what is beneath the user's `execute_wrapper`s, not these: what they ask themselves counts, and what
    they forbid does not. Django's own words for BEGIN, COMMIT and ROLLBACK are taken from where it logs them.
    """

    name = "django"
    module = _BASE

    def installed(self) -> bool:
        """Return whether Django's database layer is loaded, entirely."""
        utils, base = sys.modules.get(_UTILS), sys.modules.get(_BASE)
        return hasattr(utils, "CursorDebugWrapper") and hasattr(base, "BaseDatabaseWrapper")

    def install(self, tape: Tape) -> Callable[[], None]:
        """Replace methods of the cursor's and the connection's base class."""
        cursor: Any = sys.modules[_UTILS].CursorWrapper
        module: Any = sys.modules[_BASE]
        connection = module.BaseDatabaseWrapper
        patches = Patches()
        backends = _Backends(tape, patches)
        patches.wrap(cursor, "execute", lambda original: _executing_on_sqlite(original, tape, backends))
        patches.wrap(cursor, "_execute_with_wrappers", lambda original: _executing(original, tape, backends))
        patches.wrap(cursor, "callproc", lambda original: _calling(original, tape, backends))
        patches.wrap(module, "debug_transaction", lambda original: _controlling(original, tape, backends))
        patches.wrap(connection, "connect", lambda original: _connecting(original, tape, backends))
        # Whether a connection is asked for life depends on what used it before: no query of the measured code.
        patches.wrap(connection, "close_if_health_check_failed", lambda original: _checking(original, tape))
        patches.wrap(connection, "close_if_unusable_or_obsolete", lambda original: _hiding(original, tape))
        watch_callers(patches)
        return patches.undo


class _Backends:
    """What is known of each backend's classes, from the first use in the block on."""

    def __init__(self, tape: Tape, patches: Patches) -> None:
        self._tape = tape
        self._patches = patches
        self.drivers: dict[type, str] = {}
        self.sqlite_cursor: type = type(self)
        """Django's own class of cursors on SQLite, once it is known; no cursor's before."""

    def driver(self, connection: Any) -> str:
        """Return the name of what executes the statements of `connection`."""
        return self.drivers.get(type(connection)) or self.meet(connection)

    def meet(self, connection: Any) -> str:
        """Return the same of one whose class is not known yet."""
        module = getattr(getattr(connection, "Database", None), "__name__", connection.vendor)
        name = f"django+{module.partition('.')[0]}"
        self.sqlite_cursor = getattr(sys.modules.get(_SQLITE), "SQLiteCursorWrapper", self.sqlite_cursor)
        self.drivers[type(connection)] = name
        # On SQLite it asks the database to quote values, past Django's cursors, for a log that others read; on MySQL a
        # switch is a statement, which BEGIN and COMMIT stand for.
        for kind, method in ((type(connection.ops), "last_executed_query"), (type(connection), "_set_autocommit")):
            self._patches.wrap(kind, method, lambda original: _hiding(original, self._tape))
        return name


def _executing_on_sqlite(original: Callable[..., Any], tape: Tape, backends: _Backends) -> Callable[..., Any]:
    """Make the short way, which SQLite in memory is fast enough to need; all else goes on to what `_executing` made."""
    current, write, stand_ins, drivers = tape.current, tape.write, tape.stand_ins, backends.drivers

    def execute(self: Any, sql: Any, params: Any = None) -> Any:
        raw = self.cursor
        connection = self.db
        driver = drivers.get(type(connection))
        if (
            driver is None
            or stand_ins.get(type(raw)) is not backends.sqlite_cursor
            or connection.execute_wrappers
            or connection.needs_rollback
            or not tape.simple
            or type(sql) is not str
            or ((above := current()) is not None and above.busy)
        ):
            return original(self, sql, params)
        entry = write(sql, params, "sqlite", driver)
        raw._perfguard_above = True
        began = perf_counter_ns()
        try:
            return self._execute(sql, params)
        finally:
            entry.nanoseconds = perf_counter_ns() - began
            raw._perfguard_above = False

    return execute


def _executing(original: Callable[..., Any], tape: Tape, backends: _Backends) -> Callable[..., Any]:
    hidden, write, drivers, meet = tape.hidden, tape.write, backends.drivers, backends.meet

    def _execute_with_wrappers(self: Any, sql: Any, params: Any, many: bool, executor: Callable[..., Any]) -> Any:
        connection = self.db
        if hidden() or connection.needs_rollback:  # Django will refuse
            return original(self, sql, params, many, executor)
        text = sql if isinstance(sql, str) else _text(sql, connection)
        driver = drivers.get(type(connection)) or meet(connection)
        entry = write(text, params, dialect=connection.vendor, driver=driver)
        if many or tape.counts_rows or tape.planner is not None or connection.execute_wrappers:
            return fully(self, entry, sql, params, many, executor)
        with Sending(entry) if driver in _TELLING else entry:
            return original(self, sql, params, many, executor)

    def fully(self: Any, entry: Entry, sql: Any, params: Any, many: bool, executor: Callable[..., Any]) -> Any:
        connection = self.db
        if many:
            entry.batch = True
        elif tape.planner is not None:
            ask_by_cursor(tape, entry, params, connection.create_cursor, in_transaction=_transactional(connection))
        raw = _uncounted(self)
        sending = Sending(entry) if entry.driver in _TELLING else entry
        if connection.execute_wrappers:

            def timed(*arguments: Any) -> Any:
                entry.counts = None
                with sending:
                    return executor(*arguments)

            entry.counts = _never
            result = original(self, sql, params, many, timed)
        else:
            with sending:
                result = original(self, sql, params, many, executor)
        return _count_rows(self, raw, result, entry) if tape.counts_rows else result

    return _execute_with_wrappers


def _calling(original: Callable[..., Any], tape: Tape, backends: _Backends) -> Callable[..., Any]:
    def callproc(self: Any, procname: Any, params: Any = None, kparams: Any = None) -> Any:
        if tape.hidden():
            return original(self, procname, params, kparams)
        places = ", ".join(["%s"] * len(params or ()))
        entry = tape.write(
            f"CALL {procname}({places})",
            (repr(params), repr(kparams)),
            dialect=self.db.vendor,
            driver=backends.driver(self.db),
        )
        raw = _uncounted(self)
        with Sending(entry) if entry.driver in _TELLING else entry:
            result = original(self, procname, params, kparams)
        return _count_rows(self, raw, result, entry) if tape.counts_rows else result

    return callproc


class _Control:
    """A statement that controls a transaction, around what Django does for it and writes to its log."""

    def __init__(self, entry: Entry, inner: Any) -> None:
        self._entry = entry
        self._inner = inner

    def __enter__(self) -> Any:
        entered = self._inner.__enter__()
        self._entry.__enter__()
        return entered

    def __exit__(self, *error: Any) -> Any:
        self._entry.__exit__(*error)
        return self._inner.__exit__(*error)


def _controlling(original: Callable[..., Any], tape: Tape, backends: _Backends) -> Callable[..., Any]:
    def debug_transaction(connection: Any, sql: str) -> Any:
        if tape.hidden() or (connection.vendor == "postgresql" and _is_idle(connection)):
            return original(connection, sql)
        entry = tape.write(sql, None, dialect=connection.vendor, driver=backends.driver(connection))
        entry.kind = StatementKind.TRANSACTION
        return _Control(entry, original(connection, sql))

    return debug_transaction


def _is_idle(connection: Any) -> bool:
    """Return whether a driver of PostgreSQL has nothing to end yet: it sends BEGIN with the first statement itself."""
    try:
        return bool(connection.connection.info.transaction_status == 0)
    except Exception:  # noqa: BLE001 - a driver that does not tell
        return False


def _connecting(original: Callable[..., Any], tape: Tape, backends: _Backends) -> Callable[..., Any]:
    def connect(self: Any) -> Any:
        if tape.hidden():
            return original(self)
        with tape.layer():
            result = original(self)
        # A pool opens its connections itself; and the others live as long as their thread, which is no leak.
        if not getattr(self, "pool", None):
            tape.opened(backends.driver(self))
        return result

    return connect


def _checking(original: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    def close_if_health_check_failed(self: Any) -> Any:
        if not self.health_check_enabled or self.health_check_done:
            return original(self)
        with tape.layer():
            return original(self)

    return close_if_health_check_failed


def _hiding(original: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    def hidden(self: Any, *args: Any, **kwargs: Any) -> Any:
        with tape.layer():
            return original(self, *args, **kwargs)

    return hidden


def _text(sql: Any, connection: Any) -> str:
    """Return what psycopg's composed statements and bytes say."""
    try:
        if isinstance(sql, bytes):
            return sql.decode(errors="replace")
        if hasattr(sql, "as_string"):
            return str(sql.as_string(connection.connection))
        return str(sql)
    except Exception:  # noqa: BLE001 - Django will complain of it, or will not
        return type(sql).__name__


def _never() -> bool:
    return False


def _transactional(connection: Any) -> bool:
    return bool(connection.in_atomic_block) or not connection.autocommit


def _uncounted(cursor: Any) -> Any:
    """Return the driver's cursor, and let no earlier statement count the rows of the next."""
    raw = cursor.cursor
    if type(raw) is CountingCursor:
        raw = cursor.cursor = raw._perfguard_cursor
    return raw


_UNKNOWN = 2**63
"""What mysqlclient gives, and more, for rows that it has not fetched."""


def _count_rows(cursor: Any, raw: Any, result: Any, entry: Entry) -> Any:
    if not (getattr(raw, "description", None) or getattr(raw, "name", None)):
        return result  # one with a name, of the server's, may not know its columns yet
    if cursor.db.vendor in ("postgresql", "mysql") and 0 <= raw.rowcount < _UNKNOWN:
        entry.rows += raw.rowcount
        return result
    cursor.cursor = CountingCursor(raw, entry)
    return cursor.cursor if result is raw else result
