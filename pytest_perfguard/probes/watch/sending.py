"""Leaving out what a driver refused before it sent anything."""

from __future__ import annotations

from types import TracebackType

from pytest_perfguard.probes.watch.entry import Entry


class Sending:
    """Stands around an execution in the place of its entry, where the driver says by `Tape.sent` that it sends.

    What fails and was not sent does not count. With `doubtful` the same holds of what succeeds: there may have been
    nothing to send. Otherwise that counts, since a subclass may send in a way of its own.
    """

    __slots__ = ("_doubtful", "_entry")

    def __init__(self, entry: Entry, *, doubtful: bool = False) -> None:
        self._entry = entry
        self._doubtful = doubtful

    def __enter__(self) -> Entry:
        return self._entry.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        entry = self._entry
        entry.__exit__(kind, error, trace)
        if entry.sent == 0 and (self._doubtful or kind is not None):
            entry.counts = _never


def _never() -> bool:
    return False
