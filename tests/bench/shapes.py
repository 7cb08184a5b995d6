"""Shows which uses of a database that cost too much are found, and which legitimate ones blamed, beside other tools.

The cases are those of tests/shapes: shapes of N+1, of duplicates and of writing row by row, with their corrected twins,
and legitimate code that looks like them. Each tool has a process of its own, in which each case runs on data of its
own. Shown is the line that a tool names; "?" where it is not the line at fault, and "-" where it names none.

    ours            budgets of 0 on n_plus_one, batchable and duplicates
    queryguard      pytest-queryguard's check of a block, as it is; SQLAlchemy only
    queryguard+     the same with all of its rules, from three repetitions on, as ours
    zeal            django-zeal as it is; Django only

Exit code 1 if ours is not right about all of them. It takes less than a minute.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from figures import print_table, tell

ROOT = Path(__file__).parents[2]
TOOLS = {
    "sqlalchemy": {"ours": "ours", "queryguard": "queryguard", "queryguard+": "queryguard-all"},
    "django": {"ours": "ours", "zeal": "zeal"},
}
Observed = dict[str, Any]


def main() -> int:
    """Observe, print, and return the exit code."""
    sys.path.insert(0, str(ROOT))
    flawless = True
    for library, tools in TOOLS.items():
        observed = {name: observe(library, tool) for name, tool in tools.items()}
        show(library, observed)
        wrong = [shape for shape in observed["ours"]["shapes"] if not _is_right("ours", shape)]
        flawless = flawless and not wrong and not _blamed(observed["ours"])
    names = ("sqlalchemy", "django", "pytest-queryguard", "django-zeal")
    print(f"\n{', '.join(f'{name} {version(name)}' for name in names)}")
    return 0 if flawless else 1


def observe(library: str, tool: str) -> Observed:
    """Return what a tool says of all cases of a library."""
    tell(f"{library}: {tool}")
    command = [sys.executable, "-m", "tests.shapes.observe", library, tool]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found: Observed = json.loads(done.stdout)
    return found


def show(library: str, observed: Mapping[str, Observed]) -> None:
    """Print a table of the shapes and their twins, and one of what looks like them."""
    print_table(
        f"{library}: what costs too much, each with its twins",
        ("case", "budget", "line", *observed),
        [*_shapes(observed), ("", "", "", *("" for _ in observed)), *_sums(observed)],
        text=2,
    )
    print_table(
        f"{library}: legitimate code that looks like it",
        ("case", *observed),
        [
            (cases[0]["name"], *map(_lines, cases))
            for cases in zip(*(each["lookalikes"] for each in observed.values()), strict=True)
        ],
    )


def _shapes(observed: Mapping[str, Observed]) -> Iterator[tuple[str, ...]]:
    for shapes in zip(*(each["shapes"] for each in observed.values()), strict=True):
        first = shapes[0]
        cells = [_named(tool, shape) for tool, shape in zip(observed, shapes, strict=True)]
        yield (first["name"], first["metric"], str(first["line"]), *cells)
        for twins in zip(*(shape["twins"] for shape in shapes), strict=True):
            yield (f"twin: {twins[0]['name']}", "", "", *map(_lines, twins))


def _sums(observed: Mapping[str, Observed]) -> Iterator[tuple[str, ...]]:
    yield (
        "found, at the right line", "", "",
        *(f"{sum(_is_right(tool, s) for s in o['shapes'])} of {len(o['shapes'])}" for tool, o in observed.items()),
    )  # fmt: skip
    yield (
        "blamed, though legitimate", "", "",
        *(f"{len(_blamed(each))} of {len(_innocent(each))}" for each in observed.values()),
    )  # fmt: skip


def _named(tool: str, shape: Observed) -> str:
    if _is_right(tool, shape):
        return str(shape["line"])
    return f"{_lines(shape)}?" if shape["found"] else "-"


def _lines(case: Observed) -> str:
    return ", ".join(sorted({str(line) for _, _, line in case["found"]}))


def _is_right(tool: str, shape: Observed) -> bool:
    from tests.shapes.observe import right

    return right(shape, by_metric=tool == "ours")  # theirs have other words


def _innocent(observed: Observed) -> list[Observed]:
    return [*(twin for shape in observed["shapes"] for twin in shape["twins"]), *observed["lookalikes"]]


def _blamed(observed: Observed) -> list[Observed]:
    return [case for case in _innocent(observed) if case["found"]]


if __name__ == "__main__":
    sys.exit(main())
