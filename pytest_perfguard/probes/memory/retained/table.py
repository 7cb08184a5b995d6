"""The table of what a call leaves behind, in the style of Pympler's summaries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_perfguard.model.growth import Detail, Growth
from pytest_perfguard.model.metric import RETAINED

_HEAD = ["type", "objects a call", "bytes a call", "held by", "where"]


def tabulate_growth(growth: Sequence[Growth]) -> tuple[Detail, ...]:
    """Return lines that list `growth`, none where there is nothing."""
    if not growth:
        return ()
    from pympler import summary

    rows = [_HEAD, *([each.kind, f"{each.count:g}", f"{each.size:.0f}", each.owner, each.place] for each in growth)]
    format_table: Any = summary._format_table
    lines = tuple(line.rstrip() for line in format_table(rows))
    return (Detail(metric=RETAINED.name, lines=lines),)
