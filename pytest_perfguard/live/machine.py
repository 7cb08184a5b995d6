"""Processors: which there are, who runs where, and what the hypervisor takes of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path


def processors() -> tuple[int, ...]:
    """Return the processors that this process may use; empty where a process cannot be bound to one."""
    if not hasattr(os, "sched_getaffinity"):
        return ()
    return tuple(sorted(os.sched_getaffinity(0)))


def bind(cores: Collection[int]) -> None:
    """Bind all threads of this process to `cores`; does nothing where the system does not allow it."""
    if not cores or not hasattr(os, "sched_setaffinity"):
        return
    try:
        threads = [int(name) for name in os.listdir("/proc/self/task")]  # noqa: PTH208 - names alone
    except OSError:
        threads = [0]
    for thread in threads:
        with contextlib.suppress(OSError):  # a thread that has just ended, or a container that forbids it
            os.sched_setaffinity(thread, cores)


@contextlib.contextmanager
def aside(core: int | None) -> Iterator[None]:
    """Keep this process off `core` while the context lasts, where there is another to go to."""
    allowed = processors()
    others = [each for each in allowed if each != core]
    if core is None or not others:
        yield
        return
    bind(others)
    try:
        yield
    finally:
        bind(allowed)


def stolen() -> tuple[int, int] | None:
    """Return the time that the hypervisor took since the machine started, and all time, in the same unit."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
        numbers = [int(field) for field in fields[:8]]
    except (OSError, ValueError):
        return None
    return (numbers[7], sum(numbers)) if len(numbers) == 8 else None
