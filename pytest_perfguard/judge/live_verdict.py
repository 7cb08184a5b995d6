"""The verdicts on the times of a live comparison, with what a reader must know beside them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace

from pytest_perfguard.judge import live_sentence as sentence
from pytest_perfguard.judge.live import FEWEST, Assessment, Rule, State, assess, is_sentinel, sentinel_alarms
from pytest_perfguard.judge.policy import Policy
from pytest_perfguard.judge.sentence import invalid
from pytest_perfguard.model.metric import TIME
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.pairs import Replicate, Stage, Trial
from pytest_perfguard.model.verdict import Effect, Interval, Outcome, Verdict
from pytest_perfguard.quantity import render_change
from pytest_perfguard.stats.pairs import Estimate, estimate, pair_shift, uneven

_LOOKED = 0.8
"""The share of 1 - confidence that the interval after a confirmation takes: stopping when the change is clear makes
changes look larger than they are, and with this the interval holds the truth as often as it says."""

_BUSY = 0.9
"""A test whose processor time is at least this share of its time computes, and does not wait."""


def judge_trials(
    trials: Sequence[Trial], rule: Rule, policy: Policy, *, words: str, sentinel: Trial | None = None
) -> tuple[Verdict, ...]:
    """Return the verdicts on "time", one for each of `trials` in their order; `words` says what base is.

    When the `sentinel`, the same code on both sides, seems to differ, no verdict fails its test.
    """
    assessments = assess(trials, rule)
    alarm = sentinel is not None and sentinel_alarms(sentinel, rule)
    verdicts = []
    for trial in trials:
        if is_sentinel(trial.key):
            continue
        verdict = _judge(trial, assessments[trial.key], rule, words)
        if alarm and sentinel is not None:
            verdict = replace(verdict, notes=(*verdict.notes, _alarm(sentinel)))
        verdicts.append(policy.settle(verdict, lenient=alarm))
    return tuple(verdicts)


def _judge(trial: Trial, known: Assessment, rule: Rule, words: str) -> Verdict:
    usable = _usable(trial.replicates)
    verdict = Verdict(
        key=trial.key, metric=TIME.name, unit=TIME.unit, outcome=Outcome.INCONCLUSIVE, sentence=""
    )  # fmt: skip
    if usable:
        verdict = _valued(verdict, usable)
    if trial.replicates and not usable:
        reason = "none of its times is positive"
        return replace(verdict, outcome=Outcome.INVALID, sentence=invalid(trial.key, TIME, reason))
    if len(usable) < FEWEST:
        few = sentence.too_few(trial.key, len(usable), words, FEWEST)
        return replace(verdict, sentence=few, notes=(_too_little_time(trial, len(usable)),))
    fresh = known.fresh is not None and known.fresh.count >= 4
    estimated = known.fresh if fresh else known.search
    if estimated is None:  # all pairs were for confirmation, which no scheduler does
        estimated = estimate(_shifts(usable))
    if fresh:
        verdict = _valued(verdict, _usable(trial.of(Stage.CONFIRM)))
    margin = rule.margin_of(trial)
    effect = _effect(trial, estimated, rule, margin, looked=fresh)
    outcome = _outcome(known, effect, margin)
    count, now = len(_usable(trial.of(Stage.CONFIRM))), verdict.value
    assert now is not None
    return replace(
        verdict,
        outcome=outcome,
        effect=effect,
        sentence=sentence.compared(
            trial.key,
            outcome,
            now.value,
            verdict.baseline or 0.0,
            effect,
            words,
            margin=margin,
            state=known.state,
            fresh=count,
        ),
        notes=tuple(_notes(trial, known, rule, effect, outcome, estimated)),
    )


def _valued(verdict: Verdict, replicates: Sequence[Replicate]) -> Verdict:
    """Return `verdict` with the times of the replicates that its effect comes from."""
    before, now = _center(replicates, "base"), _center(replicates, "head")
    return replace(verdict, value=Interval(value=now, low=now, high=now, confidence=1.0), baseline=before)


def _outcome(known: Assessment, effect: Effect, margin: float) -> Outcome:
    if known.state is State.CONFIRMED:
        return Outcome.REGRESSED if known.sign > 0 else Outcome.IMPROVED
    return Outcome.UNCHANGED if -margin < effect.low and effect.high < margin else Outcome.INCONCLUSIVE


def _effect(trial: Trial, known: Estimate, rule: Rule, margin: float, *, looked: bool) -> Effect:
    low, high = known.interval(1 - (1 - rule.interval) * (_LOOKED if looked else 1.0))
    edge = math.log1p(margin)
    seen = max(known.detectable(rule.certain * edge, alpha=1 - rule.confidence), edge)
    return Effect(
        change=math.expm1(known.shift),
        low=math.expm1(low),
        high=math.expm1(high),
        confidence=rule.interval,
        detectable=math.expm1(seen),
        pairs=len(_usable(trial.replicates)),
        seconds=sum(replicate.seconds for replicate in trial.replicates),
    )


def _notes(
    trial: Trial, known: Assessment, rule: Rule, effect: Effect, outcome: Outcome, estimated: Estimate
) -> Iterable[Note]:
    if known.sign and known.state is not State.CONFIRMED:
        yield _unconfirmed(known, outcome)
    if outcome is Outcome.INCONCLUSIVE and not known.sign:
        yield Note(
            code="too-noisy" if known.state is State.SPENT else "too-little-time",
            message=f"{effect.pairs} pairs are too few to tell a change of {_percent(rule.margin_of(trial))} "
            f"from noise: its pairs differ by about {_percent(estimated.deviation)}",
            remedy="allow more time with --perfguard-max-time, or a larger min effect for this test",
        )
    if uneven(_shifts(_usable(trial.replicates))):
        yield Note(
            code="bimodal",
            message="its pairs fall apart in groups or have a few far off, as where memory is laid out in one of two "
            "ways; the change is that of the middle",
            remedy="allocate less in the measured code to steady it",
        )
    if trial.parallel:
        yield Note(
            code="parallel",
            message="it keeps several threads or processes busy"
            + ("; on one processor they take turns" if any(each.core is not None for each in trial.replicates) else "")
            + f", so that {_percent(rule.margin_of(trial))} is asked for instead of the usual margin",
        )
    clocks = _clocks(_usable(trial.replicates), effect)
    if clocks is not None:
        yield clocks


def _unconfirmed(known: Assessment, outcome: Outcome) -> Note:
    suspected = render_change(math.expm1(known.search.shift)) if known.search is not None else "a change"
    fresh = known.fresh.count if known.fresh is not None else 0
    if outcome is Outcome.UNCHANGED:
        return Note(code="not-confirmed", message=f"{suspected} at first; {fresh} fresh pairs did not confirm it")
    return Note(
        code="not-confirmed",
        message=f"{suspected} at first; {fresh or 'no'} fresh pairs were too few to confirm it",
        remedy="allow more time with --perfguard-max-time",
    )


def _too_little_time(trial: Trial, pairs: int) -> Note:
    each = statistics.fmean(replicate.seconds for replicate in trial.replicates) if trial.replicates else 0.0
    need = f": about {(FEWEST - pairs) * each:.1f} s more for this test" if each else ""
    return Note(
        code="too-little-time",
        message=f"the time was over after {pairs or 'no'} {'pair' if pairs == 1 else 'pairs'} of processes",
        remedy=f"allow more with --perfguard-max-time{need}, or select fewer tests",
    )


def _alarm(sentinel: Trial) -> Note:
    known = estimate(_shifts(_usable(sentinel.replicates)))
    return Note(
        code="sentinel",
        message=f"code that is the same on both sides seemed to differ by {render_change(math.expm1(known.shift))}, so "
        "that no time of this run fails a test",
        remedy="run it again on a calmer machine",
    )


def _clocks(replicates: Sequence[Replicate], effect: Effect) -> Note | None:
    """Return a remark where the time and the processor's time tell different stories."""
    counted = [each for each in replicates if len(each.base_cpu) == len(each.base) and each.base_cpu]
    shifts = [shift for each in counted if (shift := pair_shift(each.base_cpu, each.head_cpu)) is not None]
    if len(shifts) < FEWEST:
        return None
    share = statistics.median(sum(each.base_cpu) / sum(each.base) for each in counted)
    if share < _BUSY:
        return None
    cpu = estimate(shifts)
    low, high = (math.expm1(bound) for bound in cpu.interval(0.99))
    if low <= effect.high and effect.low <= high:
        return None
    return Note(
        code="clocks-differ",
        message=f"its processor time says {render_change(math.expm1(cpu.shift))}, "
        f"its time {render_change(effect.change)}",
        remedy="either it waits for something now, or the machine was contended: run it again on a calmer one",
    )


def _usable(replicates: Iterable[Replicate]) -> list[Replicate]:
    return [each for each in replicates if pair_shift(each.base, each.head) is not None]


def _shifts(replicates: Iterable[Replicate]) -> list[float]:
    shifts = (pair_shift(each.base, each.head) for each in replicates)
    return [shift for shift in shifts if shift is not None]


def _center(replicates: Sequence[Replicate], side: str) -> float:
    blocks = (each.base if side == "base" else each.head for each in replicates)
    return statistics.median(map(statistics.median, blocks)) if replicates else 0.0


def _percent(fraction: float) -> str:
    return f"{fraction * 100:.2g} %"
