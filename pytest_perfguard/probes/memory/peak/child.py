"""A forked copy of the process, in which a call is made once before it is made in the process itself."""

from __future__ import annotations

import fcntl
import functools
import os
import random
import resource
import select
import signal
import sys
import time
import warnings
from dataclasses import dataclass
from typing import Any, NoReturn

from pytest_perfguard.probes.memory import libc
from pytest_perfguard.probes.memory.peak import ballast, counter, effects
from pytest_perfguard.probes.memory.peak.descriptors import Unsafe, separate
from pytest_perfguard.probes.memory.peak.family import Family, busy
from pytest_perfguard.probes.memory.peak.safety import Survey, examine

DEADLINE = 60.0
"""Seconds that a call may take in a copy."""
IDLE = 5.0
"""Seconds without any processor time after which a copy is thought to wait for what it lacks."""

_LOOK_SECONDS = 0.002
_BUSY_SECONDS = 0.25
_MOST = 4096
_PEAK, _UNSAFE = "peak", "unsafe"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a copy needs to answer."""

    process: int
    """Its number: forks of the copy have another."""
    write_end: int
    mark: counter.Mark
    """What was resident before the call."""
    handled: BaseException | None
    """What was being handled before the call."""
    held: object
    """Takes the free blocks of memory until the end."""

    def answer(self, rise: int) -> NoReturn:
        """Send by how much memory rose, unless the call raised, and end."""
        if os.getpid() == self.process and sys.exception() is self.handled:
            _send(self.write_end, f"{_PEAK} {rise}")
        os._exit(0)


def fork() -> Link | int:
    """Return a `Link` in a new copy of this process; in the process itself, by how much memory rose in the copy.

    The copy has no output, reads files at positions of its own, holds all free blocks of memory, allocates so that what
    is freed is gone, and its peak was reset. It ends when it has answered, before it changes anything outside of
    itself, and with this process; so do its descendants, whose memory counts.

    Raises `Unsafe` in the process itself where no copy may be made, or where it gave no answer: it crashed, ended,
    raised, hung, or was about to change something.
    """
    survey = examine()
    libc.load()
    resident = libc.find_resident(survey.files)
    state = random.getstate()
    parent = os.getpid()
    read_end, write_end = os.pipe()
    process = -1
    try:
        unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            process = _fork()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
        if process == 0:
            return _settle(parent, write_end, survey, resident, state)
        os.close(write_end)
        write_end = -1
        return _await_answer(process, read_end)
    finally:
        if process:
            _end(process)
            for descriptor in (read_end, write_end):
                if descriptor != -1:
                    os.close(descriptor)


def _fork() -> int:
    """Fork, without the warning of threads: those that are there have been looked at."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return os.fork()
        except OSError as error:
            raise Unsafe(f"it could not be copied ({error})") from error


def _settle(parent: int, write_end: int, survey: Survey, resident: list[libc.Span], state: Any) -> Link:
    """Part this copy from the process it was made of, and prepare its memory; nothing is raised out of a copy."""
    try:
        libc.end_with_parent()
        if os.getppid() != parent:
            os._exit(0)
        write_end = fcntl.fcntl(write_end, fcntl.F_DUPFD_CLOEXEC, 3)  # the standard streams may have been closed
        separate(survey.descriptors)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        random.setstate(state)  # Python gives a fork another one
        effects.forbid(functools.partial(_refuse, write_end))
        libc.pin()
        if survey.single:
            counter.stay_on_one_processor()
        libc.populate(resident)
        os.register_at_fork(after_in_child=functools.partial(libc.populate, resident))  # its forks grow from there, too
        held = ballast.fill()
        libc.trim()
        lag, pages = counter.bring_up()
        mark = counter.reset(lag)
        if mark is None:
            _refuse(write_end, "the peak of a copy cannot be reset")
        handled = sys.exception()
        return Link(process=os.getpid(), write_end=write_end, mark=mark, handled=handled, held=(held, pages))
    except BaseException:  # noqa: BLE001 - the copy must not go on as if it were the process
        os._exit(1)


def _refuse(write_end: int, reason: str) -> NoReturn:
    _send(write_end, f"{_UNSAFE} {reason}")
    os._exit(0)


def _send(write_end: int, message: str) -> None:
    """Send `message` and wait for the end, which comes when the receiver has looked at the descendants."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        os.write(write_end, message.encode(errors="replace")[:_MOST])
    except OSError:
        return
    while True:
        signal.pause()


def _await_answer(process: int, read_end: int) -> int:
    """Return by how much memory rose in a copy, with its descendants; these are ended."""
    family = Family(process, since=process)
    try:
        message = _receive(process, read_end, family)
        family.look()
    finally:
        family.end()
    kind, _, text = message.partition(" ")
    if kind != _PEAK:
        raise Unsafe(text or "its copy ended in the call")
    return int(text) + family.peak


def _receive(process: int, read_end: int, family: Family) -> str:
    """Return the message of a copy, empty where it ended without one."""
    arrivals = select.poll()
    arrivals.register(read_end, select.POLLIN)
    now = time.monotonic()
    deadline, quiet, looked, used = now + DEADLINE, now + IDLE, now, -1
    while not arrivals.poll(_LOOK_SECONDS * 1000):
        family.look()
        if _has_ended(process):
            return os.read(read_end, _MOST).decode() if arrivals.poll(0) else ""
        now = time.monotonic()
        if now - looked >= _BUSY_SECONDS:
            looked, before, used = now, used, busy(process)
            if used != before or family.peak:
                quiet = now + IDLE
        if now >= min(deadline, quiet):
            raise Unsafe(f"its copy did not end within {DEADLINE if now >= deadline else IDLE:g} s")
    return os.read(read_end, _MOST).decode()


def _has_ended(process: int) -> bool:
    try:
        return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # somebody else has reaped it
        return True


def _end(process: int) -> None:
    """Kill and reap a copy, if there is one."""
    if process > 0:
        try:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        except (ProcessLookupError, ChildProcessError):
            pass  # somebody else has reaped it
