"""What is asked of the C library and the kernel so that memory in use shows as resident memory (Linux, glibc)."""

from __future__ import annotations

import functools
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Span = tuple[int, int]
"""Address and length of some pages."""

_PAGE = 4096
_MMAP_THRESHOLD = 128 * 1024
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_PR_SET_PDEATHSIG, _PR_SET_THP_DISABLE = 1, 41
_SIGKILL = 9
_MADV_DONTNEED, _MADV_POPULATE_READ = 4, 22
_HEAP = 64 * 1024 * 1024
_TOP = 96
_RESIDENT = re.compile(rb"[\x80-\xff]+")


def trim() -> None:
    """Return free memory to the system by glibc's `malloc_trim`; do nothing where the C library has none.

    It leaves what is free at the end of the heaps of threads that have ended. Where no other thread runs, that is
    returned as well.
    """
    release = getattr(_library(), "malloc_trim", None)
    if release is not None:
        release(0)
        if sys.platform == "linux" and sys.maxsize > 2**32 and settle_threads() == 1:
            _trim_heaps()


def count_threads() -> int:
    """Return how many threads the system knows of this process; 0 where it does not tell."""
    try:
        return sum(1 for _ in Path("/proc/self/task").iterdir())
    except OSError:
        return 0


_LOOKS, _LOOK_SECONDS = 20, 0.001
_native = [0]


def settle_threads() -> int:
    """Return how many threads there are, once those that Python has seen the end of are gone: a moment later.

    Waits for that once: threads of C libraries that stay are not waited for again.
    """
    for _ in range(_LOOKS):
        count = count_threads()
        if count - len(sys._current_frames()) <= _native[0]:
            return count
        time.sleep(_LOOK_SECONDS)
    _native[0] = count - len(sys._current_frames())
    return count


def _trim_heaps() -> None:
    """Return the pages of the last free block, "top", of the heap of each arena but the main one.

    A heap begins at a multiple of 64 MiB with the address of its arena, that of the heap before it, and its size; an
    arena holds the address of top at byte 96; top's second word is its size with three flags (glibc's malloc/arena.c,
    malloc/malloc.c). It is taken for top only if it ends where the heap does.
    """
    import ctypes

    word = ctypes.c_size_t.from_address
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        span, rights, _, _, inode, *_ = line.split(None, 5)
        start, end = (int(address, 16) for address in span.split("-"))
        if start % _HEAP or rights[:2] != "rw" or inode != "0" or end - start < _PAGE:
            continue
        arena, size = word(start).value, word(start + 16).value
        if not start <= arena <= end - _TOP - 8 or start + size > end:
            continue
        top = word(arena + _TOP).value
        if start <= top <= end - 16 and top + (word(top + 8).value & ~7) == start + size:
            first = (top + 16 + _PAGE - 1) // _PAGE * _PAGE
            if first < start + size:
                length = start + size - first
                _library().madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), _MADV_DONTNEED)


def pin() -> None:
    """Map each block of 128 KiB or more on its own from now on, and give it back when it is freed.

    glibc raises that size when such a block is freed, and keeps what is smaller for its next use: the memory is then
    taken without being seen. It is for a process that ends soon: nothing switches the adaptive threshold on again, and
    NumPy temporaries of 8 MiB were 12 % slower without it. Huge pages are refused as well: memory beside that which is
    used would count.
    """
    library = _library()
    option = getattr(library, "mallopt", None)
    if option is not None:
        option(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD)
        option(_M_TRIM_THRESHOLD, _MMAP_THRESHOLD)
    library.prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)


def end_with_parent() -> None:
    """Have the kernel kill this process when the thread that forked it ends."""
    _library().prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)


def find_resident(mapped: Iterable[Span]) -> list[Span]:
    """Return those pages of `mapped` files that are resident; none where the system does not tell.

    By bit 63 of the entries of `/proc/self/pagemap` (the kernel's admin-guide/mm/pagemap).
    """
    spans: list[Span] = []
    try:
        with Path("/proc/self/pagemap").open("rb", buffering=0) as pages:
            for start, length in mapped:
                pages.seek(start // _PAGE * 8)
                entries = pages.read(length // _PAGE * 8)
                for run in _RESIDENT.finditer(entries[7::8]):
                    spans.append((start + run.start() * _PAGE, (run.end() - run.start()) * _PAGE))
    except OSError:
        return []
    return spans


def populate(spans: Iterable[Span]) -> None:
    """Make pages of mapped files resident: a fork does not inherit them, and their return is no growth."""
    import ctypes

    library = _library()
    for start, length in spans:
        if library.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), _MADV_POPULATE_READ):
            for page in range(start, start + length, _PAGE):  # before Linux 5.14
                ctypes.string_at(page, 1)


def load() -> None:
    """Load what the functions of this module need, so that a fork finds it loaded."""
    _library()


@functools.cache
def _library() -> Any:
    try:
        import ctypes

        return ctypes.CDLL(None)
    except (ImportError, OSError, TypeError):
        return None
