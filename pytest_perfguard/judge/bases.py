"""What each measurement is compared with: the chosen commit, and older ones for what it does not have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pytest_perfguard.judge.regression import Against
from pytest_perfguard.model.baseline import Baseline, Record, StoredRun
from pytest_perfguard.model.commit import Machine
from pytest_perfguard.model.measurement import Key
from pytest_perfguard.model.note import Note


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The stored runs of one commit, by what they measured."""

    against: Against
    records: dict[Key, list[Record]]

    def has(self, key: Key, metric: str) -> bool:
        """Return whether a run of this commit has a metric of a measurement."""
        return any(record.get(metric) is not None for record in self.records.get(key, ()))


def bases_of(baseline: Baseline, distance: Callable[[str], int | None], ours: Machine) -> tuple[Base, ...]:
    """Return what a run on the machine `ours` is compared with, best first.

    `distance` tells how many commits back a SHA is.
    """
    bases = [Base(against=_against(baseline, ours), records=by_key(baseline.runs))]
    commits: dict[str, list[StoredRun]] = {}
    for run in baseline.older:
        commits.setdefault(run.header.commit.sha, []).append(run)
    for sha, runs in commits.items():
        parts = [*_away(distance(sha)), f"the baseline at {_name(baseline)} does not have it"]
        words = f"{runs[0].header.commit.short} ({', '.join(parts)})"
        bases.append(Base(against=Against(words=words), records=by_key(runs)))
    return tuple(bases)


def base_for(bases: Sequence[Base], key: Key, metric: str) -> Base:
    """Return the first that has a metric of a measurement, the chosen commit where none has."""
    return next((base for base in bases if base.has(key, metric)), bases[0])


def gaps(baseline: Baseline, bases: Sequence[Base], wanted: Iterable[Key]) -> tuple[Note, ...]:
    """Return a remark where the chosen commit does not have all that is `wanted`."""
    wanted = set(wanted)
    lacking = wanted - bases[0].records.keys()
    if not lacking or not baseline.runs:
        return ()
    elsewhere = sum(any(key in base.records for base in bases[1:]) for key in lacking)
    counts = {"with older commits": elsewhere, "with nothing": len(lacking) - elsewhere}
    others = " and ".join(f"{count} {what}" for what, count in counts.items() if count)
    return (
        Note(
            code="partial-baseline",
            message=f"the baseline at {_name(baseline)} has {len(wanted) - len(lacking)} of {len(wanted)} "
            f"measurements of this run; compared otherwise: {others}",
        ),
    )


def by_key(runs: Iterable[StoredRun]) -> dict[Key, list[Record]]:
    """Return the records of `runs` by what they measured."""
    records: dict[Key, list[Record]] = {}
    for run in runs:
        for record in run.records:
            records.setdefault(record.key, []).append(record)
    return records


def _against(baseline: Baseline, ours: Machine) -> Against:
    parts = [*([baseline.reason] if baseline.reason else []), *_away(baseline.distance)]
    words = f"{_name(baseline)} ({', '.join(parts)})" if parts else _name(baseline)
    lone = baseline.commit is not None and not baseline.commit.sha
    pythons = sorted({f"{m.implementation} {m.python}" for run in baseline.runs for m in [run.header.machine]})
    own = f"{ours.implementation} {ours.python}"
    other = "" if set(pythons) <= {own} else f"counted with {' and '.join(pythons)}, this is {own}"
    return Against(words=words, weak=baseline.weak, foreign=baseline.foreign, lone=lone, python=other)


def _name(baseline: Baseline) -> str:
    return baseline.commit.short if baseline.commit is not None else "the store"


def _away(distance: int | None) -> list[str]:
    if not distance:
        return []
    return ["1 commit back" if distance == 1 else f"{distance} commits back"]
