"""`perfguard list`: which runs are stored."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from pytest_perfguard.cli.output import moment, table
from pytest_perfguard.cli.workplace import Workplace
from pytest_perfguard.model import StoredRun

_NEWEST = 20


def run(arguments: argparse.Namespace, place: Workplace) -> int:
    """Print the stored runs, newest first."""
    headers = place.store.headers(place.machine(arguments.machine))
    chosen = headers if arguments.all else headers[:_NEWEST]
    stored = place.store.load(chosen)
    if arguments.json:
        print(json.dumps([_plain(each) for each in stored], indent=1, ensure_ascii=False))
        return 0
    if not stored:
        print(f"no run is stored in {place.store_path}; pytest --perfguard-save stores one")
        return 0
    print(listing(stored))
    hidden = len(headers) - len(chosen)
    if hidden:
        print(f"… and {hidden} older; --all lists them")
    return 0


def listing(stored: Sequence[StoredRun]) -> str:
    """Return the table of runs, in their order."""
    columns = ("commit", "date (UTC)", "branch", "machine class", "tests", "run")
    rows = [
        (
            each.header.commit.short,
            moment(each.header.created),
            each.header.commit.branch,
            each.header.machine.key,
            str(_tests(each)),
            each.header.run_id,
        )
        for each in stored
    ]
    return table(columns, rows, right=["tests"])


def _plain(stored: StoredRun) -> dict[str, object]:
    header = stored.header
    return {
        "run": header.run_id,
        "created": header.created,
        "commit": header.commit.sha,
        "dirty": header.commit.dirty,
        "branch": header.commit.branch,
        "subject": header.commit.subject,
        "machine": header.machine.key,
        "tests": _tests(stored),
    }


def _tests(stored: StoredRun) -> int:
    return len({record.key.test for record in stored.records})
