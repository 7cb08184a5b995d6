"""Sixteen workloads from a microsecond to tens of milliseconds, each bound by something else."""

from __future__ import annotations

import copy
import decimal
import hashlib
import json
import random
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Measure = Callable[..., Any]

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


def test_tiny(measure: Measure, units: int) -> None:
    """Some three microseconds: steps of a loop, and the only one where the call itself is more than 1 % of the time."""

    def work() -> int:
        total = 0
        for unit in range(units):
            total = total * 3 & 255 ^ unit
        return total

    measure(work)


def test_json(measure: Measure, units: int) -> None:
    def work() -> None:
        for _ in range(units):
            json.loads(json.dumps(DOCUMENT))

    measure(work)


def test_sort(measure: Measure, units: int) -> None:
    def work() -> None:
        for _ in range(units):
            sorted(NUMBERS)

    measure(work)


def test_count_words(measure: Measure, units: int) -> None:
    """A dict of texts, whose order in memory depends on the hash seed of the process."""

    def work() -> dict[str, int]:
        counts: dict[str, int] = {}
        for _ in range(units):
            for word in WORDS:
                counts[word] = counts.get(word, 0) + 1
        return counts

    measure(work)


def test_regex(measure: Measure, units: int) -> None:
    def work() -> None:
        for _ in range(units):
            LOG_LINE.findall(LOG)

    measure(work)


def test_join_and_split(measure: Measure, units: int) -> None:
    def work() -> None:
        for _ in range(units):
            ",".join(PARTS).upper().split(",")

    measure(work)


def test_sqlite(measure: Measure, units: int) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("create table orders (id integer primary key, customer integer, total real)")
    rows = [(number, number % 50, number * 1.5) for number in range(1000)]
    connection.executemany("insert into orders values (?, ?, ?)", rows)
    connection.execute("create index by_customer on orders (customer)")

    def work() -> None:
        for unit in range(units):
            connection.execute("select id, total from orders where customer = ?", (unit % 50,)).fetchall()

    try:
        measure(work)
    finally:
        connection.close()


def test_matrix_product(measure: Measure, units: int) -> None:
    def work() -> None:
        for _ in range(units):
            MATRIX @ MATRIX

    measure(work)


def test_recursion(measure: Measure, units: int) -> None:
    def fibonacci(number: int) -> int:
        return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)

    def work() -> None:
        for _ in range(units):
            fibonacci(9)

    measure(work)


def test_many_small_objects(measure: Measure, units: int) -> None:
    """Bound by the allocator and by where its blocks lie, which differs from process to process."""

    class Point:
        def __init__(self, x: int, y: int) -> None:
            self.x = x
            self.y = y

    def work() -> list[Point]:
        kept: list[Point] = []
        for unit in range(units):
            kept.extend([Point(unit, number) for number in range(30)])
        return kept

    measure(work)


def test_hash(measure: Measure, units: int) -> None:
    def work() -> None:
        for _ in range(units):
            hashlib.sha256(BLOCK).digest()

    measure(work)


def test_file(measure: Measure, units: int, tmp_path: Path) -> None:
    """Written in place: some file systems flush what is truncated and written again, which is the disk's time."""
    path = tmp_path / "block"
    path.write_bytes(BLOCK)

    def work() -> None:
        for _ in range(units):
            with path.open("r+b") as file:
                file.write(BLOCK)
            path.read_bytes()

    measure(work)


def test_deepcopy(measure: Measure, units: int) -> None:
    def work() -> None:
        for _ in range(units):
            copy.deepcopy(TREE)

    measure(work)


def test_decimal(measure: Measure, units: int) -> None:
    def work() -> None:
        for unit in range(units):
            (PRICE * unit / 3).quantize(PRICE)

    measure(work)


def test_exceptions(measure: Measure, units: int) -> None:
    def check(number: int) -> None:
        raise ValueError(f"{number} is not allowed")

    def work() -> int:
        refused = 0
        for unit in range(units):
            try:
                check(unit)
            except ValueError:
                refused += 1
        return refused

    measure(work)


def test_long_loop(measure: Measure, units: int) -> None:
    """Some thirty milliseconds of plain Python."""

    def work() -> int:
        total = 0
        for _ in range(units):
            for number in range(5_000):
                total += number * number % 7
        return total

    measure(work)
