"""Leaks through libraries: sessions, engines and listeners of SQLAlchemy, hooks of requests, arrays of NumPy."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import requests
import sqlalchemy as sa
from sqlalchemy import event, orm
from sqlalchemy.util import ScopedRegistry

from tests.leaks.catalogue import Catalogue
from tests.leaks.leaking_state import ticket

# Where there is a database, only one block can be asked for: see leaking_django.
LIBRARIES = Catalogue("libraries")
leak = LIBRARIES.leak
HERE = sys.modules[__name__]

ENGINES: dict[str, sa.Engine] = {}


class Base(orm.DeclarativeBase):
    """Tables of these cases."""


class Order(Base):
    """A row."""

    __tablename__ = "orders"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str]


def connect() -> sa.Engine:
    """Return an engine for a database of its own in memory, with an empty table and a row."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
    Base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        session.add(Order(name="first"))
        session.commit()
    return engine


class Desk:
    """Sessions by request, through a registry."""

    def __init__(self, engine: sa.Engine) -> None:
        self.request = ""
        self.session = orm.scoped_session(orm.sessionmaker(engine), scopefunc=lambda: self.request)

    def handle(self, request: str) -> int:
        self.request = request
        return self.session.scalar(sa.select(sa.func.count()).select_from(Order))


@leak("registry|Session", at=[Desk, ScopedRegistry, orm.scoped_session], blocks=10)
def scoped_sessions_not_removed() -> Iterator[Callable[[], Any]]:
    """A scoped_session by request is never told remove()."""
    engine = connect()
    desk = Desk(engine)
    yield lambda: desk.handle(ticket())
    for session in desk.session.registry.registry.values():
        session.close()
    engine.dispose()


class Importer:
    """Adds rows to a session and counts on somebody else to commit."""

    def __init__(self, engine: sa.Engine) -> None:
        self.session = orm.Session(engine, autoflush=False)

    def load(self, name: str) -> None:
        self.session.add(Order(name=name))


@leak("Importer|_new|Session", "Order|_new", at=[Importer, orm.Session, Order])
def session_that_is_never_flushed() -> Iterator[Callable[[], Any]]:
    """Rows are added to a long session and neither flushed nor expunged."""
    engine = connect()
    importer = Importer(engine)
    yield lambda: importer.load(ticket())
    importer.session.close()
    engine.dispose()


class Store:
    """Loads orders and keeps them, and so what the session would let go."""

    def __init__(self, engine: sa.Engine) -> None:
        self.session = orm.Session(engine)
        self.loaded: list[Order] = []

    def add(self, name: str) -> int:
        order = Order(name=name)
        self.session.add(order)
        self.session.commit()
        self.loaded.append(order)
        return order.id


@leak("Store", "loaded", at=Store)
def rows_kept_in_a_list() -> Iterator[Callable[[], Any]]:
    """Rows that were saved are kept, with their state in the session."""
    engine = connect()
    store = Store(engine)
    yield lambda: store.add("n")
    store.session.close()
    engine.dispose()


def traced(engine: sa.Engine, request: str) -> int:
    """Count the statements of a request with a listener that stays."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    with engine.connect() as connection:
        connection.execute(sa.text("select 1"))
    return len(statements)


@leak("listeners|note|_key_to_collection|_stored_in_collection", at=[traced, event.registry, event.attr], blocks=5)
def listeners_of_an_engine() -> Iterator[Callable[[], Any]]:
    """Each request listens to the engine and never stops."""
    engine = connect()
    yield lambda: traced(engine, "r")
    engine.dispose()


@leak("ENGINES", at=(HERE, "ENGINES"), blocks=20)
def engine_for_each_tenant() -> Iterator[Callable[[], Any]]:
    """Engines are kept by an address that is different each time."""

    def engine_of(tenant: str) -> sa.Engine:
        return ENGINES.setdefault(tenant, sa.create_engine("sqlite://"))

    yield lambda: engine_of(ticket()).name
    ENGINES.clear()


class Client:
    """Calls out with one session of requests."""

    def __init__(self) -> None:
        self.http = requests.Session()
        self.calls = itertools.count()

    def prepare(self, token: str) -> str:
        def check(response: Any, **_options: Any) -> None:
            response.headers["token"] = token

        self.http.hooks["response"].append(check)
        return self.http.prepare_request(requests.Request("GET", "http://shop.example/")).url


@leak("hooks|Client|check", at=[Client, requests.Session], blocks=3)
def hooks_of_a_session() -> Iterator[Callable[[], Any]]:
    """Each call adds a hook to a session of requests."""
    client = Client()
    yield lambda: client.prepare(ticket())
    client.http.close()
