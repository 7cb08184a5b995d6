"""What a call leaves behind beside memory: threads, tasks, files, sockets, processes and temporary files."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any, final

from pytest_perfguard.model.growth import Detail
from pytest_perfguard.model.metric import (
    LEAKED,
    LEAKED_FILES,
    LEAKED_PROCESSES,
    LEAKED_SOCKETS,
    LEAKED_TASKS,
    LEAKED_TEMPORARY,
    LEAKED_THREADS,
    Metric,
)
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.protocols import Reading, Stage
from pytest_perfguard.probes.memory.leftovers import surroundings, temporary
from pytest_perfguard.probes.memory.leftovers.surroundings import Key

GRACE = 0.25
"""Seconds that threads and processes get to end, where there are new ones."""

_BEGINNING = 0.02
"""Seconds in which a thread that was started is seen to run Python code, if it does."""

MOST_LINES = 10
"""Things of one kind that are named."""

_KINDS = (LEAKED_THREADS, LEAKED_TASKS, LEAKED_FILES, LEAKED_SOCKETS, LEAKED_PROCESSES)


class _Seen(dict[str, Mapping[Key, Any]]):
    """By the metric's name, what there is; a kind that the system does not tell is missing."""

    native = 0


@dataclass(slots=True, kw_only=True, eq=False)
class _Token:
    before: dict[str, frozenset[Key]] = field(default_factory=dict)
    ended: frozenset[Key] = frozenset()
    """The child processes that had ended, and were not waited for."""
    native: int = 0
    """How many threads there were of which Python knew nothing."""
    watch: temporary.Watch | None = None
    unseen: dict[str, str] = field(default_factory=dict)
    """By the metric's name, why its kind could not be seen."""


@final
class LeftoverProbe:
    """Counts what exists after a call more than before: what the call leaves, less what it takes away.

    A call that replaces a connection leaves none, and one that opens a pool leaves it once: the counts are the smallest
    of two calls after a first one, and where that is more than 0, of two more. Garbage is collected before, so that
    objects in cycles close what they hold. Threads and processes that are just ending get up to `GRACE` seconds, and so
    do files and sockets where another thread may close them; the time is spent only where something is new. What only
    waits for the event loop's next turn does not count: tasks that were cancelled, transports that are closing. A child
    process that has ended and was not waited for counts; one of before that is waited for at last is not taken away.

    Files in the folder for temporary ones count where `tempfile` has named them in this process. For others of the same
    user a note "temporary-unclear" says that they may be any process's. Threads of C libraries do not count, nor what
    child processes open. What other threads do during the call counts as its own.
    """

    metrics: tuple[Metric, ...] = (LEAKED, *_KINDS, LEAKED_TEMPORARY)
    intrusive: bool = True
    wants_result: bool = False
    warmup: int = 1
    rounds: int = 2
    early: bool = True

    def start(self) -> _Token:
        """Collect garbage, and look what there is."""
        gc.collect()
        token = _Token()
        try:
            token.watch = temporary.open_watch()
        except OSError as error:
            token.unseen[LEAKED_TEMPORARY.name] = str(error)
        try:
            seen = _look(token.unseen)
            token.before = {name: frozenset(kind) for name, kind in seen.items()}
            token.native = seen.native
            children = seen.get(LEAKED_PROCESSES.name, {})
            token.ended = frozenset(key for key, child in children.items() if surroundings.is_ended(child))
        except BaseException:
            if token.watch is not None:
                temporary.close_watch(token.watch)
            raise
        return token

    def stop(self, token: Any, result: object = None) -> Reading:
        """Look again, and name what is new; `result` is not looked at and must not be held elsewhere."""
        del result
        if token.watch is not None:
            temporary.close_watch(token.watch)
        gc.collect()
        seen = _settle(token)
        values: dict[str, int] = {}
        details = []
        for metric in _KINDS:
            if metric.name not in seen or metric.name not in token.before:
                continue
            new, gone = _compare(token, seen, metric.name)
            values[metric.name] = max(0, len(new) - gone)
            details.append(Detail(metric=metric.name, lines=_tell(metric.name, new, gone)))
        notes = [_NATIVE] if _hidden(token, seen) else []
        if token.watch is not None:
            try:
                found = temporary.look(token.watch)
            except OSError as error:
                token.unseen[LEAKED_TEMPORARY.name] = str(error)
            else:
                values[LEAKED_TEMPORARY.name] = max(0, len(found.left) - found.gone)
                lines = _cut([f"temporary {path}" for path in found.left])
                details.append(Detail(metric=LEAKED_TEMPORARY.name, lines=lines))
                if found.unclear:
                    notes.append(_unclear(token.watch.folder))
        notes.extend(_unseen(name, reason) for name, reason in token.unseen.items())
        return _sum_up(values, details, notes)

    def proceed(self, stages: Sequence[Sequence[Reading]]) -> Stage | Reading:
        """Ask for two more calls where each of the first left something; return what every call leaves."""
        readings = [reading for stage in stages for reading in stage]
        kinds = [metric.name for metric in self.metrics if metric is not LEAKED]
        seen = [name for name in kinds if all(name in reading.values for reading in readings)]
        least = {name: min(reading.values[name] for reading in readings) for name in seen}
        if len(stages) == 1 and any(least.values()):
            return Stage(probe=self, warmup=0, rounds=self.rounds)
        # Of the last call that left no more than the others: what one call left by chance is not in it.
        chosen = {name: next(r for r in reversed(readings) if r.values[name] == least[name]) for name in seen}
        details = [detail for name in seen for detail in chosen[name].details if detail.metric == name]
        # What appears in the folder for temporary files once is by chance; the other remarks are the same each time.
        notes = [note for note in readings[-1].notes if all(note in reading.notes for reading in readings)]
        return _sum_up(least, details, notes)


def _sum_up(values: dict[str, int], details: Sequence[Detail], notes: Sequence[Note]) -> Reading:
    details = [detail for detail in details if values[detail.metric]]
    lines = tuple(line for detail in details for line in detail.lines)
    total = Detail(metric=LEAKED.name, lines=lines)
    return Reading(
        values={LEAKED.name: sum(values.values()), **values},
        details=(total, *details) if lines else (),
        notes=tuple(notes),
    )


def _look(unseen: dict[str, str]) -> _Seen:
    """Return what there is, and add to `unseen` what the system does not tell."""
    seen = _Seen()
    seen[LEAKED_THREADS.name], seen.native = surroundings.look_threads()
    seen[LEAKED_TASKS.name] = surroundings.look_tasks()
    try:
        seen[LEAKED_FILES.name], seen[LEAKED_SOCKETS.name] = surroundings.look_descriptors()
    except OSError as error:
        unseen.update(dict.fromkeys((LEAKED_FILES.name, LEAKED_SOCKETS.name), str(error)))
    try:
        seen[LEAKED_PROCESSES.name] = surroundings.look_processes()
    except OSError as error:
        unseen[LEAKED_PROCESSES.name] = str(error)
    return seen


def _settle(token: _Token) -> _Seen:
    """Return what there is once what is ending has ended."""
    seen = _look(token.unseen)
    begun, pause = monotonic(), 0.001
    waited = False
    while True:
        patience = GRACE if _may_end(token, seen) else _BEGINNING if _hidden(token, seen) else 0.0
        left = patience - (monotonic() - begun)
        if left <= 0:
            break
        sleep(min(pause, left))
        pause, waited = min(2 * pause, 0.03), True
        seen = _look(token.unseen)
    if waited:
        gc.collect()  # threads that ended have let go of what they held
        seen = _look(token.unseen)
    closing = surroundings.find_closing()
    if closing and LEAKED_SOCKETS.name in seen:
        kept = token.before.get(LEAKED_SOCKETS.name, frozenset())
        sockets = seen[LEAKED_SOCKETS.name]
        seen[LEAKED_SOCKETS.name] = {key: each for key, each in sockets.items() if key in kept or key[0] not in closing}
    return seen


def _may_end(token: _Token, seen: _Seen) -> bool:
    """Return whether something is new that time may take away: nobody but another thread closes a file."""

    def grew(metric: Metric) -> bool:
        new, gone = _compare(token, seen, metric.name)
        return len(new) > gone

    if grew(LEAKED_THREADS) or grew(LEAKED_PROCESSES):
        return True
    return len(seen[LEAKED_THREADS.name]) > 1 and (grew(LEAKED_FILES) or grew(LEAKED_SOCKETS))


def _hidden(token: _Token, seen: _Seen) -> bool:
    """Return whether there are new threads of which Python knows nothing, or nothing yet."""
    return seen.native > token.native


def _compare(token: _Token, seen: _Seen, name: str) -> tuple[dict[Key, Any], int]:
    """Return what is new of one kind, and how many of before are gone."""
    before, now = token.before.get(name, frozenset()), seen.get(name, {})
    gone = before.difference(now)
    if name == LEAKED_PROCESSES.name:
        gone -= token.ended
    return {key: each for key, each in now.items() if key not in before}, len(gone)


def _tell(name: str, new: Mapping[Key, Any], gone: int) -> tuple[str, ...]:
    if len(new) <= gone:
        return ()
    lines = _cut([_TELL[name](key, each) for key, each in new.items()])
    return (*lines, f"and {gone} of before the call {'is' if gone == 1 else 'are'} gone") if gone else lines


_TELL: dict[str, Callable[[Key, Any], str]] = {
    LEAKED_THREADS.name: surroundings.tell_thread,
    LEAKED_TASKS.name: lambda _, task: surroundings.tell_task(task),
    LEAKED_FILES.name: surroundings.tell_file,
    LEAKED_SOCKETS.name: surroundings.tell_socket,
    LEAKED_PROCESSES.name: lambda _, child: surroundings.tell_process(child),
}


def _cut(lines: list[str]) -> tuple[str, ...]:
    more = len(lines) - MOST_LINES
    return tuple([*lines[:MOST_LINES], f"… and {more} more"] if more > 0 else lines)


def _unseen(name: str, reason: str) -> Note:
    return Note(
        code="unseen",
        message=f"{name} cannot be counted here: {reason}",
        remedy="leave out budgets on it and on 'leaked' on this system",
        undermines=(name, LEAKED.name),
    )


_NATIVE = Note(
    code="native-threads",
    message="a call left threads that run no Python code, as C libraries start them: not counted",
    remedy="look at the library's pool of threads, if there are more of them after each call",
)


def _unclear(folder: str) -> Note:
    return Note(
        code="temporary-unclear",
        message=f"files appeared in {folder} during each call that this process did not name by tempfile: not counted",
        remedy="make temporary files with the tempfile module, so that those of the call can be told from others",
    )
