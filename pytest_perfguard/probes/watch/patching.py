"""Replacing methods for the time of a recording, and putting back exactly what was there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_ABSENT: Any = object()


class Patches:
    """A stack of replaced attributes of classes and modules."""

    def __init__(self) -> None:
        self._done: list[tuple[Any, str, Any, Any]] = []

    def wrap(self, owner: Any, name: str, make: Callable[[Any], Any]) -> bool:
        """Put `make(original)` in the place of `owner.name`; False where there is no such attribute.

        What stands in the class itself is handed to `make` as it stands there, a `staticmethod` as such; what is
        inherited is handed over as the attribute's value, and the replacement is removed again in the end.
        """
        own = vars(owner).get(name, _ABSENT)
        original = getattr(owner, name, _ABSENT) if own is _ABSENT else own
        if original is _ABSENT:
            return False
        replacement = make(original)
        setattr(owner, name, replacement)
        self._done.append((owner, name, own, replacement))
        return True

    def undo(self) -> None:
        """Put everything back, last first; what others have replaced meanwhile stays theirs."""
        while self._done:
            owner, name, own, replacement = self._done.pop()
            if vars(owner).get(name, _ABSENT) is not replacement:
                continue
            if own is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, own)
