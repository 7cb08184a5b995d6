"""Running the whole protocol of one test several times, fixtures included, and reporting it once.

All passes but the last are run quietly before the attempt that is reported, which is left to whoever makes it:
pytest, or a plugin that may make several, such as pytest-rerunfailures. Whatever ended the quiet ones is raised again
in that attempt, in the same phase, so that it is reported, expected, or tried again like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from _pytest.runner import runtestprotocol

if TYPE_CHECKING:
    from pytest_perfguard.plugin.body import BodyPasses

QUIET = pytest.StashKey[bool]()
"""Present while passes are run that nobody reports."""

BROKEN = pytest.StashKey[tuple[str, BaseException, int]]()
"""The phase that ended the quiet passes, what it raised, and the number of that run, from 1."""


class _QuietHooks:
    """The hooks of a test in a quiet pass: its subtests are not reported at once, and no debugger is opened."""

    def __init__(self, hooks: Any, withheld: list[pytest.TestReport]) -> None:
        self._hooks = hooks
        self._withheld = withheld

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hooks, name)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a report back."""
        self._withheld.append(report)

    def pytest_exception_interact(self, **_: object) -> None:
        """Do nothing: what was raised is raised again in the reported attempt."""


def run_quiet_passes(item: pytest.Item, passes: BodyPasses) -> None:
    """Run `item` until one pass remains or a phase raises.

    After each run everything of the test's own is torn down; what its module, class and session share stays.
    """
    session = item.session
    properties = item.user_properties[:]
    withheld: list[pytest.TestReport] = []
    # Only the chain of parents is asked of a next item, and that of the test's parent ends above the test itself.
    again = cast("pytest.Item", item.parent)
    item.stash[QUIET] = True
    # A test's hooks are asked of its session each time, by pytest, unittest's subtests and the fixture for subtests.
    hooks_of = session.gethookproxy
    patched = vars(session).get("gethookproxy")
    vars(session)["gethookproxy"] = lambda path: _QuietHooks(hooks_of(path), withheld)
    try:
        while passes.remaining > 1:
            before = passes.done
            runtestprotocol(item, log=False, nextitem=again)
            if BROKEN in item.stash or passes.done == before:
                break
            freshen(item)
            item.user_properties[:] = properties
            withheld.clear()
    finally:
        del item.stash[QUIET]
        del vars(session)["gethookproxy"]
        if patched is not None:
            vars(session)["gethookproxy"] = patched
    for report in withheld:  # of the run that ended the passes, which is the one to report
        item.ihook.pytest_runtest_logreport(report=report)


def freshen(item: pytest.Item) -> None:
    """Drop what pytest keeps on a test of its run, expecting only one: output, and the instance of its class."""
    getattr(item, "_report_sections").clear()  # noqa: B009 - or output is reported once for each pass
    # Hypothesis refuses to run one test on several instances, as it does where a plugin repeats tests.
    hypothesis = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
    if getattr(item, "_instance", None) is not None and not hypothesis:
        del item._instance  # type: ignore[attr-defined]
        item._obj = None  # type: ignore[attr-defined]


def note_broken(item: pytest.Item, call: pytest.CallInfo[None], passes: BodyPasses) -> None:
    """Keep what a phase of a quiet pass raised, if it is the first."""
    if QUIET in item.stash and BROKEN not in item.stash and call.excinfo is not None:
        number = passes.total - passes.remaining + (call.when != "teardown")
        item.stash[BROKEN] = (call.when, call.excinfo.value, number)


def tell_run(item: pytest.Item, report: pytest.TestReport, passes: BodyPasses) -> None:
    """Say on the report of a failure that it came in a repetition, if it did."""
    number = item.stash[BROKEN][2] if BROKEN in item.stash else passes.total
    if number > 1 and passes.total > 1:
        text = (
            f"perfguard: this was run {number} of {passes.total} of the test's body; its budgets and rounds need that "
            "many, each with the test's own fixtures made anew, while what fixtures of a wider scope hold stays as the "
            "run before left it"
        )
        report.sections.append(("perfguard", text))


def raise_broken(item: pytest.Item, when: str) -> None:
    """Raise in the reported attempt what the same phase of a quiet pass raised, if it did."""
    __tracebackhide__ = True
    if QUIET not in item.stash and item.stash.get(BROKEN, ("", None, 0))[0] == when:
        raise item.stash[BROKEN][1]
