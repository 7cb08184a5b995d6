"""What makes two calls over HTTP the same: method, server, path and names of the query, without values."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from pytest_perfguard.model import StatementKind
from pytest_perfguard.probes.watch.entry import Shape

_VALUE = "?"
_LONGEST = 24
_VERSION = re.compile(r"v\d+(?:[._]\d+)*(?:(?:alpha|beta)\d*)?|oauth[12]", re.IGNORECASE)
"""Segments whose digits are no value."""
_MARKED = re.compile(r"[\d%@=,;|]")
_HEX = re.compile(r"[a-f]{8,}|[A-F]{8,}")
_WORDS = re.compile(
    r"[A-Za-z]?(?:[A-Z]{0,5}[a-z]{2,}|By|Id|To|Is|In|Of|On|At|As|Or|No|My|Do|Go|Up|Be|Me|We|Us|If)*[A-Z]{0,5}"
)
"""Letters of both cases as people write them: getUserById, HTTPStatus."""
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_OWN_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_FIRST_EPHEMERAL = 32768
"""Where Linux takes a port from that a server did not ask for by its number."""


def shape(text: str) -> Shape:
    """Return the shape of `text`, which is a method and a URL; never raises.

    User, password and fragment go. Segments of the path that look like values become `?`, and so does each value of
    the query, whose names are sorted; a name that comes more than once asks for many things at once. On this machine, a
    port that nobody chose is a value too.
    """
    method, _, url = text.partition(" ")
    try:
        parts = urlsplit(url)
        server = _server(parts.scheme.lower(), parts.hostname or "", parts.port)
    except ValueError:
        return Shape(f"{method} {_VALUE}", StatementKind.REQUEST)
    path = "/".join(_VALUE if _is_value(segment) else segment for segment in parts.path.split("/")) or "/"
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    query = sorted({_VALUE if _is_value(name) else name for name in names})
    asked = "?" + "&".join(f"{name}={_VALUE}" for name in query) if query else ""
    return Shape(f"{method} {server}{path}{asked}", StatementKind.REQUEST, batch=len(set(names)) < len(names))


def _server(scheme: str, host: str, port: int | None) -> str:
    shown = f"[{host}]" if ":" in host else host
    if port is None or port == _PORTS.get(scheme):
        return f"{scheme}://{shown}"
    return f"{scheme}://{shown}:{_VALUE if host in _OWN_HOSTS and port >= _FIRST_EPHEMERAL else port}"


def _is_value(segment: str) -> bool:
    if _VERSION.fullmatch(segment):
        return False
    return len(segment) > _LONGEST or _MARKED.search(segment) is not None or _looks_random(segment)


def _looks_random(segment: str) -> bool:
    if _HEX.fullmatch(segment):
        return True
    mixed = len(segment) >= 8 and segment.isalpha() and not segment.islower() and not segment.isupper()
    return mixed and _WORDS.fullmatch(segment) is None
