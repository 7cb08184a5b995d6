"""Fixtures of the shop's tests; each test gets a database of its own, copied from one that is filled once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from shop.app import Shop
from shop.cache import Cache
from shop.client import Client
from shop.db import Database
from shop.queries import list_sales
from shop.report import Sale
from shop.seed import seed


@pytest.fixture(scope="session")
def seeded() -> Iterator[Database]:
    database = Database.in_memory()
    seed(database)
    yield database
    database.close()


@pytest.fixture
def database(seeded: Database) -> Iterator[Database]:
    copy = Database.in_memory()
    with seeded.engine.connect() as source, copy.engine.connect() as target:
        source.connection.driver_connection.backup(target.connection.driver_connection)
    yield copy
    copy.close()


@pytest.fixture
def fragments() -> Cache[str]:
    return Cache(max_entries=64, ttl=3600)


@pytest.fixture
def client(database: Database, fragments: Cache[str]) -> Client:
    return Client(Shop(database, fragments=fragments))


@pytest.fixture(scope="session")
def sales(seeded: Database) -> list[Sale]:
    """All that was sold in February: about 1,700 lines of 400 products."""
    with seeded.session() as session:
        return list_sales(session, 2026, 2)
