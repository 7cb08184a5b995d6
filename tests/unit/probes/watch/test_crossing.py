"""Ways through the code that lead over tasks, portals and greenlets."""

from __future__ import annotations

import asyncio
import sys

import pytest

from pytest_perfguard.probes.watch.callsite import CALLER, locate
from pytest_perfguard.probes.watch.crossing import Portals, Tasks
from pytest_perfguard.probes.watch.tape import Tape


@pytest.fixture(params=[Tasks, Portals])
def source(request):
    if request.param is Portals:
        pytest.importorskip("anyio.from_thread")
    return request.param()


def owner(source):
    module = sys.modules[source.module]
    return module.BaseEventLoop if isinstance(source, Tasks) else module.BlockingPortal


def test_nothing_stays_patched(source):
    before = dict(vars(owner(source)))
    assert source.installed()
    undo = source.install(Tape())
    assert dict(vars(owner(source))) != before
    undo()
    assert dict(vars(owner(source))) == before


@pytest.fixture
def watched(source):
    undo = source.install(Tape())
    yield source
    undo()


async def place():
    await asyncio.sleep(0)
    return locate(sys._getframe())


async def in_a_loop():
    return [await asyncio.create_task(place()) for _ in range(3)]


async def written_out():
    return [
        await asyncio.create_task(place()),
        await asyncio.create_task(place()),
        await asyncio.create_task(place()),
    ]


def through_portals(*, loop):
    from anyio.from_thread import start_blocking_portal

    with start_blocking_portal() as portal:
        if loop:
            return [portal.call(place) for _ in range(3)]
        return [portal.call(place), portal.call(place), portal.call(place)]


@pytest.mark.parametrize("loop", [True, False])
def test_turns_of_a_loop_have_one_way_and_calls_written_out_have_several(watched, loop):
    if isinstance(watched, Tasks):
        found = asyncio.run(in_a_loop() if loop else written_out())
    else:
        found = through_portals(loop=loop)
    assert {each.code for each in found} == {place.__code__}
    assert len({each.path for each in found}) == (1 if loop else 3)
    assert CALLER.get() is None


def test_a_task_that_starts_itself_anew_is_a_loop_and_its_way_stays_short():
    found = []

    async def tick(count):
        found.append(locate(sys._getframe()))
        if count:
            task = asyncio.create_task(tick(count - 1))
            await asyncio.sleep(0)
            tasks.append(task)

    async def run():
        await tick(200)
        while len(tasks) < 200:
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    tasks = []
    undo = Tasks().install(Tape())
    try:
        asyncio.run(run())
    finally:
        undo()
    assert len(found) == 201
    assert max(map(len, found)) < 30
    assert len({each.path for each in found[3:]}) == 1


def test_the_walk_goes_on_in_the_greenlet_that_waits():
    greenlet = pytest.importorskip("greenlet")

    def ask():
        return locate(sys._getframe())

    found = [greenlet.greenlet(ask).switch() for _ in range(2)]
    found.append(greenlet.greenlet(ask).switch())
    assert {each.code for each in found} == {ask.__code__}
    assert found[0].path == found[1].path != found[2].path


def test_context_that_no_own_code_has_set_is_none():
    async def nothing():
        pass

    namespace = {"asyncio": asyncio, "nothing": nothing}
    undo = Tasks().install(Tape())
    try:
        exec(compile("asyncio.run(nothing())", "<string>", "exec"), namespace)
    finally:
        undo()
    assert CALLER.get() is None
