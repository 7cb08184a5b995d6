"""Other tools that compare two commits, run as their own documentation says."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contestants import Compared
from processes import PLUGINS, Finished, clean_environment, run_command
from repository import Repository

_ROW = re.compile(r"^\|(?P<mark>[^|]*)\|[^|]*\|[^|]*\|(?P<ratio>[^|]*)\|[^|]*\('(?P<name>\w+)'\)")


class Asv:
    """`asv continuous main~1 main` with a virtual environment and asv's default threshold of 10 %.

    Environments and wheels are kept between comparisons, results are not.
    """

    name = "asv"
    stores = False

    def __init__(self, *, quick: bool = False) -> None:
        fast = ("rounds=1", "repeat=2", "warmup_time=0", "sample_time=0.001")
        self._options = [part for each in fast for part in ("--attribute", each)] if quick else []

    def store(self, repository: Repository, place: Path) -> float:
        """Do nothing: there is no baseline."""
        return 0.0

    def compare(self, repository: Repository, place: Path) -> Compared:
        """See `Contestant`; where it prints no table, it counts as failed."""
        clone = repository.clone(place / "clone").folder
        if not (place / ".asv-machine.json").exists():
            self._run(clone, place, "machine", "--yes")
        with tempfile.TemporaryDirectory(prefix="perfguard-bench-", dir=place) as results:
            settings = json.loads((clone / "asv.conf.json").read_text(encoding="utf-8"))
            settings["results_dir"] = results
            own = clone / "asv.own.json"
            own.write_text(json.dumps(settings), encoding="utf-8")
            done = self._run(
                clone, place, "--config", own.name, "continuous", "--no-only-changed", *self._options, "main~1", "main"
            )
        words = {"+": "regressed", "-": "improved", "": "unchanged", "!": "invalid"}
        rows = [match for line in done.output.splitlines() if (match := _ROW.match(line))]
        outcomes = {row["name"]: words.get(row["mark"].strip(), "invalid") for row in rows}
        ratios = {row["name"]: row["ratio"].strip().lstrip("~") for row in rows}
        expected = any(outcome in ("regressed", "invalid") for outcome in outcomes.values())
        return Compared(
            failed=done.code != 0,
            outcomes=outcomes,
            changes={name: float(ratio) - 1 for name, ratio in ratios.items() if ratio != "n/a"},
            trouble="" if outcomes and (done.code != 0) == expected else done.output[-4000:],
            seconds=done.wall,
        )

    def _run(self, clone: Path, place: Path, *arguments: str) -> Finished:
        # It keeps a file about the machine in the home folder; pip should find its own files where they are.
        home = Path.home()
        environment = clean_environment()
        environment.setdefault("XDG_CONFIG_HOME", str(home / ".config"))
        environment.setdefault("XDG_CACHE_HOME", str(home / ".cache"))
        environment["HOME"] = str(place)
        return run_command([sys.executable, "-m", "asv", *arguments], clone, environment=environment)


class Benchmatrix:
    """Five runs of each commit by `benchmatrix measure`, then `compare --threshold 5% --fail-on-regression`.

    This is its quick start. Its paired collection wants 64 runs of a suite of this size, half an hour.
    """

    name = "benchmatrix"
    stores = False

    def __init__(self, *, quick: bool = False) -> None:
        self._options = ["--benchmark-max-time=0.05"] if quick else []

    def store(self, repository: Repository, place: Path) -> float:
        """Do nothing: there is no baseline."""
        return 0.0

    def compare(self, repository: Repository, place: Path) -> Compared:
        """See `Contestant`; it fails runs that are inconclusive too."""
        clone = repository.clone(place / "clone")
        seconds = 0.0
        with tempfile.TemporaryDirectory(prefix="perfguard-bench-", dir=place) as name:
            for side, commit in (("base", "origin/main~1"), ("head", "origin/main")):
                clone.checkout(commit)
                arguments = ["measure", "--runs", "5", "--output", f"{name}/{side}", "matrix/test_matrix.py"]
                done = self._run(clone.folder, [*arguments, "--", "-p", PLUGINS["pytest-benchmark"], *self._options])
                seconds += done.wall
                if done.code != 0:
                    return Compared(failed=True, outcomes={}, trouble=done.output[-4000:], seconds=seconds)
            done = self._run(
                clone.folder, ["compare", f"{name}/base", f"{name}/head", "--threshold", "5%", "--fail-on-regression",
                        "--format", "json"],
            )  # fmt: skip
        seconds += done.wall
        if done.code not in (0, 1) or not done.output.startswith("{"):
            return Compared(failed=True, outcomes={}, trouble=done.output[-4000:], seconds=seconds)
        found: dict[str, Any] = json.loads(done.output)
        return Compared(
            failed=done.code != 0,
            outcomes={cell["case_name"]: cell["regression"] for cell in found["comparisons"]},
            changes={cell["case_name"]: cell["ratio"] - 1 for cell in found["comparisons"]},
            seconds=seconds,
        )

    def _run(self, clone: Path, arguments: Sequence[str]) -> Finished:
        environment = clean_environment() | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        environment["PYTHONWARNINGS"] = "ignore"  # they would be mixed into the JSON data
        return run_command([sys.executable, "-m", "benchmatrix", *arguments], clone, environment=environment)
