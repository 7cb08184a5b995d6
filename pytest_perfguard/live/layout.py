"""Where programs lie in memory: by chance from pair to pair, but the same for both sides of a pair.

The same code differs by several per cent between two processes, for where the interpreter's own code and data happen to
lie (Mytkowicz, Diwan, Hauswirth & Sweeney 2009; Curtsinger & Berger 2013). Here the system's randomisation of addresses
is off for workers, so that both sides of a pair have one layout, and what it costs cancels. The layout is then varied
from pair to pair by moving the top of the memory map, which a program's limit of the stack sets. What lies on heap and
stack is strewn on each side by its own, lest a difference between the sides that means nothing, such as the length of a
path, comes back in every pair and passes for one of the code.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import sys
from collections.abc import Iterator

_NO_RANDOMIZE = 0x0040000
"""ADDR_NO_RANDOMIZE of personality(2)."""

_QUERY = 0xFFFFFFFF
"""What personality(2) is given to tell without changing anything."""

_LEAST_GAP = 128 << 20
"""The kernel keeps so much free between the top of the memory map and the stack, however low the limit."""

_PAGES = 1 << 14
"""In so many steps of a page the map is moved."""

_POOL = 1 << 14
"""Bytes of a pool of small blocks in CPython."""

STACK = "PERFGUARD_STACK"
"""The variable that tells a worker which limit of the stack it had, were it not for this."""

PADDING = "PERFGUARD_PADDING"
"""The variable whose length moves the stack."""


@contextlib.contextmanager
def shared(seed: int) -> Iterator[dict[str, str]]:
    """Have programs that are started in this context lie where `seed` says; gives variables that they need.

    Does nothing, and gives none, where the system does not allow it: then each has a layout by chance.
    """
    before = _personality(_QUERY)
    if before is None or _personality(before | _NO_RANDOMIZE) is None:
        yield {}
        return
    try:
        with _moved(seed) as limit:
            yield {} if limit is None else {STACK: limit}
    finally:
        _personality(before)


def can_share() -> bool:
    """Return whether this system lets the programs of a pair lie at the same place."""
    before = _personality(_QUERY)
    if before is None or _personality(before | _NO_RANDOMIZE) is None:
        return False
    _personality(before)
    return True


def restore() -> None:
    """Give this process, and what it starts from now on, the system's own ways again."""
    limit = os.environ.pop(STACK, "")
    os.environ.pop(PADDING, None)
    before = _personality(_QUERY)
    if before is not None:
        _personality(before & ~_NO_RANDOMIZE)
    if limit:
        import resource

        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_STACK, (int(limit), resource.getrlimit(resource.RLIMIT_STACK)[1]))


def strew(common: random.Random, own: random.Random) -> object:
    """Return objects that move what is allocated after them, for as long as somebody holds them.

    `common` is the same on both sides and moves where the large pieces begin that memory is got in from the system;
    `own` moves, by less than a pool, where small blocks lie. No holes are left: they would be filled later, which costs
    time of its own.
    """
    large = [bytes(479) for _ in range(common.randrange(2048))]
    small = [bytes(size - 33) for size in range(48, 513, 16) for _ in range(own.randrange(_POOL // size))]
    return large, small


@contextlib.contextmanager
def _moved(seed: int) -> Iterator[str | None]:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    wanted = _LEAST_GAP + (seed % _PAGES) * resource.getpagesize()
    if hard != resource.RLIM_INFINITY and hard < wanted:
        yield None
        return
    resource.setrlimit(resource.RLIMIT_STACK, (wanted, hard))
    try:
        yield str(soft)
    finally:
        resource.setrlimit(resource.RLIMIT_STACK, (soft, hard))


def _personality(persona: int) -> int | None:
    """Return the execution domain that this thread had before, None where it cannot be told or changed."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        before: int = ctypes.CDLL(None).personality(ctypes.c_ulong(persona))
    except (OSError, AttributeError):
        return None
    return None if before == -1 else before
