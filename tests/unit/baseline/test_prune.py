from __future__ import annotations

from dataclasses import replace

from pytest_perfguard.baseline.folder import FolderStore
from pytest_perfguard.baseline.prune import PrunePlan, apply_prune, plan_prune
from tests.unit.baseline.examples import MACHINE, header, measurement

OTHER = replace(MACHINE, python="3.13")


def ids(headers):
    return [run.run_id for run in headers]


def test_the_newest_of_each_class_stay_then_tags_and_one_a_week():
    # Days from Monday 2026-01-05 on, two runs a day, over two weeks.
    runs = [header(f"{n:02d}", sha=f"{n:040d}", hour=96 + 12 * n, dirty=n == 13) for n in range(28)]
    other = header("other", machine=OTHER)
    plan = plan_prune([other, *runs], samples_keep=2, summaries_keep=4, tagged={f"{5:040d}"})
    # Kept: 27..24 as newest, 23 as newest of the second week, 12 of the first (13 is dirty), 05 as tagged.
    assert ids(plan.samples) == ["25", "24", "23", "12", "05"]
    assert ids(plan.runs) == [f"{n:02d}" for n in range(22, -1, -1) if n not in (12, 5)]


def test_a_small_store_needs_no_pruning():
    assert plan_prune([header(f"{n}", hour=n) for n in range(30)]) == PrunePlan()
    assert len(plan_prune([header(f"{n}", hour=n) for n in range(31)]).samples) == 1


def test_a_plan_does_nothing_until_it_is_applied(tmp_path):
    store = FolderStore(tmp_path)
    for n in range(4):
        store.save(header(f"{n}", hour=n), [measurement("t", 5, 6)])
    plan = plan_prune(store.headers(), samples_keep=1, summaries_keep=2)
    assert len(store.headers()) == 4
    assert apply_prune(store, plan) > 0
    # "1" is the newest of its week among the old ones.
    assert ids(store.headers()) == ["3", "2", "1"]
    assert [bool(store.samples(run)) for run in store.headers()] == [True, False, False]
    assert apply_prune(store, plan) == 0
