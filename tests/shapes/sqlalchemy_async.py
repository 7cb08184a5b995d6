"""Reads by asynchronous sessions of SQLAlchemy that are made row by row, and how the same is read at once."""

from __future__ import annotations

import asyncio
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from tests.shapes.catalogue import Catalogue
from tests.shapes.sqlalchemy_models import Author, Book

ASYNCHRONOUS = Catalogue()
shape, twin, lookalike = ASYNCHRONOUS.shape, ASYNCHRONOUS.twin, ASYNCHRONOUS.lookalike


@shape("n_plus_one")
async def awaitable_attributes(session: AsyncSession) -> int:
    """awaitable_attrs in a loop."""
    count = 0
    for author in await session.scalars(sa.select(Author)):
        count += len(await author.awaitable_attrs.books)  # here
    return count


@twin
async def awaitable_attributes_eagerly(session: AsyncSession) -> int:
    """selectinload."""
    count = 0
    for author in await session.scalars(sa.select(Author).options(orm.selectinload(Author.books))):
        count += len(await author.awaitable_attrs.books)
    return count


def _lengths(session: orm.Session) -> list[int]:
    return [len(author.books) for author in session.scalars(sa.select(Author))]  # here


@shape("n_plus_one", at=_lengths)
async def in_run_sync(session: AsyncSession) -> list[int]:
    """run_sync over lazy collections."""
    return await session.run_sync(_lengths)


@twin
async def in_run_sync_eagerly(session: AsyncSession) -> list[int]:
    """run_sync after selectinload."""
    await session.scalars(sa.select(Author).options(orm.selectinload(Author.books)))
    return await session.run_sync(lambda inner: [len(each.books) for each in inner.identity_map.values()])


async def _title(factory: Any, number: int) -> str:
    async with factory() as session:
        return await session.scalar(sa.select(Book.title).where(Book.id == number))  # here


@shape("n_plus_one", at=_title)
async def gathered(session: AsyncSession) -> list[str]:
    """gather of one query for each row."""
    factory = async_sessionmaker(session.bind)
    return await asyncio.gather(*(_title(factory, number) for number in range(1, 7)))


@twin
async def gathered_at_once(session: AsyncSession) -> list[str]:
    """IN."""
    return [*await session.scalars(sa.select(Book.title).where(Book.id.in_(range(1, 7))))]


@shape("n_plus_one")
async def get_in_a_loop(session: AsyncSession) -> None:
    """session.get in an asynchronous loop."""
    for number in range(1, 7):
        await session.get(Author, number)  # here


@twin
async def get_at_once(session: AsyncSession) -> None:
    """IN."""
    await session.scalars(sa.select(Author).where(Author.id.in_(range(1, 7))))


@shape("batchable")
async def flush_for_each(session: AsyncSession) -> None:
    """INSERT with an awaited flush for each object."""
    for number in range(6):
        session.add(Book(title=f"new {number}", author_id=1))
        await session.flush()  # here


@twin
async def one_flush(session: AsyncSession) -> None:
    """add_all and one flush."""
    session.add_all([Book(title=f"new {number}", author_id=1) for number in range(6)])
    await session.flush()


class _Loader:
    """Collects keys until the event loop has nothing else to do, as loaders of GraphQL servers do."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._wanted: dict[int, asyncio.Future[Any]] = {}

    def load(self, key: int) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        if not self._wanted:
            loop.call_soon(lambda: setattr(self, "_task", asyncio.ensure_future(self._dispatch())))
        return self._wanted.setdefault(key, loop.create_future())

    async def _dispatch(self) -> None:
        wanted, self._wanted = self._wanted, {}
        for author in await self._session.scalars(sa.select(Author).where(Author.id.in_(sorted(wanted)))):
            wanted[author.id].set_result(author)


@lookalike()
async def loader(session: AsyncSession) -> None:
    """Loader that collects keys, three times."""
    load = _Loader(session).load
    for start in (1, 3, 5):
        await asyncio.gather(load(start), load(start + 1))


@lookalike()
async def pages(session: AsyncSession) -> None:
    """Pages by key, awaited."""
    last = 0
    while books := (await session.scalars(sa.select(Book).where(Book.id > last).order_by(Book.id).limit(5))).all():
        last = books[-1].id


@lookalike()
async def tasks(session: AsyncSession) -> None:
    """Three tasks of one helper, written out."""
    factory = async_sessionmaker(session.bind)
    async with asyncio.TaskGroup() as group:
        group.create_task(_title(factory, 1))
        group.create_task(_title(factory, 2))
        group.create_task(_title(factory, 3))


@lookalike()
async def run_sync_written_out(session: AsyncSession) -> None:
    """run_sync of one helper, three times."""

    def find(inner: orm.Session, number: int) -> Any:
        return inner.get(Author, number)

    await session.run_sync(find, 1)
    await session.run_sync(find, 2)
    await session.run_sync(find, 3)
