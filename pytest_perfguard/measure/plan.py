"""What one measurement will do: the call, how its rounds are laid out, and its passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_perfguard.model.budget import Method
from pytest_perfguard.model.measurement import Key
from pytest_perfguard.model.protocols import Probe

BLOCK_SECONDS = 0.002
"""A round is calibrated to last about this long: short blocks separate two programs as well as longer ones do."""

MINIMUM_ROUNDS = 5
"""Rounds that are made before the time that all rounds should take is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call to measure: a function with its arguments, and what prepares it."""

    func: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    setup: Callable[[], Any] | None = None
    """Called before each round, untimed. Where it returns `(args, kwargs)`, it is called for each iteration instead,
    and each iteration gets arguments of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a measurement is made: timing first, then one pass for each instrument that would disturb it."""

    key: Key
    method: Method
    probes: tuple[Probe, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a measurement has come, for a display; seconds."""

    key: Key
    elapsed: float
    expected: float
    rounds: int
