"""Names that nobody knows: the error that lists the known ones and guesses which was meant."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_perfguard.errors import ConfigError


def unknown(what: str, name: object, known: Iterable[str], origin: str) -> ConfigError:
    """Return the error for `name`, an unknown kind of `what` that was set at `origin`."""
    import difflib

    names = sorted(known)
    shown = repr(name) if isinstance(name, str) else f"a {type(name).__name__}"
    close = difflib.get_close_matches(name, names, n=1) if isinstance(name, str) else []
    guess = f"did you mean {close[0]!r}? " if close else ""  # before the list, which is long
    return ConfigError(f"unknown {what} {shown} ({origin}); {guess}known: {', '.join(names) or 'none'}")
