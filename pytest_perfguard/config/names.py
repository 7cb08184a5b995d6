"""Names that nobody knows: the error that lists the known ones and guesses which was meant."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_perfguard.errors import ConfigError


def unknown(what: str, name: object, known: Iterable[str], origin: str) -> ConfigError:
    """Return the error for `name`, an unknown kind of `what` that was set at `origin`."""
    import difflib

    names = sorted(known)
    shown = repr(name) if isinstance(name, str) else f"a {type(name).__name__}"
    message = f"unknown {what} {shown} ({origin}); known: {', '.join(names) or 'none'}"
    close = difflib.get_close_matches(name, names, n=1) if isinstance(name, str) else []
    return ConfigError(f"{message}; did you mean {close[0]!r}?" if close else message)
