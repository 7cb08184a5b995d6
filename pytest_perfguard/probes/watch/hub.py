"""Holds sources in place for as long as one block at least records."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.probes.watch.importing import ImportWatch
from pytest_perfguard.probes.watch.recording import Recording
from pytest_perfguard.probes.watch.source import Source
from pytest_perfguard.probes.watch.tape import Tape


class Hub:
    """Installs sources when the first block begins, or when their library is imported in it, and takes them away."""

    def __init__(self, sources: Sequence[Source], name: str = "queries", *, beside: Sequence[Source] = ()) -> None:
        """`name` is that of the tape; what stands `beside` is watched too, and is no library that could be seen."""
        self.sources = tuple(sources)
        self._watched = (*self.sources, *beside)
        self._tape = Tape(name)
        self._lock = threading.RLock()
        self._depth = 0
        self._undo: dict[str, Callable[[], None]] = {}
        self._watch = ImportWatch({source.module: self._install_loaded for source in self._watched})

    def installed(self) -> list[Source]:
        """Return the sources whose library is loaded."""
        return [source for source in self.sources if source.installed()]

    def enter(self, recording: Recording) -> None:
        """Let `recording` have everything from now on."""
        with self._lock:
            self._tape.attach(recording)
            self._depth += 1
            if self._depth > 1:
                return
            self._watch.start()
            try:
                self._install_loaded()
            except Exception as error:
                self.leave(recording)
                raise ProbeError(f"statements cannot be watched here: {error}; report this as a bug") from error

    def leave(self, recording: Recording) -> None:
        """Let `recording` have nothing more; after the last one nothing of the sources is left."""
        with self._lock:
            self._depth -= 1
            try:
                if self._depth == 0:
                    self._watch.stop()
                    while self._undo:
                        self._undo.popitem()[1]()
            finally:
                self._tape.detach(recording)

    def _install_loaded(self) -> None:
        with self._lock:
            for source in self._watched:
                if self._depth and source.name not in self._undo and source.installed():
                    self._undo[source.name] = source.install(self._tape)
