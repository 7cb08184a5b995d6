"""The sources of statements, each with ways to make a known number of them: what the table in docs/sources.md holds.

An `ask` makes exactly `STATEMENTS` statements that count. It is given what `open` returned; every library is imported
when it is used, so that one that is not installed is left out.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.services.conftest import URLS

STATEMENTS = 5


@dataclass(frozen=True, kw_only=True)
class Case:
    """One library, synchronous or not, with a connection that can be opened before the block or in it."""

    name: str
    modules: tuple[str, ...]
    service: str = ""
    open: Callable[[], Any]
    ask: Callable[[Any], Any]
    close: Callable[[Any], Any]
    early: Callable[[], Callable[[], Any]] | None = None
    """Returns an `open` that uses a name bound when it was called, as `from library import connect` does."""
    is_async: bool = False

    @property
    def installed(self) -> bool:
        """Return whether all that it needs can be imported."""
        for module in self.modules:
            try:
                importlib.import_module(module)
            except ImportError:
                return False
        return True


def _close(connection: Any) -> None:
    connection.close()


async def _close_async(connection: Any) -> None:
    await connection.close()


def _dbapi(connection: Any) -> None:
    """Execute by a cursor, several times by one, and once for many rows."""
    cursor = connection.cursor()
    for number in range(STATEMENTS - 1):
        cursor.execute(f"SELECT {number}")
        cursor.fetchall()
    cursor.close()
    cursor = connection.cursor()
    cursor.execute("SELECT 'x'")
    cursor.fetchall()
    cursor.close()


def _early(module: str, name: str, *args: Any, **kwargs: Any) -> Callable[[], Callable[[], Any]]:
    def bind() -> Callable[[], Any]:
        connect = getattr(importlib.import_module(module), name)
        return lambda: connect(*args, **kwargs)

    return bind


def _late(module: str, name: str, *args: Any, **kwargs: Any) -> Callable[[], Any]:
    def open_now() -> Any:
        return getattr(importlib.import_module(module), name)(*args, **kwargs)

    return open_now


def _target(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {"host": parts.hostname, "port": parts.port, "user": parts.username, "password": parts.password or ""}


def _database(url: str) -> str:
    return urlsplit(url).path.lstrip("/")


def _url(service: str, scheme: str) -> str:
    return URLS[service].replace(urlsplit(URLS[service]).scheme, scheme, 1)


POSTGRESQL = {**_target(URLS["postgresql"]), "dbname": _database(URLS["postgresql"])}
ASYNCPG = {**_target(URLS["postgresql"]), "database": _database(URLS["postgresql"])}
MARIADB = {**_target(URLS["mariadb"]), "database": _database(URLS["mariadb"])}
AIOMYSQL = {**_target(URLS["mariadb"]), "db": _database(URLS["mariadb"])}
REDIS = {name: value for name, value in _target(URLS["redis"]).items() if name in ("host", "port")}


def dbapi(name: str, module: str, service: str, *args: Any, **kwargs: Any) -> Case:
    """Return the case of a driver that follows the DB-API."""
    return Case(
        name=name,
        modules=(module,),
        service=service,
        open=_late(module, "connect", *args, **kwargs),
        ask=_dbapi,
        close=_close,
        early=_early(module, "connect", *args, **kwargs),
    )


def sqlalchemy(driver: str, url: str, module: str, service: str = "") -> Case:
    """Return the case of SQLAlchemy over a driver."""

    def open_engine() -> Any:
        sa = importlib.import_module("sqlalchemy")
        pool = {"poolclass": sa.pool.StaticPool} if url == "sqlite://" else {}
        engine = sa.create_engine(url, **pool)
        with engine.connect():
            return engine

    def ask(engine: Any) -> None:
        text = importlib.import_module("sqlalchemy").text
        orm = importlib.import_module("sqlalchemy.orm")
        with engine.connect() as connection:
            for number in range(STATEMENTS - 1):
                connection.execute(text("SELECT CAST(:number AS INTEGER)"), {"number": number}).all()
        with orm.Session(engine) as session:
            session.execute(text("SELECT 'x'")).all()

    def early() -> Callable[[], Any]:
        create_engine = importlib.import_module("sqlalchemy").create_engine
        return lambda: create_engine(url)

    return Case(
        name=f"SQLAlchemy over {driver}",
        modules=("sqlalchemy", module),
        service=service,
        open=open_engine,
        ask=ask,
        close=lambda engine: engine.dispose(),
        early=early,
    )


def sqlalchemy_async(driver: str, url: str, module: str, service: str = "") -> Case:
    """Return the case of SQLAlchemy's asynchronous engines over a driver."""

    async def open_engine() -> Any:
        engine = importlib.import_module("sqlalchemy.ext.asyncio").create_async_engine(url)
        async with engine.connect():
            return engine

    async def ask(engine: Any) -> None:
        text = importlib.import_module("sqlalchemy").text
        asyncio_ext = importlib.import_module("sqlalchemy.ext.asyncio")
        async with engine.connect() as connection:
            for number in range(STATEMENTS - 1):
                (await connection.execute(text("SELECT CAST(:number AS INTEGER)"), {"number": number})).all()
        async with asyncio_ext.AsyncSession(engine) as session:
            (await session.execute(text("SELECT 'x'"))).all()

    async def close(engine: Any) -> None:
        await engine.dispose()

    def early() -> Callable[[], Any]:
        create = importlib.import_module("sqlalchemy.ext.asyncio").create_async_engine

        async def open_now() -> Any:
            return create(url)

        return open_now

    return Case(
        name=f"SQLAlchemy over {driver}",
        modules=("sqlalchemy.ext.asyncio", "greenlet", module),
        service=service,
        open=open_engine,
        ask=ask,
        close=close,
        early=early,
        is_async=True,
    )


async def _aiosqlite(connection: Any) -> None:
    for number in range(STATEMENTS - 2):
        async with connection.execute("SELECT ?", (number,)) as cursor:
            await cursor.fetchall()
    cursor = await connection.cursor()
    await cursor.execute("SELECT 'x'")
    await connection.execute_fetchall("SELECT 'y'")


async def _psycopg_async(connection: Any) -> None:
    for number in range(STATEMENTS - 1):
        await connection.execute("SELECT %s", (number,))
    async with connection.cursor() as cursor:
        await cursor.execute("SELECT 'x'")


async def _asyncpg(connection: Any) -> None:
    await connection.execute("SELECT 1")
    await connection.fetch("SELECT $1::int", 2)
    await connection.fetchval("SELECT 3")
    prepared = await connection.prepare("SELECT $1::int")
    await prepared.fetch(4)
    async with connection.transaction():
        async for _ in connection.cursor("SELECT generate_series(1, 3)"):
            pass


async def _aiomysql(connection: Any) -> None:
    async with connection.cursor() as cursor:
        for number in range(STATEMENTS):
            await cursor.execute("SELECT %s", (number,))
            await cursor.fetchall()


def _redis(client: Any) -> None:
    for number in range(STATEMENTS - 2):
        client.get(f"perfguard:{number}")
    with client.pipeline(transaction=False) as pipeline:
        pipeline.get("perfguard:a").get("perfguard:b").execute()


async def _redis_async(client: Any) -> None:
    for number in range(STATEMENTS - 2):
        await client.get(f"perfguard:{number}")
    async with client.pipeline(transaction=False) as pipeline:
        await pipeline.get("perfguard:a").get("perfguard:b").execute()


def _awaited(make: Callable[[], Any]) -> Callable[[], Awaitable[Any]]:
    async def open_now() -> Any:
        found = make()
        return await found if asyncio.iscoroutine(found) or hasattr(found, "__await__") else found

    return open_now


def asynchronous(
    name: str, module: str, service: str, connect: str, ask: Any, *args: Any, close: Any = _close_async, **kwargs: Any
) -> Case:
    """Return the case of an asynchronous driver; `connect` is a dotted name in `module`."""
    *path, last = connect.split(".")
    owner = ".".join([module, *path[:-1]]) if len(path) > 1 else module

    def open_now() -> Any:
        found: Any = importlib.import_module(owner)
        for part in path:
            found = getattr(found, part)
        return getattr(found, last)(*args, **kwargs)

    def early() -> Callable[[], Any]:
        found: Any = importlib.import_module(owner)
        for part in path:
            found = getattr(found, part)
        bound = getattr(found, last)
        return _awaited(lambda: bound(*args, **kwargs))

    return Case(
        name=name,
        modules=(module,),
        service=service,
        open=_awaited(open_now),
        ask=ask,
        close=close,
        early=early,
        is_async=True,
    )


async def _close_at_once(connection: Any) -> None:
    connection.close()


async def _aclose(client: Any) -> None:
    await client.aclose()


CASES: tuple[Case, ...] = (
    dbapi("sqlite3", "sqlite3", "", ":memory:", check_same_thread=False),
    asynchronous("aiosqlite", "aiosqlite", "", "connect", _aiosqlite, ":memory:"),
    dbapi("psycopg", "psycopg", "postgresql", **POSTGRESQL),
    asynchronous("psycopg", "psycopg", "postgresql", "AsyncConnection.connect", _psycopg_async, **POSTGRESQL),
    dbapi("psycopg2", "psycopg2", "postgresql", **POSTGRESQL),
    asynchronous(
        "asyncpg", "asyncpg", "postgresql", "connect", _asyncpg, **ASYNCPG
    ),
    dbapi("pymysql", "pymysql", "mariadb", **MARIADB),
    dbapi("mysqlclient", "MySQLdb", "mariadb", **MARIADB),
    asynchronous(
        "aiomysql", "aiomysql", "mariadb", "connect", _aiomysql, close=_close_at_once, **AIOMYSQL
    ),
    Case(
        name="redis-py", modules=("redis",), service="redis", open=_late("redis", "Redis", **REDIS), ask=_redis,
        close=_close, early=_early("redis", "Redis", **REDIS),
    ),
    asynchronous("redis-py", "redis.asyncio", "redis", "Redis", _redis_async, close=_aclose, **REDIS),
    sqlalchemy("sqlite3", "sqlite://", "sqlite3"),
    sqlalchemy("psycopg", _url("postgresql", "postgresql+psycopg"), "psycopg", "postgresql"),
    sqlalchemy("psycopg2", _url("postgresql", "postgresql+psycopg2"), "psycopg2", "postgresql"),
    sqlalchemy("pymysql", _url("mariadb", "mysql+pymysql"), "pymysql", "mariadb"),
    sqlalchemy("mysqlclient", _url("mariadb", "mysql+mysqldb"), "MySQLdb", "mariadb"),
    sqlalchemy_async("aiosqlite", "sqlite+aiosqlite://", "aiosqlite"),
    sqlalchemy_async("asyncpg", _url("postgresql", "postgresql+asyncpg"), "asyncpg", "postgresql"),
    sqlalchemy_async("psycopg", _url("postgresql", "postgresql+psycopg"), "psycopg", "postgresql"),
    sqlalchemy_async("aiomysql", _url("mariadb", "mysql+aiomysql"), "aiomysql", "mariadb"),
)  # fmt: skip
