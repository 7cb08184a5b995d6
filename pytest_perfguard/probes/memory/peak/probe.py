"""Peak of the process's resident memory during a call."""

from __future__ import annotations

import gc
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from pytest_perfguard.model.growth import Detail
from pytest_perfguard.model.metric import MEMORY, Metric
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.protocols import Reading
from pytest_perfguard.probes.memory import libc, status
from pytest_perfguard.probes.memory.peak import ballast, counter

if TYPE_CHECKING:
    from pytest_perfguard.probes.memory.peak.child import Link
    from pytest_perfguard.probes.memory.peak.family import Watch

FLOOR = 2_000_000
"""Bytes: below this the error is more than 5 %; the kernel counts memory that is given back in steps of 128 KiB."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Token:
    mark: counter.Mark | None = None
    """What was resident before the call, where the kernel keeps the peak."""
    sampled: int = 0
    """Resident bytes before the call, where it does not."""
    rise: int = 0
    """The highest rise that later tokens' resets would have lost."""
    link: Link | None = None
    """In a copy of the process: what answers."""
    answer: int | None = None
    """What a copy answered."""
    reason: str = ""
    """Why no copy did."""
    held: object = None
    """Takes the free blocks of memory."""
    watch: Watch | None = None
    """Looks at the processes that the call starts."""
    children: tuple[int, int] = (0, 0)
    """What the child processes that were waited for had used before the call."""


@final
class PeakProbe:
    """Reads by how many bytes the process's resident memory rises at its highest during a call.

    On Linux the call is made in a forked copy of the process first, where memory can be prepared as it could not be in
    the process itself (`child.fork`), and then in the process itself, which goes on from there as if there had been no
    copy. The value is `VmHWM` after the call less `VmRSS` before it, both of `/proc/self/status`, in the copy, and the
    peaks of its forks: the kernel keeps VmHWM at no cost to the call, and writing 5 to `/proc/self/clear_refs` sets it
    back to VmRSS (proc_pid_clear_refs(5)). All threads count. What hides is less than `FLOOR`.

    Where a copy would share what must not be used twice, or lack what the call needs (`safety.examine`: other threads,
    event loops, sockets, open databases), and where the call changes anything outside of the process
    (`effects.forbid`: it writes files, connects, starts a program), the reading is made in the process itself. There,
    if other threads run, blocks of up to 32 MiB that a thread allocates, frees, and allocates again may read as little
    as 0 when warm, as glibc keeps them. Programs that the call starts count with their own peaks. A
    reading in another one is of this kind, and keeps the outer one's peak.

    Where VmHWM cannot be reset (macOS, Windows, some containers) the value is the difference of two samples before and
    after the call, with a note "lower-bound": memory freed before the end is not in it.
    """

    metrics: tuple[Metric, ...] = (MEMORY,)
    intrusive: bool = True
    wants_result: bool = False
    warmup: int = 1
    rounds: int = 1

    def start(self) -> _Token:
        """Ask a copy of the process, or prepare this one; raises `ProbeError` where nothing can be read."""
        gc.collect()
        token = _ask() if not _open else _Token(reason="another reading of memory is under way")
        if token.link is None and token.answer is None:
            _prepare(token)
        _open.append(token)
        return token

    def stop(self, token: Any, result: object = None) -> Reading:
        """Read the peak; `result` is not looked at. In a copy of the process this is the end of it."""
        del result
        if token.link is not None:
            token.link.answer(_rise(token))
        _open.remove(token)
        if token.answer is not None:
            return Reading(values={MEMORY.name: token.answer})
        return _read_here(token)


# Resetting the peak of the process resets it for readings under way: what these have seen so far goes to their tokens.
_open: list[_Token] = []


def _ask() -> _Token:
    """Have a copy of the process make the call; return what it answered, or why not, or how it answers in the copy."""
    if sys.platform != "linux":
        return _Token(reason="only Linux tells the peak of a copy")
    from pytest_perfguard.probes.memory.peak.child import Link, fork
    from pytest_perfguard.probes.memory.peak.descriptors import Unsafe

    try:
        found = fork()
    except Unsafe as refused:
        return _Token(reason=str(refused))
    return _Token(mark=found.mark, link=found) if isinstance(found, Link) else _Token(answer=found)


def _prepare(token: _Token) -> None:
    """Prepare the process itself for a reading."""
    if sys.platform == "linux" and not _open:
        token.held = ballast.fill()
    libc.trim()
    for other in _open:
        other.rise = _rise(other)
    token.mark = counter.reset()
    if token.mark is None:
        token.sampled = status.sample()
    elif sys.platform == "linux":
        _watch(token)


def _watch(token: _Token) -> None:
    """Look at the processes that the call starts from now on."""
    from pytest_perfguard.probes.memory.peak.effects import PROGRAM
    from pytest_perfguard.probes.memory.peak.family import Watch, used_by_children

    # A thread more would have the call's forks warn: only where there are some, or no fork follows.
    if token.reason == PROGRAM or libc.settle_threads() > 1:
        token.watch = Watch()
        token.mark = counter.reset()
    token.children = used_by_children()


def _rise(token: _Token) -> int:
    """Return by how much memory rose at its highest since `token`, as far as the kernel keeps the peak."""
    return token.rise if token.mark is None else max(token.rise, token.mark.rise(*status.read()))


def _read_here(token: _Token) -> Reading:
    """Return the reading of the process itself."""
    if token.mark is None:
        return Reading(values={MEMORY.name: max(0, status.sample() - token.sampled)}, notes=(_LOWER_BOUND,))
    value = _rise(token)
    token.held = None
    notes: tuple[Note, ...] = ()
    if sys.platform == "linux":
        from pytest_perfguard.probes.memory.peak.family import used_by_children

        faults, largest = used_by_children()
        if token.watch is not None:
            watched = token.watch.stop()
            # A program's peak when it was waited for, unless it is the peak that its parent had when it was started.
            value += max(watched, largest if largest > max(token.mark.exact + value, token.children[1]) else 0)
        elif faults > token.children[0]:
            notes = (_CHILDREN,)
    line = f"memory was read in the test's own process, not in a copy of it: {token.reason}"
    return Reading(values={MEMORY.name: value}, details=(Detail(metric=MEMORY.name, lines=(line,)),), notes=notes)


_LOWER_BOUND = Note(
    code="lower-bound",
    message="memory was sampled before and after the call, a lower bound of its peak: this system does not reset VmHWM",
    remedy="it never fails a test; run on Linux with a writable /proc/self/clear_refs for the peak",
    undermines=(MEMORY.name,),
)
_CHILDREN = Note(
    code="child-processes",
    message="the call started processes, and what these took is not in its memory",
    remedy="measure the function that they run, or call it where no socket, database or event loop is open",
    undermines=(MEMORY.name,),
)
