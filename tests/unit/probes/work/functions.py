"""Functions of many kinds, and how their work is counted; also run as a script, which prints the counts as JSON."""

from __future__ import annotations

import asyncio
import functools
import json
import re
import sys

from pytest_perfguard.probes.work import CallProbe, WorkProbe

PROBES = [CallProbe, *([WorkProbe] if sys.version_info >= (3, 12) else [])]


def read(probe, function):
    """Return the one value of `probe` around a call of `function`."""
    token = probe.start()
    try:
        function()
    finally:
        reading = probe.stop(token)
    (value,) = reading.values.values()
    return value


def steady(probe, function, rounds=3):
    """Return the value that `rounds` readings agree on, after calls that fill caches."""
    for _ in range(probe.warmup):
        read(probe, function)
    values = {read(probe, function) for _ in range(rounds)}
    assert len(values) == 1, values
    return values.pop()


def nothing():
    pass


def unit():
    nothing()
    return [1, 2, 3].count(2)


def units(number):
    for _ in range(number):
        unit()


def recursion(depth=12):
    return depth if depth < 2 else recursion(depth - 1) + recursion(depth - 2)


def exceptions():
    caught = 0
    for number in range(50):
        try:
            if number % 3:
                raise_it(number)
        except ValueError:
            caught += 1
        finally:
            nothing()
    return caught


def raise_it(number):
    raise ValueError(number)


def comprehensions():
    return [*(str(n) for n in range(50)), *[n for n in range(50) if n % 2]], {n: unit() for n in range(9)}


def generators():
    def numbers(count):
        yield from range(count)
        return count

    def all_of():
        for count in range(10):
            yield (yield from numbers(count))

    return sum(all_of())


class Thing:
    def __init__(self, value):
        self.value = value

    @property
    def double(self):
        return self.value * 2

    def __eq__(self, other):
        return self.value == other.value

    def __hash__(self):
        return hash(self.value)


def objects():
    return sum(Thing(n).double for n in range(40)), len({Thing(n % 5) for n in range(40)})


def names():
    """Go through sets of str, whose order depends on the hash seed, in ways that do not."""
    found = {f"name{n}" for n in range(200)}
    return sorted(found), sum(len(name) for name in found)


def library():
    text = json.dumps([{"a": n, "b": [1, 2.5, {"c": str(n)}]} for n in range(20)], indent=1, sort_keys=True)
    return json.loads(text), re.findall(r"[a-z]+(\d+)", text)


def coroutines():
    async def inner(number):
        await asyncio.sleep(0)
        return number

    async def several():
        return sum([await inner(n) for n in range(5)])

    coroutine = several()
    try:
        while True:
            coroutine.send(None)
    except StopIteration as end:
        return end.value


FUNCTIONS = [
    nothing, unit, functools.partial(units, 30), recursion, exceptions, comprehensions, generators, objects, names,
    library, coroutines,
]  # fmt: skip


def count_all():
    return {probe.__name__: [steady(probe(), function) for function in FUNCTIONS] for probe in PROBES}


if __name__ == "__main__":
    print(json.dumps(count_all()))
