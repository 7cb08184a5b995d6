"""Which statements grow in number with the data: the same call at several sizes, without a threshold.

The idea is that of Ruby's n_plus_one_control: a loop over rows shows as a statement that is made more often when there
are more rows, and nothing else does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from pytest_perfguard.model import COUNTED, QueryLog


def growing(sizes: Sequence[int], logs: Sequence[QueryLog]) -> QueryLog:
    """Return the last of `logs`, one for each of `sizes`, with the growth of each statement that grows.

    A statement grows when there are more of it at the last size than at the first. One that is there once, and was not
    at the first size, is the text of another size (CASE for each row), unless there are more statements altogether.
    """
    counts = [_counts(log) for log in logs]
    first, last = counts[0], counts[-1]
    grown = {text for text, count in last.items() if count > first[text] and (first[text] or count > 1)}
    if not grown and last.total() > first.total():
        grown = last.keys() - first.keys()
    return replace(
        logs[-1],
        statements=tuple(
            replace(
                statement,
                growth=tuple((size, each[statement.fingerprint]) for size, each in zip(sizes, counts, strict=True)),
            )
            if statement.fingerprint in grown
            else statement
            for statement in logs[-1].statements
        ),
    )


def _counts(log: QueryLog) -> Counter[str]:
    found: Counter[str] = Counter()
    for statement in log.statements:
        if statement.kind in COUNTED:
            found[statement.fingerprint] += statement.count
    return found
