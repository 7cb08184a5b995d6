"""A database's URL as Django's settings want it."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured


def read_url(url: str | None, *, default: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the database at `url`, such as `postgresql://me@127.0.0.1:5432/blog`."""
    if not url:
        return default
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres"):
        raise ImproperlyConfigured(f"{parts.scheme}: is not supported; write postgresql://user@host:5432/name")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.removeprefix("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
    }
