"""Leaks in a program's own state: attributes of services, globals, closures, defaults, and what grows in them."""

from __future__ import annotations

import array
import collections
import heapq
import itertools
import queue
import sys
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tests.leaks.catalogue import Catalogue

STATE = Catalogue("state")
leak = STATE.leak
HERE = sys.modules[__name__]

AUDIT: list[dict[str, Any]] = []
RENDERED: dict[str, str] = {}
PLUGINS: dict[str, type] = {}
HITS: collections.Counter[str] = collections.Counter()


def ticket() -> str:
    """Return a name that there was not before, as requests and users have them."""
    return uuid.uuid4().hex


class Service:
    """Answers requests, each once."""

    def __init__(self) -> None:
        self.answered = 0
        self.seen: set[str] = set()

    def handle(self, request: str) -> bool:
        if request in self.seen:
            return False
        self.seen.add(request)
        return True


@leak("Service", "seen", at=Service)
def service_remembers_requests() -> Callable[[], Any]:
    """A service that answers each request once remembers all of them."""
    service = Service()
    return lambda: service.handle(ticket())


def record(action: str, user: str) -> None:
    AUDIT.append({"action": action, "user": user})


@leak("AUDIT", at=(HERE, "AUDIT"), blocks=2)
def global_audit_list() -> Iterator[Callable[[], Any]]:
    """A list of a module gets an entry for each action."""
    yield lambda: record("login", ticket())
    AUDIT.clear()


def render(template: str) -> str:
    if template not in RENDERED:
        RENDERED[template] = template.replace("{", "<").replace("}", ">")
    return RENDERED[template]


@leak("RENDERED", at=(HERE, "RENDERED"), blocks=2)
def global_memo_without_limit() -> Iterator[Callable[[], Any]]:
    """A memo of a module is keyed by text that is different each time."""
    yield lambda: render("hello {name}, " + ticket())
    RENDERED.clear()


def make_meter() -> Callable[[float], float]:
    """Return a function that gives the mean of all it was told."""
    history = []

    def meter(value: float) -> float:
        history.append(value * 1.5)
        return sum(history) / len(history)

    return meter


@leak("history", at=make_meter)
def closure_keeps_history() -> Callable[[], Any]:
    """A closure keeps all that it was told."""
    meter = make_meter()
    values = itertools.count()
    return lambda: meter(next(values))


def collect(item: str, basket: list[str] = []) -> list[str]:  # noqa: B006
    basket.append(item)
    return basket


@leak("collect", "basket|default", at=collect)
def mutable_default() -> Iterator[Callable[[], Any]]:
    """A default argument is a list that is added to."""

    def shop() -> None:
        collect(ticket())

    yield shop
    collect.__defaults__[0].clear()


def tokenize(text: str) -> list[str]:
    if text not in tokenize.cache:
        tokenize.cache[text] = text.split("-")
    return tokenize.cache[text]


tokenize.cache = {}


@leak("tokenize", "cache", at=[tokenize, (HERE, "tokenize.cache")], blocks=3)
def attribute_of_a_function() -> Iterator[Callable[[], Any]]:
    """A function keeps its results in an attribute of its own."""
    yield lambda: tokenize(f"a-{ticket()}")
    tokenize.cache.clear()


class Tracked:
    """A base class that knows its instances, for an overview that nobody looks at."""

    instances: ClassVar[list[Tracked]] = []

    def __init__(self, name: str) -> None:
        self.name = name
        Tracked.instances.append(self)


@leak("Tracked", "instances", at=Tracked, blocks=2)
def class_attribute_of_instances() -> Iterator[Callable[[], Any]]:
    """A class keeps a list of all its instances."""
    yield lambda: len(Tracked(ticket()).name)
    Tracked.instances.clear()


class Metrics:
    """Durations by tenant."""

    def __init__(self) -> None:
        self.by_tenant: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)

    def observe(self, tenant: str, route: str, seconds: float) -> None:
        self.by_tenant[tenant].append((route, seconds * 1000))


@leak("Metrics", "by_tenant", at=Metrics, blocks=2)
def list_within_a_dict() -> Callable[[], Any]:
    """The list under one key of a dict grows, the dict does not."""
    metrics = Metrics()
    for tenant in ("acme", "globex", "initech"):
        metrics.observe(tenant, "/", 0.1)
    clock = itertools.count(1)
    return lambda: metrics.observe("acme", "/orders", next(clock) / 7)


class Feed:
    """The newest events, of which nobody set how many."""

    def __init__(self) -> None:
        self.recent: deque[tuple[int, str]] = deque()
        self._numbers = itertools.count(1000)

    def publish(self, text: str) -> None:
        self.recent.append((next(self._numbers), text))


@leak("Feed", "recent", at=Feed, blocks=2)
def deque_without_maxlen() -> Callable[[], Any]:
    """A deque of recent events has no maxlen."""
    feed = Feed()
    return lambda: feed.publish("created")


class Recorder:
    """Bytes of a connection, kept to be parsed and never cut."""

    def __init__(self) -> None:
        self.buffer = bytearray()

    def feed(self, data: bytes) -> int:
        self.buffer += data
        return self.buffer.count(b"\n")


@leak("Recorder", "buffer", at=Recorder, bare=True)
def bytearray_grows() -> Callable[[], Any]:
    """A buffer of received bytes is never cut: it stays one block."""
    recorder = Recorder()
    return lambda: recorder.feed(b"PING :server\r\n" * 4)


class Health:
    """Outcomes of all checks."""

    def __init__(self) -> None:
        self.outcomes: list[bool] = []

    def check(self, code: int) -> float:
        self.outcomes.append(code < 500)
        return sum(self.outcomes) / len(self.outcomes)


@leak("Health", "outcomes", at=Health, bare=True)
def list_of_booleans() -> Callable[[], Any]:
    """A list gets True each time: no block is new."""
    health = Health()
    return lambda: health.check(200)


class Histogram:
    """All samples, in an array of doubles."""

    def __init__(self) -> None:
        self.samples = array.array("d")

    def add(self, value: float) -> None:
        self.samples.append(value)


@leak("Histogram", "samples", at=Histogram, bare=True)
def array_grows() -> Callable[[], Any]:
    """An array of numbers grows: it stays one block."""
    histogram = Histogram()
    return lambda: histogram.add(0.25)


def count_visit(user: str) -> int:
    HITS[user] += 1
    return HITS[user]


@leak("HITS", at=(HERE, "HITS"))
def counter_by_user() -> Iterator[Callable[[], Any]]:
    """A Counter of a module has a key for each user there ever was."""
    yield lambda: count_visit(ticket())
    HITS.clear()


@dataclass(slots=True)
class Step:
    """One change, and the one before it."""

    text: str
    before: Step | None


class Editor:
    """A text whose changes can all be undone."""

    def __init__(self) -> None:
        self.last: Step | None = None

    def type(self, text: str) -> None:
        self.last = Step(text, self.last)


@leak("Step", "Editor|Step", at=[Editor, Step])
def linked_list() -> Callable[[], Any]:
    """An undo history without end is linked: no container grows."""
    editor = Editor()
    return lambda: editor.type("x")


@dataclass
class Span:
    """A piece of work within others."""

    name: str
    children: list[Span] = field(default_factory=list)

    def start(self, name: str) -> Span:
        child = Span(name)
        self.children.append(child)
        return child


@leak("Span", "children", at=Span, blocks=3)
def children_of_a_root() -> Callable[[], Any]:
    """Spans of requests stay under a root that never ends."""
    root = Span("process")
    return lambda: root.start(ticket()).name


class Lru:
    """A cache with a limit that is compared with what never is that large."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.entries: collections.OrderedDict[str, bytes] = collections.OrderedDict()

    def get(self, key: str) -> bytes:
        if key not in self.entries:
            self.entries[key] = key.encode()
            if len(key) > self.limit:
                self.entries.popitem(last=False)
        self.entries.move_to_end(key)
        return self.entries[key]


@leak("Lru", "entries", at=Lru, blocks=3)
def lru_that_never_evicts() -> Callable[[], Any]:
    """A home-made LRU cache compares the wrong length with its limit."""
    cache = Lru(64)
    return lambda: cache.get(ticket())


class Bus:
    """Listeners by event."""

    def __init__(self) -> None:
        self.listeners: dict[str, list[Callable[[Any], None]]] = {"order": [], "refund": []}

    def on(self, event: str, listener: Callable[[Any], None]) -> None:
        self.listeners[event].append(listener)


class Dashboard:
    """A page that listens for as long as the bus is there."""

    def __init__(self, bus: Bus) -> None:
        self.orders = 0
        bus.on("order", self.on_order)

    def on_order(self, order: Any) -> None:
        self.orders += 1


@leak("Bus", "listeners", at=Bus, blocks=2)
def listeners_not_removed() -> Callable[[], Any]:
    """Each page that is shown listens to a bus and never stops."""
    bus = Bus()
    return lambda: Dashboard(bus).orders


def register(name: str) -> type:
    PLUGINS[name] = type(f"Plugin_{name[:8]}", (), {"run": lambda self: name})
    return PLUGINS[name]


@leak("PLUGINS", at=(HERE, "PLUGINS"), blocks=4)
def classes_in_a_registry() -> Iterator[Callable[[], Any]]:
    """Classes made at run time stay in a registry."""
    yield lambda: register(ticket()).__name__
    PLUGINS.clear()


class Worker:
    """Puts results into a queue that nobody reads."""

    def __init__(self) -> None:
        self.results: queue.Queue[dict[str, Any]] = queue.Queue()

    def work(self, number: int) -> None:
        self.results.put({"number": number, "state": "done"})


@leak("Worker", "results", at=Worker)
def queue_that_nobody_reads() -> Callable[[], Any]:
    """Results are put into a queue that nobody reads."""
    worker = Worker()
    return lambda: worker.work(7)


class Scheduler:
    """Timers in a heap; cancelling one only marks it."""

    def __init__(self) -> None:
        self.timers: list[tuple[float, int, dict[str, Any]]] = []
        self._numbers = itertools.count()

    def later(self, when: float) -> dict[str, Any]:
        timer = {"cancelled": False}
        heapq.heappush(self.timers, (when, next(self._numbers), timer))
        return timer


@leak("Scheduler", "timers", at=Scheduler, blocks=2)
def cancelled_timers() -> Callable[[], Any]:
    """Cancelled timers stay in the heap until the hour comes that they were set for."""
    scheduler = Scheduler()
    return lambda: scheduler.later(3600.0).update(cancelled=True)


class Settings:
    """Values as attributes, also those that only one request needs."""


@leak("Settings", at=Settings, blocks=2)
def attributes_of_an_object() -> Callable[[], Any]:
    """Each request sets an attribute of its own on a shared object."""
    settings = Settings()
    return lambda: setattr(settings, f"flag_{ticket()}", object())


class Errors:
    """What went wrong, for a page that shows the newest few."""

    def __init__(self) -> None:
        self.caught: list[Exception] = []

    def run(self, work: Callable[[], Any]) -> None:
        try:
            work()
        except ValueError as error:
            self.caught.append(error)


@leak("Errors", "caught", at=Errors, blocks=3)
def exceptions_with_tracebacks() -> Callable[[], Any]:
    """Exceptions are kept, with their tracebacks and the frames' variables."""
    errors = Errors()

    def parse() -> int:
        row = [ticket(), ticket()]
        return int(row[0] + "x")

    return lambda: errors.run(parse)


class Pipeline:
    """Reads a chunk of each stream and leaves the rest for later."""

    def __init__(self) -> None:
        self.open: list[Iterator[str]] = []

    def peek(self, name: str) -> str:
        stream = (f"{name}:{line}" for line in range(1000, 2000))
        self.open.append(stream)
        return next(stream)


@leak("Pipeline", "open", at=Pipeline, blocks=2)
def generators_left_open() -> Callable[[], Any]:
    """Generators that were begun are kept and never ended."""
    pipeline = Pipeline()
    return lambda: pipeline.peek("log")
