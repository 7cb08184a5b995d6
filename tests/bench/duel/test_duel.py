"""The same functions measured by perfguard, pytest-benchmark and timeit, in turns within one process."""

from __future__ import annotations

import os
import statistics
import time
import timeit
from collections.abc import Callable
from typing import Any

import pytest

from pytest_perfguard.measure.loop import repeat_call

CALLS = 100_000
REPEATS = 15

in_turns = pytest.mark.parametrize("turn", range(int(os.environ["DUEL_TURNS"])))
in_fewer_turns = pytest.mark.parametrize("turn", range(int(os.environ["DUEL_LONG_TURNS"])))
lasting = pytest.mark.parametrize("seconds", [1e-6, 1e-3, 0.1], ids=["1us", "1ms", "100ms"])

nothing = lambda: None  # noqa: E731 - the function as people write it in such comparisons


def last(seconds: float) -> None:
    """Return after that time, however fast the processor is."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@in_turns
def test_nothing_timeit(turn: int, note: Callable[[float], None]) -> None:
    note(statistics.median(timeit.repeat(nothing, number=CALLS, repeat=REPEATS)) / CALLS)


@in_turns
def test_nothing_loop(turn: int, note: Callable[[float], None]) -> None:
    loop = repeat_call(nothing, (), {})
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        loop(CALLS)
        times.append(time.perf_counter() - started)
    note(statistics.median(times) / CALLS)


@in_turns
def test_nothing_perfguard(turn: int, perf: Callable[..., Any]) -> None:
    perf(nothing)


@in_turns
def test_nothing_benchmark(turn: int, benchmark: Callable[..., Any]) -> None:
    benchmark(nothing)


@in_fewer_turns
@lasting
def test_default_perfguard(turn: int, seconds: float, perf: Callable[..., Any]) -> None:
    perf(last, seconds)


@in_fewer_turns
@lasting
def test_default_benchmark(turn: int, seconds: float, benchmark: Callable[..., Any]) -> None:
    benchmark(last, seconds)
