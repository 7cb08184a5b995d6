"""Each source, reached in each way: the observed count is the true one. Writes the table of docs/sources.md."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_perfguard.probes.queries import QueryProbe
from tests.services.conftest import require
from tests.services.sources import CASES, STATEMENTS, Case

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "sources.md"
BEGIN, END = "<!-- table of sources -->", "<!-- end of table -->"
PROBE = QueryProbe(ROOT)


def count(block: Callable[[], object]) -> int:
    """Return how many statements were seen in a block."""
    token = PROBE.start()
    try:
        block()
    finally:
        reading = PROBE.stop(token)
    assert not [note for note in reading.notes if note.undermines], reading.notes
    for statement in reading.queries.statements:
        if statement.kind in ("read", "write"):
            assert statement.function.startswith("tests/services/sources.py:"), statement
    return reading.values["queries"]


def in_thread(call: Callable[[], object]) -> Callable[[], object]:
    """Return what makes `call` in a thread, and raises what it raised."""

    def run() -> object:
        found: list[object] = []

        def carry_out() -> None:
            try:
                found.append(call())
            except BaseException as error:  # noqa: BLE001
                found.append(error)

        thread = threading.Thread(target=carry_out)
        thread.start()
        thread.join()
        if isinstance(found[0], BaseException):
            raise found[0]
        return found[0]

    return run


def in_pool(call: Callable[[], object]) -> object:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def in_executor(call: Callable[[], object]) -> object:
    async def main() -> object:
        return await asyncio.get_running_loop().run_in_executor(None, call)

    return asyncio.run(main())


def whole(case: Case, opener: Callable[[], object] | None = None) -> Callable[[], object]:
    """Return what opens a connection, asks by it and closes it."""
    opener = opener or case.open
    if not case.is_async:

        def run() -> None:
            connection = opener()
            try:
                case.ask(connection)
            finally:
                case.close(connection)

        return run

    async def main() -> None:
        connection = await opener()
        try:
            await case.ask(connection)
        finally:
            await case.close(connection)

    return lambda: asyncio.run(main())


def opened_before(case: Case) -> int:
    if not case.is_async:
        connection = case.open()
        try:
            return count(lambda: case.ask(connection))
        finally:
            case.close(connection)

    async def main() -> int:
        connection = await case.open()
        token = PROBE.start()
        try:
            await case.ask(connection)
        finally:
            reading = PROBE.stop(token)
            await case.close(connection)
        return reading.values["queries"]

    return asyncio.run(main())


def as_tasks(case: Case) -> int:
    async def one() -> None:
        connection = await case.open()
        try:
            await case.ask(connection)
        finally:
            await case.close(connection)

    async def main() -> None:
        await asyncio.gather(one(), one())

    return count(lambda: asyncio.run(main()))


def ways(case: Case) -> dict[str, tuple[int, int]]:
    """Return the observed and the true count for each way."""
    assert case.early is not None
    opener = case.early()
    found = {
        "in the block": (count(whole(case)), STATEMENTS),
        "early import": (count(whole(case, opener)), STATEMENTS),
        "open before": (opened_before(case), STATEMENTS),
        "thread": (count(in_thread(whole(case))), STATEMENTS),
        "thread pool": (count(lambda: in_pool(whole(case))), STATEMENTS),
    }
    if case.is_async:
        found["tasks"] = (as_tasks(case), 2 * STATEMENTS)
    else:
        found["run_in_executor"] = (count(lambda: in_executor(whole(case))), STATEMENTS)
    return found


COLUMNS = ("in the block", "early import", "open before", "thread", "thread pool", "run_in_executor", "tasks")


def row(case: Case, found: dict[str, tuple[int, int]]) -> str:
    cells = [f"{found[way][0]} of {found[way][1]}" if way in found else "" for way in COLUMNS]
    return f"| {case.name} | {'async' if case.is_async else 'sync'} | {' | '.join(cells)} |"


ids = [f"{case.name}{', async' if case.is_async else ''}" for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_what_is_seen_is_what_was_made(case):
    if not case.installed:
        pytest.skip(f"{case.name} is not installed")
    if case.service:
        require(case.service)
    found = ways(case)
    assert {way: seen for way, (seen, _) in found.items()} == {way: true for way, (_, true) in found.items()}
    if os.environ.get("PERFGUARD_WRITE_DOCS") == "1":
        write(row(case, found))
    else:
        assert row(case, found) in PAGE.read_text(encoding="utf-8"), f"PERFGUARD_WRITE_DOCS=1 pytest {__file__}"


def write(line: str) -> None:
    """Put a row into the table, in the order of the cases."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    table, _, tail = rest.partition(END)
    heading = [
        f"| source | | {' | '.join(COLUMNS)} |",
        f"|---|---|{'---|' * len(COLUMNS)}",
    ]
    rows = {each.split("|")[1] + each.split("|")[2]: each for each in table.strip().splitlines()[2:]}
    rows[line.split("|")[1] + line.split("|")[2]] = line
    order = [f" {case.name}  {'async' if case.is_async else 'sync'} " for case in CASES]
    ordered = [rows[key] for key in order if key in rows]
    body = "\n".join([*heading, *ordered])
    PAGE.write_text(f"{head}{BEGIN}\n{body}\n{END}{tail}", encoding="utf-8")
