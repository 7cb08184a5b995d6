"""What calls leave behind, against what they left at a baseline: lines for the reader of a failure."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_perfguard.model.growth import Growth
from pytest_perfguard.quantity import Unit, render

_LISTED = 10


def grown(base: Sequence[Growth], head: Sequence[Growth]) -> list[str]:
    """Return what is NEW, GONE or CHANGED from `base` to `head`, in lines, the largest first.

    Compared by type and owner: where in a file an owner stands is no change.
    """
    before = {(each.kind, each.owner): each for each in base}
    after = {(each.kind, each.owner): each for each in head}
    lines = [f"NEW      {_amount(after[key])}" for key in after if key not in before]
    lines += [
        f"CHANGED  {_number(before[key].count)} → {_amount(each)}"
        for key, each in after.items()
        if key in before and before[key].count != each.count
    ]
    lines += [f"GONE     {_amount(before[key])}" for key in before if key not in after]
    if len(lines) > _LISTED:
        lines[_LISTED:] = [f"… and {len(lines) - _LISTED} more"]
    return lines


def _amount(growth: Growth) -> str:
    held = f", held by {growth.owner}" if growth.owner else ""
    place = f", {growth.place}" if growth.place else ""
    size = f", {render(growth.size, Unit.BYTES)}" if growth.size else ""
    return f"{_number(growth.count)} × {growth.kind} a call{size}{held}{place}"


def _number(count: float) -> str:
    return f"{count:.3g}"
