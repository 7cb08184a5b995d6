"""Loops that add as little as possible to what they repeat.

As in the standard library's timeit, the loop is generated for the shape of the call, with the function and its
arguments as local variables; here it is unrolled as well.
"""

from __future__ import annotations

import functools
import itertools
import keyword
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

UNROLLED = 8
"""Calls written out in the body of the loop."""

Loop = Callable[[int], Any]
"""Makes that many calls; for coroutine functions it returns an awaitable that does."""

_TEMPLATE = """\
{define} loop(chunks, rest, f{names}):
    for _ in chunks:
        {calls}
    for _ in rest:
        {call}
"""


def repeat_call(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Loop:
    """Return a loop that calls `func(*args, **kwargs)` a given number of times and lets each result go at once."""
    loop, values = _bind(func, args, kwargs, asynchronous=False)

    def run(count: int) -> None:
        loop(itertools.repeat(None, count // UNROLLED), itertools.repeat(None, count % UNROLLED), func, *values)

    return run


def repeat_await(func: Callable[..., Awaitable[Any]], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Loop:
    """Return a loop that awaits `func(*args, **kwargs)` a given number of times, one after the other."""
    loop, values = _bind(func, args, kwargs, asynchronous=True)

    async def run(count: int) -> None:
        await loop(itertools.repeat(None, count // UNROLLED), itertools.repeat(None, count % UNROLLED), func, *values)

    return run


def _bind(
    func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], *, asynchronous: bool
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    names = tuple(kwargs)
    if all(name.isidentifier() and not keyword.iskeyword(name) for name in names):
        return _compile(len(args), names, asynchronous), (*args, *kwargs.values())
    return _compile(None, (), asynchronous), (tuple(args), dict(kwargs))


@functools.cache
def _compile(positional: int | None, keywords: tuple[str, ...], asynchronous: bool) -> Callable[..., Any]:
    if positional is None:
        names, arguments = ["a", "k"], "*a, **k"
    else:
        locals_ = [f"k{number}" for number in range(len(keywords))]
        names = [f"a{number}" for number in range(positional)] + locals_
        passed = names[:positional] + [f"{key}={local}" for key, local in zip(keywords, locals_, strict=True)]
        arguments = ", ".join(passed)
    call = f"{'await ' if asynchronous else ''}f({arguments})"
    source = _TEMPLATE.format(
        define="async def" if asynchronous else "def",
        names="".join(f", {name}" for name in names),
        calls="; ".join([call] * UNROLLED),
        call=call,
    )
    namespace: dict[str, Any] = {}
    exec(compile(source, "<perfguard loop>", "exec"), namespace)  # noqa: S102 - the text is made of counted names only
    return namespace["loop"]  # type: ignore[no-any-return]
