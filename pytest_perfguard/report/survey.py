"""The tests of a suite that ask most of databases, in lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pytest_perfguard.model import COUNTED, Measurement, Statement

LISTED = 10
"""Tests that are listed."""

_EXPLAINED = 5
"""Places that are listed below the table."""


def survey_lines(measurements: Sequence[Measurement], *, everything: bool = False) -> list[str]:
    """Return a table of the tests with most statements, and the places of potential N+1, of loops and of duplicates.

    A test of which several measurements are given counts with the one that has most statements.
    """
    asked = _worst_first(measurements)
    if not asked:
        return ["no test made a database statement that could be seen"]
    from tabulate import tabulate

    shown = asked if everything else asked[:LISTED]
    rows = [[each.key.test, *(_cell(each, value) for value in _COLUMNS.values())] for each in shown]
    headers = ["test", *_COLUMNS]
    table = tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True, colalign=_ALIGNED)
    total = sum(_statements(each) for each in asked)
    lines = [f"{total} statements in {len(asked)} tests, of {_tests(measurements)} that were watched", ""]
    lines += [line.rstrip() for line in table.splitlines()]
    if len(asked) > len(shown):
        lines.append(f"… and {len(asked) - len(shown)} more tests (-v lists all)")
    return [*lines, *_places(asked, None if everything else _EXPLAINED)]


_COLUMNS: dict[str, Callable[[Statement], int]] = {
    "queries": lambda each: each.count if each.kind in COUNTED else 0,
    "duplicates": lambda each: each.repeated,
    "potential N+1": lambda each: each.n_plus_one,
    "row by row": lambda each: each.batchable,
}
_ALIGNED = ("left", *["right"] * len(_COLUMNS))


def _cell(measurement: Measurement, value: Callable[[Statement], int]) -> str:
    return "" if measurement.queries is None else str(sum(map(value, measurement.queries.statements)) or "")


def _statements(measurement: Measurement) -> int:
    return 0 if measurement.queries is None else measurement.queries.count(COUNTED)


def _worst_first(measurements: Iterable[Measurement]) -> list[Measurement]:
    worst: dict[str, Measurement] = {}
    for each in measurements:
        known = worst.get(each.key.test)
        if known is None or _statements(each) > _statements(known):
            worst[each.key.test] = each
    return sorted(
        (each for each in worst.values() if _statements(each)), key=lambda each: (-_statements(each), each.key)
    )


def _tests(measurements: Iterable[Measurement]) -> int:
    return len({each.key.test for each in measurements})


def _places(measurements: Sequence[Measurement], most: int | None) -> list[str]:
    """Return the places in the code that are suspected in most tests, with what is suspected of them."""
    suspects: dict[tuple[str, str], list[Statement]] = {}
    for measurement in measurements:
        for each in measurement.queries.statements if measurement.queries is not None else ():
            if each.n_plus_one or each.batchable or each.repeated:
                suspects.setdefault((each.function, each.fingerprint), []).append(each)
    ordered = sorted(suspects.values(), key=lambda found: (-sum(each.count for each in found), found[0].function))
    lines: list[str] = []
    for found in ordered[:most]:
        worst = max(found, key=lambda each: each.count)
        path, _, function = worst.function.rpartition(":")
        where = f"{path}:{worst.line} {function}" if path else "no frame of your own code"
        words = [
            *([f"potential N+1, up to {worst.looped} parameter sets"] if worst.n_plus_one else []),
            *([f"row by row, up to {worst.looped} rows"] if worst.batchable else []),
            *([f"up to {max(each.repeated for each in found)} duplicates"] if worst.repeated else []),
        ]
        tests = f"{len(found)} tests" if len(found) > 1 else "1 test"
        lines += ["", f"{where}: {'; '.join(words)}; in {tests}", f"    {worst.fingerprint[:160]}"]
    if most is not None and len(ordered) > most:
        lines += ["", f"… and {len(ordered) - most} more places (-v lists all)"]
    return lines
