"""The identity of a run: commit, machine class, moment, and the versions that its numbers depend on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from uuid import uuid4

from pytest_perfguard.model.baseline import Header
from pytest_perfguard.model.commit import Commit, Machine
from pytest_perfguard.model.metric import Metric
from pytest_perfguard.model.note import Note

_VERSIONED = ("pytest", "pytest-perfguard", "numpy", "sqlalchemy")


def make_header(
    commit: Commit, machine: Machine, metrics: Iterable[Metric], *, workers: int = 0, notes: tuple[Note, ...] = ()
) -> Header:
    """Return the header of a run that ends now, with an id that no other run has."""
    return Header(
        run_id=uuid4().hex[:12],
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        commit=commit,
        machine=machine,
        versions=_versions(),
        metrics=tuple(sorted(metrics, key=lambda metric: metric.name)),
        hash_seed=os.environ.get("PYTHONHASHSEED", "random"),
        workers=workers,
        notes=notes,
    )


def _versions() -> tuple[tuple[str, str], ...]:
    found = [("python", ".".join(str(part) for part in sys.version_info[:3]))]
    for name in _VERSIONED:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return tuple(found)
