"""requests: every session and adapter; a redirect, which a session sends anew, is a call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from pytest_perfguard.probes.http.calls import call, is_in_process
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.tape import Tape


class RequestsSource:
    """Replaces what makes and sends requests in the class of sessions, and what sends them in that of adapters.

    A mock may take the place of either below the first; adapters send again by themselves, to answer a challenge.
    """

    name = "requests"
    module = "requests"

    def installed(self) -> bool:
        """Return whether requests is loaded, entirely."""
        return hasattr(sys.modules.get("requests"), "Session") and "requests.adapters" in sys.modules

    def install(self, tape: Tape) -> Callable[[], None]:
        """Replace the methods of all sessions and adapters."""
        patches = Patches()
        session = sys.modules["requests"].Session
        patches.wrap(session, "request", lambda original: _requesting(original, tape))
        patches.wrap(session, "send", lambda original: _sending(original, tape))
        adapter = sys.modules["requests.adapters"].HTTPAdapter
        patches.wrap(adapter, "send", lambda original: _carrying(original, tape))
        return patches.undo


def _requesting(original: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    def request(self: Any, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
        if not _leaves(self, url):
            return original(self, method, url, *args, **kwargs)
        with call(tape, "requests.request", method, url, driver="requests", rough=True):
            return original(self, method, url, *args, **kwargs)

    return request


def _sending(original: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    def send(self: Any, request: Any, **kwargs: Any) -> Any:
        if not _leaves(self, getattr(request, "url", None)):
            return original(self, request, **kwargs)
        with call(tape, "requests", request.method, request.url, request.body, driver="requests"):
            return original(self, request, **kwargs)

    return send


def _leaves(session: Any, url: Any) -> bool:
    try:
        url = url.decode() if isinstance(url, bytes) else str(url)
        return url.lower().startswith("http") and not is_in_process(session.get_adapter(url=url))
    except Exception:  # noqa: BLE001 - no adapter for it: the original will say so
        return False


def _carrying(original: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        url, body = getattr(request, "url", ""), getattr(request, "body", None)
        with call(tape, "requests.adapter", getattr(request, "method", ""), url, body, driver="requests"):
            return original(self, request, *args, **kwargs)

    return send
