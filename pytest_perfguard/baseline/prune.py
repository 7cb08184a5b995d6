"""What of a store can go without losing what it is kept for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from pytest_perfguard.model import Header
from pytest_perfguard.model.protocols import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunePlan:
    """What to remove: whole runs, and of others the raw samples."""

    runs: tuple[Header, ...] = ()
    samples: tuple[Header, ...] = ()


def plan_prune(
    headers: Iterable[Header], *, samples_keep: int = 30, summaries_keep: int = 500, tagged: Collection[str] = ()
) -> PrunePlan:
    """Return what can go: nothing is removed yet, so a dry run is a plan that is not applied.

    Of each class of machines, the newest `samples_keep` runs keep their raw samples and the newest `summaries_keep`
    their summaries. Of older ones remain those of the commits `tagged` (full SHAs) and the newest of each week;
    uncommitted changes are neither. The order of the plan is newest first.
    """
    classes: dict[str, list[Header]] = defaultdict(list)
    for header in sorted(headers, key=lambda header: (header.created, header.run_id), reverse=True):
        classes[header.machine.key].append(header)
    runs: list[Header] = []
    samples: list[Header] = []
    for newest_first in classes.values():
        weeks: set[tuple[int, int]] = set()
        for place, header in enumerate(newest_first):
            kept = place < summaries_keep
            if not kept and not header.commit.dirty:
                week = _week(header.created)
                kept = header.commit.sha in tagged or week not in weeks
                weeks.add(week)
            if not kept:
                runs.append(header)
            elif place >= samples_keep:
                samples.append(header)
    return PrunePlan(runs=tuple(runs), samples=tuple(samples))


def apply_prune(store: Store, plan: PrunePlan) -> int:
    """Remove what `plan` says, and return the bytes freed."""
    return store.delete(plan.runs) + store.delete(plan.samples, samples_only=True)


def _week(created: str) -> tuple[int, int]:
    year, week, _ = datetime.fromisoformat(created).isocalendar()
    return year, week
