"""The open files of a process and of its forked copy: the copy must neither write to them nor move in them."""

from __future__ import annotations

import fcntl
import os
import stat
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

_LARGEST_COPY = 16 * 1024 * 1024
_HARMLESS = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


class Unsafe(Exception):  # noqa: N818 - it says why there is no fork, which is no error
    """A call must not be made in a copy of this process, for the reason that it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptors:
    """What a copy of the process does to its descriptors before it goes on."""

    silenced: tuple[int, ...]
    """Are written to: the standard streams, logs, the channel of a worker. They get /dev/null in their place."""
    reopened: tuple[int, ...]
    """Are read: they get a position of their own."""
    copied: tuple[int, ...]
    """Are temporary files without a name, as pytest captures output to: they get a copy of what is in there."""


def survey(channels: frozenset[int]) -> Descriptors:
    """Return what a copy of this process has to do; raises `Unsafe` for what it must not have.

    Refused are sockets, pipes with both ends here, files with a name that are open for reading and writing (databases),
    devices, and descriptors of event loops. `channels` are known not to be used in a call.
    """
    treated: dict[_Treatment, list[int]] = {treatment: [] for treatment in _Treatment}
    ends: dict[int, int] = {}
    for entry in Path("/proc/self/fd").iterdir():
        descriptor = int(entry.name)
        try:
            status = os.fstat(descriptor)
            access = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
            target = str(entry.readlink())
        except OSError:  # the one that read the folder
            continue
        if descriptor in channels:
            treatment = _Treatment.KEEP if access == os.O_RDONLY else _Treatment.SILENCE
        elif stat.S_ISREG(status.st_mode):
            treatment = _treat_file(status, access, target)
        elif stat.S_ISFIFO(status.st_mode):
            if access == os.O_RDWR or ends.setdefault(status.st_ino, access) != access:
                raise Unsafe("a pipe has both of its ends in this process")
            treatment = _Treatment.KEEP if access == os.O_RDONLY else _Treatment.SILENCE
        else:
            treatment = _treat_other(descriptor, status, access, target)
        treated[treatment].append(descriptor)
    return Descriptors(
        silenced=tuple(treated[_Treatment.SILENCE]),
        reopened=tuple(treated[_Treatment.REOPEN]),
        copied=tuple(treated[_Treatment.COPY]),
    )


class _Treatment(Enum):
    KEEP = auto()
    SILENCE = auto()
    REOPEN = auto()
    COPY = auto()


def _treat_file(status: os.stat_result, access: int, target: str) -> _Treatment:
    if access == os.O_RDONLY:
        return _Treatment.REOPEN
    if access == os.O_WRONLY:
        return _Treatment.SILENCE
    if status.st_nlink or status.st_size > _LARGEST_COPY:
        raise Unsafe(f"{target} is open for reading and writing")
    return _Treatment.COPY


def _treat_other(descriptor: int, status: os.stat_result, access: int, target: str) -> _Treatment:
    if stat.S_ISSOCK(status.st_mode):
        raise Unsafe("a socket is open")
    if stat.S_ISDIR(status.st_mode) or (stat.S_ISCHR(status.st_mode) and access == os.O_RDONLY):
        return _Treatment.KEEP
    if stat.S_ISCHR(status.st_mode) and (os.isatty(descriptor) or target in _HARMLESS):
        return _Treatment.SILENCE
    raise Unsafe(f"{target} is open")


def separate(descriptors: Descriptors) -> None:
    """Part this process, a copy, from the files of the other; raises `OSError` where that does not work."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in {0, 1, 2, *descriptors.silenced} - set(descriptors.copied) - set(descriptors.reopened):
        _replace(null, descriptor)
    for descriptor in descriptors.reopened:
        own = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)
        os.lseek(own, os.lseek(descriptor, 0, os.SEEK_CUR), os.SEEK_SET)
        _replace(own, descriptor)
        os.close(own)
    for alike in _group(descriptors.copied).values():
        own = os.memfd_create("perfguard")
        size = os.fstat(alike[0]).st_size
        if size:
            os.write(own, os.pread(alike[0], size, 0))
        os.lseek(own, os.lseek(alike[0], 0, os.SEEK_CUR), os.SEEK_SET)
        for descriptor in alike:
            _replace(own, descriptor)
        os.close(own)
    os.close(null)


def _replace(own: int, descriptor: int) -> None:
    try:
        inheritable = os.get_inheritable(descriptor)
    except OSError:  # a standard stream that is closed
        inheritable = True
    os.dup2(own, descriptor, inheritable=inheritable)


def _group(descriptors: tuple[int, ...]) -> dict[int, list[int]]:
    """Return descriptors by the file that they refer to."""
    groups: dict[int, list[int]] = {}
    for descriptor in descriptors:
        groups.setdefault(os.fstat(descriptor).st_ino, []).append(descriptor)
    return groups
