"""The libraries whose statements can be seen, one module each, which is loaded once its library is; none imports it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from pytest_perfguard.probes.watch.source import Source
from pytest_perfguard.probes.watch.tape import Tape


class Deferred:
    """Stands for a source of this package until its library is there: few processes have more than three."""

    def __init__(self, name: str, module: str, home: str) -> None:
        """`home` is "module:Class" in this package."""
        self.name = name
        self.module = module
        self._home = home
        self._source: Source | None = None

    def installed(self) -> bool:
        """Return whether the library is loaded in this process; imports nothing of it."""
        return self.module in sys.modules and self._load().installed()

    def install(self, tape: Tape) -> Callable[[], None]:
        """Make every statement of the library run past `tape`, and return what undoes it without a trace."""
        return self._load().install(tape)

    def _load(self) -> Source:
        if self._source is None:
            module, _, name = self._home.partition(":")
            made: Any = getattr(import_module(f"{__name__}.{module}"), name)
            self._source = cast("Source", made())
        return self._source


SOURCES: tuple[Source, ...] = (
    Deferred("sqlite3", "sqlite3", "sqlite3:Sqlite3Source"),
    Deferred("aiosqlite", "aiosqlite", "aiosqlite:AiosqliteSource"),
    Deferred("psycopg", "psycopg", "psycopg:PsycopgSource"),
    Deferred("psycopg_pool", "psycopg_pool", "psycopg_pool:PsycopgPoolSource"),
    Deferred("psycopg2", "psycopg2", "psycopg2:Psycopg2Source"),
    Deferred("psycopg2.pool", "psycopg2.pool", "psycopg2_pool:Psycopg2PoolSource"),
    Deferred("asyncpg", "asyncpg", "asyncpg:AsyncpgSource"),
    Deferred("pymysql", "pymysql", "pymysql:PymysqlSource"),
    Deferred("mysqlclient", "MySQLdb.connections", "mysqlclient:MysqlclientSource"),
    Deferred("aiomysql", "aiomysql", "aiomysql:AiomysqlSource"),
    Deferred("redis", "redis", "redis:RedisSource"),
    Deferred("pymongo", "pymongo", "pymongo:PymongoSource"),
    Deferred("motor", "motor.motor_asyncio", "motor:MotorSource"),
    Deferred("sqlalchemy", "sqlalchemy", "sqlalchemy:SQLAlchemySource"),
    Deferred("django", "django.db.backends.base.base", "django:DjangoSource"),
)
"""Drivers first: what is installed later may call down into what was installed before."""
