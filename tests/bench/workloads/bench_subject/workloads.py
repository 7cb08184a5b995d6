"""Sixteen workloads from a microsecond to tens of milliseconds, each bound by something else.

Each is a context that gives a function without arguments: `units` equal pieces of work, of which the last costs what
the first does, so that the time is linear in their number. What a call costs beside them is less than 1 % of the time,
but for `tiny`; truth.py measures it.
"""

from __future__ import annotations

import contextlib
import copy
import decimal
import hashlib
import json
import random
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

Work = Callable[[], object]

DICE = random.Random(1)
DOCUMENT = {"id": 17, "name": "a name", "tags": ["one", "two", "three"], "sizes": [1.5, 2.25, 3.125], "more": None}
NUMBERS = [DICE.random() for _ in range(200)]
WORDS = [f"word{DICE.randrange(400)}" for _ in range(100)]
LOG_LINE = re.compile(r"(\d+)-(\d+)-(\d+) (\w+): (.*?) took (\d+) ms")
LOG = "2024-01-31 INFO: the request for orders took 17 ms\n" * 4
PARTS = [f"part-{number}" for number in range(50)]
MATRIX = np.linspace(0.0, 1.0, 24 * 24).reshape(24, 24)
BLOCK = bytes(4096)
TREE = {"children": [{"name": f"child {number}", "values": [number, number + 1]} for number in range(3)]}
PRICE = decimal.Decimal("19.99")


@contextlib.contextmanager
def tiny(units: int, folder: Path) -> Iterator[Work]:
    """Two steps of a loop for each unit, a microsecond in all: the call around them is some 6 % of the time."""
    steps = (None,) * (2 * units)

    def work() -> None:
        for step in steps:
            step  # noqa: B018 - the least that a step can do

    yield work


@contextlib.contextmanager
def encode(units: int, folder: Path) -> Iterator[Work]:
    """JSON to text and back."""

    def work() -> None:
        for _ in range(units):
            json.loads(json.dumps(DOCUMENT))

    yield work


@contextlib.contextmanager
def sort(units: int, folder: Path) -> Iterator[Work]:
    """One function of the interpreter, in C."""

    def work() -> None:
        for _ in range(units):
            sorted(NUMBERS)

    yield work


@contextlib.contextmanager
def count_words(units: int, folder: Path) -> Iterator[Work]:
    """A dict of texts, whose order in memory depends on the hash seed of the process."""

    def work() -> None:
        for _ in range(units):
            counts: dict[str, int] = {}
            for word in WORDS:
                counts[word] = counts.get(word, 0) + 1

    yield work


@contextlib.contextmanager
def regex(units: int, folder: Path) -> Iterator[Work]:
    """A regular expression with a group that tries and fails."""

    def work() -> None:
        for _ in range(units):
            LOG_LINE.findall(LOG)

    yield work


@contextlib.contextmanager
def join_and_split(units: int, folder: Path) -> Iterator[Work]:
    """Short texts, made and dropped."""

    def work() -> None:
        for _ in range(units):
            ",".join(PARTS).upper().split(",")

    yield work


@contextlib.contextmanager
def sqlite(units: int, folder: Path) -> Iterator[Work]:
    """A query by an index; each customer has as many orders."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("create table orders (id integer primary key, customer integer, total real)")
        rows = [(number, number % 50, number * 1.5) for number in range(1000)]
        connection.executemany("insert into orders values (?, ?, ?)", rows)
        connection.execute("create index by_customer on orders (customer)")

        def work() -> None:
            for unit in range(units):
                connection.execute("select id, total from orders where customer = ?", (unit % 50,)).fetchall()

        yield work


@contextlib.contextmanager
def matrix_product(units: int, folder: Path) -> Iterator[Work]:
    """numpy, on matrices that are too small for a second thread."""

    def work() -> None:
        for _ in range(units):
            MATRIX @ MATRIX

    yield work


@contextlib.contextmanager
def recursion(units: int, folder: Path) -> Iterator[Work]:
    """Calls of a Python function by itself."""

    def fibonacci(number: int) -> int:
        return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)

    def work() -> None:
        for _ in range(units):
            fibonacci(9)

    yield work


class Point:
    """An object with a dict of its own, once it is asked for."""

    def __init__(self, x: int, y: int) -> None:
        self.x = x
        self.y = y


@contextlib.contextmanager
def many_small_objects(units: int, folder: Path) -> Iterator[Work]:
    """Bound by the allocator and by where its blocks lie, which differs from process to process.

    They are too few at a time to start a garbage collection, whose share of a call would not grow with the pieces.
    """

    def work() -> None:
        for _ in range(units):
            [Point(number, number) for number in range(300)]

    yield work


@contextlib.contextmanager
def digest(units: int, folder: Path) -> Iterator[Work]:
    """A hash over a block of bytes: arithmetic in C."""

    def work() -> None:
        for _ in range(units):
            hashlib.sha256(BLOCK).digest()

    yield work


@contextlib.contextmanager
def file(units: int, folder: Path) -> Iterator[Work]:
    """Written in place: some file systems flush what is truncated and written again, which is the disk's time."""
    path = folder / "block"
    path.write_bytes(BLOCK)

    def work() -> None:
        for _ in range(units):
            with path.open("r+b") as opened:
                opened.write(BLOCK)
            path.read_bytes()

    yield work


@contextlib.contextmanager
def deepcopy(units: int, folder: Path) -> Iterator[Work]:
    """Library code in Python that asks for many types and dicts."""

    def work() -> None:
        for _ in range(units):
            copy.deepcopy(TREE)

    yield work


@contextlib.contextmanager
def fraction(units: int, folder: Path) -> Iterator[Work]:
    """Decimal arithmetic."""

    def work() -> None:
        for _ in range(units):
            (PRICE * 7 / 3).quantize(PRICE)

    yield work


@contextlib.contextmanager
def exceptions(units: int, folder: Path) -> Iterator[Work]:
    """Raised in one function, caught in another."""

    def check(number: int) -> None:
        raise ValueError(f"{number} is not allowed")

    def work() -> None:
        for _ in range(units):
            with contextlib.suppress(ValueError):
                check(17)

    yield work


@contextlib.contextmanager
def long_loop(units: int, folder: Path) -> Iterator[Work]:
    """Some fifty milliseconds of plain Python."""

    def work() -> None:
        for _ in range(units):
            total = 0
            for number in range(8_000):
                total += number * number % 7

    yield work


WORKLOADS: dict[str, Callable[[int, Path], AbstractContextManager[Work]]] = {
    each.__name__: each
    for each in (
        tiny, encode, sort, count_words, regex, join_and_split, sqlite, matrix_product, recursion, many_small_objects,
        digest, file, deepcopy, fraction, exceptions, long_loop,
    )
}  # fmt: skip
