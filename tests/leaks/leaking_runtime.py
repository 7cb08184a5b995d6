"""Leaks in what Python itself keeps: caches, weak references, threads, tasks, contexts, modules, and memory of C."""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import ctypes
import functools
import gc
import itertools
import linecache
import logging
import os
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from tests.leaks.catalogue import Catalogue
from tests.leaks.leaking_state import ticket

RUNTIME = Catalogue("runtime")
leak = RUNTIME.leak
HERE = sys.modules[__name__]

DECORATED: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
TRAIL: contextvars.ContextVar[tuple[str, ...]] = contextvars.ContextVar("trail", default=())
BACKGROUND: set[asyncio.Task[None]] = set()


@functools.lru_cache(maxsize=None)  # noqa: UP033
def permissions(user: str) -> tuple[str, ...]:
    return (f"read:{user}", f"write:{user}")


@leak("permissions", at=permissions.__wrapped__, blocks=4)
def lru_cache_without_limit() -> Iterator[Callable[[], Any]]:
    """lru_cache(maxsize=None) is asked for another key each time."""
    yield lambda: permissions(ticket())
    permissions.cache_clear()


class Report:
    """Sums that are cached by method, and with them each report."""

    def __init__(self, rows: list[int]) -> None:
        self.rows = rows

    @functools.cache  # noqa: B019
    def total(self) -> int:
        return sum(self.rows)


@leak("Report", at=Report, blocks=3)
def cached_method() -> Iterator[Callable[[], Any]]:
    """functools.cache on a method keeps each self."""
    yield lambda: Report([1000, 2000]).total()
    Report.total.cache_clear()


class Download:
    """A download that is to be closed when it is let go."""

    def __init__(self, name: str) -> None:
        self.name = name
        weakref.finalize(self, self.close)

    def close(self) -> None:
        self.name = ""


@leak("Download", "finalize|Download", at=[Download, weakref.finalize], blocks=4)
def finalizer_holds_its_object() -> Iterator[Callable[[], Any]]:
    """weakref.finalize is given a method of the object itself."""
    before = set(weakref.finalize._registry)
    yield lambda: len(Download(ticket()).name)
    for each in set(weakref.finalize._registry) - before:
        each.detach()


class Widget:
    """What is decorated."""


class Decoration:
    """What belongs to a widget, and knows it."""

    def __init__(self, widget: Widget) -> None:
        self.widget = widget


def decorate(widget: Widget) -> Decoration:
    return DECORATED.setdefault(widget, Decoration(widget))


@leak("Widget|Decoration", "DECORATED", at=(HERE, "DECORATED"), blocks=3)
def weak_keys_held_by_their_values() -> Iterator[Callable[[], Any]]:
    """The values of a WeakKeyDictionary refer to its keys: a cycle that no collection ends."""
    yield lambda: decorate(Widget()).widget.__class__
    DECORATED.clear()


class TempStore:
    """A store that wants to be emptied when the process ends."""

    def __init__(self) -> None:
        self.entries = {"created": ticket()}
        atexit.register(self.empty)

    def empty(self) -> None:
        self.entries.clear()


@leak("TempStore", at=TempStore, blocks=4)
def atexit_for_each_object() -> Iterator[Callable[[], Any]]:
    """Each object registers itself with atexit."""
    yield lambda: len(TempStore().entries)
    for store in [each for each in gc.get_objects() if type(each) is TempStore]:
        atexit.unregister(store.empty)


@leak("Logger|loggerDict", at=[logging.Manager, logging.Logger], blocks=5)
def logger_for_each_job() -> Iterator[Callable[[], Any]]:
    """Each job asks for a logger of its own name."""
    yield lambda: logging.getLogger(f"leaks.job.{ticket()}").isEnabledFor(logging.DEBUG)
    known = logging.Logger.manager.loggerDict
    for name in [each for each in known if each.startswith("leaks.job")]:
        del known[name]


def process(order: str) -> None:
    log = logging.getLogger("leaks.orders")
    log.addHandler(logging.NullHandler())
    log.debug("order %s", order)


@leak("NullHandler|handlers", "handlers|orders", at=[logging.Logger, logging.Manager, process, logging], blocks=3)
def handler_for_each_call() -> Iterator[Callable[[], Any]]:
    """Each call adds a handler to the same logger."""
    yield lambda: process("o1")
    logging.getLogger("leaks.orders").handlers.clear()


def listen(stop: threading.Event) -> threading.Thread:
    thread = threading.Thread(target=stop.wait, name="listener", daemon=True)
    thread.start()
    return thread


@leak("[Tt]hread", at=[listen, threading], blocks=10)
def threads_that_never_end() -> Iterator[Callable[[], Any]]:
    """Each call starts a thread that waits for ever."""
    stop = threading.Event()
    before = set(threading.enumerate())
    yield lambda: listen(stop).name
    stop.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(5)


async def tick(stop: asyncio.Event) -> None:
    await stop.wait()


@leak("Task|BACKGROUND|tick", "BACKGROUND|tick", at=[(HERE, "BACKGROUND"), tick], blocks=5)
def tasks_in_the_background() -> Iterator[Callable[[], Any]]:
    """Each request starts a task that waits for what never comes."""
    stop = asyncio.Event()

    async def handle() -> None:
        BACKGROUND.add(asyncio.create_task(tick(stop)))
        await asyncio.sleep(0)

    yield handle
    BACKGROUND.clear()


class Rpc:
    """Calls that wait for their answers by number."""

    def __init__(self) -> None:
        self.pending: dict[int, asyncio.Future[str]] = {}
        self._numbers = itertools.count(1000)

    async def call(self, method: str) -> str:
        number = next(self._numbers)
        self.pending[number] = asyncio.get_running_loop().create_future()
        self.answer(number, method.upper())
        return await self.pending[number]

    def answer(self, number: int, text: str) -> None:
        self.pending[number].set_result(text)


@leak("Rpc", "pending", at=Rpc, blocks=3)
def futures_not_taken_out() -> Callable[[], Any]:
    """Answered calls stay among those that wait for an answer."""
    rpc = Rpc()
    return functools.partial(rpc.call, "ping")


def handle_in_loop(loop: asyncio.AbstractEventLoop, timers: list[Any]) -> None:
    timers.append(loop.call_later(3600, print, ticket()))


@leak("TimerHandle|timers", "timers|_scheduled", at=["builder", handle_in_loop, asyncio.base_events], blocks=3)
def timers_of_an_event_loop() -> Iterator[Callable[[], Any]]:
    """Timers for the next hour pile up in an event loop that stays."""
    loop, timers = asyncio.new_event_loop(), []

    async def handle() -> None:
        handle_in_loop(loop, timers)

    yield lambda: loop.run_until_complete(handle())
    for timer in timers:
        timer.cancel()
    timers.clear()
    loop.close()


def enter_scope(user: str) -> str:
    current = contextvars.ContextVar(f"user_{user}")
    current.set(user)
    return current.get()


@leak("ContextVar|[Cc]ontext", at=[enter_scope], blocks=3)
def context_variable_for_each_call() -> Callable[[], Any]:
    """A context variable is made in a function, and set in the context of the thread."""
    return lambda: enter_scope(ticket())


def visit(page: str) -> int:
    TRAIL.set((*TRAIL.get(), page))
    return len(TRAIL.get())


@leak("(?i)trail|str|tuple", at=[(HERE, "TRAIL"), visit])
def value_of_a_context_variable() -> Iterator[Callable[[], Any]]:
    """The tuple that a context variable holds is replaced by a longer one each time."""
    yield lambda: visit(ticket())
    TRAIL.set(())


LIBC = ctypes.CDLL(None)
LIBC.malloc.restype = ctypes.c_void_p
LIBC.malloc.argtypes = [ctypes.c_size_t]
LIBC.free.argtypes = [ctypes.c_void_p]


@leak("(?i)native", bare=True)
def malloc_without_free() -> Iterator[Callable[[], Any]]:
    """A library in C allocates 64 KiB for each image and frees none."""
    images = Images()
    yield images.decode
    images.free()


class Images:
    """A decoder that counts its images in the first bytes of each."""

    def __init__(self) -> None:
        self.chain = 0  # each block begins with the address of the one before

    def decode(self) -> None:
        block = LIBC.malloc(64 * 1024)
        ctypes.memset(block, 1, 64 * 1024)
        ctypes.c_void_p.from_address(block).value = self.chain or None
        self.chain = block

    def free(self) -> None:
        while self.chain:
            block, self.chain = self.chain, ctypes.c_void_p.from_address(self.chain).value or 0
            LIBC.free(block)


class Frame:
    """A picture whose counter of references an extension module raises and never lowers."""

    taken: ClassVar[weakref.WeakSet[Frame]] = weakref.WeakSet()

    def __init__(self) -> None:
        self.pixels = [1.5, 2.5]
        Frame.taken.add(self)


def take_frame() -> None:
    frame = Frame()
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(frame))


@leak("Frame", at=[Frame], blocks=2)
def reference_lost_in_c() -> Iterator[Callable[[], Any]]:
    """An extension module takes a reference too many: nobody holds the object."""
    yield take_frame
    for frame in list(Frame.taken):
        ctypes.pythonapi.Py_DecRef(ctypes.py_object(frame))


@leak("sys.modules|module", at=[], blocks=3)
def modules_made_at_run_time() -> Iterator[Callable[[], Any]]:
    """Each template becomes a module in sys.modules."""

    def load() -> None:
        name = f"leaks_template_{ticket()}"
        module = sys.modules[name] = types.ModuleType(name)
        module.render = lambda: name

    yield load
    for name in [each for each in sys.modules if each.startswith("leaks_template_")]:
        del sys.modules[name]


def build_initializer(fields: list[str]) -> Callable[..., Any]:
    name = f"<generated init {ticket()}>"
    source = f"def init(self, {', '.join(fields)}):\n    pass\n"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    scope: dict[str, Any] = {}
    exec(compile(source, name, "exec"), scope)
    return scope["init"]


@leak("linecache", "cache", at=linecache, blocks=3)
def sources_in_linecache() -> Iterator[Callable[[], Any]]:
    """Generated code enters its source into linecache, as attrs and IPython do."""
    yield lambda: build_initializer(["a", "b"]).__name__
    for name in [each for each in linecache.cache if each.startswith("<generated init")]:
        del linecache.cache[name]


@leak("sys.path|path", at=[], bare=True)
def folder_added_to_the_path() -> Iterator[Callable[[], Any]]:
    """Each load of a plugin adds the same folder to sys.path."""
    before = list(sys.path)
    yield lambda: sys.path.append("/srv/plugins")
    sys.path[:] = before


@leak("environ", at=[], blocks=2)  # os.environ is a view of a dict of the module posix
def variables_of_the_environment() -> Iterator[Callable[[], Any]]:
    """Each job passes its options on in a variable of the environment."""

    def run() -> None:
        os.environ[f"LEAKS_JOB_{ticket()}"] = "verbose"

    yield run
    for name in [each for each in os.environ if each.startswith("LEAKS_JOB_")]:
        del os.environ[name]


@functools.singledispatch
def show(value: object) -> str:
    return str(value)


@leak("show|registry", at=[show, functools.singledispatch], blocks=4)
def types_in_a_dispatcher() -> Iterator[Callable[[], Any]]:
    """Types made at run time are registered with singledispatch."""

    def define() -> None:
        record = type("Record", (), {})
        show.register(record, lambda value: "record")

    known = set(show.registry)
    yield define
    registry = next(c.cell_contents for c in show.register.__closure__ if isinstance(c.cell_contents, dict))
    for each in set(registry) - known:
        del registry[each]
    show._clear_cache()
