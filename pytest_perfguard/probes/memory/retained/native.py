"""Memory that C code holds: what the allocator of the C library has lent out."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable

FLOOR = 4096
"""Bytes a call: below that, what the C library keeps for itself cannot be told from growth."""

SLACK = 512 * 1024
"""Bytes in all: glibc counts what its threads' caches keep, at most about 230 kB, as lent."""


def used() -> int:
    """Return the bytes that the C library's allocator has lent out, 0 where it does not say.

    Python's small objects are not among them, as they live in arenas of their own; its objects of more than 512 bytes
    are. By `psutil.heap_info` (psutil 7.2), otherwise by glibc's `mallinfo2`.
    """
    return _reader()()


@functools.cache
def _reader() -> Callable[[], int]:
    import psutil

    heap_info = getattr(psutil, "heap_info", None)
    if heap_info is not None:

        def read() -> int:
            info = heap_info()
            return int(info.heap_used + info.mmap_used)

        with contextlib.suppress(OSError, AttributeError):
            read()
            return read
    return _mallinfo() or (lambda: 0)


def _mallinfo() -> Callable[[], int] | None:
    import ctypes

    class Info(ctypes.Structure):
        _fields_ = [(name, ctypes.c_size_t) for name in _FIELDS]

    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError, TypeError):
        return None
    mallinfo2.restype = Info

    def read() -> int:
        info = mallinfo2()
        return int(info.uordblks + info.hblkhd)

    return read


_FIELDS = (
    "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
)  # fmt: skip
