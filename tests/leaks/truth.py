"""Verifies the catalogue by plain counting, with nothing of perfguard: what hundreds of calls leave in a process.

A leak must leave, of each of 400 calls, as many blocks as the catalogue says, or bytes or items where it leaves no
block. A clean function must come to rest, as many do only after hundreds of calls: over up to 2,000 calls, its highest
count in the second half is that in the first. What takes thousands of calls to fill, and what a tool around the test
keeps, is not judged. `python -m tests.leaks.truth [SUBJECT…]`, exit code 1 where the catalogue is wrong.
"""

from __future__ import annotations

import array
import asyncio
import ctypes
import gc
import inspect
import itertools
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.leaks.catalogue import Case, Clean, Leak

STEP = 50
LEAKING = 8
RESTING = 40
"""Counts that are made of what leaks and of what is clean, `STEP` calls apart."""

SECONDS = 4.0
"""Time for the counts of a clean function; and as much to warm it up."""


def main(subjects: list[str]) -> int:
    """Print a line for each case, and return 1 where one is not what the catalogue says."""
    from tests.leaks.subjects import SUBJECTS, catalogues

    logging.basicConfig(stream=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    wrong = 0
    for subject in subjects or SUBJECTS:
        for catalogue in catalogues(subject):
            for case in (*catalogue.leaks, *catalogue.cleans):
                right, figures = verify(case)
                wrong += not right
                kind = "leak " if isinstance(case, Leak) else "clean"
                print(f"{kind} {case.name:42} {figures}{'' if right else '  WRONG'}", flush=True)
    return bool(wrong)


def verify(case: Case) -> tuple[bool, str]:
    """Return whether counting agrees with the catalogue, and the figures."""
    counts = count(case)
    calls = (len(counts) - 1) * STEP
    if isinstance(case, Leak):
        (*first,), (*last,) = counts[0], counts[-1]
        blocks, native, items = ((after - before) / calls for before, after in zip(first, last, strict=True))
        figures = f"{blocks:8.2f} blocks {native:9.0f} bytes of C {items:6.2f} items a call"
        if case.bare:
            return blocks < 0.5 and max(native, items) >= 0.99, figures
        return blocks >= case.blocks - 0.2, figures
    blocks = [each[0] for each in counts]
    half = len(blocks) // 2
    more = max(blocks[half:]) - max(blocks[:half])
    # What goes up and down is met at another height each time: by as much as it moves between two counts.
    swing = max(abs(after - before) for before, after in itertools.pairwise(blocks))
    figures = f"{2 * more / calls:8.2f} blocks a call at rest, {blocks[-1] - blocks[0]:6} in the last {calls}"
    if case.fills > 2000 or case.disturbs:
        return True, f"{figures} (not judged)"
    return more < 0.05 * calls or more <= 2 * swing, figures


Counts = list[tuple[int, int, int]]
"""Blocks, bytes of C and items, `STEP` calls after one another."""


def count(case: Case) -> Counts:
    """Return the counts of a case, after calls that warm it up."""
    with case.opened() as call:
        if inspect.iscoroutinefunction(call):
            with asyncio.Runner() as runner:
                return _count(case, lambda n: runner.run(_repeat_async(call, n)))
        return _count(case, lambda n: _repeat(call, n))


def _count(case: Case, repeat: Callable[[int], None]) -> Counts:
    warm = 1500 + 2 * case.fills if isinstance(case, Clean) else 250
    deadline = time.monotonic() + SECONDS
    for _ in range(0, warm, 50):
        repeat(STEP)
        if time.monotonic() > deadline:
            break
    wanted = RESTING if isinstance(case, Clean) else LEAKING + 1
    bare = [case] if isinstance(case, Leak) and case.bare else []
    numbers = array.array("q", bytes(24 * wanted))  # what is counted meanwhile must not be counted too
    deadline = time.monotonic() + SECONDS
    made = 0
    while made < wanted and (made <= LEAKING or time.monotonic() < deadline):
        gc.collect()
        gc.collect()
        numbers[3 * made + 1], numbers[3 * made + 2] = _native(), _items() if case in bare else 0
        numbers[3 * made] = sys.getallocatedblocks()
        made += 1
        repeat(STEP)
    return [tuple(numbers[3 * n : 3 * n + 3]) for n in range(made)]


def _repeat(call: Callable[[], Any], calls: int) -> None:
    for _ in itertools.repeat(None, calls):
        call()


async def _repeat_async(call: Callable[[], Any], calls: int) -> None:
    for _ in itertools.repeat(None, calls):
        await call()


def _items() -> int:
    """Return the length of all lists, byte arrays and arrays that the collector or an attribute shows."""
    total = len(sys.path)
    for each in gc.get_objects():
        if type(each) is list:
            total += len(each)
        elif type(each) is dict:
            total += sum(len(value) for value in each.values() if type(value) in (bytearray, array.array))
        elif hasattr(type(each), "__dict__") and type(each).__module__.startswith("tests.leaks.leaking"):
            values = getattr(each, "__dict__", {}).values()
            total += sum(len(value) for value in values if type(value) in (bytearray, array.array))
    return total


class _Mallinfo(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "k")
    )


_mallinfo = ctypes.CDLL(None).mallinfo2
_mallinfo.restype = _Mallinfo


def _native() -> int:
    info = _mallinfo()
    return info.uordblks + info.hblkhd


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
