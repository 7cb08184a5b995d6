"""Clean use of what Python keeps: bounded caches, loops, tasks, threads, contexts, loggers, mocks, tracers."""

from __future__ import annotations

import abc
import asyncio
import contextvars
import cProfile
import fnmatch
import functools
import itertools
import linecache
import logging
import queue
import re
import sqlite3
import struct
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

from tests.leaks.catalogue import Catalogue
from tests.leaks.leaking_state import ticket

CLEAN_RUNTIME = Catalogue("runtime")
clean = CLEAN_RUNTIME.clean

USER: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="")


@clean()
def lru_cache_of_few_keys() -> Callable[[], Any]:
    """lru_cache without a limit, asked for a few keys again and again."""
    square = functools.lru_cache(maxsize=None)(lambda n: [n * n])
    numbers = itertools.count()
    return lambda: square(1000 + next(numbers) % 4)


@clean(fills=300)
def lru_cache_within_maxsize() -> Callable[[], Any]:
    """lru_cache(maxsize=512) is asked for each of 300 keys in turn."""
    square = functools.lru_cache(maxsize=512)(lambda n: [n * n])
    numbers = itertools.count()
    return lambda: square(1000 + next(numbers) % 300)


@clean(fills=128)
def lru_cache_beyond_maxsize() -> Callable[[], Any]:
    """lru_cache of 128 entries is asked for a new key each time."""
    shout = functools.lru_cache(lambda text: text.upper())
    return lambda: shout(ticket())


@clean(fills=512)
def new_patterns() -> Iterator[Callable[[], Any]]:
    """re compiles a new pattern each time, and keeps 512."""
    re.purge()
    yield lambda: re.compile(f"^{ticket()}$").match("x")
    re.purge()


@clean(fills=32768)
def new_patterns_of_file_names() -> Iterator[Callable[[], Any]]:
    """fnmatch is given a new pattern each time, and keeps 32,768."""
    re.purge()
    yield lambda: fnmatch.filter(["a.py", "b.txt"], f"*{ticket()}.py")
    fnmatch._compile_pattern.cache_clear()
    re.purge()


@clean(fills=128)
def new_addresses() -> Callable[[], Any]:
    """urlsplit is given a new address each time, and keeps some."""
    return lambda: urlsplit(f"https://shop.example/orders/{ticket()}?page=2").hostname


@clean(fills=100)
def new_formats() -> Callable[[], Any]:
    """struct is given one of 90 formats each time, and keeps a hundred."""
    numbers = itertools.count()
    return lambda: struct.calcsize(f"<{10 + next(numbers) % 90}sIH")


@clean(fills=128)
def new_statements_of_sqlite() -> Iterator[Callable[[], Any]]:
    """A connection of sqlite3 is given a new statement each time, and keeps 128."""
    connection = sqlite3.connect(":memory:")
    yield lambda: connection.execute(f"select 1 as c_{ticket()}").fetchone()
    connection.close()


@clean()
def source_lines() -> Callable[[], Any]:
    """Lines of sources are read through linecache, for tracebacks."""

    def work() -> str:
        linecache.checkcache()
        try:
            raise ValueError(ticket())
        except ValueError:
            return traceback.format_exc()

    return work


@clean()
def loops_run_and_closed() -> Callable[[], Any]:
    """asyncio.run with a task and a wait."""

    async def double(n: int) -> int:
        await asyncio.sleep(0)
        return n * 2

    async def main() -> int:
        return sum(await asyncio.gather(*(double(n) for n in range(3))))

    return lambda: asyncio.run(main())


@clean()
def loop_that_stays() -> Iterator[Callable[[], Any]]:
    """Coroutines are run one after the other in a loop that stays."""
    loop = asyncio.new_event_loop()

    async def handle() -> None:
        await asyncio.wait_for(asyncio.sleep(0), 30)

    yield lambda: loop.run_until_complete(handle())
    loop.close()


@clean()
def tasks_awaited() -> Callable[[], Any]:
    """Tasks, a group of tasks, a queue and a lock of asyncio, all awaited."""

    async def handle() -> None:
        todo: asyncio.Queue[str] = asyncio.Queue()
        async with asyncio.TaskGroup() as group, asyncio.Lock():
            group.create_task(todo.put(ticket()))
            task = group.create_task(todo.get())
        assert task.done()

    return handle


@clean()
def tasks_cancelled() -> Callable[[], Any]:
    """A task in the background is cancelled and awaited."""

    async def handle() -> None:
        task = asyncio.create_task(asyncio.sleep(3600))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    return handle


@clean(fills=110)
def timeouts_beside_a_heartbeat() -> Callable[[], Any]:
    """Time limits that were not reached stay among the loop's timers until there are a hundred."""
    hearts: list[asyncio.TimerHandle] = []

    async def handle() -> None:
        loop = asyncio.get_running_loop()
        if not hearts:
            hearts.append(loop.call_later(20, int))
        async with asyncio.timeout(30):
            await asyncio.sleep(0)

    return handle


@clean()
def asynchronous_generators() -> Callable[[], Any]:
    """An asynchronous generator is left in the middle and closed."""

    async def numbers() -> Any:
        for n in range(1000, 1010):
            await asyncio.sleep(0)
            yield n

    async def handle() -> int:
        stream = numbers()
        async for n in stream:
            if n > 1004:
                break
        await stream.aclose()
        return n

    return handle


@clean()
def thread_joined() -> Callable[[], Any]:
    """A thread with a local value is started and joined."""
    local = threading.local()

    def work() -> None:
        local.name = ticket()

    def run() -> None:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    return run


@clean()
def timer_cancelled() -> Callable[[], Any]:
    """A threading.Timer is started, cancelled and joined."""

    def run() -> None:
        timer = threading.Timer(60, int)
        timer.start()
        timer.cancel()
        timer.join()

    return run


@clean()
def pool_of_threads() -> Iterator[Callable[[], Any]]:
    """Work is given to a pool of two threads that stays, and awaited."""
    pool = ThreadPoolExecutor(2)
    yield lambda: sum(pool.map(len, [ticket(), ticket(), ticket()]))
    pool.shutdown()


@clean()
def pool_for_each_call() -> Callable[[], Any]:
    """A pool of threads is made and shut down."""

    def work() -> int:
        with ThreadPoolExecutor(2) as pool:
            return pool.submit(len, ticket()).result()

    return work


@clean()
def queue_that_is_read() -> Callable[[], Any]:
    """What is put into a queue is taken out of it."""
    todo: queue.Queue[str] = queue.Queue(maxsize=5)

    def work() -> str:
        todo.put(ticket())
        return todo.get()

    return work


@clean()
def context_variables_reset() -> Callable[[], Any]:
    """A context variable is set and reset, and work is run in a copy of the context."""

    def work() -> str:
        token = USER.set(ticket())
        try:
            return contextvars.copy_context().run(USER.get)
        finally:
            USER.reset(token)

    return work


@clean(disturbs=True)
def warnings_in_the_log() -> Callable[[], Any]:
    """A warning is logged each time."""
    log = logging.getLogger("leaks.shop")
    log.propagate = True
    return lambda: log.warning("order %s is late", ticket())


@clean()
def debug_messages_not_logged() -> Callable[[], Any]:
    """A message below the level is logged, and one to a logger with a null handler."""
    log = logging.getLogger("leaks.quiet")
    log.setLevel(logging.WARNING)
    return lambda: log.debug("order %s", ticket())


@clean(disturbs=True)
def calls_of_a_mock() -> Callable[[], Any]:
    """A mock that stays is called each time and remembers that."""
    mailer = mock.MagicMock()
    return lambda: mailer.send(ticket(), subject="late")


@clean()
def patched_for_a_call() -> Callable[[], Any]:
    """An attribute is replaced by a mock for as long as a call takes."""

    def work() -> str:
        with mock.patch("tests.leaks.clean_runtime.ticket", return_value="t") as patched:
            return patched("x")

    return work


@clean()
def warnings_caught() -> Callable[[], Any]:
    """Warnings are given and recorded."""

    def work() -> int:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            warnings.warn(f"{ticket()} is old", DeprecationWarning, stacklevel=1)
        return len(caught)

    return work


@clean(disturbs=True)
def profiled() -> Callable[[], Any]:
    """A call is profiled."""

    def work() -> int:
        profile = cProfile.Profile()
        return profile.runcall(sum, range(100))

    return work


@clean(disturbs=True)
def traced() -> Callable[[], Any]:
    """A function is traced line by line by a debugger's means."""

    def trace(_frame: Any, _event: str, _argument: Any) -> Any:
        return trace

    def work() -> int:
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            return len(ticket())
        finally:
            sys.settrace(before)

    return work


class Shape(abc.ABC):
    """A class with an abstract method, which knows the classes that it was asked about."""

    @abc.abstractmethod
    def area(self) -> float:
        """Return the area."""


@functools.singledispatch
def show(value: object) -> str:
    return str(value)


@clean()
def caches_of_types() -> Callable[[], Any]:
    """An abstract class and a dispatcher are asked about classes that are let go."""

    def work() -> str:
        kind = type("Square", (), {"area": lambda self: 1.0})
        Shape.register(kind)
        assert issubclass(kind, Shape)
        return show(kind.__new__(kind))[:5]

    return work
