"""Questions to a database and its answers, apart from how they travel: one conversation for sync and async drivers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

Rows = Sequence[Sequence[Any]]
Run = Callable[[str, object], Any]
Answer = list[tuple[Any, ...]]


class Question(NamedTuple):
    """A text to execute, with the values of its placeholders; None where it has none."""

    text: str
    values: object = None


Dialogue = Generator[Question, Answer, Any]
"""Yields questions and is sent the rows; what a question raises is raised at its `yield`."""


def converse(dialogue: Dialogue, run: Callable[[str, object], Rows]) -> Any:
    """Carry `dialogue` out by `run` and return its result.

    A question that fails is no end: the dialogue may have something to put back. What interrupts the whole programme,
    or the task, is raised in the end, whatever the dialogue makes of it.
    """
    interruption: BaseException | None = None
    try:
        question = next(dialogue)
        while True:
            try:
                rows = cells(run(*question))
            except BaseException as error:  # noqa: BLE001 - the dialogue decides
                interruption = interruption or _beyond(error)
                question = dialogue.throw(error)
            else:
                question = dialogue.send(rows)
    except StopIteration as end:
        result = end.value
    if interruption is not None:
        raise interruption
    return result


async def converse_async(dialogue: Dialogue, run: Callable[[str, object], Awaitable[Rows]]) -> Any:
    """Do the same through an asynchronous driver."""
    interruption: BaseException | None = None
    try:
        question = next(dialogue)
        while True:
            try:
                rows = cells(await run(*question))
            except GeneratorExit:  # nobody waits for the answer, and nothing can be awaited
                raise
            except BaseException as error:  # noqa: BLE001 - the dialogue decides
                interruption = interruption or _beyond(error)
                question = dialogue.throw(error)
            else:
                question = dialogue.send(rows)
    except StopIteration as end:
        result = end.value
    if interruption is not None:
        raise interruption
    return result


def _beyond(error: BaseException) -> BaseException | None:
    return None if isinstance(error, Exception) else error


def cells(rows: Iterable[Any]) -> Answer:
    """Return rows as plain tuples, whatever the connection's own way of making rows is."""
    return [tuple(map(_cell, row.values() if isinstance(row, Mapping) else row)) for row in rows or ()]


def _cell(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes | bytearray) else value
