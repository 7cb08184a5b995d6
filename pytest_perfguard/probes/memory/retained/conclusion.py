"""What the calls come to: the value, who holds what they left, and what may be mistaken for it."""

from __future__ import annotations

import math

from pytest_perfguard.model.growth import Growth
from pytest_perfguard.model.metric import RETAINED
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.protocols import Reading
from pytest_perfguard.probes.memory.retained import native
from pytest_perfguard.probes.memory.retained.disturbers import Cause, tracers
from pytest_perfguard.probes.memory.retained.evidence import GROUPS, Evidence
from pytest_perfguard.probes.memory.retained.explanation import Explanation, Harmless
from pytest_perfguard.probes.memory.retained.table import tabulate_growth

NATIVE = "native memory"

_UNSEEN = "memory block"


_UNTIL_NEXT = Note(
    code="until-next-call",
    message="what a call leaves was gone before the next one (fixtures were torn down), or is nothing that has a name: "
    "it is not counted as retained",
)


def conclude(evidence: Evidence, explained: Explanation) -> Reading:
    """Return the value with what explains it.

    Where all that grew is harmless, as it is known to be held by a cache with a limit, by pytest's log capture, or by
    mocks, the value is 0 with a note. Where nothing was found and a tracer is on, there is no value.
    """
    growth = list(explained.growth) if evidence.blocks > 0 or evidence.grown else []
    notes = [_note(each) for each in explained.harmless]
    value = math.ceil(evidence.blocks) if growth else 0
    if growth and not value:
        value = math.ceil(max(each.count for each in growth))
    beyond = explained.native - explained.python
    if evidence.is_native and beyond >= max(native.FLOOR, explained.native / 4):
        growth.append(Growth(kind=NATIVE, count=1, size=beyond))
        value = max(value, 1)
    if not growth and evidence.blocks > 0 and not explained.harmless:
        causes = tracers()
        if causes and not evidence.is_apart:
            return Reading(notes=tuple(_disturbed(evidence, cause) for cause in causes))
        if evidence.is_apart:
            notes.append(_UNTIL_NEXT)
        else:
            value = math.ceil(evidence.blocks)
            growth.append(Growth(kind=_UNSEEN, count=evidence.blocks))
            notes.append(_unseen(explained))
    if value and len(evidence.groups) < len(GROUPS):
        notes.append(_capped(evidence))
    return Reading(
        values={RETAINED.name: value},
        growth=tuple(growth),
        details=tabulate_growth(growth),
        notes=tuple(dict.fromkeys(notes)),
    )


def _note(each: Harmless) -> Note:
    if isinstance(each.excuse, Cause):
        message = f"each call leaves {each.excuse.name}: they are not counted as retained"
        return Note(code="disturbed", message=message, remedy=each.excuse.remedy)
    return Note(code="filling", message=f"{each.owner} is {each.excuse}: what it keeps is not counted as retained")


def _disturbed(evidence: Evidence, cause: Cause) -> Note:
    return Note(
        code="disturbed",
        message=f"a call left {math.ceil(evidence.blocks)} memory blocks, and {cause.name} may hold them: "
        "not counted as retained",
        remedy=cause.remedy,
        undermines=(RETAINED.name,),
    )


def _unseen(explained: Explanation) -> Note:
    reason = explained.failed or "no object that the garbage collector knows, and no container, grew"
    return Note(
        code="not-explained",
        message=f"who holds what each call leaves was not found: {reason}",
        remedy="look for strings or numbers that a C extension, sys.intern or a fixed place in a container keeps",
    )


def _capped(evidence: Evidence) -> Note:
    return Note(
        code="capped",
        message=f"what stays was decided by {evidence.calls} calls, as they took {evidence.seconds:.0f} s or "
        "left much: a large cache that is still filling looks the same",
        remedy="measure a smaller piece of work",
    )
