"""Keeps a processor busy while the process that started it lives: `hog.py arithmetic|allocation CORE|any PARENT`."""

from __future__ import annotations

import os
import sys


def calculate() -> None:
    """Keep to the arithmetic units and the first cache, for some milliseconds."""
    total = 0
    for number in range(100_000):
        total += number * number % 7


def allocate() -> None:
    """Sweep through the caches and the allocator, for some milliseconds."""
    blocks = [bytearray(4096) for _ in range(2_000)]
    lists = [[number] * 8 for number in range(20_000)]
    del blocks, lists


def main() -> None:
    """Work on the given core; the parent is looked at after each piece of work, so no hog survives it."""
    work = {"arithmetic": calculate, "allocation": allocate}[sys.argv[1]]
    if sys.argv[2] != "any" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(sys.argv[2])})
    parent = int(sys.argv[3])
    while os.getppid() == parent:
        work()


if __name__ == "__main__":
    main()
