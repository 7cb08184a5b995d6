"""What reports say of a live comparison as a whole: what base was, how it went, and how to see it again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from pytest_perfguard.model import Contest, Verdict
from pytest_perfguard.quantity import Unit, render

_MOST_NAMED = 5
"""Tests that a command line names; more of them make it unreadable, and the whole suite is run instead."""
_NODE_ID = re.compile(r"[\w./:\[\]=,@%+ -]+")
"""Node ids that can be typed: an escape or a line break in a name would not be what pytest collects."""


def rival(contest: Contest) -> str:
    """Return what base was: "1a2b3c4d5e6f (merge base with main), side by side"."""
    commit = contest.base.short if contest.base.sha else ""
    reason = contest.reason
    if commit and reason and not contest.base.sha.startswith(reason):
        return f"{commit} ({reason}), side by side"
    return f"{commit or reason or 'another tree'}, side by side"


def course(contest: Contest) -> list[str]:
    """Return how the comparison went: what was spent, whether both sides had one processor, what disturbed it."""
    pairs = f"{contest.pairs} pair{'' if contest.pairs == 1 else 's'} of processes"
    pinned = "both sides pinned to one processor" if contest.pinned else "not pinned: intervals are wider"
    lines = [f"side by side: {pairs} in {render(round(contest.seconds, 1), Unit.SECONDS)}, {pinned}"]
    disturbed = []
    if contest.blocks:
        share = contest.dropped / contest.blocks
        disturbed.append(
            f"{contest.dropped:,} of {contest.blocks:,} blocks left out ({_percent(share)})"
            if contest.dropped
            else f"none of {contest.blocks:,} blocks left out"
        )
    if contest.steal is not None:
        disturbed.append(f"the hypervisor took {_percent(contest.steal)} of the processors' time")
    if disturbed:
        lines.append("disturbances: " + ", ".join(disturbed))
    return lines


def command(contest: Contest, verdicts: Iterable[Verdict]) -> str:
    """Return the command line that compares the tests of `verdicts` again, empty where base has no name for it."""
    revision = contest.base.sha[:12]
    if not revision or contest.base.dirty:
        return ""
    tests = list(dict.fromkeys(verdict.key.test for verdict in verdicts))
    if len(tests) > _MOST_NAMED or not all(_NODE_ID.fullmatch(test) for test in tests):
        tests = ["--perfguard-only"]
    return shlex.join(["pytest", *tests, f"--perfguard-against={revision}"])


def _percent(share: float) -> str:
    return f"{share * 100:.2g} %" if share < 0.995 else f"{share:.0%}".replace("%", " %")
