"""Fills the holes in Python's small-object memory, so that new objects need new memory, which shows as resident."""

from __future__ import annotations

import gc
import sys
from itertools import islice, repeat
from pathlib import Path

_POOL = 16 * 1024
_ARENA = 1024 * 1024
_LARGEST = 512
_STEP = 16
_BYTES = sys.getsizeof(b"")
# Holes beyond this are left, and hide some of a call's growth: filling them would take long.
_MOST_POOLS = 128 * _ARENA // _POOL


def fill() -> list[object]:
    """Take every free block of CPython's small-object allocator, and return the objects that hold them.

    A block of one of the 32 sizes is taken from a pool of that size in use, from an unused pool, or, when there is
    none, from an arena of 1 MiB that is mapped anew (Objects/obmalloc.c). Pools are filled until the process's address
    space grows by an arena; blocks of each size then, until they come from that arena. Its pools are touched only as
    far as they are used. Empty where another allocator is in use, or the system does not tell the address space.
    """
    held: list[object] = []
    if not sys.getallocatedblocks():
        return held
    collecting = gc.isenabled()
    gc.disable()
    try:
        arena = _fill_pools(held)
        if arena is not None:
            for size in range(_STEP, _LARGEST, _STEP):
                _fill_size(held, size, arena)
    finally:
        if collecting:
            gc.enable()
    gc.collect(0)  # collections of the call come as early as they would have without the objects made here
    return held


def _fill_pools(held: list[object]) -> int | None:
    """Fill unused pools until there is a new arena, and return where that begins."""
    try:
        with Path("/proc/self/statm").open("rb", buffering=0) as sizes:
            before = _mapped(sizes.read())
            while len(held) < _MOST_POOLS:
                held.append(_take(_LARGEST))
                sizes.seek(0)
                if _mapped(sizes.read()) - before >= _ARENA:
                    blocks = _take(_LARGEST)  # the tuple before may have been what needed the arena
                    held.append(blocks)
                    return id(blocks[-1]) // _POOL * _POOL
    except OSError:
        pass
    return None


def _fill_size(held: list[object], size: int, arena: int) -> None:
    while len(held) < _MOST_POOLS:
        blocks = _take(size)
        held.append(blocks)
        # An arena mapped before may begin where this one ends; the pools used here are far from that.
        if arena <= id(blocks[-1]) < arena + _ARENA - 4 * _POOL:
            return


def _take(size: int) -> tuple[object, ...]:
    """Return as many objects of `size` as fit into a pool; the collector does not know them."""
    count = _POOL // size - 1
    if size == 16:
        return tuple(islice(map(object.__new__, repeat(object)), count))
    if size == 32:
        return tuple(map(complex, range(count)))
    return tuple(map(bytes, repeat(size - _BYTES, count)))


def _mapped(sizes: bytes) -> int:
    return int(sizes.split(None, 1)[0]) * 4096
