"""Remarks that travel with a measurement or a run: warnings as values, each with its remedy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One remark: a short stable `code`, what happened, and what the reader can do about it."""

    code: str
    message: str
    remedy: str = ""
    undermines: tuple[str, ...] = ()
    """The metrics whose values cannot be trusted because of it; none where it is only a remark."""

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message
