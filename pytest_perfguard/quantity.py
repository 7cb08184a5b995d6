"""Values with units: "200 ms" and "10 MiB" to numbers in base units, and numbers back to text."""

from __future__ import annotations

from enum import StrEnum


class Unit(StrEnum):
    """The base unit in which a quantity of one dimension is held."""

    SECONDS = "s"
    BYTES = "B"
    COUNT = "1"
    RATIO = "ratio"
    RATE = "1/s"
