"""Running the whole protocol of one test several times, fixtures included, and reporting it once.

All passes but the last are run quietly before the attempt that is reported, which is left to whoever makes it:
pytest, or a plugin that may make several, such as pytest-rerunfailures. Whatever ended the quiet ones is raised again
in that attempt, in the same phase, so that it is reported, expected, or tried again like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from _pytest.runner import runtestprotocol

if TYPE_CHECKING:
    from pytest_perfguard.plugin.body import BodyPasses

QUIET = pytest.StashKey[bool]()
"""Present while passes are run that nobody reports."""

BROKEN = pytest.StashKey[tuple[str, BaseException]]()
"""The phase that ended the quiet passes, and what it raised."""


def run_quiet_passes(item: pytest.Item, passes: BodyPasses) -> None:
    """Run `item` until one pass remains or a phase raises.

    After each run everything of the test's own is torn down; what its module, class and session share stays.
    """
    # Only the chain of parents is asked of a next item, and that of the test's parent ends above the test itself.
    again = cast("pytest.Item", item.parent)
    item.stash[QUIET] = True
    try:
        while (before := passes.remaining) > 1:
            runtestprotocol(item, log=False, nextitem=again)
            if BROKEN in item.stash or passes.remaining == before:
                return
            _freshen(item)
    finally:
        del item.stash[QUIET]


def _freshen(item: pytest.Item) -> None:
    """Drop what pytest keeps on a test of its run, expecting only one: output, and the instance of its class."""
    getattr(item, "_report_sections").clear()  # noqa: B009 - or output is reported once for each pass
    # Hypothesis refuses to run one test on several instances, as it does where a plugin repeats tests.
    hypothesis = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
    if getattr(item, "_instance", None) is not None and not hypothesis:
        del item._instance  # type: ignore[attr-defined]
        item._obj = None  # type: ignore[attr-defined]


def note_broken(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Keep what a phase of a quiet pass raised, if it is the first."""
    if QUIET in item.stash and BROKEN not in item.stash and call.excinfo is not None:
        item.stash[BROKEN] = (call.when, call.excinfo.value)


def raise_broken(item: pytest.Item, when: str) -> None:
    """Raise in the reported attempt what the same phase of a quiet pass raised, if it did."""
    __tracebackhide__ = True
    if QUIET not in item.stash and item.stash.get(BROKEN, ("", None))[0] == when:
        raise item.stash[BROKEN][1]
