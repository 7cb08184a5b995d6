"""Figures in tables, with their uncertainty, and requirements held against them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_perfguard.stats.location import median_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A bound that a figure must keep, in words that hold the bound and the figure."""

    text: str
    figure: str
    met: bool | None
    """None where the figure is beyond the bound by less than its uncertainty."""

    @classmethod
    def at_most(
        cls, text: str, limit: float, measured: Middle, scale: float, unit: str, digits: int = 1
    ) -> Requirement:
        """Hold a median against `limit`: it is met at or below it, not met if the whole interval lies above it."""
        met = True if measured.value <= limit else False if measured.low > limit else None
        return cls(text=text, figure=f"{measured.show(scale, digits)} {unit}", met=met)


@dataclass(frozen=True, slots=True, kw_only=True)
class Middle:
    """The median of some values, and an interval for that of all there could be."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Middle:
        """Return the median of `values` with its 95 % interval from their order statistics."""
        value, low, high = median_interval(values, confidence=0.95)
        return cls(value=value, low=low, high=high)

    def show(self, scale: float, digits: int = 1) -> str:
        """Return it as "median [low, high]", each times `scale`."""
        low, high = self.low * scale, self.high * scale
        return f"{self.value * scale:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def share(part: int, whole: int) -> str:
    """Return "part of whole = share [95 % interval]", the interval after Clopper and Pearson (1934)."""
    if not whole:
        return "0 of 0"
    from scipy.stats import binomtest

    interval = binomtest(part, whole).proportion_ci(0.95, method="exact")
    return f"{part} of {whole} = {part / whole:.1%} [{interval.low:.1%}, {interval.high:.1%}]"


def print_table(title: str, headers: Sequence[str], rows: Iterable[Sequence[str]], *, text: int = 1) -> None:
    """Print a table with its title; the first `text` columns are aligned to the left, the others to the right."""
    from tabulate import tabulate

    rows = [list(row) for row in rows]
    aligned = ["left"] * text + ["right"] * (len(headers) - text)
    print(f"\n{title}")
    print(tabulate(rows, headers=list(headers), disable_numparse=True, colalign=aligned if rows else None))
    sys.stdout.flush()


def conclude(requirements: Iterable[Requirement], *, quick: bool) -> int:
    """Print whether each requirement is met and return the exit code; a quick run measures too little to decide."""
    requirements = list(requirements)
    words = {True: "met", False: "NOT MET", None: "unclear: more turns, or a quieter machine"}
    rows = [(each.text, each.figure, words[each.met]) for each in requirements]
    doubt = " (too little was measured to tell: --quick)" if quick else ""
    print_table(f"Requirements{doubt}", ("requirement", "measured", ""), rows, text=3)
    return 0 if quick or all(each.met is not False for each in requirements) else 1


def write_json(path: Path | None, data: Any) -> None:
    """Write `data` to `path`, if there is one; a script that is ended meanwhile leaves what was there."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.new")
        beside.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        beside.replace(path)


def read_json(path: Path) -> Any:
    """Return the data that `write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def plain(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options of a script as JSON data."""
    return {name: json.loads(json.dumps(value, default=str)) for name, value in vars(options).items()}


def tell(text: str) -> None:
    """Show how far the script is, on standard error: what is printed stays a report."""
    print(text, file=sys.stderr, flush=True)
