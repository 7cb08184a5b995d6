import random
from dataclasses import replace

import pytest

from pytest_perfguard.judge.live import Rule, State, assess, sentinel_alarms
from pytest_perfguard.judge.live_verdict import judge_trials
from pytest_perfguard.judge.policy import Policy
from pytest_perfguard.model import Key, Outcome
from pytest_perfguard.model.pairs import Replicate, Stage, Trial

KEY = Key(test="tests/test_a.py::test_x")
SENTINEL = Key(test="", name="sentinel")
RULE = Rule()


def replicates(count, factor=1.0, *, stage=Stage.SEARCH, noise=0.01, seed=0, call=0.001, cpu=None, core=0):
    dice = random.Random(f"{seed}{stage}")
    made = []
    for pair in range(count):
        head = call * factor * (1 + dice.gauss(0, noise))
        blocks, cpus = (call,) * 8, (head,) * 8
        made.append(
            Replicate(
                pair=pair, stage=stage, base=blocks, head=cpus, core=core, seconds=0.1,
                base_cpu=blocks if cpu else (), head_cpu=tuple(call * cpu for _ in cpus) if cpu else (),
            )
        )  # fmt: skip
    return tuple(made)


def trial(search=0, factor=1.0, confirm=0, again=None, *, key=KEY, margin=None, parallel=False, **how):
    found = replicates(search, factor, **how)
    found += replicates(confirm, factor if again is None else again, stage=Stage.CONFIRM, **how)
    return Trial(key=key, replicates=found, margin=margin, parallel=parallel)


def only(made, rule=RULE):
    return assess([made], rule)[made.key]


def judged(made, rule=RULE, **more):
    return judge_trials([made], rule, Policy(), words="origin/main", **more)[0]


def test_nothing_is_said_of_few_pairs():
    known = only(trial(5, 2.0))
    assert known.state is State.UNDECIDED
    assert known.stage is Stage.SEARCH
    assert known.remaining >= 1
    assert only(trial()).remaining == 6


def test_a_search_flags_in_either_direction_and_asks_for_fresh_pairs():
    slower, faster = only(trial(6, 1.1)), only(trial(6, 0.9))
    assert (slower.state, slower.sign, slower.stage) == (State.FLAGGED, 1, Stage.CONFIRM)
    assert (faster.state, faster.sign, faster.stage) == (State.FLAGGED, -1, Stage.CONFIRM)
    assert slower.remaining >= 4


def test_a_search_ends_when_the_interval_lies_inside_the_margin():
    known = only(trial(48, noise=0.01))
    assert known.state is State.CLEAR
    assert known.stage is None
    assert known.urgency == 0
    assert only(trial(8, noise=0.05)).state is State.UNDECIDED


def test_twice_as_slow_is_decided_by_six_pairs_and_four_fresh_ones():
    known = only(trial(6, 2.0, 4, noise=0.03))
    assert known.state is State.CONFIRMED
    assert known.stage is None


def test_a_change_is_decided_by_the_fresh_pairs_alone():
    known = only(trial(16, 1.10, 16, 1.0, noise=0.005))
    assert known.state is State.CLEAR
    assert known.stage is None
    verdict = judged(trial(16, 1.10, 16, 1.0, noise=0.005))
    assert verdict.outcome is Outcome.UNCHANGED
    assert abs(verdict.effect.change) < 0.01
    assert [note.code for note in verdict.notes] == ["not-confirmed"]


def test_a_flag_that_the_fresh_pairs_contradict_is_not_confirmed():
    known = only(trial(6, 1.10, 16, 0.9))
    assert known.state is not State.CONFIRMED


def test_a_change_below_the_margin_is_no_regression_however_sure():
    small = trial(64, 1.007, 64, noise=0.003)
    assert only(small).state is State.CLEAR
    assert judged(small).outcome is Outcome.UNCHANGED
    assert judged(trial(16, 1.03, 16, margin=0.10, noise=0.003)).outcome is Outcome.UNCHANGED


def test_more_flagged_tests_ask_for_more_certainty():
    rule = Rule()
    weak = trial(6, 1.10, 12, 1.022, noise=0.012)
    assert only(weak, rule).state is State.CONFIRMED
    others = [trial(6, 1.5, 12, 1.0, key=Key(test=f"test_{place}"), seed=place, noise=0.02) for place in range(50)]
    assert assess([weak, *others], rule)[KEY].state is State.FLAGGED


def test_what_waits_for_confirmation_comes_first_and_what_is_nearly_decided_before_what_is_not():
    flagged, near, far = only(trial(6, 1.1)), only(trial(8, noise=0.01, seed=3)), only(trial(8, noise=0.08, seed=5))
    assert flagged.urgency > near.urgency > far.urgency > 0


@pytest.mark.parametrize(
    ("made", "outcome", "words"),
    [
        (trial(6, 1.2, 12), Outcome.REGRESSED, "got slower by 20 %, confirmed by fresh pairs"),
        (trial(6, 0.8, 12), Outcome.IMPROVED, "got faster by 20 %, confirmed by fresh pairs"),
        (trial(64), Outcome.UNCHANGED, "did not change by more than 1 %"),
        (trial(8, noise=0.05), Outcome.INCONCLUSIVE, "may or may not have changed"),
    ],
)
def test_verdicts_say_all_in_one_sentence(made, outcome, words):
    verdict = judged(made)
    assert verdict.outcome is outcome
    assert verdict.fails is (outcome is Outcome.REGRESSED)
    assert words in verdict.sentence
    assert "origin/main" in verdict.sentence
    assert "with 95 % confidence" in verdict.sentence
    assert f"{len(made.replicates)} pairs of processes" in verdict.sentence
    assert "would have been found four times out of five" in verdict.sentence
    assert verdict.effect.low < verdict.effect.change < verdict.effect.high
    assert verdict.effect.pairs == len(made.replicates)
    assert verdict.effect.seconds == pytest.approx(0.1 * len(made.replicates))
    assert verdict.effect.detectable >= 0.01
    assert verdict.baseline == pytest.approx(0.001)
    assert verdict.value.value == pytest.approx(0.001 * (1 + verdict.effect.change), rel=0.02)


def test_the_effect_of_what_was_flagged_is_that_of_the_fresh_pairs():
    verdict = judged(trial(6, 1.3, 16, 1.1))
    assert verdict.effect.change == pytest.approx(0.1, abs=0.01)
    assert "22 pairs of processes in 2.2 s, 16 of them to confirm" in verdict.sentence


def test_too_few_pairs_are_inconclusive_with_advice_whatever_they_show():
    verdict = judged(trial(4, 2.0))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert not verdict.fails
    assert "only 4 pairs of processes within the time, and 6 are needed" in verdict.sentence
    assert "--perfguard-max-time: about 0.2 s more" in str(verdict.notes[0])
    assert "no pair of processes" in judged(trial()).sentence


def test_a_flag_without_time_to_confirm_it_is_inconclusive_and_says_so():
    verdict = judged(trial(6, 1.1, 2))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert not verdict.fails
    assert verdict.notes[0].code == "not-confirmed"
    assert "+9.5 % at first; 2 fresh pairs were too few to confirm it" in str(verdict.notes[0])


def test_noise_is_named_where_it_forbids_a_verdict():
    verdict = judged(trial(8, noise=0.05))
    assert [note.code for note in verdict.notes] == ["too-little-time"]
    assert "--perfguard-max-time" in verdict.notes[0].remedy


def test_times_that_cannot_be_compared_are_invalid():
    nothing = replace(replicates(1)[0], base=(0.0,) * 8)
    verdict = judged(Trial(key=KEY, replicates=(nothing,) * 8))
    assert verdict.outcome is Outcome.INVALID
    assert not verdict.fails


def test_pairs_without_a_usable_quad_do_not_count():
    broken = replace(replicates(1)[0], base=(), head=())
    made = trial(6, 1.1)
    verdict = judged(replace(made, replicates=(*made.replicates[:5], broken)))
    assert "only 5 pairs" in verdict.sentence


def test_a_parallel_test_and_one_that_was_not_pinned_need_twice_the_margin():
    assert only(trial(16, 1.015, noise=0.002)).sign == 1
    assert only(trial(16, 1.015, noise=0.002, parallel=True)).sign == 0
    assert only(trial(16, 1.015, noise=0.002), Rule(pinned=False)).sign == 0
    notes = judged(trial(64, parallel=True)).notes
    assert [note.code for note in notes] == ["parallel"]
    assert "take turns" in str(notes[0])


def test_pairs_in_two_groups_are_said_to_be_so():
    made = trial(20, noise=0.004)
    made = replace(made, replicates=(*made.replicates, *replicates(6, 1.1, noise=0.004)))
    assert "bimodal" in [note.code for note in judged(made).notes]


def test_clocks_that_contradict_one_another_are_reported():
    assert "clocks-differ" in [note.code for note in judged(trial(6, 1.2, 12, cpu=1.0)).notes]
    assert "clocks-differ" not in [note.code for note in judged(trial(6, 1.2, 12, cpu=1.2)).notes]


def test_when_the_same_code_seems_to_differ_no_time_fails():
    slow = trial(6, 1.2, 12)
    calm, alarm = trial(30, key=SENTINEL), trial(12, 1.05, key=SENTINEL)
    assert not sentinel_alarms(calm, RULE)
    assert sentinel_alarms(alarm, RULE)
    assert judged(slow, sentinel=calm).fails
    verdict = judged(slow, sentinel=alarm)
    assert verdict.outcome is Outcome.REGRESSED
    assert not verdict.fails
    assert verdict.notes[-1].code == "sentinel"


def test_the_sentinel_takes_an_alarm_back_when_later_pairs_do_not_differ():
    alarm = trial(6, 1.05, key=SENTINEL)
    later = replicates(40, 1.0, seed=7)
    assert not sentinel_alarms(replace(alarm, replicates=(*alarm.replicates, *later)), RULE)


def test_the_sentinel_is_no_test_of_the_suite():
    assert judge_trials([trial(12, key=SENTINEL)], RULE, Policy(), words="main") == ()


def test_unchanged_runs_hardly_ever_confirm_anything():
    confirmed = flagged = 0
    for seed in range(150):
        known = only(trial(24, 1.0, 24, seed=seed, noise=0.02))
        flagged += known.sign != 0
        confirmed += known.state is State.CONFIRMED
    assert flagged <= 6
    assert confirmed == 0
