"""The sentence on a time that was measured on base and head side by side."""

from __future__ import annotations

from pytest_perfguard.judge.live import State
from pytest_perfguard.model.measurement import Key
from pytest_perfguard.model.verdict import Effect, Outcome
from pytest_perfguard.quantity import Unit, render, render_change


def compared(
    key: Key,
    outcome: Outcome,
    now: float,
    before: float,
    effect: Effect,
    against: str,
    *,
    margin: float,
    state: State,
    fresh: int,
) -> str:
    """Return the sentence on a change, or on there being none; `fresh` of the effect's pairs were for confirmation."""
    lead = {
        Outcome.REGRESSED: f"got slower by {_size(effect.change)}",
        Outcome.IMPROVED: f"got faster by {_size(effect.change)}",
        Outcome.UNCHANGED: f"did not change by more than {_percent(margin)}",
        Outcome.INCONCLUSIVE: "may or may not have changed",
    }[outcome]
    confirmed = ", confirmed by fresh pairs" if state is State.CONFIRMED else ""
    estimate = "" if state is State.CONFIRMED else f"{render_change(effect.change)}, "
    interval = (
        f"{estimate}between {render_change(effect.low)} and {render_change(effect.high)} "
        f"with {effect.confidence * 100:.4g} % confidence"
    )
    pairs = f"{effect.pairs} {'pair' if effect.pairs == 1 else 'pairs'} of processes"
    took = f" in {render(effect.seconds, Unit.SECONDS)}" if effect.seconds is not None else ""
    if fresh:
        took += f", {fresh} of them to confirm"
    seen = ""
    if effect.detectable is not None:
        seen = f"; a slowdown by {_size(effect.detectable)} would have been found four times out of five"
    times = f"{render(now, Unit.SECONDS)} a call, {render(before, Unit.SECONDS)} at {against}"
    return f"time of {key} {lead}{confirmed}: {times}; {interval} ({pairs}{took}{seen})"


def too_few(key: Key, pairs: int, against: str, least: int) -> str:
    """Return the sentence on a measurement that the time did not suffice for."""
    had = "no pair" if not pairs else f"only {pairs} {'pair' if pairs == 1 else 'pairs'}"
    return f"time of {key} was not compared with {against}: {had} of processes within the time, and {least} are needed"


def _size(change: float) -> str:
    text = render_change(change)
    return f"a factor of {text[1:]}" if text.startswith("×") else text.lstrip("+−")


def _percent(fraction: float) -> str:
    return f"{fraction * 100:.3g} %"
