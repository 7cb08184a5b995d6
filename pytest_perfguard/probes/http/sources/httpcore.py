"""httpcore, which carries httpx's requests out, called by itself."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from pytest_perfguard.probes.http.calls import call
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.tape import Tape


class HttpcoreSource:
    """Replaces what carries requests out in the classes of both kinds of pools; proxies are such."""

    def __init__(self, module: str) -> None:
        self.name = self.module = module

    def installed(self) -> bool:
        """Return whether the library is loaded, entirely."""
        return hasattr(sys.modules.get(self.module), "AsyncConnectionPool")

    def install(self, tape: Tape) -> Callable[[], None]:
        """Replace the methods of all pools."""
        library, layer = sys.modules[self.module], self.module
        patches = Patches()
        patches.wrap(library.ConnectionPool, "handle_request", lambda original: _handling(original, tape, layer))
        patches.wrap(
            library.AsyncConnectionPool, "handle_async_request", lambda original: _handling_async(original, tape, layer)
        )
        return patches.undo


def _handling(original: Callable[..., Any], tape: Tape, layer: str) -> Callable[..., Any]:
    def handle_request(self: Any, request: Any) -> Any:
        with call(tape, layer, request.method, _url(request.url), driver=layer):
            return original(self, request)

    return handle_request


def _handling_async(original: Callable[..., Any], tape: Tape, layer: str) -> Callable[..., Any]:
    async def handle_async_request(self: Any, request: Any) -> Any:
        with call(tape, layer, request.method, _url(request.url), driver=layer):
            return await original(self, request)

    return handle_async_request


def _url(url: Any) -> str:
    host = url.host.decode("latin-1")
    port = "" if url.port is None else f":{url.port}"
    shown = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{url.scheme.decode('latin-1')}://{shown}{port}{url.target.decode('latin-1')}"
