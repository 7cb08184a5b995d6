"""What explains a measurement: what a call leaves behind, and lines for whoever reads a failure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Growth:
    """What each call adds to what stays: objects of one type, items of one container, or memory outside of Python."""

    kind: str
    """The type, as "dict" or "shop.models.Order", or "native memory"."""
    owner: str = ""
    """Who holds it, as far as that was found: "shop.cache:Service.seen (list)"."""
    count: float = 0.0
    """Objects or items a call."""
    size: float = 0.0
    """Bytes a call, each object without what it refers to."""
    place: str = ""
    """`path:line` of the owner's code, for the reader of a failure; neither compared nor stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """Lines that say where the value of one metric comes from; shown where it is over its budget."""

    metric: str
    lines: tuple[str, ...]
