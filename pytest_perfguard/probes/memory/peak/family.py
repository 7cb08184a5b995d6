"""The processes that a call starts, and the most that they have resident at one time (Linux)."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

from pytest_perfguard.probes.memory import status

_PROC = status.PROC
_LOOK_SECONDS = 0.002


@dataclass(slots=True, kw_only=True)
class _Member:
    started: bytes
    """When it was started, in the kernel's ticks: numbers are given again."""
    image: bytes
    """Where its program was loaded: a program of its own has another one than its parent."""
    first: int
    """What it had from its parent in bytes, as long as it is a fork of that; otherwise 0."""
    peak: int = 0


class Family:
    """The descendants of one process that were started since this was made.

    `since` is the number after which those of descendants come, by default the last that was given.

    The kernel has one counter for the numbers of processes: only numbers given since the last look are looked up. A
    program counts with its own peak; a fork with what it grew by, as the rest is its parent's. The most of all is the
    largest sum of the peaks of those alive at one time.
    """

    def __init__(self, root: int, *, since: int | None = None) -> None:
        self.peak = 0
        self._root = root
        self._members: dict[int, _Member] = {}
        self._last = _last_number() if since is None else since
        self._images = {root: _stat(root)[1]}

    def look(self) -> None:
        """Look for new descendants, and at the memory of all."""
        last = _last_number()
        if last != self._last:
            for number in _between(self._last, last):
                self._welcome(number)
            self._last = last
        if self._members:
            for number in list(self._members):
                self._measure(number)
            self.peak = max(self.peak, sum(member.peak for member in self._members.values()))

    def end(self) -> None:
        """Kill those that are alive."""
        self.look()
        for number, member in self._members.items():
            with contextlib.suppress(OSError):
                if _stat(number)[2] == member.started:
                    os.kill(number, signal.SIGKILL)

    def _welcome(self, number: int) -> None:
        try:
            parent, image, started = _stat(number)
            if parent != self._root and parent not in self._members:
                return
            if not _is_process(number):
                return
            first = max(status.read(number)[0], status.read(parent)[0])
        except (OSError, ValueError):
            return
        forked = image == self._images.get(parent)
        self._images[number] = image
        self._members[number] = _Member(started=started, image=image, first=first if forked else 0)

    def _measure(self, number: int) -> None:
        member = self._members[number]
        try:
            _, image, started = _stat(number)
            _, peak = status.read(number)
        except (OSError, ValueError):
            started = b""
        if started != member.started:
            del self._members[number]
            return
        if image != member.image:
            member.image = self._images[number] = image
            member.first = member.peak = 0
        member.peak = max(member.peak, peak - member.first)


class Watch:
    """A thread that looks at the processes that this one starts, until `stop`."""

    def __init__(self) -> None:
        self._family = Family(os.getpid())
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True, name="perfguard-memory")
        self._thread.start()

    def stop(self) -> int:
        """End the thread, and return the most that the processes had resident at one time."""
        self._ended.set()
        self._thread.join()
        return self._family.peak

    def _look(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            self._family.look()


def busy(process: int) -> int:
    """Return the processor time that a process has used so far, in the kernel's ticks; 0 where it has ended."""
    try:
        fields = _fields(process)
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def used_by_children() -> tuple[int, int]:
    """Return page faults of all child processes that were waited for, and the largest peak of one of them in bytes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_minflt, used.ru_maxrss * 1024


def _last_number() -> int:
    """Return the number that was given last to a process or thread; 0 where the system does not tell."""
    try:
        return int((_PROC / "loadavg").read_bytes().split()[4])
    except (OSError, IndexError):
        return 0


def _between(old: int, new: int) -> list[int]:
    """Return the numbers given after `old` up to `new`; all there are where the counter has begun again."""
    if new > old:
        return list(range(old + 1, new + 1))
    return sorted(int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal())


def _is_process(number: int) -> bool:
    text = (_PROC / str(number) / "status").read_bytes()
    return int(text.split(b"\nTgid:", 1)[1].split(None, 1)[0]) == number


def _stat(number: int) -> tuple[int, bytes, bytes]:
    """Return a process's parent, where its program was loaded, and when it was started (proc_pid_stat(5))."""
    fields = _fields(number)
    return int(fields[1]), b" ".join((fields[23], fields[25], *fields[42:48])), fields[19]


def _fields(number: int) -> list[bytes]:
    """Return the fields of a process's stat file from the third on."""
    return Path(_PROC / str(number) / "stat").read_bytes().rpartition(b")")[2].split()
