"""Peak of the process's resident memory during a call."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.model.metric import MEMORY, Metric
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.protocols import Reading

FLOOR = 5_000_000
"""Bytes: memory that the process already has and uses again hides less than about this from any resident-set method."""

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
# The kernel's counters are kept per processor and may differ by a few pages between two readings.
_SLACK = 1024 * 1024


@dataclass(slots=True, kw_only=True, eq=False)
class _Token:
    before: int
    """Resident bytes before the call."""
    peak: int = 0
    """The highest peak that later tokens' resets would have lost."""
    exact: bool = True
    """Whether the kernel kept the peak; otherwise memory is sampled."""


@final
class PeakProbe:
    """Reads by how many bytes the process's resident memory rose at its highest during a call.

    On Linux: `VmHWM` after the call less `VmRSS` before it, both of `/proc/self/status`; the kernel keeps VmHWM at no
    cost to the call, and writing 5 to `/proc/self/clear_refs` sets it back to VmRSS (proc_pid_clear_refs(5)). Free
    memory is returned first (`gc.collect()`, glibc's `malloc_trim`), as its reuse would not show. All threads of the
    process count, its child processes do not, nor does less than about `FLOOR`. A nested reading keeps the outer one's
    peak. Where VmHWM cannot be reset (macOS, Windows, some containers) the value is the difference of two samples
    before and after the call, with a note "lower-bound": memory freed before the end is not in it.

    The size from which glibc maps memory anew (`mallopt(M_MMAP_THRESHOLD, 128 KiB)`) is not pinned here. That ends the
    adaptive threshold for the rest of the process, nothing switches it on again, and NumPy temporaries of 8 MiB were
    12 % slower afterwards: it belongs into a process of its own. In the main thread it changed no reading by more than
    0.2 MB, as `malloc_trim` returns what is free. It returns less of what other threads freed: blocks of up to 32 MiB
    that a thread allocates, frees, and allocates again may read as little as 0 when warm.
    """

    metrics: tuple[Metric, ...] = (MEMORY,)
    intrusive: bool = True
    wants_result: bool = False
    warmup: int = 1
    rounds: int = 3

    def start(self) -> _Token:
        """Return free memory, reset the peak and read what is resident; raises `ProbeError` where nothing can."""
        gc.collect()
        trim = _trimmer()
        if trim is not None:
            trim(0)
        _keep_peaks()
        before = _reset()
        token = _Token(before=_sample()) if before is None else _Token(before=before)
        token.exact = before is not None
        _open.append(token)
        return token

    def stop(self, token: Any, result: object = None) -> Reading:
        """Read the peak; `result` is not looked at."""
        del result
        _open.remove(token)
        if token.exact:
            return Reading(values={MEMORY.name: max(0, max(token.peak, _read()[1]) - token.before)})
        return Reading(
            values={MEMORY.name: max(0, _sample() - token.before)},
            notes=(
                Note(
                    code="lower-bound",
                    message="memory was sampled before and after the call, a lower bound of its peak: "
                    "this system does not reset VmHWM",
                    remedy="it never fails a test; run on Linux with a writable /proc/self/clear_refs for the peak",
                    undermines=(MEMORY.name,),
                ),
            ),
        )


# Resetting the peak of the process resets it for readings under way: what these have seen so far goes to their tokens.
_open: list[_Token] = []


def _keep_peaks() -> None:
    if any(token.exact for token in _open):
        peak = _read()[1]
        for token in _open:
            token.peak = max(token.peak, peak)


def _reset() -> int | None:
    """Set the kernel's peak to what is resident now, and return that in bytes; None where that does not work."""
    try:
        _CLEAR_REFS.write_bytes(b"5")
        resident, peak = _read()
    except (OSError, ValueError, IndexError):
        return None
    return resident if peak <= resident + _SLACK else None


def _read() -> tuple[int, int]:
    """Return what is resident and its peak since the last reset, in bytes."""
    status = _STATUS.read_bytes()
    return _field(status, b"\nVmRSS:"), _field(status, b"\nVmHWM:")


def _field(status: bytes, name: bytes) -> int:
    return int(status.split(name, 1)[1].split(None, 1)[0]) * 1024


def _sample() -> int:
    import psutil

    try:
        return int(psutil.Process().memory_info().rss)
    except (psutil.Error, OSError) as error:
        raise ProbeError(
            f"memory cannot be measured: psutil could not read this process's resident memory ({error}); "
            "leave out the budget 'memory' on this system"
        ) from error


@functools.cache
def _trimmer() -> Callable[[int], int] | None:
    """Return glibc's `malloc_trim`, None where the C library has none."""
    try:
        import ctypes

        trim = ctypes.CDLL(None).malloc_trim
    except (ImportError, OSError, AttributeError, TypeError):
        return None
    trim.argtypes = (ctypes.c_size_t,)
    trim.restype = ctypes.c_int

    def release(pad: int) -> int:
        return int(trim(pad))

    return release
