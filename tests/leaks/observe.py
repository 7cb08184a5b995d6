"""What the probe says of each case of the catalogue; as a command, for a process of its own, it prints JSON.

Its arguments are a subject, and "warm" where time is to be measured first, as a test with other budgets does; "cold"
is a test whose only budget is on what is retained.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import itertools
import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from pytest_perfguard.measure.plan import Call, Plan
from pytest_perfguard.measure.runner import Runner
from pytest_perfguard.model.budget import Method
from pytest_perfguard.model.measurement import Key, Measurement
from pytest_perfguard.registry import Registry
from tests.leaks.catalogue import Case, Clean, Leak

METHODS = {"cold": Method(rounds=1, iterations=1), "warm": Method(target_time=0.1)}


@dataclass(frozen=True)
class Observed:
    """What was said of one case, and after how many calls."""

    name: str
    value: float | None
    notes: list[list[str]]
    """Code and message of each."""
    rows: list[str]
    """One text for each thing that grows, largest first, and one for the lines that explain the value."""
    calls: int


def observe(case: Case, method: Method = METHODS["cold"]) -> Observed:
    """Measure what a case retains, on objects of its own."""
    registry = Registry()
    plan = Plan(key=Key(test=case.name), method=method, probes=registry.probes(["retained"]))
    runner = Runner(registry.clock())
    calls = itertools.count()
    with case.opened() as call:
        if inspect.iscoroutinefunction(call):
            measured = asyncio.run(_observe_async(runner, plan, _counted_async(call, calls)))
        else:
            _, measured = runner.measure(Call(func=_counted(call, calls)), plan)
    return describe(case.name, measured, next(calls))


async def _observe_async(runner: Runner, plan: Plan, call: Callable[[], Any]) -> Measurement:
    _, measured = await runner.measure_async(Call(func=call), plan)
    return measured


def describe(name: str, measured: Measurement, calls: int) -> Observed:
    """Return what a measurement says."""
    series = measured.get("retained")
    growth = [f"{each.kind} | {each.owner} | {each.place} | {each.count:g}" for each in measured.growth]
    details = ["\n".join(each.lines) for each in measured.details if each.metric == "retained"]
    return Observed(
        name=name,
        value=None if series is None else series.reduced(),
        notes=[[note.code, str(note)] for note in measured.notes],
        rows=[*growth, *details],
        calls=calls,
    )


def _counted(call: Callable[[], Any], calls: itertools.count[int]) -> Callable[[], Any]:
    # Counted in C: a counter in Python would itself grow by a block when it passes 256.
    @functools.wraps(call)
    def counted() -> Any:
        next(calls)
        return call()

    return counted


def _counted_async(call: Callable[[], Any], calls: itertools.count[int]) -> Callable[[], Any]:
    @functools.wraps(call)
    async def counted() -> Any:
        next(calls)
        return await call()

    return counted


def found(leak: Leak, seen: Observed) -> bool:
    """Return whether a budget of 0 would fail, by as much as leaks."""
    return seen.value is not None and seen.value >= leak.blocks


def named(leak: Leak, seen: Observed) -> bool:
    """Return whether a row or a remark has all words that name the owner."""
    return any(map(leak.named_in, explanation(seen)))


def located(leak: Leak, seen: Observed) -> bool:
    """Return whether what names the owner also names a line of it."""
    return any(leak.named_in(row) and leak.located_in(row) for row in explanation(seen))


def explanation(seen: Observed) -> list[str]:
    """Return all that a reader is told, one text for each thing."""
    return [*seen.rows, *(message for _, message in seen.notes)]


def passes(clean: Clean, seen: Observed) -> bool:
    """Return whether a budget of 0 would hold, or nothing could be told for a reason that the case has."""
    return seen.value == 0 or (clean.disturbs and excused(seen))


def excused(seen: Observed) -> bool:
    """Return whether no value is given, and a remark says that something disturbs it."""
    return seen.value is None and any(code == "disturbed" for code, _ in seen.notes)


def main(subject: str, temperature: str = "cold") -> None:
    """Observe all cases of a subject and print what was said, and whether it is right."""
    from tests.leaks.subjects import catalogues

    # Out of pytest, nobody but this keeps what is logged.
    logging.basicConfig(stream=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    results = []
    for catalogue in catalogues(subject):
        for case in (*catalogue.leaks, *catalogue.cleans):
            seen = observe(case, METHODS[temperature])
            results.append(asdict(seen) | judge(case, seen))
    json.dump(results, sys.stdout, indent=1)


def judge(case: Case, seen: Observed) -> dict[str, bool]:
    """Return in words what is right about what was said of a case."""
    if isinstance(case, Leak):
        return {"leaks": True, "found": found(case, seen), "named": named(case, seen), "located": located(case, seen)}
    return {"leaks": False, "passes": passes(case, seen), "excused": excused(seen)}


if __name__ == "__main__":
    main(*sys.argv[1:])
