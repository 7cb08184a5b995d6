"""A fixed piece of work, run beside each round to know how fast the machine was at that moment.

Virtual processors change their speed by tens of per cent, for seconds or minutes, while the machine looks idle. A time
that rose together with the time of this work says nothing about the code; `docs/design.md` has the measurements.
"""

from __future__ import annotations

ITERATIONS = 2
"""Calls of `work` beside each round: about 0.1 ms."""


def work() -> str:
    """Do a little of everything that interpreted code does: arithmetic, a dict, lists, strings."""
    total = 0
    table: dict[int, list[int]] = {}
    for number in range(250):
        total += number * number % 7
        table[number & 63] = [total]
    return ",".join(["%d" % entry[0] for entry in table.values()])  # noqa: UP031 - the work must never change
