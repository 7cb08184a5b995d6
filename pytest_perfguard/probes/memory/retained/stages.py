"""How many calls are needed: few where nothing stays, more where it may be a cache that fills."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pytest_perfguard.model.metric import RETAINED
from pytest_perfguard.model.protocols import Reading, Stage
from pytest_perfguard.probes.memory.retained.conclusion import conclude
from pytest_perfguard.probes.memory.retained.counting import Count, CountingProbe
from pytest_perfguard.probes.memory.retained.evidence import FEWEST, GROUPS, Evidence
from pytest_perfguard.probes.memory.retained.explaining import ExplainingProbe
from pytest_perfguard.probes.memory.retained.explanation import Explanation

_LONG = 1.0
"""Seconds: a reading that takes so long collects the garbage of millions of objects, or the call itself is slow."""


def proceed(stages: Sequence[Sequence[Reading]]) -> Stage | Reading:
    """Return the calls still to be made after these stages, or what all of them come to.

    The first stage has two calls, the second one more, around which the lengths of containers are compared too. Where
    nothing of all that grew, the value is 0. Otherwise groups of calls follow (`GROUPS`), as long as in each of them
    blocks, a container, or C's memory grew; a cache that was filling is full by then. What grew to the end is looked
    for by `ExplainingProbe`; where it finds nothing, a last group tells whether anything still grows.
    """
    counts = [[each for each in stage if isinstance(each, Count)] for stage in stages]
    if len(stages) == 1:
        return Stage(probe=CountingProbe(scan_at=0 if _is_huge(counts[0]) else 1), warmup=0, rounds=1)
    explained = next((each for stage in stages for each in stage if isinstance(each, Explanation)), None)
    evidence = Evidence([*counts[0], *counts[1]], [group for group in counts[2:] if group])
    if not evidence.is_suspicious:
        return Reading(values={RETAINED.name: 0})
    if explained is not None:
        is_explained = bool(explained.growth or explained.harmless) or evidence.is_apart or evidence.blocks <= 0
        if not is_explained and isinstance(stages[-1][-1], Explanation):
            return Stage(probe=CountingProbe(), warmup=0, rounds=FEWEST if _is_short(evidence) else GROUPS[-1][1])
        return conclude(evidence, explained)
    if len(evidence.groups) == len(GROUPS) or (evidence.groups and evidence.is_late):
        return _explaining(evidence)
    return _next_group(evidence)


def _next_group(evidence: Evidence) -> Stage:
    number = len(evidence.groups)
    warmup, rounds = GROUPS[number]
    affordable = evidence.affordable
    if warmup + rounds > affordable:
        warmup, rounds = 0, max(FEWEST, min(rounds, affordable))
    looks = evidence.blocks <= 0 and bool(evidence.grown)  # takes long, and blocks that stay suffice to go on
    probe = CountingProbe(thaw=evidence.replaces or number == len(GROUPS) - 1, scan_at=warmup + rounds if looks else 0)
    return Stage(probe=probe, warmup=warmup, rounds=rounds)


def _explaining(evidence: Evidence) -> Stage:
    groups = 2
    rate = 1.0 if evidence.grown or evidence.is_native else min(evidence.blocks, 1.0)
    calls = 1 if _is_short(evidence) else math.ceil(1.5 / rate)
    rounds = groups * calls + 1
    probe = ExplainingProbe(rounds=rounds, groups=groups, weigh=evidence.is_native, apart=evidence.is_apart)
    return Stage(probe=probe, warmup=0, rounds=rounds)


def _is_short(evidence: Evidence) -> bool:
    """Return whether few calls must do: of what stays in one call of ten they would see nothing."""
    return evidence.is_late and (evidence.blocks >= 1 or evidence.seconds_a_call > _LONG)


def _is_huge(counts: Sequence[Count]) -> bool:
    """Return whether there are millions of objects, so that containers are better looked at when there is a leak."""
    return all(count.blocks > 0 and count.ended - count.started > _LONG for count in counts)
