"""Machine instructions of a call, counted by the processor; Linux, where the machine has counters and lends them."""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import platform
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.model.metric import INSTRUCTIONS, Metric
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.protocols import Reading

_SYSCALLS = {"x86_64": 298, "aarch64": 241}
"""The number of perf_event_open(2), by machine."""

_PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")

# struct perf_event_attr in its first, shortest version (linux/perf_event.h).
_ATTRIBUTES = struct.Struct("=IIQQQQQIIQ")
_HARDWARE, _INSTRUCTIONS = 0, 1
_INHERIT, _EXCLUDE_KERNEL, _EXCLUDE_HYPERVISOR = 1 << 1, 1 << 5, 1 << 6
_TIME_ENABLED, _TIME_RUNNING = 1, 2
_CLOSE_ON_EXEC = 8

_COUNT = struct.Struct("=QQQ")
"""What is read: the count, and the nanoseconds for which it was wanted and for which it really ran."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Token:
    descriptor: int
    before: tuple[int, ...]
    collecting: bool


@final
class InstructionProbe:
    """Counts the instructions that a call retires in user space: of its thread, and of all that it starts.

    One counter of perf_event_open(2) is opened for each token, for the calling thread; threads and processes that start
    meanwhile inherit it. About a thousand instructions of perfguard's own are in the value. Where counters are
    shared with others and this one did not run all the time, the value is scaled up, with a note that undermines it.
    The garbage collector is off meanwhile. `open_counter` takes the attributes, gives a file descriptor and raises
    `OSError`; it is the system's own unless another is given.

    `start` raises `ProbeError` where there is no counter, and where it may not be used.
    """

    metrics: tuple[Metric, ...] = (INSTRUCTIONS,)
    intrusive: bool = True
    wants_result: bool = False
    warmup: int = 2
    rounds: int = 3

    def __init__(self, open_counter: Callable[[bytes], int] | None = None) -> None:
        self._open_counter = open_counter or _open_counter

    def start(self) -> _Token:
        """Open a counter and read it; raises `ProbeError` where that is not possible."""
        try:
            descriptor = self._open_counter(_attributes())
        except OSError as error:
            raise ProbeError(f"instructions cannot be counted: {_reason(error)}") from error
        collecting = gc.isenabled()
        gc.disable()
        return _Token(descriptor=descriptor, before=_read(descriptor), collecting=collecting)

    def stop(self, token: Any, result: object = None) -> Reading:
        """Read the counter again and close it; `result` is not looked at."""
        del result
        try:
            after = _read(token.descriptor)
        finally:
            os.close(token.descriptor)
            if token.collecting:
                gc.enable()
        count, wanted, ran = (now - then for now, then in zip(after, token.before, strict=True))
        if ran <= 0:
            raise ProbeError(
                "instructions cannot be counted: others use all counters of this processor; end other profilers, "
                "switch off the kernel's watchdog (sysctl kernel.nmi_watchdog=0), or leave out the budget"
            )
        notes = (_shared(ran / wanted),) if ran < wanted else ()
        return Reading(values={INSTRUCTIONS.name: round(count * wanted / ran)}, notes=notes)


def _attributes() -> bytes:
    flags = _INHERIT | _EXCLUDE_KERNEL | _EXCLUDE_HYPERVISOR
    return _ATTRIBUTES.pack(
        _HARDWARE, _ATTRIBUTES.size, _INSTRUCTIONS, 0, 0, _TIME_ENABLED | _TIME_RUNNING, flags, 0, 0, 0
    )


def _open_counter(attributes: bytes) -> int:
    machine = platform.machine().lower()
    if sys.platform != "linux" or machine not in _SYSCALLS:
        raise OSError(errno.ENOSYS, f"{sys.platform} on {machine}")
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    this_thread, any_processor, no_group = ctypes.c_int(0), ctypes.c_int(-1), ctypes.c_int(-1)
    descriptor = syscall(
        ctypes.c_long(_SYSCALLS[machine]), attributes, this_thread, any_processor, no_group,
        ctypes.c_ulong(_CLOSE_ON_EXEC),
    )  # fmt: skip
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(descriptor)


def _read(descriptor: int) -> tuple[int, ...]:
    data = os.read(descriptor, _COUNT.size)
    # A counter that could not be put on the processor at all is at its end at once.
    return _COUNT.unpack(data) if len(data) == _COUNT.size else (0, 0, 0)


def _reason(error: OSError) -> str:
    instead = "leave out the budget 'instructions' here; 'calls' is counted everywhere, 'work' from Python 3.12 on"
    match error.errno:
        case errno.ENOENT | errno.EOPNOTSUPP | errno.ENODEV:
            return f"this machine has no counter for them, as most virtual machines have none; {instead}"
        case errno.EACCES | errno.EPERM:
            return (
                f"it is not permitted (kernel.perf_event_paranoid is {_paranoid()}); allow it with "
                "`sysctl kernel.perf_event_paranoid=2`, and in a container let its seccomp profile pass "
                f"perf_event_open; or {instead}"
            )
        case errno.ENOSYS:
            return f"this system does not offer perf_event_open ({error.strerror}); {instead}"
        case _:
            return f"perf_event_open failed: {error.strerror}; {instead}"


def _paranoid() -> str:
    try:
        return _PARANOID.read_text(encoding="ascii").strip()
    except OSError:
        return "not told"


def _shared(share: float) -> Note:
    return Note(
        code="shared-counter",
        message=f"the processor's counter ran for {share:.0%} of the time: the instructions are scaled up from that",
        remedy="end other profilers, or switch off the kernel's watchdog with `sysctl kernel.nmi_watchdog=0`",
        undermines=(INSTRUCTIONS.name,),
    )
