"""requests: every session and adapter; a redirect, which a session sends anew, is a call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from pytest_perfguard.probes.http.calls import call, is_in_process
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.tape import Tape


class RequestsSource:
    """Replaces what sends requests in the classes of sessions, above where mocks stand, and of adapters.

    Adapters send again by themselves, to answer a challenge.
    """

    name = "requests"
    module = "requests"

    def installed(self) -> bool:
        """Return whether requests is loaded, entirely."""
        return hasattr(sys.modules.get("requests"), "Session") and "requests.adapters" in sys.modules

    def install(self, tape: Tape) -> Callable[[], None]:
        """Replace the methods of all sessions and adapters."""
        patches = Patches()
        patches.wrap(sys.modules["requests"].Session, "send", lambda original: _sending(original, tape))
        adapter = sys.modules["requests.adapters"].HTTPAdapter
        patches.wrap(adapter, "send", lambda original: _carrying(original, tape))
        return patches.undo


def _sending(original: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    def send(self: Any, request: Any, **kwargs: Any) -> Any:
        if not _leaves(self, request):
            return original(self, request, **kwargs)
        with call(tape, "requests", request.method, request.url, request.body, driver="requests"):
            return original(self, request, **kwargs)

    return send


def _leaves(session: Any, request: Any) -> bool:
    try:
        return request.url.lower().startswith("http") and not is_in_process(session.get_adapter(url=request.url))
    except Exception:  # noqa: BLE001 - no adapter for it, or no prepared request: the original will say so
        return False


def _carrying(original: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        url, body = getattr(request, "url", ""), getattr(request, "body", None)
        with call(tape, "requests.adapter", getattr(request, "method", ""), url, body, driver="requests"):
            return original(self, request, *args, **kwargs)

    return send
