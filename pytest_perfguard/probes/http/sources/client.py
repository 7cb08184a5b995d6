"""The standard library's http.client, the lowest layer: urllib.request, xmlrpc.client and others call through it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from pytest_perfguard.probes.http.calls import call
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.tape import Tape


class ClientSource:
    """Replaces the methods of connections that begin a request; the answer is awaited elsewhere, so none is timed."""

    name = "http.client"
    module = "http.client"

    def installed(self) -> bool:
        """Return whether http.client is loaded, entirely."""
        return hasattr(sys.modules.get("http.client"), "RemoteDisconnected")

    def install(self, tape: Tape) -> Callable[[], None]:
        """Replace the methods of all connections."""
        connection = sys.modules["http.client"].HTTPConnection
        patches = Patches()
        patches.wrap(connection, "request", lambda original: _requesting(original, tape))
        patches.wrap(connection, "putrequest", lambda original: _putting(original, tape))
        return patches.undo


def _requesting(original: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    def request(self: Any, method: Any, url: Any, body: Any = None, *args: Any, **kwargs: Any) -> Any:
        with call(tape, "http.client", method, _url(self, url), body, driver="http.client", timed=False):
            return original(self, method, url, body, *args, **kwargs)

    return request


def _putting(original: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    def putrequest(self: Any, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
        with call(tape, "http.client.putrequest", method, _url(self, url), driver="http.client", timed=False):
            return original(self, method, url, *args, **kwargs)

    return putrequest


def _url(connection: Any, target: Any) -> str:
    if "://" in str(target):
        return str(target)
    tunnel = getattr(connection, "_tunnel_host", None)
    host, port = (tunnel, connection._tunnel_port) if tunnel else (connection.host, connection.port)
    scheme = "https" if getattr(connection, "default_port", 80) == 443 else "http"
    return f"{scheme}://{f'[{host}]' if ':' in str(host) else host}:{port}{target or '/'}"
