"""The two plugins as one sees them from outside: store a run, compare a run, and what it said of each test."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from processes import HERE, PLUGINS, run_pytest

_SEVERITY = ("regressed", "invalid", "no baseline", "inconclusive", "improved", "unchanged")
"""Outcomes of a comparison, worst first: a test is counted under the worst of its verdicts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What a run of the suite said against its baseline."""

    failed: bool
    outcomes: dict[str, str]
    """What was said of each test."""
    changes: dict[str, float] = field(default_factory=dict)
    """The measured change of each test, 0.1 for 10 % slower."""
    detectable: dict[str, float] = field(default_factory=dict)
    """The smallest change of each test that the verdict says would have been found four times out of five."""
    seconds: float

    def count(self) -> Counter[str]:
        """Return how often each outcome was given."""
        return Counter(self.outcomes.values())


class Contestant(Protocol):
    """A plugin with its settings."""

    name: str

    def store(self, project: Path, place: Path, *, factor: float = 1.0) -> float:
        """Run the suite in `project`, keep it as baseline in `place`, and return how many seconds that took."""
        ...

    def compare(self, project: Path, place: Path, *, factor: float = 1.0) -> Compared:
        """Run the suite and compare it with the baseline in `place`, in which nothing is changed."""
        ...


class Perfguard:
    """pytest-perfguard as installed, with `target_time` in place of its default if one is given."""

    name = "perfguard"

    def __init__(self, target_time: str | None = None) -> None:
        self._options = [] if target_time is None else [f"--perfguard-target-time={target_time}"]

    def store(self, project: Path, place: Path, *, factor: float = 1.0) -> float:
        """See `Contestant`; runs of one commit are added to each other."""
        done = run_pytest(
            project, "--perfguard-save", f"--perfguard-store={place}", *self._options,
            plugins=[PLUGINS[self.name]], environment={"WORKLOAD_FACTOR": str(factor)},
        )  # fmt: skip
        return done.wall

    def compare(self, project: Path, place: Path, *, factor: float = 1.0) -> Compared:
        """See `Contestant`. Raises `RuntimeError` where the baseline is one that could fail no run."""
        with tempfile.TemporaryDirectory(prefix="perfguard-bench-") as folder:
            report = Path(folder) / "report.json"
            done = run_pytest(
                project, "--perfguard-compare", f"--perfguard-store={place}", f"--perfguard-report=json:{report}",
                *self._options, plugins=[PLUGINS[self.name]], environment={"WORKLOAD_FACTOR": str(factor)},
                accept=(0, 1),
            )  # fmt: skip
            found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        baseline = found["baseline"] or {}
        if not baseline.get("runs") or baseline["weak"] or baseline["foreign"]:
            raise RuntimeError(f"perfguard did not find its baseline in {place}: {baseline}\n{done.output[-2000:]}")
        verdicts = [verdict for verdict in found["verdicts"] if verdict["limit"] is None]
        if not verdicts or (done.code == 1) != any(verdict["fails"] for verdict in verdicts):
            raise RuntimeError(f"perfguard ended with {done.code}, not because of a verdict:\n{done.output[-4000:]}")
        effects = {v["test"]: v["effect"] for v in verdicts if v["metric"] == "time" and v["effect"]}
        return Compared(
            failed=done.code != 0,
            outcomes=worst((verdict["test"], verdict["outcome"]) for verdict in verdicts),
            changes={test: effect["change"] for test, effect in effects.items()},
            detectable={t: e["detectable"] for t, e in effects.items() if isinstance(e["detectable"], float)},
            seconds=done.wall,
        )


class PytestBenchmark:
    """pytest-benchmark as installed, failing runs in which a median is more than 5 % above the stored one."""

    name = "pytest-benchmark"

    def __init__(self, *, quick: bool = False) -> None:
        self._options = ["--benchmark-max-time=0.05", "--benchmark-quiet"] if quick else ["--benchmark-quiet"]

    def store(self, project: Path, place: Path, *, factor: float = 1.0) -> float:
        """See `Contestant`."""
        return run_pytest(
            project, "--benchmark-save=base", f"--benchmark-storage={place}", *self._options,
            plugins=[PLUGINS[self.name]], environment=self._environment(factor),
        ).wall  # fmt: skip

    def compare(self, project: Path, place: Path, *, factor: float = 1.0) -> Compared:
        """See `Contestant`."""
        with tempfile.TemporaryDirectory(prefix="perfguard-bench-") as folder:
            report = Path(folder) / "report.json"
            done = run_pytest(
                project, "--benchmark-compare=0001", "--benchmark-compare-fail=median:5%",
                f"--benchmark-storage={place}", f"--benchmark-json={report}", *self._options,
                plugins=[PLUGINS[self.name]], environment=self._environment(factor), accept=(0, 1),
            )  # fmt: skip
            found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        slower = set(re.findall(r"^\s*(\S+)(?: \(\S+\))? - Field 'median' has failed", done.output, re.MULTILINE))
        if (done.code == 1) != bool(slower):
            raise RuntimeError(f"pytest-benchmark ended with {done.code}:\n{done.output[-4000:]}")
        outcomes = {
            test["fullname"]: "regressed" if {test["name"], test["fullname"]} & slower else "not regressed"
            for test in found["benchmarks"]
        }
        return Compared(failed=done.code != 0, outcomes=outcomes, seconds=done.wall)

    def _environment(self, factor: float) -> dict[str, str]:
        return {"WORKLOAD_FACTOR": str(factor), "WORKLOAD_FIXTURE": "benchmark"}


def worst(said: Iterator[tuple[str, str]]) -> dict[str, str]:
    """Return the worst outcome of each test."""
    outcomes: dict[str, str] = {}
    for test, outcome in said:
        known = outcomes.get(test, outcome)
        outcomes[test] = min(known, outcome, key=_SEVERITY.index)
    return outcomes


@contextlib.contextmanager
def project() -> Iterator[Path]:
    """Give a repository with the suite of workloads in it, in a temporary folder whose other places are free to use."""
    with tempfile.TemporaryDirectory(prefix="perfguard-bench-") as name:
        folder = Path(name) / "project"
        shutil.copytree(HERE / "workloads", folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / ".gitignore").write_text("__pycache__/\n", encoding="utf-8")
        _git(folder, "init", "--quiet", "--initial-branch=main")
        commit(folder, "First")
        yield folder


def commit(folder: Path, subject: str) -> None:
    """Make a commit that changes nothing but a text file: what is measured stays the same."""
    (folder / "CHANGES.txt").write_text(f"{subject}\n", encoding="utf-8")
    _git(folder, "add", "--all")
    _git(folder, "-c", "user.name=bench", "-c", "user.email=bench@example.org", "-c", "commit.gpgsign=false",
         "commit", "--quiet", "--message", subject)  # fmt: skip


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)
