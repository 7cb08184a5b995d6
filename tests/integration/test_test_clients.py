"""Statements and calls of an application that a test client asks, in whichever thread or loop it answers."""

from __future__ import annotations

import asyncio
import importlib.util
import warnings
from pathlib import Path

import pytest
import sqlalchemy as sa

from pytest_perfguard.model import StatementKind
from pytest_perfguard.probes.http import HttpProbe
from pytest_perfguard.probes.queries import QueryProbe
from tests.unit.probes.http.server import Server

pytest.importorskip("requests")

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).relative_to(ROOT).as_posix()
STATEMENTS = 4


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def engine(tmp_path):
    engine = sa.create_engine(f"sqlite:///{tmp_path}/db")
    yield engine
    engine.dispose()


def observe(call):
    """Return counts of statements and of calls, and where the statements came from."""
    probes = (QueryProbe(ROOT), HttpProbe(ROOT))
    tokens = [probe.start() for probe in probes]
    try:
        call()
    finally:
        calls = probes[1].stop(tokens[1])
        statements = probes[0].stop(tokens[0])
    assert not [note.code for note in (*calls.notes, *statements.notes) if note.undermines]
    reads = [group for group in statements.queries.statements if group.kind is StatementKind.READ]
    return statements.values["queries"], calls.values["http_calls"], {group.function for group in reads}


def ask(engine):
    with engine.connect() as connection:
        for number in range(STATEMENTS):
            connection.execute(sa.text("SELECT :number"), {"number": number}).all()


def by_library(name, url):
    importlib.import_module(name).get(url)


async def ask_async(path):
    create_async_engine = importlib.import_module("sqlalchemy.ext.asyncio").create_async_engine
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}/db")
    async with engine.connect() as connection:
        for number in range(STATEMENTS):
            await connection.execute(sa.text("SELECT :number"), {"number": number})
    await engine.dispose()


async def call_async(url):
    httpx = importlib.import_module("httpx")
    async with httpx.AsyncClient() as client:
        await client.get(url)


@pytest.fixture
def starlette_client():
    """Starlette's client, which FastAPI's is; a new one prefers httpx2 to httpx and warns of the latter."""
    pytest.importorskip("starlette")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("starlette.testclient").TestClient


@pytest.fixture
def fastapi(engine, tmp_path):
    pytest.importorskip("aiosqlite")
    pytest.importorskip("greenlet")
    pytest.importorskip("httpx")
    app = pytest.importorskip("fastapi").FastAPI()

    @app.get("/sync")
    def in_a_thread():
        ask(engine)

    @app.get("/async")
    async def in_the_loop():
        await ask_async(tmp_path)

    @app.get("/sync-out")
    def calls_out_in_a_thread(url: str):
        ask(engine)
        by_library("requests", url)

    @app.get("/async-out")
    async def calls_out_in_the_loop(url: str):
        await ask_async(tmp_path)
        await call_async(url)

    return app


PLACES = {"sync": "ask", "async": "ask_async"}


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("opened", ["before", "in the block", "never"])
def test_fastapi(fastapi, starlette_client, server, way, opened):
    client = starlette_client(fastapi)
    if opened == "before":
        client.__enter__()

    def get(path, **params):
        if opened == "in the block":
            with client:
                assert client.get(path, params=params).status_code == 200
        else:
            assert client.get(path, params=params).status_code == 200

    try:
        assert observe(lambda: get(f"/{way}")) == (STATEMENTS, 0, {f"{HERE}:{PLACES[way]}"})
        assert observe(lambda: get(f"/{way}-out", url=f"{server.url}/ok"))[:2] == (STATEMENTS, 1)
        assert observe(lambda: [get(f"/{way}") for _ in range(3)])[:2] == (3 * STATEMENTS, 0)
    finally:
        if opened == "before":
            client.__exit__(None, None, None)
    assert len(server.asked) == 1


def test_fastapi_by_an_asynchronous_client(fastapi, server):
    httpx = importlib.import_module("httpx")

    async def main(*paths):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(fastapi), base_url="http://app") as client:
            for answer in await asyncio.gather(*map(client.get, paths)):
                assert answer.status_code == 200

    paths = ["/sync", "/async", f"/sync-out?url={server.url}/ok", f"/async-out?url={server.url}/ok"]
    assert observe(lambda: asyncio.run(main(*paths)))[:2] == (4 * STATEMENTS, 2)
    assert len(server.asked) == 2


def test_starlette(engine, starlette_client, server):
    applications, routing = (importlib.import_module(f"starlette.{name}") for name in ("applications", "routing"))
    response = importlib.import_module("starlette.responses").Response

    def in_a_thread(request):
        ask(engine)
        for url in request.query_params.getlist("call"):
            by_library("requests", url)
        return response()

    client = starlette_client(applications.Starlette(routes=[routing.Route("/", in_a_thread)]))
    assert observe(lambda: client.get("/")) == (STATEMENTS, 0, {f"{HERE}:ask"})
    assert observe(lambda: client.get("/", params={"call": [f"{server.url}/ok"] * 2}))[:2] == (STATEMENTS, 2)


def test_flask(engine, server):
    flask = pytest.importorskip("flask")
    app = flask.Flask(__name__)

    @app.get("/")
    def view():
        ask(engine)
        for url in flask.request.args.getlist("call"):
            by_library("requests", url)
        return "ok"

    @app.get("/async")
    async def asynchronous_view():
        ask(engine)
        return "ok"

    client = app.test_client()
    assert observe(lambda: client.get("/")) == (STATEMENTS, 0, {f"{HERE}:ask"})
    assert observe(lambda: client.get("/", query_string={"call": f"{server.url}/ok"}))[:2] == (STATEMENTS, 1)
    if importlib.util.find_spec("asgiref") is not None:
        assert observe(lambda: client.get("/async"))[:2] == (STATEMENTS, 0)


@pytest.fixture
def project():
    pytest.importorskip("django")
    from tests.django_project import populate, set_up

    project = set_up()
    populate(project)
    yield project
    project.connection.close()


SYNC_VIEW, ASYNC_VIEW = ("tests/django_project.py:list_authors", "tests/django_project.py:list_authors_async")


@pytest.mark.parametrize("path", ["sync", "async"])
def test_djangos_client(project, server, path):
    from django.test import Client

    client = Client()

    def get(**params):
        assert len(client.get(f"/{path}", params).json()["authors"]) == 5

    view = {"sync": SYNC_VIEW, "async": ASYNC_VIEW}[path]
    assert observe(get) == (6, 0, {view})
    if path == "sync":
        assert observe(lambda: get(call=f"{server.url}/ok"))[:2] == (6, 1)


@pytest.mark.parametrize("path", ["sync", "async"])
def test_djangos_asynchronous_client(project, server, path):
    from asgiref.sync import sync_to_async
    from django.test import AsyncClient

    def close_own():
        project.connection.close()

    async def get(**params):
        answer = await AsyncClient().get(f"/{path}", params)
        await sync_to_async(close_own)()
        assert len(answer.json()["authors"]) == 5

    view = {"sync": SYNC_VIEW, "async": ASYNC_VIEW}[path]
    assert observe(lambda: asyncio.run(get())) == (6, 0, {view})
    if path == "sync":
        assert observe(lambda: asyncio.run(get(call=f"{server.url}/ok")))[:2] == (6, 1)
