"""What recording statements costs, beside pytest-queryguard and CaptureQueriesContext, and what is left of it."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from figures import Middle, Requirement, print_table, tell
from processes import HERE, clean_environment, pinned, run_command
from statements import CONTESTS

MICRO = 1e6
MILLI = 1e3
NANO = 1e-9
HALF = 0.5
NEW_LIMIT = 60e-6
KNOWN_LIMIT = 1e-6
LONG_LIMIT = 1.0
TURNS = 15
NEGLIGIBLE = 0.005
"""Part of a statement's time below which a difference is unclear rather than one that anyone could see."""

NAMES = {
    "core": "SQLAlchemy Core", "orm": "SQLAlchemy ORM", "django": "Django ORM", "sqlite3": "sqlite3",
}  # fmt: skip
PIECES = ("'", '"', "(", "[", "$a$", "/*", "--", "%(a", ":", "IN(", "VALUES(1),(", "CASE WHEN a THEN ", "FROM a,")


def compare_queries(*, processes: int, turns: int, size: int) -> list[Requirement]:
    """Measure what recording a statement costs, what it leaves, and fingerprints; print the tables."""
    with pinned():
        return [
            *compare_recorders(processes, turns, size),
            *compare_after(processes, size),
            *measure_fingerprints(),
        ]


def compare_recorders(processes: int, turns: int, size: int) -> list[Requirement]:
    """Print what a statement costs more in a block of each recorder than without; recorders take turns in a process.

    The place of code and data in a process makes a difference of its own, hence many processes.
    """
    rows, requirements = [], []
    for workload, recorders in CONTESTS.items():
        plain: list[float] = []
        more: dict[str, list[float]] = defaultdict(list)
        ends: dict[str, list[float]] = defaultdict(list)
        for process in range(processes):
            tell(f"recording, {NAMES[workload]}: process {process + 1} of {processes}")
            found = ask("statements.py", "turns", workload, turns, size)
            beside = [taken for taken, _ in found["nothing"]]
            plain.append(statistics.median(beside) * NANO)
            for name in recorders[1:]:
                extra = [taken - none for (taken, _), none in zip(found[name], beside, strict=True)]
                more[name].append(statistics.median(extra) * NANO)
                ends[name].append(statistics.median(end for _, end in found[name]) * NANO)
        rows.append((NAMES[workload], "nothing", Middle.of(plain).show(MICRO), "", ""))
        for name in recorders[1:]:
            added = Middle.of(more[name])
            rows.append(("", name, "", added.show(MICRO), Middle.of(ends[name]).show(MILLI)))
        if len(recorders) > 2:
            peer = recorders[2]
            ratios = [ours / theirs for ours, theirs in zip(more["perfguard"], more[peer], strict=True)]
            text = f"{NAMES[workload]}: recording costs at most half of {peer}'s"
            requirements.append(Requirement.at_most(text, HALF, Middle.of(ratios), 100, "%", digits=0))
    print_table(
        f"A SELECT of 12 columns on SQLite in memory: processor time, medians of {processes} processes, in each of "
        f"them {turns} turns of blocks of {size} statements",
        ("by", "recorded by", "a statement, µs [95 %]", "more, µs [95 %]", "end of the block, ms [95 %]"), rows, text=2,
    )  # fmt: skip
    return requirements


def compare_after(processes: int, size: int) -> list[Requirement]:
    """Print how much longer statements take after a block than before, beyond what they do in a process without one."""
    rows, requirements, changed = [], [], defaultdict(set)
    for workload, recorders in CONTESTS.items():
        more: dict[str, list[float]] = defaultdict(list)
        before: list[float] = []
        for process in range(processes):
            tell(f"after recording, {NAMES[workload]}: turn {process + 1} of {processes}")
            for name in recorders if process % 2 else reversed(recorders):
                found = ask("statements.py", "after", workload, name, size)
                more[name].append(found["more"] * NANO)
                changed[name].update(found["changed"])
                before.append(found["before"] * NANO)
        for name in recorders[1:]:
            rest = Middle.of([after - none for after, none in zip(more[name], more["nothing"], strict=True)])
            rows.append((NAMES[workload], name, rest.show(MICRO, 2), ", ".join(sorted(changed[name])) or "nothing"))
            if name == "perfguard":
                requirements.append(nothing_after(NAMES[workload], rest, statistics.median(before)))
    print_table(
        f"After a block, against before it: processor time of a statement, medians of {processes} pairs of processes, "
        "one of them without a block",
        ("by", "was recorded by", "more, µs [95 %]", "attributes of classes left changed"), rows, text=2,
    )  # fmt: skip
    ours = sorted(changed["perfguard"])
    return [
        *requirements,
        Requirement(
            text="after the block no attribute is changed, SQLAlchemy's _has_events among them",
            figure=", ".join(ours) or "none", met=not ours,
        ),
    ]  # fmt: skip


def nothing_after(name: str, rest: Middle, statement: float) -> Requirement:
    """Hold what a statement took longer after a block than before it against nothing: its interval holds 0."""
    met = True if rest.low <= 0 else False if rest.low > NEGLIGIBLE * statement else None
    text = f"{name}: costs nothing after the block (the interval begins at or below 0)"
    return Requirement(text=text, figure=f"{rest.show(MICRO, 2)} µs", met=met)


def measure_fingerprints() -> list[Requirement]:
    """Print what the fingerprint of a new and of a known SELECT costs, and of long texts that are hard to read."""
    from pytest_perfguard.probes.queries.fingerprint import analyse

    tell("fingerprints")
    rows, requirements = [], []
    for name, (sql, dialect) in ask("selects.py").items():
        fresh = iter([f"{sql} -- {number}" for number in range(TURNS * 500)])
        new = timed(lambda fresh=fresh, dialect=dialect: analyse(next(fresh), dialect), 500)
        known = timed(lambda sql=sql, dialect=dialect: analyse(sql, dialect), 20_000)
        rows.append((f"SELECT of {name}", f"{len(sql)}", new.show(MICRO), known.show(MICRO, 2)))
        requirements += [
            Requirement.at_most(f"fingerprint of a SELECT of {name}, new: at most 60 µs", NEW_LIMIT, new, MICRO, "µs"),
            Requirement.at_most("… known: at most 1 µs", KNOWN_LIMIT, known, MICRO, "µs", digits=2),
        ]
    print_table(
        f"Fingerprints: processor time, medians of {TURNS} turns, microseconds",
        ("of", "characters", "new [95 %]", "known [95 %]"), rows,
    )  # fmt: skip
    worst: dict[str, float] = {}
    for piece in PIECES:
        for dialect in ("sqlite", "postgresql", "mysql"):
            began = time.process_time()
            analyse(piece * (100_000 // len(piece)), dialect)
            worst[f"{piece} in {dialect}"] = time.process_time() - began
    slowest = max(worst, key=lambda what: worst[what])
    return [
        *requirements,
        Requirement(
            text="fingerprint of 100 kB of quotes, parentheses, comments …: less than 1 s",
            figure=f"{worst[slowest]:.2f} s ({slowest})", met=worst[slowest] < LONG_LIMIT,
        ),
    ]  # fmt: skip


def timed(work: Callable[[], object], count: int) -> Middle:
    """Return what `work` takes, of as many turns of `count`, in seconds of processor time."""
    taken = []
    for _ in range(TURNS):
        began = time.process_time()
        for _ in range(count):
            work()
        taken.append((time.process_time() - began) / count)
    return Middle.of(taken)


def ask(script: str, *arguments: object) -> Any:
    """Return what a script beside this one says in a process of its own; raise `RuntimeError` where it fails."""
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    done = run_command(command, HERE, environment=clean_environment(), timeout=300)
    if done.code:
        raise RuntimeError(f"{' '.join(command)} ended with {done.code}:\n{done.output[-4000:]}")
    return json.loads(done.output)
