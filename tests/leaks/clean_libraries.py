"""Clean use of SQLAlchemy, requests and NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import requests
import sqlalchemy as sa
from sqlalchemy import event, orm

from tests.leaks.catalogue import Catalogue
from tests.leaks.leaking_libraries import Order, connect
from tests.leaks.leaking_state import ticket

CLEAN_LIBRARIES = Catalogue("libraries")
clean = CLEAN_LIBRARIES.clean


@clean()
def sessions_closed() -> Iterator[Callable[[], Any]]:
    """A session reads, writes, commits and is closed."""
    engine = connect()

    def work() -> int:
        with orm.Session(engine) as session:
            session.add(Order(name=ticket()))
            session.flush()
            found = len(session.scalars(sa.select(Order).order_by(Order.id)).all())
            session.rollback()
            return found

    yield work
    engine.dispose()


@clean()
def one_session_for_all() -> Iterator[Callable[[], Any]]:
    """A long session adds rows and deletes them; what was committed is let go."""
    engine = connect()
    session = orm.Session(engine)

    def work() -> None:
        order = Order(name=ticket())
        session.add(order)
        session.commit()
        session.delete(order)
        session.commit()

    yield work
    session.close()
    engine.dispose()


@clean()
def scoped_session_removed() -> Iterator[Callable[[], Any]]:
    """A scoped_session is told remove() after each request."""
    engine = connect()
    scoped = orm.scoped_session(orm.sessionmaker(engine), scopefunc=ticket_of_request)

    def work() -> int:
        found = scoped().scalar(sa.select(sa.func.count()).select_from(Order))
        scoped.remove()
        return found

    yield work
    engine.dispose()


def ticket_of_request() -> str:
    return "request 1"


@clean()
def rolled_back() -> Iterator[Callable[[], Any]]:
    """A row that the database refuses is rolled back."""
    engine = connect()

    def work() -> str:
        with orm.Session(engine) as session:
            session.add(Order(id=1, name=ticket()))
            try:
                session.commit()
            except sa.exc.IntegrityError as error:
                return str(error.orig)
        return ""

    yield work
    engine.dispose()


@clean()
def engine_for_each_call() -> Callable[[], Any]:
    """An engine is made, used and disposed of."""

    def work() -> int:
        engine = sa.create_engine("sqlite://")
        with engine.connect() as connection:
            found = connection.execute(sa.text("select 1")).scalar_one()
        engine.dispose()
        return found

    return work


@clean(fills=800)
def new_statements() -> Iterator[Callable[[], Any]]:
    """Statements are of another shape each time: the engine's cache of compiled ones keeps 500 to 750."""
    engine = connect()

    def work() -> int:
        with engine.connect() as connection:
            column = sa.literal_column(f"'{ticket()}'").label("c")  # the names of columns SQLAlchemy keeps, every one
            return connection.execute(sa.select(column)).scalar_one()

    yield work
    engine.dispose()


@clean()
def listener_removed() -> Iterator[Callable[[], Any]]:
    """A listener of the engine is removed after the request."""
    engine = connect()

    def work() -> int:
        statements: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            statements.append(statement)

        event.listen(engine, "before_cursor_execute", note)
        with engine.connect() as connection:
            connection.execute(sa.text("select 1"))
        event.remove(engine, "before_cursor_execute", note)
        return len(statements)

    yield work
    engine.dispose()


@clean()
def tables_of_their_own() -> Callable[[], Any]:
    """Tables are described in metadata that is let go."""

    def work() -> str:
        table = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Text))
        return str(sa.select(table).where(table.c.n == ticket()))

    return work


@clean()
def requests_prepared() -> Iterator[Callable[[], Any]]:
    """Requests are prepared with a session that stays, and with one that is closed."""
    stays = requests.Session()

    def work() -> str:
        request = requests.Request("GET", "http://shop.example/orders", params={"id": ticket()})
        with requests.Session() as session:
            return session.prepare_request(request).url + stays.prepare_request(request).url

    yield work
    stays.close()
