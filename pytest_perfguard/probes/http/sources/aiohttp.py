"""aiohttp: every client session; a redirect is a call, and what its test client asks the server under test is none."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

from pytest_perfguard.probes.http.calls import call, inside
from pytest_perfguard.probes.watch.callsite import Site, locate
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.tape import Tape

_VERBS = ("get", "options", "head", "post", "put", "patch", "delete")


class AiohttpSource:
    """Replaces the methods of sessions that the user calls, which are above where mocks stand, and what sends requests.

    The first know where in the user's code they were called even if another task carries the request out; the second
    tell redirects apart.
    """

    name = "aiohttp"
    module = "aiohttp"

    def installed(self) -> bool:
        """Return whether aiohttp is loaded, entirely."""
        return hasattr(sys.modules.get("aiohttp"), "ClientSession")

    def install(self, tape: Tape) -> Callable[[], None]:
        """Replace the methods of all sessions and requests."""
        library: Any = sys.modules["aiohttp"]
        patches = Patches()
        for verb in _VERBS:
            patches.wrap(library.ClientSession, verb, _calling_by(verb, tape))
        patches.wrap(library.ClientSession, "request", lambda original: _calling(original, tape))
        patches.wrap(library.ClientSession, "_request", lambda original: _requesting(original, tape))
        for name in ("send", "_send"):
            patches.wrap(library.ClientRequest, name, lambda original: _sending(original, tape))
        return patches.undo


def _calling_by(verb: str, tape: Tape) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def method(self: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
            manager = original(self, url, *args, **kwargs)
            return _record(manager, tape, self, verb, url, kwargs, sys._getframe(1))

        return method

    return make


def _calling(original: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    def request(self: Any, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
        manager = original(self, method, url, *args, **kwargs)
        return _record(manager, tape, self, method, url, kwargs, sys._getframe(1))

    return request


def _record(
    manager: Any, tape: Tape, session: Any, method: Any, url: Any, options: dict[str, Any], frame: FrameType
) -> Any:
    if not tape.recording:
        return manager
    with suppress(AttributeError):  # another version, whose sending is watched all the same
        carry = manager._coro
        if _is_test_client(frame):
            manager._coro = _stay(carry)
        else:
            asked = (method, _url(session, url, options), options.get("data"))
            manager._coro = _carry(carry, tape, asked, locate(frame))
    return manager


async def _stay(carry: Any) -> Any:
    with inside():
        return await carry


async def _carry(carry: Any, tape: Tape, asked: tuple[Any, Any, Any], site: Site | None) -> Any:
    with call(tape, "aiohttp", *asked, driver="aiohttp", site=site):
        return await carry


def _is_test_client(frame: FrameType | None) -> bool:
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module == "aiohttp.test_utils":
            return True
        if not module.startswith("aiohttp."):
            return False
        frame = frame.f_back
    return False


def _url(session: Any, url: Any, options: dict[str, Any]) -> Any:
    try:
        full = session._build_url(url)
        return full.update_query(options["params"]) if options.get("params") else full
    except Exception:  # noqa: BLE001 - aiohttp will complain of it
        return url


def _requesting(original: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    async def _request(self: Any, method: Any, str_or_url: Any, *args: Any, **kwargs: Any) -> Any:
        url = _url(self, str_or_url, kwargs)
        with call(tape, "aiohttp.request", method, url, kwargs.get("data"), driver="aiohttp"):
            return await original(self, method, str_or_url, *args, **kwargs)

    return _request


def _sending(original: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    async def send(self: Any, *args: Any, **kwargs: Any) -> Any:
        with call(tape, "aiohttp.send", self.method, self.url, driver="aiohttp"):
            return await original(self, *args, **kwargs)

    return send
