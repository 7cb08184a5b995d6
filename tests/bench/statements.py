"""Executes statements on an SQLite database in memory and says what each took, with a recorder on and off; one process.

    turns WORKLOAD TURNS SIZE      batches of each recorder in turn, and without one
    after WORKLOAD RECORDER SIZE   batches before a recorded one and after it

Prints JSON; times are nanoseconds of processor time.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

ROWS = 50
COLUMNS = ("state", "currency", "note", "placed", "shipped", "paid", "phone", "street", "city", "country")
SELECT = f"SELECT id, total, {', '.join(COLUMNS)} FROM orders WHERE id = ? AND state = ?"
PEERS = str(Path(sys.prefix) / "peers")
"""Where `make bench` installs pytest-queryguard, which loads itself into every run of pytest."""
BATCHES = 15
"""Batches on each side of a recorded one."""

Batch = Callable[[int], None]
"""Executes so many statements."""


def core() -> Batch:
    """Return a batch of SELECTs by SQLAlchemy's Core."""
    import sqlalchemy as sa

    engine, orders, _ = _sqlalchemy()
    statement = sa.select(orders).where(orders.c.id == sa.bindparam("key"), orders.c.state == "open")

    def batch(size: int) -> None:
        with engine.connect() as connection:
            for number in range(size):
                list_orders(lambda key=number % ROWS: connection.execute(statement, {"key": key}).all())

    return batch


def orm() -> Batch:
    """Return a batch of SELECTs by SQLAlchemy's ORM."""
    import sqlalchemy as sa
    from sqlalchemy.orm import Session

    engine, _, order = _sqlalchemy()

    def batch(size: int) -> None:
        with Session(engine) as session:
            for number in range(size):
                key = number % ROWS
                query = sa.select(order).where(order.id == key, order.state == "open")
                list_orders(lambda query=query: session.scalars(query).all())

    return batch


def sqlite() -> Batch:
    """Return a batch of SELECTs by sqlite3."""
    import sqlite3

    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute(f"CREATE TABLE orders (id INTEGER PRIMARY KEY, total REAL, {' TEXT, '.join(COLUMNS)} TEXT)")
    places = ", ".join("?" * (len(COLUMNS) + 2))
    connection.executemany(
        f"INSERT INTO orders VALUES ({places})", [(key, key * 1.5, *["open"] * len(COLUMNS)) for key in range(ROWS)]
    )

    def batch(size: int) -> None:
        for number in range(size):
            list_orders(lambda key=number % ROWS: connection.execute(SELECT, (key, "open")).fetchall())

    return batch


def django() -> Batch:
    """Return a batch of SELECTs by Django's ORM."""
    from django import setup
    from django.conf import settings

    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}, USE_TZ=True, DEBUG=False
    )
    setup()
    from django.db import connection, models

    fields: dict[str, Any] = {name: models.TextField() for name in COLUMNS}
    meta = type("Meta", (), {"app_label": "bench", "db_table": "orders"})
    model: Any = type(
        "Order", (models.Model,), {**fields, "total": models.FloatField(), "Meta": meta, "__module__": __name__}
    )
    with connection.schema_editor() as editor:
        editor.create_model(model)
    model.objects.bulk_create(model(id=key, total=key * 1.5, **dict.fromkeys(COLUMNS, "open")) for key in range(ROWS))

    def batch(size: int) -> None:
        for number in range(size):
            list_orders(lambda key=number % ROWS: list(model.objects.filter(id=key, state="open")))

    return batch


def _sqlalchemy() -> tuple[Any, Any, Any]:
    import sqlalchemy as sa
    from sqlalchemy.orm import DeclarativeBase

    class Base(DeclarativeBase):
        pass

    columns: dict[str, Any] = {name: sa.Column(sa.Text) for name in COLUMNS}
    key = sa.Column("id", sa.Integer, primary_key=True)
    order: Any = type("Order", (Base,), {"__tablename__": "orders", "id": key, "total": sa.Column(sa.Float), **columns})
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    Base.metadata.create_all(engine)
    rows = [{"id": key, "total": key * 1.5, **dict.fromkeys(COLUMNS, "open")} for key in range(ROWS)]
    with engine.begin() as connection:
        connection.execute(sa.insert(order), rows)
    return engine, order.__table__, order


def list_orders(query: Callable[[], list[Any]]) -> list[Any]:
    """Ask, as a function of the code under test that a test calls does."""
    return query()


WORKLOADS: dict[str, Callable[[], Batch]] = {"core": core, "orm": orm, "sqlite3": sqlite, "django": django}


@contextmanager
def nothing(size: int) -> Iterator[None]:
    """Record nothing."""
    yield


@contextmanager
def perfguard(size: int) -> Iterator[None]:
    """Record by our probe, as a budget on queries does."""
    from pytest_perfguard.probes.queries import QueryProbe

    probe = QueryProbe()
    recording = probe.start()
    yield
    check(probe.stop(recording).values["queries"], size)


@contextmanager
def queryguard(size: int) -> Iterator[None]:
    """Record by pytest-queryguard's `record_queries`."""
    sys.path.append(PEERS)
    from pytest_queryguard import record_queries

    with record_queries() as log:
        yield
    check(log.count, size)


@contextmanager
def captured(size: int) -> Iterator[None]:
    """Record by Django's `CaptureQueriesContext`."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    connection.queries_log.clear()  # it holds 9,000, and a test does not begin with a full one
    with CaptureQueriesContext(connection) as context:
        yield
    check(len(context), size)


def check(seen: int, size: int) -> None:
    """Raise unless every statement was seen: a recorder that misses some is cheap."""
    if seen != size:
        raise RuntimeError(f"{seen} statements of {size} were seen")


def remove_queryguard() -> None:
    """Take away the listeners that pytest-queryguard leaves for the rest of the process."""
    from pytest_queryguard import listeners
    from sqlalchemy import Engine, event
    from sqlalchemy.orm import Session

    for target, name, handler in (
        (Session, "do_orm_execute", listeners._on_orm_execute),
        (Session, "after_begin", listeners._on_after_begin),
        (Session, "after_flush", listeners._on_after_flush),
        (Engine, "before_cursor_execute", listeners._on_cursor_execute),
        (Engine, "after_cursor_execute", listeners._on_timing_after),
    ):
        event.remove(target, name, handler)
    Engine._has_events = False
    listeners._installed = False


RECORDERS: dict[str, Callable[[int], AbstractContextManager[None]]] = {
    "nothing": nothing, "perfguard": perfguard, "pytest-queryguard": queryguard, "CaptureQueriesContext": captured,
}  # fmt: skip
CONTESTS = {
    "core": ("nothing", "perfguard", "pytest-queryguard"),
    "orm": ("nothing", "perfguard", "pytest-queryguard"),
    "sqlite3": ("nothing", "perfguard"),
    "django": ("nothing", "perfguard", "CaptureQueriesContext"),
}


def measure(batch: Batch, name: str, size: int) -> tuple[float, float]:
    """Return what a statement took in a block of the recorder, and what the end of the block took, in nanoseconds."""
    from pytest_perfguard.measure.loop import repeat_call

    run = repeat_call(batch, (size,), {})  # as `perf` calls what it measures: code of the user's ends there
    gc.collect()
    block = RECORDERS[name](size)
    block.__enter__()
    began = time.process_time_ns()
    run(1)
    ended = time.process_time_ns()
    block.__exit__(None, None, None)
    closed = time.process_time_ns()
    if name == "pytest-queryguard":
        remove_queryguard()
    return (ended - began) / size, closed - ended


def take_turns(workload: str, turns: int, size: int) -> dict[str, list[tuple[float, float]]]:
    """Return for each recorder what `measure` does, of each turn: the mean of two batches, there and back."""
    # As a run with budgets does, before the fixtures that open connections.
    import sqlite3  # noqa: F401 - what is loaded is watched

    from pytest_perfguard.probes.queries import watch_connections

    end = watch_connections()
    batch = WORKLOADS[workload]()
    names = CONTESTS[workload]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for name in names:  # caches are filled, code is specialised
        measure(batch, name, size)
    for turn in range(turns):
        order = [names[(turn + place) % len(names)] for place in range(len(names))]
        there = {name: measure(batch, name, size) for name in order}
        for name in reversed(order):
            back = measure(batch, name, size)
            found[name].append(((there[name][0] + back[0]) / 2, (there[name][1] + back[1]) / 2))
    end()
    return found


def compare_after(workload: str, name: str, size: int) -> dict[str, Any]:
    """Return what a statement takes, how much longer after a recorded block, and what the block left changed."""
    batch = WORKLOADS[workload]()
    load(workload)
    for _ in range(3):
        batch(size)
    before = [measure(batch, "nothing", size)[0] for _ in range(BATCHES)]
    attributes = snapshot()
    with RECORDERS[name](size):
        batch(size)
    now = snapshot()
    changed = [key for key in attributes.keys() | now.keys() if attributes.get(key, batch) is not now.get(key, batch)]
    after = [measure(batch, "nothing", size)[0] for _ in range(BATCHES)]
    taken = statistics.median(before)
    return {"before": taken, "more": statistics.median(after) - taken, "changed": changed}


def load(workload: str) -> None:
    """Import what the recorders of a workload need: also in a process without one, and not between before and after."""
    import pytest_perfguard.probes.queries  # noqa: F401

    if workload == "django":
        import django.test.utils  # noqa: F401
    elif workload != "sqlite3":
        sys.path.append(PEERS)
        import pytest_queryguard.listeners  # noqa: F401


def snapshot() -> dict[str, Any]:
    """Return the attributes of the classes that recorders change, SQLAlchemy's `_has_events` among them."""
    places = (
        ("sqlalchemy.engine.base", ("Engine", "Connection")),
        ("sqlalchemy.engine.interfaces", ("Dialect",)),
        ("sqlalchemy.engine.default", ("DefaultDialect",)),
        ("sqlalchemy.engine.events", ("DialectEvents",)),
        ("sqlalchemy.orm.session", ("Session",)),
        ("sqlalchemy.pool.base", ("Pool", "_ConnectionRecord", "_ConnectionFairy")),
        ("django.db.backends.utils", ("CursorWrapper",)),
        ("django.db.backends.base.base", ("BaseDatabaseWrapper",)),
    )
    found = {
        f"{module}.{owner}.{name}": value
        for module, owners in places
        if module in sys.modules
        for owner in owners
        for name, value in vars(getattr(sys.modules[module], owner)).items()
    }
    return found | {"sqlite3.connect": sys.modules["sqlite3"].connect} if "sqlite3" in sys.modules else found


def main() -> None:
    """Do what the arguments say."""
    command, workload, what, size = sys.argv[1:]
    found: Any = (
        take_turns(workload, int(what), int(size))
        if command == "turns"
        else compare_after(workload, what, int(size))
    )  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main()
