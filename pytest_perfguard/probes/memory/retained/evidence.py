"""What calls left, as far as they were made, and whether there is time for more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_perfguard.probes.memory.retained import native
from pytest_perfguard.probes.memory.retained.counting import Count

GROUPS = ((5, 10), *((0, 10),) * 4, (5, 20), *((0, 20),) * 8)
"""Calls to warm up with and calls that count, of each group after the first three calls."""

SECONDS = 10.0
BYTES = 256 * 1024 * 1024
"""After so long, or when so much stayed, it is decided by the calls that were made."""

_BETWEEN = 8
"""Blocks between two calls, of what keeps the readings."""

_BLOCK = 64
"""Bytes of a block, at a guess; large ones are C's memory too."""

FEWEST = 5
"""Calls of a group, where time is short."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The calls made so far: the first few one by one, and groups of more."""

    first: Sequence[Count]
    groups: Sequence[Sequence[Count]]

    @property
    def is_suspicious(self) -> bool:
        """Return whether anything may stay, of all that was looked at."""
        return self.blocks > 0 or bool(self.grown) or self.native >= native.FLOOR

    @property
    def blocks(self) -> float:
        """Return the blocks that a call of the group with the fewest leaves; of the first calls, any one decides."""
        if not any(count.blocks > 0 for count in self.first):
            return 0.0
        if not self.groups:
            return float(max(count.blocks for count in self.first))
        return max(0.0, min(sum(count.blocks for count in group) / len(group) for group in self.groups))

    @property
    def grown(self) -> dict[int, int]:
        """Return the containers that grew whenever they were looked at, with the fewest items of those times.

        One that was emptied between two looks is not among them: it grew by less than an item for every second call.
        """
        found: dict[int, int] | None = None
        last: Count | None = None
        calls = 0
        for count in (*self.first, *(count for group in self.groups for count in group)):
            calls += 1
            if count.grown is None:
                continue
            here = count.grown
            if found is None or last is None:
                found = here
            else:
                before, now, least = last.lengths or {}, count.lengths or {}, calls // 2
                found = {
                    number: min(here[number], more)
                    for number, more in found.items()
                    if number in here and now.get(number, 0) - before.get(number, 0) >= least
                }
            last, calls = count, 0
        return found or {}

    @property
    def native(self) -> float:
        """Return the bytes of C's that a call leaves, in the group with the fewest."""
        return min(sum(count.native for count in group) / len(group) for group in (self.first, *self.groups))

    @property
    def is_native(self) -> bool:
        """Return whether C's memory grew by more than its caches may keep."""
        total = sum(count.native for group in (self.first, *self.groups) for count in group)
        slack = native.SLACK if len(self.groups) >= len(GROUPS) else native.SLACK / 8
        return self.native >= native.FLOOR and total >= slack

    @property
    def seconds(self) -> float:
        """Return how long the calls took so far."""
        return self._last.ended - self.first[0].started

    @property
    def seconds_a_call(self) -> float:
        """Return how long a call takes, with what is done around it."""
        group = self.groups[-1] if self.groups else self.first
        return (group[-1].ended - group[0].started) / len(group)

    @property
    def affordable(self) -> int:
        """Return how many calls there are still time and memory for."""
        seconds = (SECONDS - self.seconds) / max(self.seconds_a_call, 1e-9)
        counts = [count for group in (self.first, *self.groups) for count in group]
        kept = sum(max(0, count.native) + max(0, count.blocks) * _BLOCK for count in counts)
        return int(max(0.0, min(seconds, (BYTES - kept) / max(kept / len(counts), 1.0))))

    @property
    def is_late(self) -> bool:
        """Return whether there is no time, or no memory, for another group."""
        return self.affordable < FEWEST

    @property
    def calls(self) -> int:
        """Return how many calls counted."""
        return len(self.first) + sum(len(group) for group in self.groups)

    @property
    def replaces(self) -> bool:
        """Return whether calls replace cycles: all objects must then be collected to count what stays."""
        return any(count.replaced for count in self.first)

    @property
    def is_apart(self) -> bool:
        """Return whether more is done between the calls than to make the next: fixtures are torn down and set up."""
        counts = [count.between for group in (self.first, *self.groups) for count in group[1:]]
        return bool(counts) and not 0 <= sum(counts) / len(counts) <= _BETWEEN

    @property
    def _last(self) -> Count:
        return (self.groups[-1] if self.groups else self.first)[-1]
