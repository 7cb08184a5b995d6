"""How true peaks of memory are that are read in several ways, how they spread, and what reading them costs."""

from __future__ import annotations

import importlib.util
import json
import statistics
import sys
from typing import Any

from figures import Middle, Requirement, print_table, tell
from memory_workloads import METHODS, WORKLOADS
from processes import HERE, clean_environment, run_command

ERROR_LIMIT = 0.05
SPREAD_LIMIT = 0.02
COST_LIMIT = 150.0
_OURS = "memory"
_SECONDS = 300
_NEEDS = {"heap": "memray", "memray's default": "memray"}


def compare_memory(*, processes: int) -> list[Requirement]:
    """Read workloads of known peak in fresh processes by each method; print the tables."""
    return [*compare_readings(processes), *measure_cost(processes)]


def compare_readings(processes: int) -> list[Requirement]:
    """Print error against the truth, and spread, of each workload and method."""
    methods = [name for name in METHODS if name not in _NEEDS or importlib.util.find_spec(_NEEDS[name])]
    rows, requirements = [], []
    for workload in WORKLOADS:
        cells, size = [], 0.0
        for method in methods:
            tell(f"{workload} by {method}")
            found = [ask(method, workload) for _ in range(processes)]
            values = [each["value"] for each in found]
            errors = [each["value"] / each["truth"] - 1 for each in found]
            worst = max(errors, key=abs)
            spread = (max(values) - min(values)) / max(statistics.median(values), 1)
            cells.append(f"{worst:+.1%} / {spread:.1%}")
            size = size or found[0]["truth"]
            if method == _OURS:
                requirements += require(workload, worst, spread)
        rows.append((workload, f"{size / 1e6:.2f}", *cells))
    print_table(
        f"Peaks of memory in {processes} fresh processes each: largest error / range over the median. {_OURS} and "
        "what is sampled are held against resident memory, the others against the bytes asked for",
        ("workload", "truth, MB", *methods), rows,
    )  # fmt: skip
    return requirements


def require(workload: str, worst: float, spread: float) -> list[Requirement]:
    """Hold the figures of one workload against the limits."""
    return [
        Requirement(
            text=f"{_OURS} of {workload}: at most {ERROR_LIMIT:.0%} from the truth",
            figure=f"{worst:+.1%}",
            met=abs(worst) <= ERROR_LIMIT,
        ),
        Requirement(
            text=f"{_OURS} of {workload}: spreads by at most {SPREAD_LIMIT:.0%}",
            figure=f"{spread:.1%}",
            met=spread <= SPREAD_LIMIT,
        ),
    ]


def measure_cost(processes: int) -> list[Requirement]:
    """Print what a test pays for a warm-up and a round beyond the calls."""
    rows, requirements = [], []
    for size, text in (("small", "a small one"), ("large", "one with NumPy, Django and SQLAlchemy")):
        taken = [2 * statistics.median(ask("cost", size)) for _ in range(processes)]
        middle = Middle.of(taken)
        rows.append((text, middle.show(1)))
        requirements.append(
            Requirement.at_most(
                f"{_OURS} costs a test in {text} at most {COST_LIMIT:.0f} ms", COST_LIMIT, middle, 1, "ms"
            )
        )
    print_table("What the readings of a test cost beyond its calls", ("in a process", "ms [95 %]"), rows)
    return requirements


def ask(*arguments: str) -> Any:
    """Return what the script of workloads prints in a fresh process."""
    command = [sys.executable, str(HERE / "memory_workloads.py"), *arguments]
    done = run_command(command, HERE, environment=clean_environment(), timeout=_SECONDS)
    if done.code:
        raise RuntimeError(f"{' '.join(command)} ended with {done.code}:\n{done.output[-4000:]}")
    return json.loads(done.output.splitlines()[-1])


if __name__ == "__main__":
    from figures import conclude

    sys.exit(conclude(compare_memory(processes=10), quick=False))
