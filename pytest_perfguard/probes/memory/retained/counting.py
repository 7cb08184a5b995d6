"""The count of memory blocks before and after one call."""

from __future__ import annotations

import gc
import sys
import sysconfig
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, final

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.model.metric import RETAINED, Metric
from pytest_perfguard.model.protocols import Reading
from pytest_perfguard.probes.memory.retained import containers, native

# CPython 3.12 freezes immortal objects, some hundred; a freeze made on purpose, after imports, has tens of thousands.
FROZEN_AT_START = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Count(Reading):
    """What one call left: its value is signed, as calls are added up."""

    between: int = 0
    """By how many blocks memory grew between the end of the call before and this one: what is freed then is no leak."""
    replaced: bool = False
    """Whether more seemed to stay until old cycles, which the call replaced, were collected."""
    native: int = 0
    """Bytes by which C's memory grew."""
    grown: dict[int, int] | None = None
    """Containers that grew, by their id, with the number of items; None where they were not looked at."""
    lengths: dict[int, int] | None = None
    """Lengths of containers before the call, by their id, where they were looked at."""
    started: float = 0.0
    ended: float = 0.0

    @property
    def blocks(self) -> int:
        """Return by how many blocks memory grew."""
        return self.values[RETAINED.name]


@dataclass(slots=True, kw_only=True, eq=False)
class _Token:
    froze: bool = False
    """Whether this token froze the heap, and so must thaw it."""
    marker: list[object] = field(default_factory=list)
    """An object made after the freeze."""
    between: int = 0
    scans: bool = False
    lengths: dict[int, int] = field(default_factory=dict)
    # Numbers of the machine: an int object stored after counting would itself be one block more.
    blocks: array[int] = field(default_factory=lambda: array("q", (0, 0)))
    seconds: array[float] = field(default_factory=lambda: array("d", (0.0,)))


@final
class CountingProbe:
    """Counts the memory blocks that a call leaves allocated: exactly 0 for clean code, exactly n for a leak of n.

    The value is the difference of `sys.getallocatedblocks()` after the call and before it, each after a garbage
    collection; it is negative where the call frees more than it allocates. The result of the call is not wanted: the
    caller drops it before `stop`, and binds nothing new between `start` and the call or between the call and `stop`.

    The heap is frozen (`gc.freeze`) around the call, so that collections see what the call made, and nothing else. A
    count above zero may then come from old cycles which the call replaced and which are frozen: only then, and only
    where `thaw` is set, is the heap collected whole and counted again. A freeze of the user's own is left alone; the
    collections are then as cheap as it makes them, and cycles in frozen objects count, as they stay. The cache of type
    attributes is emptied for each count: it keeps names alive and lets clean `asyncio.run` read +1 to +4 a call, and
    a call that defines a class +0.7. Around the call with the number `scan_at`, from 1, the lengths of containers are
    compared too. `start` raises `ProbeError` where blocks cannot be counted.
    """

    metrics: tuple[Metric, ...] = (RETAINED,)
    intrusive: bool = True
    wants_result: bool = False
    warmup: int = 0
    rounds: int = 1

    def __init__(self, *, thaw: bool = True, scan_at: int = 0) -> None:
        self._thaw = thaw
        self._scan_at = scan_at
        self._calls = 0

    def start(self, outer: int = 1) -> _Token:
        """Freeze the heap and count; the frame that goes on is so many frames outwards."""
        check_interpreter()
        _show_frames(outer)
        token = _spare.pop() if _spare else _Token()
        token.seconds[0] = time.perf_counter()
        froze = gc.get_freeze_count() < FROZEN_AT_START
        if froze:
            collect_garbage()
        between = sys.getallocatedblocks() - _ended[0]
        self._calls += 1
        token.scans = self._calls == self._scan_at
        if token.scans:
            token.lengths = containers.lengths()
        if froze:
            gc.freeze()
        # Collects everything where nothing was frozen; otherwise it empties the free lists, as the one in `stop` will.
        gc.collect()
        token.froze, token.marker, token.between = froze, [], between
        token.blocks[1] = native.used()
        gc.collect()
        _clear_type_cache()
        token.blocks[0] = sys.getallocatedblocks()
        return token

    def stop(self, token: Any, result: object = None) -> Count:
        """Count again and thaw the heap; `result` is not looked at and must not be held elsewhere."""
        # No comprehensions in this function: their variables would be cells, allocated on entry and counted.
        del result
        try:
            gc.collect()
            _clear_type_cache()
            blocks = sys.getallocatedblocks() - token.blocks[0]
        finally:
            # With the marker frozen, the measured code has frozen the heap itself, and all that was in it.
            if token.froze and not _is_frozen(token.marker):
                gc.unfreeze()
        first = blocks
        if blocks > 0 and self._thaw:
            # Finalizers that the first one ran may have left garbage of their own.
            if gc.collect():
                gc.collect()
            _clear_type_cache()
            blocks = sys.getallocatedblocks() - token.blocks[0]
        grown = native.used() - token.blocks[1]
        lengths, token.lengths = token.lengths, {}
        started = token.seconds[0]
        found = Count(
            values={RETAINED.name: blocks},
            between=token.between,
            replaced=first > max(blocks, 0),
            native=grown,
            grown=containers.grown(lengths) if token.scans else None,
            lengths=lengths if token.scans else None,
            started=started,
            ended=time.perf_counter(),
        )
        _spare.append(token)  # grows: not before the lengths of containers were compared
        _ended[0] = sys.getallocatedblocks()
        return found


# Used tokens: the caller drops the last one when it binds the next, after `start` has counted it.
_spare: list[_Token] = []
_ended = array("q", (0,))


def _show_frames(outer: int) -> None:
    """Have the interpreter make objects of the frames that go on: a call that looks at the stack would make them."""
    frame: FrameType | None = sys._getframe(outer + 1)
    while frame is not None:
        frame = frame.f_back


def check_interpreter() -> None:
    """Raise `ProbeError` where this interpreter does not count its blocks, or not exactly."""
    if sys.implementation.name != "cpython":
        raise ProbeError(
            f"retained memory cannot be counted on {sys.implementation.name}: "
            "it has no count of allocated blocks; leave out the budget 'retained' there, or run on CPython"
        )
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise ProbeError(
            "retained memory cannot be counted on a free-threaded build of CPython: its allocator frees blocks late; "
            "leave out the budget 'retained' there, or run on the default build"
        )
    if sys.getallocatedblocks() == 0:
        raise ProbeError(
            "retained memory cannot be counted: sys.getallocatedblocks() is always 0, because Python's own allocator "
            "is switched off (PYTHONMALLOC=malloc or malloc_debug); unset PYTHONMALLOC, or use PYTHONMALLOC=debug"
        )


def _is_frozen(marker: object) -> bool:
    # Counting the frozen objects instead would take as long as a collection: it walks them all.
    return not any(item is marker for item in gc.get_objects())


def collect_garbage() -> None:
    """Collect all garbage: cheap where nothing can have reached the oldest generation since the last full collection.

    Garbage that the full collection in `stop` would find must be gone before the first count, or it hides a leak.
    """
    young = sys.version_info < (3, 14) and gc.get_count()[2] == 0
    gc.collect(1 if young else 2)


# The cache of type attributes keeps names alive: 4096 of them, which takes thousands of calls to fill.
_clear_type_cache: Callable[[], None] = getattr(sys, "_clear_internal_caches", None) or sys._clear_type_cache
