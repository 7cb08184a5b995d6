"""Calls made ready, so that nothing but the calls themselves lies between two readings of an instrument."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from pytest_perfguard.errors import MeasurementError
from pytest_perfguard.measure.loop import repeat_await, repeat_call
from pytest_perfguard.measure.plan import Call
from pytest_perfguard.model.note import Note

Arguments = tuple[Sequence[Any], Mapping[str, Any]]

PREPARED_LIMIT = 1000
"""Arguments that are held ready at once for the iterations of one round."""


class Caller:
    """Makes blocks of calls of one `Call`, with its set-up done before the block begins."""

    def __init__(self, call: Call, *, asynchronous: bool = False) -> None:
        repeat = repeat_await if asynchronous else repeat_call
        self.call = call
        self._loop = repeat(call.func, call.args, call.kwargs)
        self._each = _await_each if asynchronous else _call_each
        self.limit = 10_000_000 if call.setup is None else PREPARED_LIMIT
        """The largest number of iterations that a block can be given."""

    def prepare(self, iterations: int) -> Callable[[], Any]:
        """Do the set-up of a round of `iterations` calls and return what makes them.

        What is returned gives the call's own result (for coroutine functions: its awaitable) if it makes one call.
        """
        call = self.call
        if call.setup is not None:
            first = _arguments(call.setup(), call.setup)
            if first is not None:
                prepared = [first, *(_following(call.setup) for _ in range(iterations - 1))]
                if iterations == 1:
                    return functools.partial(call.func, *first[0], **first[1])
                return functools.partial(self._each, call.func, prepared)
            self.limit = 1
        if iterations == 1:
            return functools.partial(call.func, *call.args, **call.kwargs)
        return functools.partial(self._loop, iterations)


def refuse_awaitable(call: Call, result: object) -> None:
    """Raise `MeasurementError` where `result` shows that a plain call of a coroutine function ran nothing of it."""
    name = _short(call.func)
    if inspect.iscoroutine(result):
        result.close()  # or Python warns that it was never awaited
        raise MeasurementError(f"perf({name}) made a coroutine and ran nothing of it; write: await perf.aio({name}, …)")
    if inspect.isasyncgen(result):
        raise MeasurementError(
            f"perf({name}) made an asynchronous generator and ran nothing of it; "
            "measure a coroutine function that goes through it: await perf.aio(function, …)"
        )


def note_lazy(call: Call, result: object) -> tuple[Note, ...]:
    """Return a remark where `result` is a generator, so that only its creation was measured."""
    if not inspect.isgenerator(result):
        return ()
    name = _short(call.func)
    return (
        Note(
            code="lazy-result",
            message=f"{name} returned a generator: its creation was measured, and nothing of what it does",
            remedy=f"measure all of it, for example with perf(lambda: list({name}(…)))",
        ),
    )


def _following(setup: Callable[[], Any]) -> Arguments:
    arguments = _arguments(setup(), setup)
    if arguments is None:
        raise MeasurementError(
            f"set-up {_name(setup)} returned arguments once and None later; it must do the same always"
        )
    return arguments


def _arguments(value: Any, setup: Callable[[], Any]) -> Arguments | None:
    match value:
        case None:
            return None
        case (tuple() | list() as args, dict() as kwargs):
            return args, kwargs
        case _:
            raise MeasurementError(
                f"set-up {_name(setup)} returned {type(value).__name__}; "
                "return None, or the arguments for one call as (args, kwargs), for example ((rows,), {})"
            )


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))


def _short(function: Callable[..., Any]) -> str:
    return _name(function).rpartition("<locals>.")[2]


def _call_each(func: Callable[..., Any], prepared: Sequence[Arguments]) -> None:
    for args, kwargs in prepared:
        func(*args, **kwargs)


async def _await_each(func: Callable[..., Awaitable[Any]], prepared: Sequence[Arguments]) -> None:
    for args, kwargs in prepared:
        await func(*args, **kwargs)
