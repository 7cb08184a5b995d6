"""Which of the layers that a call over HTTP passes through writes it down, and when a further call begins."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Any

from pytest_perfguard.model import StatementKind
from pytest_perfguard.probes.http.fingerprint import shape
from pytest_perfguard.probes.watch.callsite import Site
from pytest_perfguard.probes.watch.entry import Entry
from pytest_perfguard.probes.watch.tape import Tape

_CURRENT: ContextVar[_Layer | None] = ContextVar("perfguard_call", default=None)


class _Layer:
    """What is under way in a context."""

    def __init__(self) -> None:
        self.busy = False
        self._before: _Layer | None = None

    def passes(self, layer: str) -> bool:
        """Return whether what `layer` does now belongs to it."""
        raise NotImplementedError

    def __enter__(self) -> None:
        self._before = _CURRENT.get()
        self.busy = True
        _CURRENT.set(self)

    def __exit__(self, *_error: object) -> None:
        self.busy = False
        _CURRENT.set(self._before)


class _Call(_Layer):
    """One call, which each layer beneath passes through once."""

    def __init__(self, entry: Entry, layer: str, *, timed: bool, rough: bool) -> None:
        super().__init__()
        self.entry = entry
        self.rough = rough
        self._timed = timed
        self._passed = {layer}

    def passes(self, layer: str) -> bool:
        if layer in self._passed:
            return False
        self._passed.add(layer)
        return True

    def __enter__(self) -> None:
        super().__enter__()
        if self._timed:
            self.entry.__enter__()

    def __exit__(self, *error: object) -> None:
        if self._timed:
            self.entry.__exit__(*error)
        super().__exit__(*error)
        if self.rough and isinstance(error[1], ValueError):  # what was asked for was no URL, so that nothing was sent
            self.entry.counts = _never


def _never() -> bool:
    return False


class _Inside(_Layer):
    """What stays in this process."""

    def passes(self, layer: str) -> bool:
        return True


def call(
    tape: Tape,
    layer: str,
    method: object,
    url: object,
    body: object = None,
    *,
    driver: str,
    site: Site | None = None,
    timed: bool = True,
    rough: bool = False,
) -> AbstractContextManager[Any]:
    """Return what to carry a request of `layer` out in.

    The outermost layer writes the call down, and each layer beneath passes once without another. A layer that comes a
    second time within one call makes a further one: a redirect, an answer to a challenge, a repetition after a failure.
    `site` is where it was asked for, if that is known better than by the frames; `rough` means that the next layer will
    know method, URL and body better. Never raises.
    """
    if not tape.recording:
        return nullcontext()
    text, key = f"{_text(method).upper()} {_text(url)}", hash(body) if isinstance(body, (str, bytes)) else None
    above = _CURRENT.get()
    if above is not None and above.busy and above.passes(layer):
        if isinstance(above, _Call) and above.rough:
            above.rough = False
            _describe(above.entry, text, key)
        return nullcontext()
    outer = above.entry if isinstance(above, _Call) and above.busy else None
    entry = tape.write(text, None, dialect="http", driver=driver if outer is None else outer.driver)
    entry.kind = StatementKind.REQUEST
    _describe(entry, text, key)
    entry.site = site or entry.site or (None if outer is None else outer.site)
    return _Call(entry, layer, timed=timed, rough=rough)


def _describe(entry: Entry, text: str, body: int | None) -> None:
    entry.text = text
    entry.digest = hash((text, body))
    entry.shape = functools.partial(shape, text)


def inside() -> AbstractContextManager[Any]:
    """Return what to carry a request out in that does not leave this process."""
    return _Inside()


def _text(value: object) -> str:
    try:
        return value.decode("latin-1") if isinstance(value, bytes) else str(value)
    except Exception:  # noqa: BLE001 - the library will complain of it, or will not
        return ""


_IN_PROCESS = ("ASGI", "WSGI", "TestClient")


def is_in_process(transport: object) -> bool:
    """Return whether a transport or adapter serves requests in this process itself, by the names of its classes."""
    return any(mark in kind.__name__ for kind in type(transport).__mro__ for mark in _IN_PROCESS)
