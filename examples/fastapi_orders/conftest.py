"""Fixtures of the tests: a database of their own for each run, a carrier on this machine, and the application.

Tests share the seeded data and only read it; a test that writes does so for a customer of its own.
"""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from orders.app import create_app
from orders.database import Database
from orders.seed import add_customer, seed
from orders.settings import Settings
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

SERVER = os.environ.get("PERFGUARD_POSTGRESQL_URL", "postgresql+asyncpg://root@127.0.0.1:5432/test")
"""Where a database may be made; a URL without a driver is for asyncpg."""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One event loop for all tests, since the pool of the application belongs to one."""
    return "asyncio"


@pytest.fixture(scope="session")
async def database_url(anyio_backend: str) -> AsyncIterator[str]:
    """The URL of an empty database, which is dropped in the end."""
    server = make_url(SERVER)
    if server.drivername == "postgresql":
        server = server.set(drivername="postgresql+asyncpg")
    name = f"orders_{uuid.uuid4().hex[:12]}"
    engine = create_async_engine(server, isolation_level="AUTOCOMMIT")
    try:
        try:
            async with engine.connect() as connection:
                await connection.execute(text(f"CREATE DATABASE {name}"))
        except (OSError, DBAPIError) as error:
            stop = pytest.fail if os.environ.get("PERFGUARD_REQUIRE_SERVICES") == "1" else pytest.skip
            reason = str(getattr(error, "orig", error)).splitlines()[0]
            stop(f"no PostgreSQL at {server!r} ({reason}); set PERFGUARD_POSTGRESQL_URL or start one")
        yield server.set(database=name).render_as_string(hide_password=False)
        async with engine.connect() as connection:
            await connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        await engine.dispose()


class _Tariff(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        price = {"DE": 5, "FR": 8}.get(asked["country"][0], 12) * int(asked["weight"][0]) // 100
        answer = json.dumps({"price": price}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="session")
def carrier_url() -> Iterator[str]:
    """A carrier's service on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Tariff) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
async def settings(database_url: str, carrier_url: str) -> Settings:
    """Settings of an application with data."""
    chosen = Settings(database_url=database_url, carrier_url=carrier_url)
    database = Database(chosen)
    await database.create_tables()
    async with database.sessions.begin() as session:
        await seed(session)
    await database.close()
    return chosen


@pytest.fixture(scope="session")
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    """The application, running."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
def database(app: FastAPI) -> Database:
    database: Database = app.state.database
    return database


@pytest.fixture
async def newcomer(database: Database) -> int:
    """A customer without orders, for tests that write."""
    async with database.sessions.begin() as session:
        return await add_customer(session)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://orders") as client:
        yield client


@pytest.fixture(scope="module")
def sync_client(settings: Settings) -> Iterator[TestClient]:
    """An application with an event loop, and a pool, of its own in another thread."""
    with TestClient(create_app(settings)) as client:
        yield client
