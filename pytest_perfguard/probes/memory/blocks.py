"""Memory blocks that a call leaves allocated: the instrument that finds leaks."""

from __future__ import annotations

import gc
import sys
import sysconfig
from array import array
from dataclasses import dataclass, field
from typing import Any, final

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.model.metric import RETAINED, Metric
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.protocols import Reading

# CPython 3.12 freezes immortal objects, some hundred; a freeze made on purpose, after imports, has tens of thousands.
_FROZEN_AT_START = 2_000

# Bits of one small number: small integers are the only ones that are not allocated, and not counted.
_LOG_RECORDS = 1
_MOCK_CALLS = 2


@dataclass(slots=True, kw_only=True, eq=False)
class _Token:
    froze: bool = False
    """Whether this token froze the heap, and so must thaw it."""
    marker: list[object] = field(default_factory=list)
    """An object made after the freeze."""
    records: int = 0
    calls: int = 0
    # A machine integer: an int object stored after counting would itself be one block more.
    blocks: array[int] = field(default_factory=lambda: array("q", (0,)))


@final
class RetainedProbe:
    """Counts the memory blocks that a call leaves allocated: exactly 0 for clean code, exactly n for a leak of n.

    The value is `max(0, blocks after - blocks before)` of `sys.getallocatedblocks()`, each after a garbage collection.
    A call that frees more than it allocates reads 0: the metric asks what stays at *every* call, its rounds are reduced
    by their minimum, and `max` commutes with that; a negative value would turn a later 0 into a rise. The result of
    the call is not wanted: the caller drops it before `stop`, and binds nothing new between `start` and the call or
    between the call and `stop`.

    The heap is frozen (`gc.freeze`) around the call, so that collections see what the call made, and nothing else. A
    count above zero may then come from old cycles which the call replaced and which are frozen: only then is the heap
    thawed, collected whole, and counted again. A freeze of the user's own is left alone; the collections are then as
    cheap as it makes them, and cycles in frozen objects count as retained, as they are. On 3.11 and 3.12 the cache of
    type attributes is emptied for each count: it keeps names alive and lets clean `asyncio.run` read +1 to +4 a call.

    Where there is a positive count together with a tracer, log records kept by handlers such as pytest's log capture,
    or calls recorded by mocks, the reading has no value and a note "disturbed" that names the cause. Blind spots:
    allocations by C code that bypass Python's allocator, growth of a container by objects that exist already, other
    interpreters in the process. Other threads that run during the call are counted with it, and one that was joined may
    hold its last block a moment longer: in single rounds, which the minimum leaves out.

    `start` raises `ProbeError` on other implementations than CPython, on free-threaded builds, and where another
    allocator replaces Python's (PYTHONMALLOC=malloc).
    """

    metrics: tuple[Metric, ...] = (RETAINED,)
    intrusive: bool = True
    wants_result: bool = False
    warmup: int = 3
    rounds: int = 3

    def start(self) -> _Token:
        """Freeze the heap and count; raises `ProbeError` where blocks cannot be counted."""
        _check()
        froze = gc.get_freeze_count() < _FROZEN_AT_START
        if froze:
            _collect_garbage()
            gc.freeze()
        # Collects everything where nothing was frozen; otherwise it empties the free lists, as the one in `stop` will.
        gc.collect()
        token = _spare.pop() if _spare else _Token()
        token.froze, token.marker = froze, []
        token.records, token.calls = _survivors()
        gc.collect()
        _clear_type_cache()
        token.blocks[0] = sys.getallocatedblocks()
        return token

    def stop(self, token: Any, result: object = None) -> Reading:
        """Count again and thaw the heap; `result` is not looked at and must not be held elsewhere."""
        del result
        causes = 0
        try:
            gc.collect()
            _clear_type_cache()
            blocks = sys.getallocatedblocks() - token.blocks[0]
            if blocks > 0:
                causes = _causes(token)
        finally:
            # With the marker frozen, the measured code has frozen the heap itself, and all that was in it.
            if token.froze and not _is_frozen(token.marker):
                gc.unfreeze()
        if blocks > 0:
            # Finalizers that the first one ran may have left garbage of their own.
            if gc.collect():
                gc.collect()
            _clear_type_cache()
            blocks = sys.getallocatedblocks() - token.blocks[0]
        _spare.append(token)
        # No comprehensions in this function: their variables would be cells, allocated on entry and counted.
        notes = _notes(blocks, causes) if blocks > 0 else ()
        if notes:
            return Reading(notes=notes)
        return Reading(values={RETAINED.name: max(0, blocks)})


# Used tokens: the caller drops the last one when it binds the next, after `start` has counted it.
_spare: list[_Token] = []


def _check() -> None:
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


def _collect_garbage() -> None:
    """Collect all garbage; cheap where nothing can have reached the oldest generation since the last full collection.

    Garbage that the full collection in `stop` would find must be gone before the first count, or it hides a leak.
    """
    young = sys.version_info < (3, 14) and gc.get_count()[2] == 0
    gc.collect(1 if young else 2)


def _clear_type_cache() -> None:
    if sys.version_info < (3, 13):
        sys._clear_type_cache()


def _survivors() -> tuple[int, int]:
    """Return how many log records and recorded calls of mocks there are among objects that are not frozen."""
    record = getattr(sys.modules.get("logging"), "LogRecord", None)
    call = getattr(sys.modules.get("unittest.mock"), "_Call", None)
    records = calls = 0
    for item in gc.get_objects():
        kind = type(item)
        if kind is call:
            calls += 1
        elif record is not None and issubclass(kind, record):
            records += 1
    return records, calls


def _causes(token: _Token) -> int:
    """Return what else may hold the blocks, as bits."""
    records, calls = _survivors()
    return _LOG_RECORDS * (records > token.records) + _MOCK_CALLS * (calls > token.calls)


def _notes(blocks: int, causes: int) -> tuple[Note, ...]:
    """Return what may hold the blocks beside the measured code, each with its remedy."""
    found = []
    if causes & _LOG_RECORDS:
        found.append(
            (
                "log records that a handler keeps (pytest's log capture does)",
                "raise the logger's level for this test, or run with -p no:logging",
            )
        )
    if causes & _MOCK_CALLS:
        found.append(("the calls that mocks record", "replace the mock by a plain object, or reset it in each call"))
    tracers = _tracers()
    if tracers:
        found.append((", ".join(tracers), "run this test without it (pytest-cov: --no-cov)"))
    return tuple(
        Note(
            code="disturbed",
            message=f"a call left {blocks} memory blocks, and {cause} may hold them: not counted as retained",
            remedy=remedy,
            undermines=(RETAINED.name,),
        )
        for cause, remedy in found
    )


def _tracers() -> list[str]:
    found = []
    for place, hook in (("sys.settrace", sys.gettrace()), ("sys.setprofile", sys.getprofile())):
        if hook is not None:
            kind = hook if isinstance(hook, type) else type(hook)
            owner = getattr(hook, "__module__", None) or kind.__module__
            found.append(f"the tracer {owner} ({place})")
    monitoring: Any = getattr(sys, "monitoring", None)
    if monitoring is not None:
        names = (monitoring.get_tool(number) for number in range(6))
        found.extend(f"the monitoring tool {name}" for name in names if name is not None)
    return found
