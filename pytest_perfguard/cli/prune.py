"""`perfguard prune`: remove old runs, and raw samples earlier than summaries."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pytest_perfguard.cli.output import moment
from pytest_perfguard.cli.workplace import Workplace
from pytest_perfguard.model import Header
from pytest_perfguard.quantity import Unit, render
from pytest_perfguard.report.digest import plural


def run(arguments: argparse.Namespace, place: Workplace) -> int:
    """Remove what is older than the numbers of runs to keep, or only say what that is."""
    from pytest_perfguard.baseline.prune import apply_prune, plan_prune

    asked = {"samples_keep": arguments.samples_keep, "summaries_keep": arguments.summaries_keep}
    keep = {name: number for name, number in asked.items() if number is not None}
    plan = plan_prune(place.store.headers(), tagged=tagged(place.root), **keep)
    _announce("remove run", plan.runs)
    _announce("remove raw samples of", plan.samples)
    what = f"{plural(len(plan.runs), 'run')}, and of {len(plan.samples)} more the raw samples"
    if arguments.dry_run:
        print(f"nothing removed (--dry-run); without it: {what}")
    else:
        freed = apply_prune(place.store, plan)
        print(f"removed {what}: {render(freed, Unit.BYTES)} freed")
    return 0


def tagged(root: Path) -> frozenset[str]:
    """Return the SHAs of the commits that have a tag; none where there is no git or no repository."""
    git = shutil.which("git")
    if git is None:
        return frozenset()
    done = subprocess.run(  # noqa: S603 - a fixed command
        [git, "show-ref", "--tags", "--dereference"], cwd=root, capture_output=True, text=True, check=False
    )
    return frozenset(line.partition(" ")[0] for line in done.stdout.splitlines())


def _announce(what: str, headers: Sequence[Header]) -> None:
    for header in headers:
        print(f"{what} {header.run_id} of {header.commit.short}, {moment(header.created)}, {header.machine.key}")
