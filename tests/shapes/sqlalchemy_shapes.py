"""All shapes for SQLAlchemy, and how each is carried out: on a database of its own in memory."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import AbstractContextManager

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from tests.shapes.catalogue import Case, Catalogue
from tests.shapes.sqlalchemy_async import ASYNCHRONOUS
from tests.shapes.sqlalchemy_models import AUTHORS, Base, populate
from tests.shapes.sqlalchemy_reads import READS
from tests.shapes.sqlalchemy_writes import WRITES

CATALOGUES: tuple[Catalogue, ...] = (READS, WRITES, ASYNCHRONOUS)


def carry_out(case: Case, watched: AbstractContextManager[object]) -> None:
    """Call `case` with a session of its own, in the context of `watched`."""
    if inspect.iscoroutinefunction(case.call):
        asyncio.run(_carry_out(case, watched))
        return
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
    Base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        populate(session, case.size or AUTHORS)
    with orm.Session(engine) as session, watched:
        case.call(session)
    engine.dispose()


async def _carry_out(case: Case, watched: AbstractContextManager[object]) -> None:
    engine = create_async_engine("sqlite+aiosqlite://", poolclass=sa.StaticPool)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        await session.run_sync(populate, case.size or AUTHORS)
    async with AsyncSession(engine) as session:
        with watched:
            await case.call(session)
    await engine.dispose()
