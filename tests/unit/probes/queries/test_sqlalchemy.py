from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.engine.events import DialectEvents
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.orm.unitofwork import UOWTransaction
from sqlalchemy.pool import Pool

from pytest_perfguard.model import StatementKind as Kind
from pytest_perfguard.probes.queries import QueryProbe
from pytest_perfguard.probes.queries.sources.sqlalchemy import with_subclasses

ROOT = Path(__file__).parents[4]
HERE = Path(__file__).relative_to(ROOT).as_posix()
PROBE = QueryProbe(ROOT)


class Base(orm.DeclarativeBase):
    pass


class Parent(Base):
    __tablename__ = "parent"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    children: orm.Mapped[list[Child]] = orm.relationship()


class Child(Base):
    __tablename__ = "child"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    parent_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("parent.id"))


def make_engine():
    engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)
    Base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        session.add_all(Parent(id=number, children=[Child(), Child()]) for number in range(1, 5))
        session.commit()
    return engine


@pytest.fixture
def engine():
    engine = make_engine()
    yield engine
    engine.dispose()


def read(call, *args):
    token = PROBE.start()
    try:
        call(*args)
    finally:
        reading = PROBE.stop(token)
    return reading


def list_children(engine, *options):
    with orm.Session(engine) as session:
        return [len(parent.children) for parent in session.scalars(sa.select(Parent).options(*options))]


def test_lazy_loading_is_one_group_with_many_parameters(engine):
    reading = read(list_children, engine)
    assert reading.values == {"queries": 5, "reads": 5, "writes": 0}
    lazy = reading.queries.statements[0]
    assert (lazy.count, lazy.distinct, lazy.tables) == (4, 4, ("child",))
    assert lazy.function == f"{HERE}:list_children"  # of Python 3.11's comprehension as of 3.12's
    assert (reading.queries.dialect, reading.queries.driver) == ("sqlite", "sqlalchemy+pysqlite")
    assert read(list_children, engine, orm.selectinload(Parent.children)).values["queries"] == 2


@pytest.mark.parametrize("opened", ["before", "in the block"])
def test_outermost_layer_counts_once(engine, opened):
    def call():
        mine = engine if opened == "before" else make_engine()
        with mine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
            connection.exec_driver_sql("SELECT 2")
            # Past SQLAlchemy, on its connection: the layer below sees what the layer above does not.
            connection.connection.driver_connection.execute("SELECT 3, 3")
        if mine is not engine:
            mine.dispose()

    statements = read(call).queries.statements
    found = {statement.fingerprint: statement.count for statement in statements}
    assert found["SELECT ?"] == 2
    assert found["SELECT ?, ?"] == 1


def test_executemany_and_flush_count_as_sqlalchemy_executes_them(engine):
    def many():
        with engine.begin() as connection:
            connection.execute(sa.insert(Parent), [{"id": number} for number in range(10, 20)])

    def flush():
        with orm.Session(engine) as session:
            session.add_all(Parent(id=number) for number in range(20, 30))
            session.commit()

    assert read(many).values["writes"] == 1
    assert read(flush).values["writes"] == 1


def test_savepoints_stand_beside_the_count(engine):
    def call():
        with orm.Session(engine) as session, session.begin_nested(), session.begin_nested():
            session.scalar(sa.select(sa.func.count()).select_from(Parent))

    reading = read(call)
    assert reading.values["queries"] == 1
    savepoint = next(group for group in reading.queries.statements if group.fingerprint == "SAVEPOINT ?")
    assert (savepoint.count, savepoint.kind) == (2, Kind.TRANSACTION)


def test_listeners_of_the_user_are_still_asked(engine):
    def fake(cursor, _statement, _parameters, _context):
        cursor.execute("SELECT 'two'")
        return True

    sa.event.listen(engine, "do_execute", fake)
    token = PROBE.start()
    with engine.connect() as connection:
        value = connection.execute(sa.text("SELECT :x"), {"x": "one"}).scalar()
    assert PROBE.stop(token).values["reads"] == 1
    assert value == "two"


def test_errors_pass_through(engine):
    def call():
        with engine.connect() as connection, pytest.raises(sa.exc.OperationalError, match="missing"):
            connection.execute(sa.text("SELECT a FROM missing"))

    assert read(call).values["reads"] == 1


def attributes():
    kinds = [kind for kind in with_subclasses(Dialect) if kind is not Dialect]
    owners = [*kinds, DialectEvents, UOWTransaction, Pool]
    return [dict(vars(owner)) for owner in owners], set(vars(Dialect)), Dialect.__dict__.get("_has_events")


def test_nothing_is_left_behind(engine):
    def state():
        return attributes(), engine._has_events, engine.dialect._has_events

    before = state()
    execute = DefaultDialect.do_execute
    token = PROBE.start()
    assert DefaultDialect.do_execute is not execute
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
    PROBE.stop(token)
    assert DefaultDialect.do_execute is execute
    assert state() == before


def test_listeners_of_ours_come_with_the_users_and_go(engine):
    def listen(*_args):
        return None

    def listeners():
        return [list(getattr(engine.dialect.dispatch, name)) for name in ("do_execute", "do_executemany")]

    other = make_engine()
    before = attributes()
    sa.event.listen(other, "do_execute", listen)
    try:
        token = PROBE.start()
        assert engine.dialect._has_events
        assert all(listeners())
        PROBE.stop(token)
        assert attributes() == before
        assert not any(listeners())
    finally:
        sa.event.remove(other, "do_execute", listen)
        other.dispose()


def test_a_dialect_that_is_defined_in_the_block_is_seen():
    def call():
        class Own(SQLiteDialect_pysqlite):
            name = "own"
            supports_statement_cache = True

            def do_execute(self, cursor, statement, parameters, context=None):
                cursor.execute(statement, parameters)

        registry.impls["own"] = lambda: Own
        try:
            own = sa.create_engine("own://")
            with own.connect() as connection:
                connection.execute(sa.text("SELECT :a"), {"a": 1})
                connection.execute(sa.text("SELECT :a"), [{"a": 1}])
            own.dispose()
        finally:
            del registry.impls["own"]

    reading = read(call)
    assert (reading.values["reads"], reading.queries.driver) == (2, "sqlalchemy+pysqlite")


def test_an_error_in_a_driver_beneath_leaves_the_next_statement_counted_once(engine):
    def call():
        with engine.connect() as connection:
            for sql in ("SELECT 1", "SELECT a FROM missing", "SELECT 1"):
                try:
                    connection.execute(sa.text(sql))
                except sa.exc.OperationalError:
                    connection.rollback()
            connection.connection.cursor().execute("SELECT 1")

    assert read(call).values["reads"] == 4


def test_a_listener_that_came_meanwhile_stays():
    def listen(*_args):
        return None

    token = PROBE.start()
    sa.event.listen(sa.Engine, "do_execute", listen)
    PROBE.stop(token)
    try:
        assert Dialect._has_events
    finally:
        sa.event.remove(sa.Engine, "do_execute", listen)
        Dialect._has_events = False


def test_what_was_taken_before_is_seen(engine):
    with orm.Session(engine) as session, engine.connect() as connection:
        raw = connection.connection
        calls = [
            (session.execute, sa.text("SELECT 1")),
            (connection.exec_driver_sql, "SELECT 1"),
            (connection.execute, sa.select(1)),
            (raw.cursor().execute, "SELECT 1"),
            (raw.driver_connection.execute, "SELECT 1"),
        ]
        assert [read(*call).values["queries"] for call in calls] == [1] * len(calls)


def test_what_a_pool_asks_for_itself_is_not_counted(tmp_path):
    engine = sa.create_engine(f"sqlite:///{tmp_path}/db", pool_pre_ping=True)

    def call():
        for _ in range(3):
            with engine.connect() as connection:
                connection.execute(sa.text("SELECT 1, 1"))

    ping = sa.engine.default.DefaultDialect.do_ping
    assert read(call).values["queries"] == 3
    assert sa.engine.default.DefaultDialect.do_ping is ping
    engine.dispose()
    assert read(call).values["queries"] == 3
    engine.dispose()


def test_a_creator_of_the_users_own_is_seen(engine):
    kept = partial(sqlite3.connect, ":memory:")
    own = sa.create_engine("sqlite://", creator=kept)

    def ask():
        with own.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
        own.dispose()

    assert (read(ask).values["queries"], codes(read(ask))) == (1, [])


def codes(reading):
    return [note.code for note in reading.notes if note.undermines]
