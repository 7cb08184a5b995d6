"""Texts that may ask for one page of a list, as cheaply as can be told while they are written down."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_BEGINNING = re.compile(r"[<>]|\bOFFSET\b|\bLIMIT\b[^,]*,", re.IGNORECASE)
"""What says where a page begins."""
_MOST = 10_000

PAGED: dict[int, bool] = {}
"""What `may_be_page` found, by the hashes of texts."""


def may_be_page(text: str) -> bool:
    """Return whether `text` has a size and what may be the beginning of a page."""
    if len(PAGED) > _MOST:
        PAGED.clear()
    sized = any(word in text for word in ("LIMIT", "limit", "FETCH", "fetch"))
    found = PAGED[hash(text)] = sized and _BEGINNING.search(text) is not None
    return found


def hashes(parameters: object) -> dict[int | str, int] | None:
    """Return the hashes of parameters by position or name; None where they have none."""
    if not isinstance(parameters, (tuple, list, dict)):
        return {} if parameters is None else None
    each: Iterable[tuple[Any, object]] = parameters.items() if isinstance(parameters, dict) else enumerate(parameters)
    try:
        return {key: hash((value,)) for key, value in each}
    except Exception:  # noqa: BLE001 - a list, or a user's __hash__ that raises
        return None
