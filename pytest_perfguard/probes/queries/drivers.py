"""Database drivers that this package knows of but cannot watch by themselves."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable
from typing import Any

UNINSTRUMENTED = (
    "pg8000",
    "psycopg2cffi",
    "asyncmy",
    "mysql.connector",
    "mariadb",
    "oracledb",
    "cx_Oracle",
    "pyodbc",
    "aioodbc",
    "pymssql",
    "duckdb",
    "apsw",
    "clickhouse_connect",
    "clickhouse_driver",
    "cassandra",
    "neo4j",
)
"""Their top modules; aiosqlite is not among them, since it uses sqlite3."""

_MODULES = {
    "mysqldb": ("MySQLdb",),
    "aiomysql": ("aiomysql", "pymysql"),
    "mysqlconnector": ("mysql.connector",),
    "mariadbconnector": ("mariadb",),
    "cx_oracle": ("cx_Oracle",),
    "aioodbc": ("aioodbc", "pyodbc"),
}
"""Modules behind SQLAlchemy's names of drivers, where the two differ."""


def loaded() -> list[str]:
    """Return which of the drivers are loaded in this process."""
    return [name for name in UNINSTRUMENTED if name in sys.modules]


def uncovered(names: Iterable[str], drivers: Iterable[str]) -> list[str]:
    """Return those modules of `names` that SQLAlchemy, through which they were seen at work, does not cover."""
    covered = {module for driver in drivers for module in _MODULES.get(driver, (driver,))}
    return [name for name in names if name not in covered]


def engine_drivers() -> set[str]:
    """Return SQLAlchemy's names of the drivers of all engines in this process; takes milliseconds."""
    module: Any = sys.modules.get("sqlalchemy.engine.interfaces")
    if module is None:
        return set()
    kinds = _with_subclasses(module.Dialect)
    wanted = set(kinds)
    return {
        found.driver
        for found in gc.get_referrers(*kinds)
        if type(found) in wanted and getattr(found, "dbapi", None) is not None
    }


def _with_subclasses(kind: type) -> list[type]:
    below: list[type] = kind.__subclasses__()
    return [kind, *(found for each in below for found in _with_subclasses(each))]
