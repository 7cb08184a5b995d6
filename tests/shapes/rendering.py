"""Templates that read attributes of what they are given, as those of every web framework do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

PAGE = "<li>{row.name}: {row.publisher.name}</li>"


def render(template: str, rows: Iterable[Any]) -> str:
    """Return the template once for each row."""
    return "".join([template.format(row=row) for row in rows])  # here
