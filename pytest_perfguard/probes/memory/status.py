"""What the system says of a process's resident memory: now, and at its highest since it was last reset (Linux)."""

from __future__ import annotations

from pathlib import Path

from pytest_perfguard.errors import ProbeError

PROC = Path("/proc")

# The kernel's counters are kept per processor and may differ by a few pages between two readings.
_SLACK = 1024 * 1024


def read(process: int | str = "self") -> tuple[int, int]:
    """Return what is resident of a process and its peak since the last reset, in bytes.

    These are `VmRSS` and `VmHWM` of proc_pid_status(5). Raises `OSError` where there is no such file or process,
    `ValueError` where it has no memory of its own: kernel threads, and processes that have ended.
    """
    status = (PROC / str(process) / "status").read_bytes()
    return field(status, b"VmRSS"), field(status, b"VmHWM")


def field(status: bytes, name: bytes) -> int:
    """Return the bytes that a line of a status file gives in kB; raises `ValueError` where there is none."""
    _, found, rest = status.partition(b"\n" + name + b":")
    if not found:
        raise ValueError(name.decode())
    return int(rest.split(None, 1)[0]) * 1024


def reset() -> int | None:
    """Set this process's peak to what is resident now, and return that in bytes; None where that does not work.

    By writing 5 to `/proc/self/clear_refs` (proc_pid_clear_refs(5)), which takes 0.3 ms. Other readings under way lose
    the peak that they have seen so far: read it before.
    """
    try:
        (PROC / "self" / "clear_refs").write_bytes(b"5")
        resident, peak = read()
    except (OSError, ValueError):
        return None
    return resident if peak <= resident + _SLACK else None


def sample() -> int:
    """Return what is resident of this process, on every system, in bytes; raises `ProbeError` where it is not told."""
    import psutil

    try:
        return int(psutil.Process().memory_info().rss)
    except (psutil.Error, OSError) as error:
        raise ProbeError(
            f"memory cannot be measured: psutil could not read this process's resident memory ({error}); "
            "leave out the budget 'memory' on this system"
        ) from error
