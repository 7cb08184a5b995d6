"""urllib3: every pool of connections, through a manager or not; each redirect and each repetition is a call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from pytest_perfguard.probes.http.calls import call
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.tape import Tape


class Urllib3Source:
    """Replaces the method of pools that a request, and its repetition, runs through."""

    name = "urllib3"
    module = "urllib3"

    def installed(self) -> bool:
        """Return whether urllib3 is loaded, entirely."""
        return hasattr(sys.modules.get("urllib3"), "HTTPConnectionPool")

    def install(self, tape: Tape) -> Callable[[], None]:
        """Replace the method of all pools."""
        patches = Patches()
        patches.wrap(sys.modules["urllib3"].HTTPConnectionPool, "urlopen", lambda original: _opening(original, tape))
        return patches.undo


def _opening(original: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    def urlopen(self: Any, method: Any, url: Any, body: Any = None, *args: Any, **kwargs: Any) -> Any:
        with call(tape, "urllib3", method, _url(self, url), body, driver="urllib3"):
            return original(self, method, url, body, *args, **kwargs)

    return urlopen


def _url(pool: Any, target: Any) -> str:
    if "://" in str(target):
        return str(target)
    host = str(pool.host)
    shown = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{pool.scheme}://{shown}:{pool.port}{target or '/'}"
