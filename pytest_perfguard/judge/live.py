"""What is known of each measurement while base and head run side by side, and what is wanted next.

A search looks again and again at the pairs so far and flags what seems to have changed. It is only a filter: whatever
it flags is decided on fresh pairs alone, so that the chance of a false alarm does not depend on how the search was
made, nor on how many tests there are. The rule and the simulations behind its constants are in `docs/design.md`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from pytest_perfguard.model.measurement import Key
from pytest_perfguard.model.pairs import Replicate, Stage, Trial
from pytest_perfguard.stats.pairs import (
    CONFIRMING_LOOKS,
    LOOKS,
    Estimate,
    discoveries,
    estimate,
    estimates,
    pair_shift,
    sequential,
    until_next,
)

SENTINEL = "sentinel"
"""The name of the measurement that is the same on both sides; its test is "" and it is no part of the suite."""

FEWEST = LOOKS[0]
"""With fewer pairs nothing is said of a measurement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a live comparison calls a change, and how sure it wants to be."""

    margin: float = 0.01
    """The smallest relative change worth a verdict, where a test has none of its own."""
    confidence: float = 0.99
    """The chance that a run over unchanged code calls nothing regressed, over all its tests together."""
    interval: float = 0.95
    """Two-sided confidence of the interval that is reported, and that shows that nothing changed."""
    pinned: bool = True
    """Whether both sides were bound to one processor; where not, twice the margin is asked for."""
    certain: float = 0.75
    """Share of the margin that a change must exceed with certainty; its best estimate must exceed the whole.

    With the whole margin here too, more pairs are needed for a change of twice the margin; with half of it, what
    lastingly favours one side by 0.3 % failed four times as many simulated runs (`docs/design.md`)."""
    suspect: float = 0.5
    """The same for the search."""
    search_level: float = 0.003
    """The chance of a needless confirmation that each look of the search may take."""

    def margin_of(self, trial: Trial) -> float:
        """Return the smallest relative change of a measurement that is worth a verdict."""
        margin = self.margin if trial.margin is None else trial.margin
        return margin if self.pinned and not trial.parallel else 2 * margin


class State(StrEnum):
    """How far a measurement has come."""

    UNDECIDED = "undecided"
    """Nothing is shown yet: more pairs are wanted to search with."""
    FLAGGED = "flagged"
    """The search found a change: fresh pairs are wanted to confirm it."""
    CONFIRMED = "confirmed"
    """Fresh pairs confirmed the change."""
    CLEAR = "clear"
    """Shown not to differ by more than the margin, be it by the search or by the fresh pairs after it."""
    SPENT = "spent"
    """Not decided after as many pairs as there may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What is known of one measurement."""

    state: State
    sign: int = 0
    """The direction of what the search flagged: 1 for slower, -1 for faster, 0 for nothing."""
    search: Estimate | None = None
    """What all pairs of the search say together; None for fewer than two."""
    fresh: Estimate | None = None
    """What all fresh pairs say together."""
    level: float = 1.0
    """The p-value of the flagged change by the fresh pairs, valid however often one looks."""
    remaining: int = 0
    """Pairs until it will probably be decided."""

    @property
    def stage(self) -> Stage | None:
        """What further pairs would be for; None where it is decided."""
        if self.state is State.FLAGGED:
            return Stage.CONFIRM
        return Stage.SEARCH if self.state is State.UNDECIDED else None

    @property
    def urgency(self) -> float:
        """Who should come first where the time is not enough for all: the highest.

        What waits for confirmation comes before what is searched for, and what is nearly decided before what is not.
        """
        if self.stage is None:
            return 0.0
        return (1.0 if self.state is State.FLAGGED else 0.0) + 1.0 / (1.0 + self.remaining)


def assess(trials: Iterable[Trial], rule: Rule) -> dict[Key, Assessment]:
    """Return what is known of each measurement of a run; to be asked after every pair.

    All of a run belong together: the chance of a false alarm is controlled over what was flagged, by the procedure of
    Benjamini and Hochberg, for slower and for faster apart. Over unchanged code that bounds the chance of any confirmed
    slowdown in the run by 1 - confidence; where there are true changes, the share of false ones among the confirmed.
    The sentinel is assessed apart.
    """
    found = {trial.key: (trial, _look(trial, rule)) for trial in trials}
    confirmed: set[Key] = set()
    for sign in (1, -1):
        flagged = [key for key, (_, each) in found.items() if each.sign == sign and not is_sentinel(key)]
        levels = [found[key][1].level for key in flagged]
        accepted = discoveries(levels, rate=1 - rule.confidence)
        confirmed |= {key for key, yes in zip(flagged, accepted, strict=True) if yes}
    return {key: _settle(trial, each, rule, confirmed=key in confirmed) for key, (trial, each) in found.items()}


def is_sentinel(key: Key) -> bool:
    """Return whether a measurement is the one that is the same on both sides."""
    return not key.test and key.name == SENTINEL


def sentinel_alarms(trial: Trial, rule: Rule) -> bool:
    """Return whether the measurement that is the same on both sides seems to differ.

    It is searched like any other, and what comes after the pairs that flagged it counts as fresh: it may take the alarm
    back when it does not differ from nothing there.
    """
    shifts = _shifts(trial.replicates)
    place, sign = _flag(estimates(shifts, LOOKS), rule, math.log1p(rule.margin_of(trial)))
    if not sign:
        return False
    later = shifts[LOOKS[place] :]
    if len(later) < CONFIRMING_LOOKS[0]:
        return True
    fresh = estimate(later)
    return (fresh.above(0.0) if sign > 0 else fresh.below(0.0)) < 1 - rule.interval


def pairs_of(replicates: Iterable[Replicate]) -> int:
    """Return how many of `replicates` can be used."""
    return len(_shifts(replicates))


def _shifts(replicates: Iterable[Replicate]) -> list[float]:
    shifts = (pair_shift(replicate.base, replicate.head) for replicate in replicates)
    return [shift for shift in shifts if shift is not None]


def _look(trial: Trial, rule: Rule) -> Assessment:
    """Return an assessment that knows no other measurement: neither confirmed nor what is wanted."""
    searched, fresh = _shifts(trial.of(Stage.SEARCH)), _shifts(trial.of(Stage.CONFIRM))
    edge = math.log1p(rule.margin_of(trial))
    looks = estimates(searched, LOOKS)
    _, sign = _flag(looks, rule, edge)
    search = estimate(searched) if len(searched) > 1 else None
    if not sign:
        clear = any(_inside(look, rule, edge) for look in looks)
        state = State.CLEAR if clear else State.SPENT if len(searched) >= LOOKS[-1] else State.UNDECIDED
        return Assessment(state=state, search=search)
    found = estimates(fresh, CONFIRMING_LOOKS)
    levels = [_level(look, sign, rule.certain * edge) if sign * look.shift > edge else 1.0 for look in found]
    clear = any(_inside(look, rule, edge) for look in found if look.count >= FEWEST)
    spent = len(fresh) >= CONFIRMING_LOOKS[-1]
    return Assessment(
        state=State.CLEAR if clear else State.SPENT if spent else State.FLAGGED,
        sign=sign,
        search=search,
        fresh=estimate(fresh) if len(fresh) > 1 else None,
        level=sequential(levels),
    )


def _flag(looks: tuple[Estimate, ...], rule: Rule, edge: float) -> tuple[int, int]:
    """Return at which look the search flagged a change, and its sign, 0 for none; it ends where it shows none."""
    for place, look in enumerate(looks):
        if _inside(look, rule, edge):
            break
        sign = 1 if look.shift > 0 else -1
        if abs(look.shift) > edge and _level(look, sign, rule.suspect * edge) < rule.search_level:
            return place, sign
    return 0, 0


def _level(look: Estimate, sign: int, edge: float) -> float:
    return look.above(edge) if sign > 0 else look.below(-edge)


def _inside(look: Estimate, rule: Rule, edge: float) -> bool:
    low, high = look.interval(rule.interval)
    return -edge < low and high < edge


def _settle(trial: Trial, each: Assessment, rule: Rule, *, confirmed: bool) -> Assessment:
    state = State.CONFIRMED if confirmed else each.state
    if state not in (State.UNDECIDED, State.FLAGGED):
        return replace(each, state=state)
    edge = math.log1p(rule.margin_of(trial))
    if state is State.FLAGGED:
        count = each.fresh.count if each.fresh is not None else 0
        needed = _needed(each.fresh or each.search, 3.8, rule.certain * edge)
        return replace(each, remaining=max(until_next(count, CONFIRMING_LOOKS), needed - count))
    count = each.search.count if each.search is not None else 0
    return replace(each, remaining=max(until_next(count, LOOKS), _expected(each.search, rule, edge) - count))


def _expected(search: Estimate | None, rule: Rule, edge: float) -> int:
    """Return after how many pairs a search will probably end, in one way or the other, with the confirmation."""
    if search is None or search.count < 4:
        return FEWEST
    shift = abs(search.shift)
    clear = (2.0 * search.deviation / max(edge - shift, edge / 4)) ** 2
    change = 2 * _needed(search, 3.8, rule.certain * edge) if shift > edge else LOOKS[-1]
    return math.ceil(min(clear, change, LOOKS[-1]))


def _needed(known: Estimate | None, quantiles: float, edge: float) -> int:
    """Return how many pairs would probably show a change of the estimated size to be more than `edge`."""
    if known is None:
        return FEWEST
    gap = max(abs(known.shift) - edge, edge)
    return math.ceil(min((quantiles * known.deviation / gap) ** 2, LOOKS[-1]))
