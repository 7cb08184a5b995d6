from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from pytest_perfguard.model import StatementKind as Kind
from pytest_perfguard.probes.queries import QueryProbe

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).relative_to(ROOT).as_posix()
PROBE = QueryProbe(ROOT)

on_each_server = pytest.mark.parametrize(
    "dialect",
    [
        pytest.param("postgresql", marks=pytest.mark.service("postgresql")),
        pytest.param("mysql", marks=pytest.mark.service("mariadb")),
    ],
)


@pytest.fixture
def models(service):
    """Engine, parent and child classes, in tables of this test alone."""
    tag = uuid.uuid4().hex[:8]

    class Base(orm.DeclarativeBase):
        pass

    class Child(Base):
        __tablename__ = f"child_{tag}"
        id = orm.mapped_column(sa.Integer, primary_key=True)
        parent_id = orm.mapped_column(sa.ForeignKey(f"parent_{tag}.id"))

    class Parent(Base):
        __tablename__ = f"parent_{tag}"
        id = orm.mapped_column(sa.Integer, primary_key=True)
        name = orm.mapped_column(sa.String(20))
        children = orm.relationship(Child)

    engine = sa.create_engine(service)
    Base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        session.add_all(Parent(name=f"n{number}", children=[Child(), Child()]) for number in range(5))
        session.commit()
    yield engine, Parent, Child
    Base.metadata.drop_all(engine)
    engine.dispose()


def read(call, *args):
    token = PROBE.start()
    try:
        call(*args)
    finally:
        reading = PROBE.stop(token)
    return reading


@on_each_server
def test_lazy_loading_and_its_cure(models, dialect):
    engine, Parent, _ = models

    def list_all(*options):
        with orm.Session(engine) as session:
            assert [len(parent.children) for parent in session.scalars(sa.select(Parent).options(*options))] == [2] * 5

    reading = read(list_all)
    assert reading.values == {"queries": 6, "reads": 6, "writes": 0}
    lazy = reading.queries.statements[0]
    assert (lazy.count, lazy.distinct) == (5, 5)
    assert lazy.function == f"{HERE}:test_lazy_loading_and_its_cure.<locals>.list_all"
    assert reading.queries.dialect == dialect
    assert reading.queries.driver == {"postgresql": "sqlalchemy+psycopg", "mysql": "sqlalchemy+pymysql"}[dialect]
    # Both drivers may be loaded here; the one at work is covered by SQLAlchemy, and no note complains of it.
    assert not any(reading.queries.driver.rpartition("+")[2] in note.message for note in reading.notes)
    assert read(list_all, orm.selectinload(Parent.children)).values["queries"] == 2


@on_each_server
def test_flush_of_many_rows_has_one_fingerprint_whatever_their_number(models, dialect):
    engine, Parent, _ = models

    def flush(rows):
        with orm.Session(engine) as session:
            session.add_all(Parent(name=f"x{number}") for number in range(rows))
            session.commit()

    few, many = read(flush, 3), read(flush, 2500)
    assert few.values["writes"] == 1
    assert many.values["writes"] == 3
    texts = [{group.fingerprint for group in log.queries.statements if group.kind is Kind.WRITE} for log in (few, many)]
    assert texts[0] == texts[1]
    assert len(texts[0]) == 1
    assert len(min(texts[0])) < 400


@on_each_server
def test_in_lists_savepoints_and_updates(models, dialect):
    engine, Parent, _ = models

    def call():
        with orm.Session(engine) as session, session.begin():
            for size in (1, 3, 8):
                session.scalars(sa.select(Parent.id).where(Parent.id.in_(range(size)))).all()
            with session.begin_nested():
                session.execute(sa.update(Parent).values(name="y").where(Parent.id == 1))
            session.execute(sa.text("SET @x = 1" if dialect == "mysql" else "SET LOCAL statement_timeout = 1000"))

    reading = read(call)
    assert reading.values == {"queries": 4, "reads": 3, "writes": 1}
    found = {group.fingerprint: group for group in reading.queries.statements}
    in_list = next(group for text, group in found.items() if " IN (" in text)
    assert (in_list.count, in_list.distinct) == (3, 3)
    assert found["SAVEPOINT ?"].kind is Kind.TRANSACTION
    assert Kind.META in {group.kind for group in found.values()}


@on_each_server
def test_first_connection_of_an_engine_costs_no_queries(service, dialect):
    def call():
        engine = sa.create_engine(service)
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
        engine.dispose()

    assert read(call).values == {"queries": 1, "reads": 1, "writes": 0}


@pytest.mark.service("postgresql")
def test_async_engine_names_the_coroutine(service):
    pytest.importorskip("greenlet", reason="async engines of SQLAlchemy need greenlet")
    from sqlalchemy.ext.asyncio import create_async_engine

    async def ask(engine, value):
        async with engine.connect() as connection:
            await connection.execute(sa.text("SELECT :value + 1"), {"value": value})

    async def main():
        engine = create_async_engine(service)
        await asyncio.gather(*(ask(engine, value) for value in range(4)))
        await engine.dispose()

    reading = read(lambda: asyncio.run(main()))
    assert reading.values["queries"] == 4
    assert reading.queries.driver.startswith("sqlalchemy+psycopg")
    (group,) = [group for group in reading.queries.statements if group.kind is Kind.READ]
    assert (group.count, group.distinct) == (4, 4)
    assert group.function == f"{HERE}:test_async_engine_names_the_coroutine.<locals>.ask"
