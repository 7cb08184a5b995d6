import asyncio

import pytest

from pytest_perfguard.measure.loop import UNROLLED, repeat_await, repeat_call


@pytest.mark.parametrize("count", [0, 1, UNROLLED - 1, UNROLLED, UNROLLED + 1, 3 * UNROLLED + 5])
def test_makes_exactly_as_many_calls_as_asked(count):
    seen = []
    repeat_call(seen.append, ("x",), {})(count)
    assert seen == ["x"] * count


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"key": 1},
        {"a0": 1, "f": 2, "_": 3, "chunks": 4, "rest": 5, "k0": 6},
        {"not an identifier": 1},
        {"class": 1},
    ],
    ids=str,
)
def test_passes_arguments_of_any_name(kwargs):
    calls = []

    def target(*args, **given):
        calls.append((args, given))

    arguments = ([1], {"two": 2}, 3)
    repeat_call(target, arguments, kwargs)(2)
    assert calls == [(arguments, kwargs)] * 2
    assert calls[0][0][0] is arguments[0]


def test_awaits_one_after_the_other():
    order = []

    async def target(name):
        order.append(f"{name} begins")
        await asyncio.sleep(0)
        order.append(f"{name} ends")

    asyncio.run(repeat_await(target, ("a",), {})(UNROLLED + 1))
    assert order == ["a begins", "a ends"] * (UNROLLED + 1)


def test_lets_results_go_at_once():
    alive = []

    class Result:
        def __init__(self):
            alive.append(1)

        def __del__(self):
            alive.pop()

    most = []

    def target():
        most.append(len(alive))
        return Result()

    repeat_call(target, (), {})(50)
    assert max(most) == 0
