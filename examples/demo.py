"""Show perfguard at work: save a baseline, let a colleague slow the shop down twice, and see it found both times.

    python examples/demo.py

Works on a copy of `examples/shop` in a temporary folder, with the perfguard that is installed for this interpreter.
Exits with 1 if any step does not end as it says.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

SHOP = Path(__file__).parent / "shop"
BASELINE_RUNS = 2
FAILING = {"regressed", "over budget"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowdown:
    """A commit that makes the shop slower, and which tests have to notice."""

    patch: str
    what: str
    caught: frozenset[tuple[str, str]]
    """Pairs of a test and a metric: each must fail."""
    touched: frozenset[str] = frozenset()
    """Further tests that run the slow code; no other test may fail."""


N_PLUS_ONE = Slowdown(
    patch="n_plus_one.patch",
    what="Each order in a list now loads its lines, and each line its product, in a query of its own.",
    caught=frozenset({("tests/test_orders.py::test_list_orders", "queries")}),
)
QUADRATIC = Slowdown(
    patch="quadratic_report.patch",
    what="The report now goes through all sales of the month once for every product.",
    caught=frozenset(
        {("tests/test_report.py::test_render_html", "time"), ("tests/test_report.py::test_render_csv", "time")}
    ),
    touched=frozenset(
        {
            "tests/test_report.py::test_report_needs_little_memory",
            "tests/test_report.py::test_report_step_by_step",
        }
    ),
)


class BrokenPromiseError(Exception):
    """A step of the demonstration did not end as announced."""


class Project:
    """A git repository of its own with a copy of the shop."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.report = root.parent / "report.json"
        self.environment = clean_environment(os.environ)
        shutil.copytree(SHOP, root, ignore=shutil.ignore_patterns("slowdowns", "__pycache__", ".*_cache", "baselines"))
        self.git("init", "--quiet", "--initial-branch=main")
        # The commits of this demonstration hold code only; a project may commit its baselines as well.
        (root / ".git" / "info").mkdir(exist_ok=True)
        (root / ".git" / "info" / "exclude").write_text("baselines/\n", encoding="utf-8")
        self.commit("A shop with its tests")

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=self.root, env=self.environment, check=True, stdout=subprocess.DEVNULL)

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def pytest(self, *options: str) -> int:
        """Run the suite in a process of its own, its output going where ours goes; return its exit code."""
        show("$ " + shlex.join(["pytest", "-q", *options]))
        command = [sys.executable, "-m", "pytest", "-q", *options]
        return subprocess.run(command, cwd=self.root, env=self.environment, check=False).returncode

    def compare(self) -> tuple[int, list[dict[str, object]]]:
        """Run the suite against the baseline; return the exit code and the verdicts of the JSON report."""
        self.report.unlink(missing_ok=True)
        code = self.pytest("--perfguard-compare", f"--perfguard-report=json:../{self.report.name}")
        if not self.report.is_file():
            raise BrokenPromiseError(f"pytest ended with {code} and wrote no report")
        return code, json.loads(self.report.read_text(encoding="utf-8"))["verdicts"]


def main() -> int:
    """Run the demonstration; return the exit code."""
    signal.signal(signal.SIGTERM, stop)
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="perfguard-demo-") as folder:
            demonstrate(Project(Path(folder) / "shop"))
    except BrokenPromiseError as broken:
        show(f"\nBROKEN PROMISE: {broken}")
        return 1
    except subprocess.CalledProcessError as error:
        show(f"\nThe demonstration could not go on: {shlex.join(error.cmd)} ended with {error.returncode}")
        return 2
    except KeyboardInterrupt:
        show("\nInterrupted; the temporary folder is gone.")
        return 130
    show(f"\nDone in {time.monotonic() - started:.0f} s: both slowdowns were found, and nothing else was blamed.")
    return 0


def demonstrate(project: Project) -> None:
    """Go through all steps; raise `BrokenPromiseError` at the first that does not end as it should."""
    for number in range(1, BASELINE_RUNS + 1):
        heading(f"Save a baseline of this commit, run {number} of {BASELINE_RUNS}")
        if number == 2:
            explain(
                "Why again? Two processes of the same code differ by more than the rounds within one: memory layout, "
                "hash seed, the machine's other work. A process is the unit of replication, and more of them make "
                "a baseline that can tell a change from chance."
            )
        code = project.pytest("--perfguard-save")
        expect(code == 0, f"the unchanged suite ended with {code}, not 0")
        conclude("Every budget holds, and the results are kept under this commit.")

    for slowdown in (N_PLUS_ONE, QUADRATIC):
        introduce(project, slowdown)
        show("$ git revert --no-edit HEAD")
        project.git("revert", "--no-edit", "HEAD")

    heading("Both commits are reverted")
    code, verdicts = project.compare()
    blamed = sorted({name_of(verdict) for verdict in verdicts if verdict["outcome"] in FAILING})
    expect(code == 0, f"the suite ended with {code}, not 0, although the code is that of the baseline")
    expect(not blamed, f"unchanged code was blamed: {', '.join(blamed)}")
    conclude("Green again: the same code as the baseline's, and no test is blamed.")


def introduce(project: Project, slowdown: Slowdown) -> None:
    """Commit a slowdown, compare, and check who is blamed."""
    patch = SHOP / "slowdowns" / slowdown.patch
    subject = read_subject(patch)
    heading(f"A colleague commits: {subject}")
    explain(slowdown.what + " All assertions still hold.")
    show(f"$ git apply {slowdown.patch} && git commit --all --message {shlex.quote(subject)}")
    project.git("apply", str(patch.resolve()))
    project.commit(subject)
    code, verdicts = project.compare()

    failed = {(test_of(verdict), str(verdict["metric"])) for verdict in verdicts if verdict["outcome"] in FAILING}
    missed = sorted(f"{node} ({metric})" for node, metric in slowdown.caught - failed)
    affected = {node for node, _ in slowdown.caught} | slowdown.touched
    wrong = sorted(f"{node} ({metric})" for node, metric in failed if node not in affected)
    expect(code == 1, f"pytest ended with {code}, not 1, although the code became slower")
    expect(not missed, f"not found: {', '.join(missed)}")
    expect(not wrong, f"blamed without reason: {', '.join(wrong)}")
    others = {test_of(verdict) for verdict in verdicts} - affected
    expect(bool(others), "the report holds no verdict on the other tests")
    conclude(
        f"Found: {', '.join(sorted(node for node, _ in slowdown.caught))}. None of {len(others)} others is blamed."
    )


def read_subject(patch: Path) -> str:
    """Return the commit message's first line from a patch in the form of an e-mail."""
    for line in patch.read_text(encoding="utf-8").splitlines():
        if line.startswith("Subject: [PATCH] "):
            return line.removeprefix("Subject: [PATCH] ")
    raise BrokenPromiseError(f"{patch.name} has no subject")


def test_of(verdict: Mapping[str, object]) -> str:
    return str(verdict["test"])


def name_of(verdict: Mapping[str, object]) -> str:
    return f"{test_of(verdict)} ({verdict['metric']})"


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` without what would change the outcome: a CI's commits, pytest's and git's settings."""
    foreign = ("PERFGUARD_", "PYTEST_", "GIT_", "GITHUB_", "CI_", "BITBUCKET_", "BUILDKITE_", "CIRCLE_")
    kept = {key: value for key, value in environment.items() if key != "CI" and not key.startswith(foreign)}
    person = {"NAME": "Perfguard Demo", "EMAIL": "demo@shop.example"}
    return kept | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in person.items()},
        # A shuffled order of tests would only make the output harder to follow.
        "PYTEST_ADDOPTS": "-p no:randomly -p no:asyncio -p no:cacheprovider",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise BrokenPromiseError(otherwise)


def heading(text: str) -> None:
    show(f"\n{'=' * 100}\n{text}\n{'=' * 100}")


def explain(text: str) -> None:
    show(textwrap.fill(text, width=100))


def conclude(text: str) -> None:
    show(textwrap.fill(text, width=100, initial_indent="--> ", subsequent_indent="    "))


def show(text: str) -> None:
    # Flushed, since pytest writes to the same place from a process of its own.
    print(text, flush=True)  # noqa: T201


def stop(signum: int, frame: object) -> NoReturn:
    """Leave by an exception, so that the temporary folder is removed."""
    sys.exit(128 + signum)


if __name__ == "__main__":
    sys.exit(main())
