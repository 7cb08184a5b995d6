"""httpx, and httpx2: every client and transport, synchronous and asynchronous; a redirect is a call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from pytest_perfguard.probes.http.calls import call, is_in_process
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.tape import Tape


class HttpxSource:
    """Replaces what sends single requests in the classes of clients, above where mocks stand, and of transports.

    A transport of the user's own that holds another one decides how often that one is asked, so that such calls are
    counted there. One that hands requests to an application in this process makes no call.
    """

    def __init__(self, module: str) -> None:
        self.name = self.module = module

    def installed(self) -> bool:
        """Return whether the library is loaded, entirely."""
        library = sys.modules.get(self.module)
        return all(hasattr(library, name) for name in ("AsyncClient", "AsyncHTTPTransport", "MockTransport"))

    def install(self, tape: Tape) -> Callable[[], None]:
        """Replace the methods of all clients and of the library's own transports."""
        library, name = sys.modules[self.module], self.module
        patches = Patches()
        ends = (library.HTTPTransport, library.AsyncHTTPTransport, library.MockTransport)
        bases = (library.BaseTransport, library.AsyncBaseTransport)

        def calls_out(client: Any, request: Any) -> bool:
            try:
                return _calls_out(client._transport_for_url(request.url), bases, ends)
            except Exception:  # noqa: BLE001 - another version of the library: its transports are watched too
                return False

        patches.wrap(library.Client, "_send_single_request", lambda original: _sending(original, tape, name, calls_out))
        patches.wrap(
            library.AsyncClient,
            "_send_single_request",
            lambda original: _sending_async(original, tape, name, calls_out),
        )
        for end in ends:
            if hasattr(end, "handle_request"):
                patches.wrap(end, "handle_request", lambda original: _handling(original, tape, name))
            if hasattr(end, "handle_async_request"):
                patches.wrap(end, "handle_async_request", lambda original: _handling_async(original, tape, name))
        return patches.undo


def _calls_out(transport: Any, bases: tuple[type, ...], ends: tuple[type, ...]) -> bool:
    """Return whether a request to `transport` is a call, and is not written down by a transport that it holds."""
    if is_in_process(transport):
        return False
    if isinstance(transport, ends):
        return True
    held = [value for value in getattr(transport, "__dict__", {}).values() if isinstance(value, bases)]
    return not held or any(_calls_out(each, bases, ends) and not isinstance(each, ends) for each in held)


def _sending(
    original: Callable[..., Any], tape: Tape, name: str, calls_out: Callable[[Any, Any], bool]
) -> Callable[..., Any]:
    def _send_single_request(self: Any, request: Any) -> Any:
        if not tape.recording or not calls_out(self, request):
            return original(self, request)
        with call(tape, name, request.method, request.url, _body(request), driver=name):
            return original(self, request)

    return _send_single_request


def _sending_async(
    original: Callable[..., Any], tape: Tape, name: str, calls_out: Callable[[Any, Any], bool]
) -> Callable[..., Any]:
    async def _send_single_request(self: Any, request: Any) -> Any:
        if not tape.recording or not calls_out(self, request):
            return await original(self, request)
        with call(tape, name, request.method, request.url, _body(request), driver=name):
            return await original(self, request)

    return _send_single_request


def _handling(original: Callable[..., Any], tape: Tape, name: str) -> Callable[..., Any]:
    def handle_request(self: Any, request: Any) -> Any:
        with call(tape, f"{name}.transport", request.method, request.url, _body(request), driver=name):
            return original(self, request)

    return handle_request


def _handling_async(original: Callable[..., Any], tape: Tape, name: str) -> Callable[..., Any]:
    async def handle_async_request(self: Any, request: Any) -> Any:
        with call(tape, f"{name}.transport", request.method, request.url, _body(request), driver=name):
            return await original(self, request)

    return handle_async_request


def _body(request: Any) -> Any:
    return getattr(request, "_content", None)  # as a property it raises for what is streamed
