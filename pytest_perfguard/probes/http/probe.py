"""The instrument that reads outgoing calls over HTTP: how many, and to where."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.model import Note
from pytest_perfguard.model.metric import HTTP_CALLS, Metric
from pytest_perfguard.model.protocols import Reading
from pytest_perfguard.probes.http.sources import SOURCES, STANDARD
from pytest_perfguard.probes.queries.log import make_log, read
from pytest_perfguard.probes.watch.children import CHILDREN
from pytest_perfguard.probes.watch.hub import Hub
from pytest_perfguard.probes.watch.recording import Recording

_HUB = Hub(SOURCES, name="requests", beside=CHILDREN)

UNWATCHED = ("pycurl", "curl_cffi", "tornado.httpclient", "twisted.web.client", "niquests", "primp", "rnet")
"""Modules of libraries that call over HTTP in ways of their own, which are not seen."""


class HttpProbe:
    """Counts the calls over HTTP that leave this process, in all its threads, redirects and repetitions included.

    Calls of test clients to the application in the same process are none. A call that a mock answers is one where the
    mock stands beneath the library's client. `root` is the folder that paths are shown relative to; the working
    directory by default. A block in which no call could have been seen is a `ProbeError`, never a count of 0.
    """

    metrics: ClassVar[tuple[Metric, ...]] = (HTTP_CALLS,)
    intrusive = True
    warmup = 1
    rounds = 1
    wants_result = False

    def __init__(self, root: Path | None = None) -> None:
        self._root = root or Path.cwd()

    def start(self) -> Recording:
        """Record from now on; libraries that are imported later in the block are watched from their import on."""
        recording = Recording()
        _HUB.enter(recording)
        return recording

    def stop(self, token: Recording, result: object = None) -> Reading:
        """End the recording, and return the count, the log and what limits them."""
        _HUB.leave(token)
        calls = read(token.entries)
        notes = _limits(token)
        log = make_log(calls, self._root, opened=(), leaked=())
        return Reading(values={HTTP_CALLS.name: len(calls)}, queries=log, notes=notes)


def _limits(token: Recording) -> tuple[Note, ...]:
    """Return what limits a recording; raise where nothing could have been seen at all."""
    installed = [source.name for source in _HUB.installed()]
    blind = [name for name in UNWATCHED if name in sys.modules]
    known = ", ".join(source.name for source in _HUB.sources)
    if not installed:
        beside = f" (loaded: {', '.join(blind)})" if blind else ""
        raise ProbeError(
            f"no library is loaded whose calls over HTTP can be counted{beside}; known: {known}. "
            "Use one of them in the measured call, or take the budget on http_calls away"
        )
    if blind and not token.entries and set(installed) <= STANDARD:
        raise ProbeError(
            f"no call over HTTP was seen, but {', '.join(blind)} is loaded, whose calls cannot be counted; "
            f"known: {known}. Call through one of them, or take the budget on http_calls away"
        )
    return (*token.notes, *([_unwatched(blind)] if blind else []))


def _unwatched(names: list[str]) -> Note:
    return Note(
        code="unwatched-http",
        message=f"{', '.join(names)} is loaded, and what it calls over HTTP is not counted",
        remedy="call through a library that is watched (httpx, requests, aiohttp, urllib3 …) where the count matters",
    )
