"""The cursors of psycopg 3, server-side ones, copies and pipelines: what each is executing."""

from __future__ import annotations

from collections.abc import Callable, Generator
from time import perf_counter_ns
from typing import Any
from weakref import WeakKeyDictionary

from pytest_perfguard.probes.queries.sources.postgresql import (
    Carrying,
    CountedRows,
    Portals,
    replace,
    sized,
    text_of,
    timed,
    write,
)
from pytest_perfguard.probes.queries.sources.psycopg_planning import ask
from pytest_perfguard.probes.watch.entry import Entry
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.tape import Tape

DRIVER = "psycopg"

_Steps = Generator[Any, Any, Any]
_Function = Callable[..., Any]
_COPY_OUT = 3  # libpq's PGRES_COPY_OUT


def watch_cursors(patches: Patches, tape: Tape, module: Any) -> Callable[[], None]:
    """Let everything that cursors execute run past `tape`; the result ends the counting of rows.

    Fetches of a server-side cursor are further round trips of its statement. The statements that a pipeline sends
    before it waits are one round trip, which the first of them has.
    """
    made = _Made(tape)
    cursor, server_cursor = module.Cursor, module.ServerCursor
    for owner, name, make in (
        (cursor, "_execute_gen", made.executing),
        (cursor, "_stream_send_gen", made.executing),
        (cursor, "_start_copy_gen", made.executing),
        (cursor, "_executemany_gen_pipeline", made.executing_many),
        (cursor, "_executemany_gen_no_pipeline", made.executing_many),
        (cursor, "_maybe_prepare_gen", made.queueing),
        (module.Pipeline, "_fetch_gen", made.waiting),
        (cursor, "_stream_fetchone_gen", made.streaming),
        (module.Copy, "finish", made.finishing),
        (module.AsyncCopy, "finish", made.finishing_async),
        (server_cursor, "_declare_gen", made.declaring),
        (server_cursor, "_fetch_gen", made.fetching),
        (server_cursor, "_scroll_gen", made.fetching),
    ):
        replace(patches, owner, name, make)
    rows = Patches()

    def count_rows(on: bool) -> None:
        if on:
            replace(rows, cursor, "_check_results", made.receiving)
        else:
            rows.undo()

    return tape.watch_rows(count_rows)


class _Made:
    """Makes what stands in for psycopg's functions, each named after what it does."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.last: WeakKeyDictionary[Any, Entry] = WeakKeyDictionary()
        """What a cursor executed last."""
        self.unanswered: WeakKeyDictionary[Any, Entry] = WeakKeyDictionary()
        """The first statement that a pipeline has sent since it waited last."""
        self.portals = Portals(tape, DRIVER)

    def _above(self, cursor: Any) -> bool:
        """Return whether nothing is to be written down here; a layer above learns that something is sent."""
        if cursor.closed or cursor._conn.closed:  # nothing is sent
            return True
        if not self.tape.hidden():
            return False
        self.tape.sent()
        return True

    def _run(self, cursor: Any, query: Any, parameters: Any, steps: _Steps) -> _Steps:
        connection = cursor._conn
        entries = write(self.tape, text_of(query, connection), parameters, DRIVER)
        self.last[cursor] = first = entries[0]
        template = hasattr(query, "strings")
        if connection._pipeline:
            first.trips = 0
        elif self.tape.planner is not None and len(entries) == 1 and not template:
            yield from ask(self.tape, cursor, first, parameters)
        try:
            with Carrying(entries):
                return (yield from steps)
        finally:
            if template:
                first.text = text_of(getattr(cursor._query, "query", first.text))

    def executing(self, original: _Function) -> _Function:
        """Make `_execute_gen`, `_stream_send_gen` and `_start_copy_gen`."""

        def execute(cursor: Any, query: Any, params: Any = None, **options: Any) -> _Steps:
            steps: _Steps = original(cursor, query, params, **options)
            return steps if self._above(cursor) else self._run(cursor, query, params, steps)

        return execute

    def executing_many(self, original: _Function) -> _Function:
        """Make `_executemany_gen_pipeline`, and its like for an old libpq, which asks for each row."""

        def execute_many(cursor: Any, query: Any, params_seq: Any, returning: Any) -> _Steps:
            if not self._above(cursor):
                return run(cursor, query, params_seq, returning)
            steps: _Steps = original(cursor, query, params_seq, returning)
            return steps

        def run(cursor: Any, query: Any, params_seq: Any, returning: Any) -> _Steps:
            entry = write(self.tape, text_of(query, cursor._conn), sized(params_seq), DRIVER)[0]
            self.last[cursor] = entry
            entry.batch = True
            entry.trips = 0
            rows = CountedRows(params_seq)
            entry.counts = rows.any
            try:
                with Carrying([entry]):
                    return (yield from original(cursor, query, rows, returning))
            finally:
                if not cursor._conn._pipeline:
                    entry.trips = rows.count

        return execute_many

    def queueing(self, original: _Function) -> _Function:
        """Make `_maybe_prepare_gen`, which in a pipeline puts a statement into its queue."""

        def maybe_prepare(cursor: Any, *args: Any, **kwargs: Any) -> _Steps:
            pipeline = cursor._conn._pipeline
            if pipeline and pipeline not in self.unanswered and (entry := self.last.get(cursor)) is not None:
                self.unanswered[pipeline] = entry
                entry.trips += 1
            steps: _Steps = original(cursor, *args, **kwargs)
            return steps

        return maybe_prepare

    def waiting(self, original: _Function) -> _Function:
        """Make a pipeline's `_fetch_gen`."""

        def fetch(pipeline: Any, *args: Any, **kwargs: Any) -> _Steps:
            entry = self.unanswered.pop(pipeline, None) if pipeline.result_queue else None
            steps: _Steps = original(pipeline, *args, **kwargs)
            # One that is under way itself takes its time until it is done.
            return steps if entry is None or entry.nanoseconds < 0 else timed(entry, steps)

        return fetch

    def receiving(self, original: _Function) -> _Function:
        """Make `_check_results`, which is called in a pipeline long after the statement was sent."""

        def check_results(cursor: Any, results: Any) -> None:
            original(cursor, results)
            entry = self.last.get(cursor)
            if entry is not None:
                entry.rows += sum(result.ntuples for result in results)

        return check_results

    def streaming(self, original: _Function) -> _Function:
        """Make `_stream_fetchone_gen`."""

        def fetch(cursor: Any, first: bool) -> _Steps:
            steps: _Steps = original(cursor, first)
            entry = self.last.get(cursor)
            return steps if entry is None or not (first or self.tape.counts_rows) else receive(entry, first, steps)

        def receive(entry: Entry, first: bool, steps: _Steps) -> _Steps:
            result = yield from timed(entry, steps) if first else steps
            if self.tape.counts_rows and result is not None:
                entry.rows += result.ntuples
            return result

        return fetch

    def finishing(self, original: _Function) -> _Function:
        """Make `Copy.finish`, in which the server does most of its work."""

        def finish(copy: Any, *args: Any, **kwargs: Any) -> Any:
            began = perf_counter_ns()
            try:
                return original(copy, *args, **kwargs)
            finally:
                self._finished(copy, began)

        return finish

    def finishing_async(self, original: _Function) -> _Function:
        """Make `AsyncCopy.finish`."""

        async def finish(copy: Any, *args: Any, **kwargs: Any) -> Any:
            began = perf_counter_ns()
            try:
                return await original(copy, *args, **kwargs)
            finally:
                self._finished(copy, began)

        return finish

    def _finished(self, copy: Any, began: int) -> None:
        entry = self.last.get(copy.cursor)
        if entry is not None:
            entry.nanoseconds += perf_counter_ns() - began
            if self.tape.counts_rows and copy._direction == _COPY_OUT:
                entry.rows = max(copy.cursor.rowcount, 0)

    def declaring(self, original: _Function) -> _Function:
        """Make a server-side cursor's `_declare_gen`."""

        def declare(cursor: Any, query: Any, params: Any = None, *args: Any, **kwargs: Any) -> _Steps:
            steps: _Steps = original(cursor, query, params, *args, **kwargs)
            if self._above(cursor):
                self.portals.leave(cursor)
                return steps
            return run(cursor, self._run(cursor, query, params, steps))

        def run(cursor: Any, steps: _Steps) -> _Steps:
            try:
                return (yield from steps)
            finally:
                self.portals.open(cursor, self.last[cursor])

        return declare

    def fetching(self, original: _Function) -> _Function:
        """Make a server-side cursor's `_fetch_gen` and `_scroll_gen`."""

        def fetch(cursor: Any, *args: Any, **kwargs: Any) -> _Steps:
            steps: _Steps = original(cursor, *args, **kwargs)
            portal = self.portals.ask(cursor, cursor.name)
            return steps if portal is None else receive(portal, steps)

        def receive(portal: Any, steps: _Steps) -> _Steps:
            rows = yield from timed(portal.entry, steps)
            portal.give(len(rows) if rows else 0)
            return rows

        return fetch
