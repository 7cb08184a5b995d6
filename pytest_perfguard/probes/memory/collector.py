"""Garbage collections during a call: how many, and how long the longest held everything up."""

from __future__ import annotations

import gc
from time import perf_counter_ns
from typing import Any, final

from pytest_perfguard.model.growth import Detail
from pytest_perfguard.model.metric import GC_COLLECTIONS, GC_PAUSE, Metric
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.protocols import Reading
from pytest_perfguard.quantity import Unit, render


class _Token:
    """The collections since `start`; the collector calls it as each begins and ends."""

    __slots__ = ("begun", "pauses", "was_on")

    def __init__(self) -> None:
        self.was_on = True
        self.begun: int | None = None
        self.pauses: list[tuple[int, int, int, int]] = []
        """Of each collection: generation, nanoseconds, objects freed, objects that could not be freed."""

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self.begun = perf_counter_ns()
        elif self.begun is not None:
            passed = perf_counter_ns() - self.begun
            self.pauses.append((info["generation"], passed, info["collected"], info["uncollectable"]))
            self.begun = None


@final
class CollectorProbe:
    """Counts the garbage collections during a call, and reads how many nanoseconds the longest took.

    By `gc.callbacks`, which the collector calls as it begins and ends; a collection of any thread counts, since none of
    the others runs meanwhile, and so does one that the code asks for by `gc.collect()`. A collection in which other
    callbacks of the process take their time is as much longer. Garbage is collected before the call, so that the
    collector's counts begin at 0. A call without a collection reads 0 for both. Where the collector is off during the
    call, a note "collector-off" says so; the values stand, as that is how the code runs.
    """

    metrics: tuple[Metric, ...] = (GC_COLLECTIONS, GC_PAUSE)
    intrusive: bool = True
    wants_result: bool = False
    warmup: int = 1
    rounds: int = 5

    def start(self) -> _Token:
        """Collect what garbage there is, and begin to listen."""
        token = _Token()
        gc.collect()
        token.was_on = gc.isenabled()
        gc.callbacks.append(token)
        return token

    def stop(self, token: Any, result: object = None) -> Reading:
        """Stop listening; `result` is not looked at."""
        del result
        _remove(token)
        pauses = token.pauses
        return Reading(
            values={GC_COLLECTIONS.name: len(pauses), GC_PAUSE.name: max((each[1] for each in pauses), default=0)},
            details=tuple(Detail(metric=metric.name, lines=(_tell(pauses),)) for metric in self.metrics if pauses),
            notes=() if token.was_on and gc.isenabled() else (_OFF,),
        )


_OFF = Note(
    code="collector-off",
    message="the garbage collector was switched off before or during the call (gc.disable())",
    remedy="collections that it would make otherwise are not counted; switch it on to know of them",
)


def _remove(token: _Token) -> None:
    """Take `token` out of the callbacks; others there may be equal to everything, so it is not asked who is equal."""
    for place, each in enumerate(gc.callbacks):
        if each is token:
            del gc.callbacks[place]
            return


def _tell(pauses: list[tuple[int, int, int, int]]) -> str:
    """Return one line on the collections of a call, by generation, the oldest first."""
    told = []
    for generation in sorted({each[0] for each in pauses}, reverse=True):
        those = [each for each in pauses if each[0] == generation]
        times = "once" if len(those) == 1 else f"{len(those)} times"
        longest = render(max(each[1] for each in those) * 1e-9, Unit.SECONDS)
        freed, kept = sum(each[2] for each in those), sum(each[3] for each in those)
        took = f"took {longest}" if len(those) == 1 else f"the longest took {longest}"
        told.append(
            f"generation {generation} {times}, {took}, {freed} objects freed"
            + (f", {kept} that cannot be freed" if kept else "")
        )
    return "; ".join(told)
