"""What the plugins cost: a call, a measured test, the start of pytest, tests that measure nothing."""

from __future__ import annotations

import json
import pstats
import shutil
import statistics
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from figures import Middle, Requirement, print_table, tell
from processes import HERE, PLUGINS, Finished, pinned, run_pytest

NANO = 1e9
MILLI = 1e3

CALL_LIMIT = 5e-9
START_LIMIT = 0.020
RUN_LIMIT = 0.01

CANDIDATES = {"none": "nothing", **PLUGINS}
"""Plugins of the runs that measure nothing; `nothing` is an empty module beside the suite."""


def compare_measured(*, turns: int, long_turns: int) -> list[Requirement]:
    """Measure the same functions with both plugins and timeit, in turns within one process; print the tables."""
    tell(f"measured functions: {turns} and {long_turns} turns in one process")
    with tempfile.TemporaryDirectory(prefix="perfguard-bench-") as name, pinned():
        folder = Path(shutil.copytree(HERE / "duel", Path(name) / "duel"))
        output, ours, theirs = (Path(name) / file for file in ("duel.json", "perfguard.json", "benchmark.json"))
        run_pytest(
            folder, f"--perfguard-report=json:{ours}", f"--benchmark-json={theirs}", "--benchmark-quiet",
            plugins=PLUGINS.values(),
            environment={"DUEL_OUTPUT": str(output), "DUEL_TURNS": str(turns), "DUEL_LONG_TURNS": str(long_turns)},
        )  # fmt: skip
        found = read(output)
        per_call = {**found["per_call"], **medians_of_perfguard(read(ours)), **medians_of_benchmark(read(theirs))}
    return [*compare_calls(per_call), *compare_tests(found["seconds"])]


def compare_calls(per_call: dict[str, float]) -> list[Requirement]:
    """Print what each says of a call of `lambda: None`."""
    said = by_turn(per_call, "test_nothing_")
    names = {
        "timeit": "timeit, 100,000 calls", "loop": "perfguard's loop, 100,000 calls",
        "perfguard": "perfguard, as reported", "benchmark": "pytest-benchmark, as reported",
    }  # fmt: skip
    rows, requirements = [], []
    for short, words in names.items():
        extra = Middle.of([value - beside for value, beside in zip(said[short], said["timeit"], strict=True)])
        median = statistics.median(said[short])
        ratio = median / statistics.median(said["timeit"])
        rows.append((words, f"{median * NANO:.1f}", extra.show(NANO), f"{ratio:.2f}"))
        if short in ("loop", "perfguard"):
            text = f"{words.partition(',')[0]}: at most {CALL_LIMIT * NANO:.0f} ns a call above timeit"
            requirements.append(Requirement.at_most(text, CALL_LIMIT, extra, NANO, "ns"))
    print_table(
        f"A call of `lambda: None`: medians of {len(said['timeit'])} turns, nanoseconds",
        ("measured by", "a call", "above timeit [95 %]", "of timeit"), rows,
    )  # fmt: skip
    return requirements


def compare_tests(seconds: dict[str, float]) -> list[Requirement]:
    """Print how long a test takes that measures a function with the defaults."""
    ours, theirs = by_turn(seconds, "test_default_perfguard"), by_turn(seconds, "test_default_benchmark")
    rows, requirements = [], []
    for case in ours:
        mine, other = statistics.median(ours[case]), statistics.median(theirs[case])
        rows.append((case, f"{mine:.2f}", f"{other:.2f}", f"{mine / other:.2f}"))
        requirements.append(
            Requirement(
                text=f"a test of {case}: at most the time of pytest-benchmark",
                figure=f"{mine:.2f} s of {other:.2f} s", met=mine <= other,
            )
        )  # fmt: skip
    print_table(
        "Wall time of one test with default settings, all phases: medians, seconds",
        ("function that lasts", "perfguard", "pytest-benchmark", "ratio"), rows,
    )  # fmt: skip
    return requirements


def compare_unmeasured(*, files: int, tests: int, turns: int, start_turns: int) -> list[Requirement]:
    """Run suites that measure nothing with no plugin and with each; print the tables.

    All processes run on one core, in turns; the one without a plugin loads an empty module in its place, since looking
    for what `-p` names has a price of its own. Times of so much noise cannot show one per cent in a minute; the number
    of Python's function calls, which has none, is the second witness.
    """
    count = files * tests
    with tempfile.TemporaryDirectory(prefix="perfguard-bench-") as name, pinned():
        start = write_suite(Path(name) / "start", files=1, tests=1)
        started = show_unmeasured(
            "pytest with one test that measures nothing", alternate(start, start_turns, "start-up")
        )
        suite = write_suite(Path(name) / "suite", files=files, tests=tests)
        used = alternate(suite, turns, f"{count} tests")
        added = show_unmeasured(f"pytest with {count} tests that measure nothing", used)
        profile = Path(name) / "profile"
        calls = {plugin: count_calls(suite, profile, module) for plugin, module in CANDIDATES.items()}
        at_start = {plugin: count_calls(start, profile, module) for plugin, module in CANDIDATES.items()}
    each = {plugin: calls[plugin] - at_start[plugin] for plugin in calls}
    more = {plugin: made / each["none"] - 1 for plugin, made in each.items()}
    print_table(
        f"Function calls in pytest with {count} tests that measure nothing, by cProfile; start-up taken off",
        ("plugin", "calls", "more than none"),
        [(plugin, f"{made:,}", f"{more[plugin]:.2%}") for plugin, made in each.items()],
    )
    run_seconds = statistics.median(finished.cpu for finished in used["none"])
    return [
        Requirement.at_most("start-up: at most 20 ms of processor time", START_LIMIT, started, MILLI, "ms"),
        Requirement.at_most(
            f"{count} unguarded tests: at most 1 % of processor time",
            RUN_LIMIT * run_seconds, added, 100 / run_seconds, "%", digits=2,
        ),
        Requirement(
            text=f"{count} unguarded tests: at most 1 % of function calls",
            figure=f"{more['perfguard']:.2%}",
            met=more["perfguard"] <= RUN_LIMIT,
        ),
    ]  # fmt: skip


def show_unmeasured(title: str, used: dict[str, list[Finished]]) -> Middle:
    """Print what runs used and return what perfguard added in processor time."""
    none = used["none"]
    rows, added = [], {}
    for name, runs in used.items():
        cpu = Middle.of([run.cpu - beside.cpu for run, beside in zip(runs, none, strict=True)])
        wall = Middle.of([run.wall - beside.wall for run, beside in zip(runs, none, strict=True)])
        added[name] = cpu
        rows.append(
            (
                name, f"{statistics.median(run.cpu for run in runs) * MILLI:.0f}", cpu.show(MILLI),
                f"{statistics.median(run.wall for run in runs) * MILLI:.0f}", wall.show(MILLI),
            )
        )  # fmt: skip
    print_table(
        f"{title}: medians of {len(none)} turns, milliseconds",
        ("plugin", "processor time", "more than none [95 %]", "wall time", "more than none [95 %]"), rows,
    )  # fmt: skip
    return added["perfguard"]


def alternate(folder: Path, turns: int, what: str) -> dict[str, list[Finished]]:
    """Run the suite with each plugin twice in each turn, there and back, so that a steady drift falls out of the means.

    Another plugin is first in each turn.
    """
    names = list(CANDIDATES)
    used: dict[str, list[Finished]] = {name: [] for name in names}
    for name in names:  # byte code is compiled, files are read
        run(folder, CANDIDATES[name])
    for turn in range(turns):
        order = [names[(turn + place) % len(names)] for place in range(len(names))]
        there = {name: run(folder, CANDIDATES[name]) for name in order}
        for name in reversed(order):
            used[name].append(mean(there[name], run(folder, CANDIDATES[name])))
        tell(f"{what}: turn {turn + 1} of {turns}")
    return used


def mean(one: Finished, other: Finished) -> Finished:
    """Return a run with the mean times of two."""
    return replace(other, cpu=(one.cpu + other.cpu) / 2, wall=(one.wall + other.wall) / 2)


def run(folder: Path, plugin: str) -> Finished:
    """Run the suite in `folder` with one plugin."""
    return run_pytest(folder, "-q", plugins=[plugin], environment={"PYTHONPATH": str(folder)})


def count_calls(folder: Path, profile: Path, plugin: str) -> int:
    """Return how many function calls a run of the suite with one plugin makes."""
    environment = {"PYTHONPATH": str(folder), "PYTHONHASHSEED": "0"}
    run_pytest(folder, "-q", plugins=[plugin], environment=environment, profile=profile)
    made: int = pstats.Stats(str(profile)).total_calls  # type: ignore[attr-defined]
    return made


def write_suite(folder: Path, *, files: int, tests: int) -> Path:
    """Write files of trivial tests, an empty plugin, and an ini file that keeps others away."""
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (folder / "nothing.py").write_text("", encoding="utf-8")
    body = "\n".join(f"def test_{number}():\n    assert True\n" for number in range(tests))
    for number in range(files):
        (folder / f"test_file_{number}.py").write_text(body, encoding="utf-8")
    return folder


def by_turn(found: dict[str, float], prefix: str) -> dict[str, list[float]]:
    """Return the values of tests whose name begins with `prefix`, in the order of turns, by the rest of the name."""
    groups: dict[str, dict[int, float]] = defaultdict(dict)
    for test, value in found.items():
        name, _, parameters = test.rpartition("::")[2].rstrip("]").partition("[")
        if name.startswith(prefix):
            parts = parameters.split("-")
            turn = next(part for part in parts if part.isdigit())
            rest = "-".join(part for part in parts if not part.isdigit())
            groups[name.removeprefix(prefix) + rest][int(turn)] = value
    return {name: [values[turn] for turn in sorted(values)] for name, values in groups.items()}


def medians_of_perfguard(report: dict[str, Any]) -> dict[str, float]:
    """Return the median time of one call for each test in a JSON report of perfguard, in seconds."""
    return {
        each["test"]: statistics.median(each["series"]["time"]["values"]) / each["series"]["time"]["iterations"] / NANO
        for each in report["measurements"]
    }


def medians_of_benchmark(report: dict[str, Any]) -> dict[str, float]:
    """Return the median time of one call for each test in a JSON report of pytest-benchmark, in seconds."""
    return {each["fullname"]: each["stats"]["median"] for each in report["benchmarks"]}


def read(path: Path) -> dict[str, Any]:
    """Return the JSON data in a file."""
    plain: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return plain
