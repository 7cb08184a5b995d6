"""Measures what pytest-perfguard costs, beside its peers, and how fast its store answers.

Contestants take turns, in one process where that is possible and otherwise in fresh ones on one core; what is shown are
medians, and of differences within a turn the median with its 95 % interval. A requirement is held against the median,
and is unclear where the median is beyond it and the interval is not.

    measured    the time of `lambda: None` as each of them reports it, of which what is above timeit's is overhead;
                and how long a test takes that measures a function with the default settings
    unmeasured  start of pytest, and 2,000 tests, with nothing that is measured: what an installed plugin costs
    store       size and answers of a store of 1,000 commits x 1,000 tests x 50 rounds (by store.py)
    queries     what recording a statement costs, beside pytest-queryguard and Django's CaptureQueriesContext, what is
                left of that after the block, and what a fingerprint costs
    memory      how true and steady peaks of memory are, beside memray and sampling, and what reading them costs
    live        how long --perfguard-against takes over 50 tests, unchanged and twice as slow

Exit code 1 if a requirement is not met. All of it takes about 22 minutes.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys

from figures import Requirement, conclude, print_table, tell
from live import compare_live
from memory import compare_memory
from overhead import compare_measured, compare_unmeasured
from processes import HERE, end_on_signals
from queries import compare_queries

PARTS = ("measured", "unmeasured", "store", "queries", "memory", "live")
STORE_LIMITS = {"all": (130.0, "MB"), "history of one test": (50.0, "ms"), "20 nearest runs": (50.0, "ms")}


def main() -> int:
    """Measure, print, and return the exit code."""
    options = parse(sys.argv[1:])
    end_on_signals()
    requirements: list[Requirement] = []
    if "measured" in options.parts:
        requirements += compare_measured(turns=2, long_turns=1) if options.quick else compare_measured(
            turns=15, long_turns=5
        )  # fmt: skip
    if "unmeasured" in options.parts:
        files, turns, start_turns = (2, 3, 3) if options.quick else (20, options.turns, 3 * options.turns)
        requirements += compare_unmeasured(files=files, tests=100, turns=turns, start_turns=start_turns)
    if "store" in options.parts:
        requirements += compare_store(100 if options.quick else 1000)
    if "queries" in options.parts:
        processes, query_turns, size = (2, 2, 50) if options.quick else (15, 12, 200)
        requirements += compare_queries(processes=processes, turns=query_turns, size=size)
    if "memory" in options.parts:
        requirements += compare_memory(processes=2 if options.quick else 10)
    if "live" in options.parts:
        requirements += compare_live(quick=options.quick)
    return conclude(requirements, quick=options.quick)


def compare_store(size: int) -> list[Requirement]:
    """Build a store of `size` commits and tests, print what it takes and how fast it answers."""
    tell(f"store of {size} commits x {size} tests")
    command = [sys.executable, str(HERE / "store.py"), f"--commits={size}", f"--tests={size}"]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    lines = re.findall(r"^(.*?\S) +([\d.]+) (MB|ms)\b", output, re.MULTILINE)
    figures = {name: (float(value), unit) for name, value, unit in lines}
    missing = STORE_LIMITS.keys() - figures.keys()
    if missing:
        raise RuntimeError(f"store.py did not say {', '.join(sorted(missing))}:\n{output}")
    print_table(
        f"A store of {size} commits x {size} tests, its files in the page cache",
        ("what", "measured"),
        [(name, f"{value:.1f} {unit}") for name, (value, unit) in figures.items()],
    )
    return [
        Requirement(
            text=f"store, {name}: at most {limit:.0f} {unit}",
            figure=f"{figures[name][0]:.1f} {unit}",
            met=figures[name][1] == unit and figures[name][0] <= limit,
        )
        for name, (limit, unit) in STORE_LIMITS.items()
    ]


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="default: all")
    parser.add_argument(
        "--turns", type=int, default=15, help="turns of the 2,000 tests; start-up gets three times as many"
    )
    parser.add_argument("--quick", action="store_true", help="little of everything, to see that it works")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
