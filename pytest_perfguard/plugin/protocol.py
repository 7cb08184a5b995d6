"""Running the whole protocol of one test several times, fixtures included, and reporting it once."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from _pytest.runner import runtestprotocol

if TYPE_CHECKING:
    from pytest_perfguard.plugin.body import BodyPasses


def run_passes(item: pytest.Item, nextitem: pytest.Item | None, passes: BodyPasses) -> None:
    """Run `item` until no pass remains or one does not succeed, and log the reports of the last run.

    Between two runs everything of the test's own is torn down; what its module, class and session share stays.
    """
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    # Only the chain of parents is asked of a next item, and that of the test's parent ends above the test itself.
    again = cast("pytest.Item", item.parent)
    while True:
        last = passes.remaining == 1
        before = passes.remaining
        reports = runtestprotocol(item, log=False, nextitem=nextitem if last else again)
        if last:
            break
        if passes.remaining == before or not all(report.passed for report in reports):
            reports.extend(_tear_down_parents(item, nextitem))
            break
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _tear_down_parents(item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    """Tear down what `item` shares with others but `nextitem` does not need; return a report where that fails."""
    # Not through the hooks: the test's own teardown has been called, and plugins expect it once for each setup.
    call = pytest.CallInfo.from_call(lambda: item.session._setupstate.teardown_exact(nextitem), when="teardown")
    return [] if call.excinfo is None else [pytest.TestReport.from_item_and_call(item, call)]
