"""The summary at the end of a run, as lines with a style; whoever prints them does the colouring."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_perfguard.model import Outcome, Run
from pytest_perfguard.report import digest

_WANTED_TEST_WIDTH = 24
_LEAST_TEST_WIDTH = 16
_HEADER_PADDING = 2
"""What tabulate adds to the width of a header."""
_DISPENSABLE = ("spent", "interval", "baseline", "now", "detectable", "budget", "metric")
"""Columns that give way, in this order, where the terminal is too narrow for all."""
_DISPENSABLE_LIVE = ("spent", "baseline", "now", "pairs", "detectable", "budget", "interval", "metric")
"""The same for a table with pairs, where the change and its interval say more than either time."""
ASCII = {
    "…": "...", "×": "x", "−": "-", "·": "|", "→": "->", "±": "+/-", "µ": "u", "μ": "u", "∞": "inf",
}  # fmt: skip
"""What stands for a sign of ours where the encoding of the output lacks it."""
_RIGHT = frozenset({"baseline", "now", "change", "interval", "pairs", "detectable", "spent", "budget"})


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text and the name of its style: "red", "green", "yellow", or "" for none."""

    text: str
    style: str = ""


class TerminalReporter:
    """Renders the summary without colours."""

    name = "terminal"
    suffix = ".txt"

    def __init__(self, *, verbose: bool = False, width: int = 100) -> None:
        self._verbose = verbose
        self._width = width

    def render(self, run: Run) -> str:
        """Return the report."""
        return "\n".join(line.text for line in summary_lines(run, verbose=self._verbose, width=self._width)) + "\n"


def summary_lines(run: Run, *, verbose: bool = False, width: int = 100) -> list[Line]:
    """Return the summary of `run`: verdict line, table, folded outcomes, notes, and how to see a failure again.

    No line is longer than `width`, but for a command, which is there to be copied.
    """
    width = max(width, 40)
    lines = _wrap(digest.headline(run), width, style=_overall(run))
    for text in digest.provenance(run):
        warns = text.startswith("the baseline is") or "not pinned" in text
        lines += _wrap(text, width, style="yellow" if warns else "")
    table = digest.rows(run, everything=verbose)
    if table:
        lines += [Line(""), *_table(table, width), Line("")]
    if not verbose:
        for outcome, text in digest.folds(run):
            lines += _wrap(text, width, style="yellow" if outcome is Outcome.INCONCLUSIVE else "")
    for text in digest.remarks(run, everything=verbose):
        lines += _wrap(f"note: {text}", width)
    if again := digest.again(run):
        lines.append(Line(f"to compare again: {again}"))
    return lines


def plain(text: str, encoding: str) -> str:
    """Return `text` with those of our signs that `encoding` lacks in ASCII; other signs are left to the stream."""
    return "".join(ASCII[sign] if sign in ASCII and not _has(encoding, sign) else sign for sign in text)


def shorten(name: str, width: int) -> str:
    """Return a test's name in at most `width` characters, cut on the left so that its function stays readable."""
    if len(name) <= width:
        return name
    bracket = name.find("[")
    colons = name.rfind("::", 0, bracket if bracket >= 0 else len(name))
    function = name[colons + 2 :] if colons >= 0 else name
    if len(function) < width:
        return "…" + name[len(name) - width + 1 :]
    return function[: width - 1] + "…"


@functools.cache
def _has(encoding: str, sign: str) -> bool:
    try:
        sign.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _overall(run: Run) -> str:
    if any(verdict.fails for verdict in run.verdicts):
        return "red"
    found = {verdict.outcome for verdict in run.verdicts}
    if found & {Outcome.REGRESSED, Outcome.OVER_BUDGET, Outcome.INVALID}:
        return "yellow"
    return "green" if found - {Outcome.NO_BASELINE, Outcome.INCONCLUSIVE} else ""


def _style(row: digest.Row) -> str:
    if row.fails:
        return "red"
    if row.outcome in (Outcome.REGRESSED, Outcome.OVER_BUDGET, Outcome.INVALID, Outcome.INCONCLUSIVE):
        return "yellow"
    return "green" if row.outcome is Outcome.IMPROVED else ""


def _wrap(text: str, width: int, *, style: str = "") -> list[Line]:
    parts = textwrap.wrap(digest.one_line(text), width, subsequent_indent="  ", break_on_hyphens=False)
    return [Line(part, style) for part in parts]


def _table(table: Sequence[digest.Row], width: int) -> list[Line]:
    from tabulate import tabulate

    columns, test_width = _layout(table, width)
    cells = [[row.cells[place] for place in columns] for row in table]
    for line in cells:
        line[0] = shorten(line[0], test_width)
    text = tabulate(
        cells,
        headers=[digest.COLUMNS[place] for place in columns],
        tablefmt="simple",
        disable_numparse=True,
        colalign=["right" if digest.COLUMNS[place] in _RIGHT else "left" for place in columns],
    )
    styles = ["", "", *(_style(row) for row in table)]
    return [
        Line(cut if len(cut := line.rstrip()) <= width else cut[: width - 1] + "…", style)
        for line, style in zip(text.splitlines(), styles, strict=True)
    ]


def _layout(table: Sequence[digest.Row], width: int) -> tuple[list[int], int]:
    """Return the columns that fit into `width`, and how wide the first of them may be."""
    columns = digest.filled(table)
    order = _DISPENSABLE_LIVE if digest.COLUMNS.index("pairs") in columns else _DISPENSABLE
    dispensable = [place for name in order if (place := digest.COLUMNS.index(name)) in columns]
    wanted = min(_WANTED_TEST_WIDTH, max(len(row.cells[0]) for row in table))
    while True:
        rest = width - sum(2 + _column_width(table, place) for place in columns[1:])
        if rest >= wanted or not dispensable:
            return columns, max(rest, _LEAST_TEST_WIDTH)
        columns.remove(dispensable.pop(0))


def _column_width(table: Sequence[digest.Row], place: int) -> int:
    return max(len(digest.COLUMNS[place]) + _HEADER_PADDING, *(len(row.cells[place]) for row in table))
