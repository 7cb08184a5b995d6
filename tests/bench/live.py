"""How long a live comparison takes: an unchanged suite of 50 tests, and one whose tests all take twice as long."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from figures import Requirement, print_table, tell
from processes import PLUGINS, run_pytest
from repository import Repository, repository

TESTS = 50
RUN_LIMIT = 300.0
"""Seconds for all of an unchanged suite of 50 tests, with the defaults."""
CLEAR_LIMIT = 3.0
"""Seconds a test of a suite whose tests take twice as long."""

_SUITE = """\
import pytest
from bench_subject.size import UNITS
from bench_subject.workloads import WORKLOADS

NAMES = list(WORKLOADS)


@pytest.mark.parametrize("number", range({tests}))
def test_workload(number, perf, tmp_path):
    with WORKLOADS[NAMES[number % len(NAMES)]](UNITS, tmp_path) as work:
        perf(work)
"""


def compare_live(*, quick: bool) -> list[Requirement]:
    """Run both suites once and print what they took."""
    tests = 4 if quick else TESTS
    options = ["--perfguard-against-time=1 s"] if quick else []
    rows, requirements = [], []
    for percent in (0, 100):
        tell(f"live comparison of {tests} tests, {percent} % slower")
        with repository() as subject:
            (subject.folder / "tests" / "test_workloads.py").write_text(_SUITE.format(tests=tests), encoding="utf-8")
            subject.commit("Suite")
            subject.commit("Slower" if percent else "Unchanged", percent=percent)
            seconds, found = compare(subject, options)
        outcomes = Counter(each["outcome"] for each in found["verdicts"] if each["limit"] is None)
        said = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        pairs = (found.get("contest") or {}).get("pairs", "")
        rows.append((f"{percent} % slower", f"{seconds:.0f} s", f"{seconds / tests:.2f} s", str(pairs), said))
        if percent:
            requirements.append(
                Requirement(
                    text=f"{tests} tests that take twice as long: at most {CLEAR_LIMIT:.0f} s each, all found",
                    figure=f"{seconds / tests:.2f} s, {outcomes['regressed']} of {tests}",
                    met=seconds / tests <= CLEAR_LIMIT and outcomes["regressed"] == tests,
                )
            )
        else:
            requirements.append(
                Requirement(
                    text=f"{tests} unchanged tests: at most {RUN_LIMIT:.0f} s in all, none regressed",
                    figure=f"{seconds:.0f} s, {outcomes['regressed']} of {tests}",
                    met=seconds <= RUN_LIMIT and not outcomes["regressed"],
                )
            )
    print_table(
        f"pytest --perfguard-against=HEAD~1 over {tests} tests, worktree and collection included",
        ("suite", "all", "a test", "pairs", "outcomes"), rows,
    )  # fmt: skip
    return requirements


def compare(subject: Repository, options: list[str]) -> tuple[float, dict[str, Any]]:
    """Compare the last commit with the one before it; return the seconds and the JSON report."""
    with tempfile.TemporaryDirectory(prefix="perfguard-bench-") as name:
        path = Path(name) / "report.json"
        done = run_pytest(
            subject.folder, "--perfguard-against=HEAD~1", f"--perfguard-report=json:{path}", *options,
            plugins=[PLUGINS["perfguard"]], accept=(0, 1),
        )  # fmt: skip
        if not path.exists():
            raise RuntimeError(f"the live comparison came to no report:\n{done.output[-4000:]}")
        return done.wall, json.loads(path.read_text(encoding="utf-8"))
