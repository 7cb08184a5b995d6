"""The tools as one sees them from outside: what they store, how they compare, and what they said of each workload."""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from processes import PLUGINS, Finished, run_pytest
from repository import WORKLOADS, Repository

_SEVERITY = ("regressed", "invalid", "no baseline", "inconclusive", "improved", "unchanged")
"""Outcomes of a comparison, worst first: a test is counted under the worst of its verdicts."""
_TAIL = 4000
"""Characters of output that are kept where something went wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What a comparison of the suite came to; the keys of the dicts are names of workloads."""

    failed: bool
    outcomes: dict[str, str]
    """What was said of each test."""
    flagged: list[str] = field(default_factory=list)
    """Tests that were called changed before that was confirmed, or not: all that were called regressed among them."""
    changes: dict[str, float] = field(default_factory=dict)
    """The measured change of each test, 0.1 for 10 % slower."""
    detectable: dict[str, float] = field(default_factory=dict)
    """The smallest change of each test that the verdict says would have been found four times out of five."""
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    """The verdicts of perfguard on time, as its JSON report has them."""
    contest: dict[str, Any] | None = None
    """How the live comparison went, likewise."""
    trouble: str = ""
    """The end of the output, where the exit code does not follow from what was said of the tests."""
    seconds: float

    def count(self) -> Counter[str]:
        """Return how often each outcome was given."""
        return Counter(self.outcomes.values())


class Contestant(Protocol):
    """A tool with its settings."""

    name: str
    stores: bool
    """Whether it compares with what was stored before; otherwise it measures both commits in `compare`."""

    def store(self, repository: Repository, place: Path) -> float:
        """Run the suite, keep it as baseline in `place`, and return how many seconds that took."""
        ...

    def compare(self, repository: Repository, place: Path) -> Compared:
        """Compare the suite with the baseline in `place`, or the last commit with the one before it."""
        ...


class Against:
    """`pytest --perfguard-against=HEAD~1`, with `time` for each test, and `most` for all, where they are given."""

    name = "against"
    stores = False

    def __init__(self, time: str | None = None, most: str | None = None, *, timeout: float = 3600.0) -> None:
        self._options = [] if time is None else [f"--perfguard-against-time={time}"]
        self._options += [] if most is None else [f"--perfguard-max-time={most}"]
        self._timeout = timeout

    def store(self, repository: Repository, place: Path) -> float:
        """Do nothing: there is no baseline."""
        return 0.0

    def compare(self, repository: Repository, place: Path) -> Compared:
        """See `Contestant`; a run that does not come to verdicts is one that failed, with its output."""
        with tempfile.TemporaryDirectory(prefix="perfguard-bench-") as folder:
            report = Path(folder) / "report.json"
            done = run_pytest(
                repository.folder, "--perfguard-against=HEAD~1", f"--perfguard-report=json:{report}", *self._options,
                plugins=[PLUGINS["perfguard"]], accept=None, timeout=self._timeout,
            )  # fmt: skip
            if not report.exists():
                return Compared(failed=True, outcomes={}, trouble=done.output[-_TAIL:], seconds=done.wall)
            found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        verdicts = [each for each in found["verdicts"] if each["limit"] is None]
        outcomes = worst((workload(each["test"]), each["outcome"]) for each in verdicts)
        silent = f"only {len(outcomes)} of {WORKLOADS} tests have a verdict\n{done.output[-_TAIL:]}"
        return Compared(
            failed=done.code != 0,
            outcomes=outcomes,
            flagged=sorted({workload(each["test"]) for each in verdicts if flagged(each)}),
            **effects(verdicts),
            verdicts=[each for each in verdicts if each["metric"] == "time"],
            contest=found.get("contest"),
            trouble=trouble(done, verdicts) or (silent if len(outcomes) != WORKLOADS else ""),
            seconds=done.wall,
        )


class Stored:
    """`pytest --perfguard-compare` as installed, with `target_time` in place of its default if one is given."""

    name = "stored"
    stores = True

    def __init__(self, target_time: str | None = None) -> None:
        self._options = [] if target_time is None else [f"--perfguard-target-time={target_time}"]

    def store(self, repository: Repository, place: Path) -> float:
        """See `Contestant`; runs of one commit are added to each other."""
        return run_pytest(
            repository.folder, "--perfguard-save", f"--perfguard-store={place}", *self._options,
            plugins=[PLUGINS["perfguard"]],
        ).wall  # fmt: skip

    def compare(self, repository: Repository, place: Path) -> Compared:
        """See `Contestant`. Raises `RuntimeError` where the baseline is one that could fail no run."""
        with tempfile.TemporaryDirectory(prefix="perfguard-bench-") as folder:
            report = Path(folder) / "report.json"
            done = run_pytest(
                repository.folder, "--perfguard-compare", f"--perfguard-store={place}",
                f"--perfguard-report=json:{report}", *self._options, plugins=[PLUGINS["perfguard"]], accept=(0, 1),
            )  # fmt: skip
            found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        baseline = found["baseline"] or {}
        if not baseline.get("runs") or baseline["weak"] or baseline["foreign"]:
            raise RuntimeError(f"perfguard did not find its baseline in {place}: {baseline}\n{done.output[-2000:]}")
        verdicts = [verdict for verdict in found["verdicts"] if verdict["limit"] is None]
        if not verdicts or trouble(done, verdicts):
            raise RuntimeError(f"perfguard ended with {done.code}, not because of a verdict:\n{done.output[-_TAIL:]}")
        return Compared(
            failed=done.code != 0,
            outcomes=worst((workload(verdict["test"]), verdict["outcome"]) for verdict in verdicts),
            **effects(verdicts),
            seconds=done.wall,
        )


class PytestBenchmark:
    """pytest-benchmark as installed, failing runs in which a median is more than 5 % above the stored one."""

    name = "pytest-benchmark"
    stores = True

    def __init__(self, *, quick: bool = False) -> None:
        self._options = ["--benchmark-max-time=0.05", "--benchmark-quiet"] if quick else ["--benchmark-quiet"]

    def store(self, repository: Repository, place: Path) -> float:
        """See `Contestant`."""
        return run_pytest(
            repository.folder, "--benchmark-save=base", f"--benchmark-storage={place}", *self._options,
            plugins=[PLUGINS[self.name]], environment={"WORKLOAD_FIXTURE": "benchmark"},
        ).wall  # fmt: skip

    def compare(self, repository: Repository, place: Path) -> Compared:
        """See `Contestant`."""
        with tempfile.TemporaryDirectory(prefix="perfguard-bench-") as folder:
            report = Path(folder) / "report.json"
            done = run_pytest(
                repository.folder, "--benchmark-compare=0001", "--benchmark-compare-fail=median:5%",
                f"--benchmark-storage={place}", f"--benchmark-json={report}", *self._options,
                plugins=[PLUGINS[self.name]], environment={"WORKLOAD_FIXTURE": "benchmark"}, accept=(0, 1),
            )  # fmt: skip
            found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        slower = set(re.findall(r"^\s*(\S+)(?: \(\S+\))? - Field 'median' has failed", done.output, re.MULTILINE))
        if (done.code == 1) != bool(slower):
            raise RuntimeError(f"pytest-benchmark ended with {done.code}:\n{done.output[-_TAIL:]}")
        outcomes = {
            workload(test["fullname"]): "regressed" if {test["name"], test["fullname"]} & slower else "not regressed"
            for test in found["benchmarks"]
        }
        return Compared(failed=done.code != 0, outcomes=outcomes, seconds=done.wall)


def workload(test: str) -> str:
    """Return the name of the workload in the id of a test: what is in its brackets."""
    return test.rpartition("[")[2].rstrip("]")


def worst(said: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the worst outcome of each test."""
    outcomes: dict[str, str] = {}
    for test, outcome in said:
        known = outcomes.get(test, outcome)
        outcomes[test] = min(known, outcome, key=_SEVERITY.index)
    return outcomes


def flagged(verdict: dict[str, Any]) -> bool:
    """Return whether the search called it changed, whatever came of the confirmation."""
    return verdict["outcome"] == "regressed" or any(note["code"] == "not-confirmed" for note in verdict["notes"])


def effects(verdicts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the fields of `Compared` that say how large the changes of time were."""
    found = {workload(each["test"]): each["effect"] for each in verdicts if each["metric"] == "time" and each["effect"]}
    return {
        "changes": {test: effect["change"] for test, effect in found.items()},
        "detectable": {t: e["detectable"] for t, e in found.items() if isinstance(e["detectable"], float)},
    }


def trouble(done: Finished, verdicts: Iterable[dict[str, Any]]) -> str:
    """Return the end of the output of a run of perfguard that did not end as its verdicts say."""
    expected = 1 if any(verdict["fails"] for verdict in verdicts) else 0
    return "" if done.code == expected else f"exit code {done.code}\n{done.output[-_TAIL:]}"
