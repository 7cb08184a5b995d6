"""What memray wrote down of one call, read back: peak, sizes, and where the code was when it allocated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_perfguard.probes.memory.heap.route import Frame

_MOST_PLACES = 2000
"""Places in the code whose call path is read: a recursion has one for each depth."""

_DEEPEST = 200
"""Frames that are read of a path. Without a number, memray leaves out what is outside of where it was begun, and counts
wrongly there."""

_STACK_CHUNK = 16 * 1024
"""Bytes that CPython maps at a time for the frames of its own stack, and gives back, as calls nest (3.11 and later)."""

_LARGE = 4 * 1024 * 1024
"""Bytes, of which a chunk of the interpreter's stack more or less is less than half a hundredth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What one place in the code allocated."""

    frames: tuple[Frame, ...]
    """Innermost first."""
    count: float
    size: float


class Capture:
    """One file of memray's, open for reading; errors are those of the system.

    What the interpreter maps for its own stack is left out: whether a call needs another chunk of it depends on how
    deep in the test runner it is made. To tell it from the rest, records are read one by one, at about 0.4 µs each, and
    there are two for each allocation that is freed. Where the peak is so large that a chunk does not matter, and
    nothing else is asked, memray's own reading does, at 0.1 µs.

    Where memray follows the calls, it has a frame object made for each call of a Python function, which is an
    allocation. How many allocations of each size there are without that (`true`) comes from a call that was not
    followed: of a size that there are more of here, each counts for less than one.
    """

    def __init__(self, reader: Any, allocators: Any) -> None:
        """`reader` is a `memray.FileReader`, and `allocators` is `memray.AllocatorType`."""
        self._reader = reader
        self._map, self._unmap = int(allocators.MMAP), int(allocators.MUNMAP)
        self._frees = frozenset((self._unmap, int(allocators.FREE), int(allocators.PYMALLOC_FREE)))

    def peak(self) -> tuple[int, bool]:
        """Return the peak by memray's own reading, and whether it is so large that this is exact enough."""
        peak = int(self._reader.metadata.peak_memory)
        return peak, peak > _LARGE

    def tally(self) -> tuple[int, Counter[int]]:
        """Return the most bytes allocated and not yet freed at any moment, and the allocations of each size."""
        # As `_events`, written out: nothing here takes longer.
        frees, map_, unmap = self._frees, self._map, self._unmap
        live: dict[int, int] = {}
        sizes: dict[int, int] = {}
        now = peak = 0
        for record in self._reader.get_allocation_records():
            kind = record.allocator
            if kind in frees:
                address = record.address
                held = live.pop(address, 0)
                if kind == unmap and record.size < held:
                    live[address + record.size] = held - record.size
                    held = record.size
                now -= held
                continue
            size = record.size
            if kind != map_ or size != _STACK_CHUNK:
                live[record.address] = size
                sizes[size] = sizes.get(size, 0) + 1
                now += size
                if now > peak:  # noqa: PLR1730 - a call of max takes as long as all else
                    peak = now
        return peak, Counter(sizes)

    def spent_at_large_peak(self) -> list[Spending]:
        """Return who had allocated what was there at the peak, by memray's own reading."""
        found = self._reader.get_high_watermark_allocation_records(merge_threads=True)
        return [
            Spending(frames=tuple(record.stack_trace(_DEEPEST)), count=record.n_allocations, size=record.size)
            for record in sorted(found, key=lambda record: -record.size)[:_MOST_PLACES]
        ]

    def spent_at_peak(self, true: Mapping[int, int]) -> list[Spending]:
        """Return who had allocated what was there at the peak."""
        weights = self._weigh(true)
        now = peak = 0.0
        last = -1
        for number, (_, _, change) in enumerate(self._events()):
            now += change * weights.get(abs(change), 1.0)
            if now > peak:
                peak, last = now, number
        live: dict[int, Any] = {}
        for number, (record, address, _) in enumerate(self._events()):
            if number > last:
                break
            live[address] = record
        return _by_place((record for record in live.values() if record is not None), weights)

    def spent(self, true: Mapping[int, int]) -> list[Spending]:
        """Return who allocated: those with the most allocations, and those with the most bytes."""
        return _by_place((record for record, _, _ in self._events() if record is not None), self._weigh(true))

    def _weigh(self, true: Mapping[int, int]) -> dict[int, float]:
        """Return what an allocation of each size counts for."""
        return {size: min(true.get(size, 0) / count, 1.0) for size, count in self.tally()[1].items()}

    def _events(self) -> Iterator[tuple[Any, int, int]]:
        """Yield the record of each allocation, its address and bytes; then None, the address, and minus the bytes."""
        frees, map_, unmap = self._frees, self._map, self._unmap
        live: dict[int, int] = {}
        for record in self._reader.get_allocation_records():
            kind, address, size = record.allocator, record.address, record.size
            if kind not in frees:
                if kind != map_ or size != _STACK_CHUNK:
                    live[address] = size
                    yield record, address, size
                continue
            held = live.pop(address, 0)
            if kind == unmap and size < held:  # only a part of what was mapped
                live[address + size] = held - size
                held = size
            if held:
                yield None, address, -held


def _by_place(records: Iterable[Any], weights: Mapping[int, float]) -> list[Spending]:
    where: dict[int, Any] = {}
    totals: dict[int, tuple[float, float]] = {}
    for record in records:
        place, size = record.stack_id, record.size
        where.setdefault(place, record)
        count, bytes_ = totals.get(place, (0.0, 0.0))
        totals[place] = count + weights[size], bytes_ + weights[size] * size
    by_count = sorted(totals, key=lambda place: -totals[place][0])[:_MOST_PLACES]
    by_size = sorted(totals, key=lambda place: -totals[place][1])[:_MOST_PLACES]
    return [
        Spending(frames=tuple(where[place].stack_trace(_DEEPEST)), count=totals[place][0], size=totals[place][1])
        for place in dict.fromkeys((*by_count, *by_size))
    ]
