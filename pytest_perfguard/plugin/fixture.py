"""The `perf` fixture: what a test calls to be measured."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import pytest

from pytest_perfguard.errors import MeasurementError
from pytest_perfguard.measure.plan import Call
from pytest_perfguard.model.metric import Better, custom
from pytest_perfguard.plugin.memory import Memory
from pytest_perfguard.plugin.queries import Queries
from pytest_perfguard.plugin.recording import RECORDING, Recording
from pytest_perfguard.quantity import Unit

P = ParamSpec("P")
R = TypeVar("R")


class Perf:
    """Measures calls, coroutines and blocks of one test.

    `perf(func, *args, **kwargs)` warms up, calibrates, repeats, and returns what the first call of `func` returned. The
    budgets of the test's markers apply to every measurement, or with `name=` to the one of that name.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        name: str | None = None,
        setup: Callable[[], Any] | None = None,
        method: dict[str, Any] | None = None,
    ) -> None:
        self._recording = recording
        self._name = name
        self._setup = setup
        self._method = method or {}

    def __call__(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Measure `func(*args, **kwargs)` and return what its first call returned; what it raises comes through."""
        _check_callable("perf", func, "perf(function, argument, …)")
        call = Call(func=func, args=args, kwargs=kwargs, setup=self._setup)
        result: R = self._recording.measure(call, self._name, self._method)
        return result

    async def aio(self, func: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Measure `await func(*args, **kwargs)` on the running event loop and return what the first gave."""
        _check_callable("perf.aio", func, "await perf.aio(function, argument, …)")
        call = Call(func=func, args=args, kwargs=kwargs, setup=self._setup)
        result: R = await self._recording.measure_async(call, self._name, self._method)
        return result

    @property
    def queries(self) -> Queries:
        """Return what records the statements of blocks: `with perf.queries(max=3) as q:`, `perf.queries.scales(…)`."""
        return Queries(self._recording)

    @property
    def memory(self) -> Memory:
        """Return what measures the memory of blocks: `with perf.memory(max="20 MB", leaked=0) as m:`."""
        return Memory(self._recording)

    def using(
        self,
        *,
        name: str | None = None,
        setup: Callable[[], Any] | None = None,
        rounds: int | None = None,
        iterations: int | None = None,
        warmup: int | None = None,
        target_time: float | str | None = None,
        max_time: float | str | None = None,
        gc: bool | None = None,
    ) -> Perf:
        """Return a `Perf` for one measurement: with a name of its own, a set-up, or another method than the marker's.

        `setup` is called before each round, untimed. Where it returns `(args, kwargs)`, it is called for each iteration
        and each gets arguments of its own; where it returns None, a round has one iteration unless `iterations` says
        otherwise. Raises `ConfigError` or `MeasurementError` for values that cannot be used.
        """
        if name is not None:
            _check_name("perf.using(name=…)", name)
        if setup is not None:
            _check_callable("perf.using(setup=…)", setup, "perf.using(setup=function)")
        given = {
            "rounds": rounds,
            "iterations": iterations,
            "warmup": warmup,
            "target_time": target_time,
            "max_time": max_time,
            "gc": gc,
        }
        method = {**self._method, **{key: value for key, value in given.items() if value is not None}}
        self._recording.check_method(method)
        return Perf(
            self._recording,
            name=self._name if name is None else name,
            setup=self._setup if setup is None else setup,
            method=method,
        )

    @contextlib.contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Time a block of code as a measurement called `name`; each time it is entered is one round."""
        _check_name("perf.span", name)
        with self._recording.span(name):
            yield

    def metric(self, name: str, value: float, unit: str = "1", *, better: str = "lower") -> None:
        """Record a value of your own: `unit` is one of "s", "B", "1", "ratio", "1/s", `better` is "lower" or "higher".

        It goes into the report and the baseline, and is compared exactly. Raises `MeasurementError` for another unit, a
        value that is no finite number, and a name that stands for another quantity already.
        """
        _check_name("perf.metric", name)
        try:
            metric = custom(name, Unit(unit), better=Better(better))
        except ValueError:
            raise MeasurementError(
                f"perf.metric({name!r}, unit={unit!r}, better={better!r}): the unit is one of "
                f"{', '.join(repr(str(known)) for known in Unit)}, better is 'lower' or 'higher'"
            ) from None
        self._recording.record(metric, value)

    def __repr__(self) -> str:
        return f"<perf of {self._recording.test}>"


def _check_name(where: str, name: object) -> None:
    """Raise where `name` is no text that a report can hold."""
    if not isinstance(name, str):
        raise MeasurementError(f"the name given to {where} is {name!r:.80}; a name must be text, so write '{name}'")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise MeasurementError(
            f"the name given to {where} is {name!r:.80}, which holds characters that no file can; "
            "decode it with the right encoding, or with errors='replace'"
        ) from None


def _check_callable(where: str, func: object, example: str) -> None:
    if not callable(func):
        raise MeasurementError(
            f"{where} was given {func!r:.80}, which cannot be called; "
            f"give it the function, not what the function returned: {example}"
        )


def open_perf(request: pytest.FixtureRequest) -> Perf:
    """Return the fixture's value for the test of `request`."""
    recording = request.node.stash.get(RECORDING, None)
    if recording is None:
        raise MeasurementError(
            f"the perf fixture cannot be used by {request.node.nodeid}, which was not collected as a test that has it; "
            "name it as an argument of the test, or of a fixture that the test names"
        )
    return Perf(recording)
