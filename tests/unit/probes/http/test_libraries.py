from __future__ import annotations

import asyncio
import contextlib
import http.client
import threading
import urllib.request
import xmlrpc.client
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.request import urlopen as early_urlopen
from xml.parsers.expat import ExpatError

import pytest

from pytest_perfguard.model import StatementKind
from pytest_perfguard.probes.http import HttpProbe

httpx = pytest.importorskip("httpx")
requests = pytest.importorskip("requests")
aiohttp = pytest.importorskip("aiohttp")
urllib3 = pytest.importorskip("urllib3")
httpcore = pytest.importorskip("httpcore")
early_httpx_get, early_requests_get = httpx.get, requests.get

ROOT = Path(__file__).parents[4]
HERE = Path(__file__).relative_to(ROOT).as_posix()
PROBE = HttpProbe(ROOT)


def read(call, *args):
    token = PROBE.start()
    try:
        call(*args)
    finally:
        reading = PROBE.stop(token)
    return reading


def calls(call, *args):
    return read(call, *args).values["http_calls"]


# Ways of calling: each takes a URL and a client that was opened before, if it has one; each makes one call.


def by_httpx(url, _):
    assert httpx.get(url).text == "ok"


def by_early_httpx(url, _):
    early_httpx_get(url)


def by_httpx_client(url, client):
    client.get(url)


def by_httpx_stream(url, client):
    with client.stream("POST", url, content=b"abc") as response:
        response.read()


def by_requests(url, _):
    assert requests.get(url).text == "ok"


def by_early_requests(url, _):
    early_requests_get(url)


def by_session(url, session):
    session.post(url, data=b"abc")


def by_prepared_request(url, session):
    session.send(requests.Request("GET", url).prepare())


def by_adapter(url, _):
    with contextlib.closing(requests.adapters.HTTPAdapter()) as adapter:
        adapter.send(requests.Request("GET", url).prepare())


def by_urllib3(url, _):
    urllib3.request("GET", url, retries=False)


def by_pool_manager(url, manager):
    assert manager.request("GET", url).data == b"ok"


def by_pool(url, pool):
    pool.urlopen("GET", "/ok")


def by_urllib(url, _):
    with urllib.request.urlopen(url) as response:
        assert response.read() == b"ok"


def by_early_urllib(url, _):
    early_urlopen(url).close()


def by_connection(url, connection):
    connection.request("GET", "/ok")
    assert connection.getresponse().read() == b"ok"


def by_putrequest(url, connection):
    connection.putrequest("GET", "/ok")
    connection.endheaders()
    connection.getresponse().read()


def by_xmlrpc(url, _):
    with xmlrpc.client.ServerProxy(url) as proxy, pytest.raises((xmlrpc.client.Error, ExpatError)):
        proxy.add(1, 2)


def by_httpcore(url, pool):
    assert pool.request("GET", url).content == b"ok"


SYNC = [
    (by_httpx, "httpx"),
    (by_early_httpx, "httpx"),
    (by_httpx_client, "httpx"),
    (by_httpx_stream, "httpx"),
    (by_requests, "requests"),
    (by_early_requests, "requests"),
    (by_session, "requests"),
    (by_prepared_request, "requests"),
    (by_adapter, "requests"),
    (by_urllib3, "urllib3"),
    (by_pool_manager, "urllib3"),
    (by_pool, "urllib3"),
    (by_urllib, "http.client"),
    (by_early_urllib, "http.client"),
    (by_connection, "http.client"),
    (by_putrequest, "http.client"),
    (by_xmlrpc, "http.client"),
    (by_httpcore, "httpcore"),
]
OPENED = {
    by_httpx_client: lambda _: httpx.Client(),
    by_httpx_stream: lambda _: httpx.Client(),
    by_session: lambda _: requests.Session(),
    by_prepared_request: lambda _: requests.Session(),
    by_pool_manager: lambda _: urllib3.PoolManager(),
    by_pool: lambda server: urllib3.HTTPConnectionPool("127.0.0.1", server.port),
    by_connection: lambda server: http.client.HTTPConnection("127.0.0.1", server.port),
    by_putrequest: lambda server: http.client.HTTPConnection("127.0.0.1", server.port),
    by_httpcore: lambda _: httpcore.ConnectionPool(),
}


@pytest.fixture(params=SYNC, ids=lambda way: way[0].__name__)
def way(request, server):
    """A function of no arguments that makes one call, by a client that was open before if it needs one."""
    function, driver = request.param
    client = OPENED[function](server) if function in OPENED else None
    if client is not None:
        function(f"{server.url}/ok", client)  # its connection is open too
    yield lambda: function(f"{server.url}/ok", client), driver, function.__name__
    if client is not None:
        (getattr(client, "close", None) or client.clear)()


def test_each_way_counts_what_the_server_was_asked(way, server):
    call, driver, name = way
    before = len(server.asked)

    def several():
        for _ in range(3):
            call()

    reading = read(several)
    assert reading.values == {"http_calls": 3}
    assert len(server.asked) - before == 3
    (group,) = reading.queries.statements
    assert (group.kind, group.count, group.driver) == (StatementKind.REQUEST, 3, driver)
    assert (group.distinct, group.looped) == (1, 1)
    assert group.function == f"{HERE}:{name}"
    assert reading.queries.dialect == "http"
    assert not reading.notes


def test_each_way_is_seen_in_threads(way, server):
    call, _, name = way
    before = len(server.asked)

    def in_threads():
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(call).result()

    async def in_executor():
        await asyncio.get_running_loop().run_in_executor(None, call)
        await asyncio.to_thread(call)

    reading = read(lambda: (in_threads(), asyncio.run(in_executor())))
    assert reading.values == {"http_calls": 4}
    assert len(server.asked) - before == 4
    assert {group.function for group in reading.queries.statements} == {f"{HERE}:{name}"}


async def with_httpx(url):
    async with httpx.AsyncClient() as client:
        await client.get(url)


async def with_aiohttp(url):
    async with aiohttp.ClientSession() as session, session.get(url, params={"a": "1"}) as response:
        assert await response.text() == "ok"


async def with_aiohttp_awaited(url):
    async with aiohttp.ClientSession() as session:
        response = await session.request("POST", url, data=b"abc")
        await response.read()


async def with_aiohttp_base_url(url):
    base, _, path = url.rpartition("/")
    async with aiohttp.ClientSession(f"{base}/") as session, session.get(path) as response:
        await response.read()


async def with_aiohttp_alone(url):
    async with aiohttp.request("GET", url) as response:
        await response.read()


async def with_httpcore(url):
    async with httpcore.AsyncConnectionPool() as pool:
        await pool.request("GET", url)


ASYNC = [
    (with_httpx, "httpx"),
    (with_aiohttp, "aiohttp"),
    (with_aiohttp_awaited, "aiohttp"),
    (with_aiohttp_base_url, "aiohttp"),
    (with_aiohttp_alone, "aiohttp"),
    (with_httpcore, "httpcore"),
]


@pytest.mark.parametrize(("function", "driver"), ASYNC, ids=lambda value: getattr(value, "__name__", value))
def test_each_asynchronous_way_counts_what_the_server_was_asked(function, driver, server):
    async def several():
        await function(f"{server.url}/ok")
        await asyncio.gather(*(function(f"{server.url}/ok") for _ in range(2)))

    reading = read(lambda: asyncio.run(several()))
    assert reading.values == {"http_calls": 3}
    assert len(server.asked) == 3
    (group,) = reading.queries.statements
    assert (group.count, group.driver, group.function) == (3, driver, f"{HERE}:{function.__name__}")


@pytest.mark.parametrize("library", ["httpx", "aiohttp"])
def test_clients_that_were_open_before_are_seen(library, server):
    async def main():
        client = httpx.AsyncClient() if library == "httpx" else aiohttp.ClientSession()
        ask = partial(client.get, f"{server.url}/ok")
        await finish(await ask())
        token = PROBE.start()
        await finish(await ask())
        reading = PROBE.stop(token)
        await (client.aclose() if library == "httpx" else client.close())
        return reading.values["http_calls"]

    async def finish(response):
        await (response.aread() if library == "httpx" else response.read())

    assert asyncio.run(main()) == 1


def test_a_call_that_a_task_carries_out_belongs_to_who_asked(server):
    async def ask():
        async with aiohttp.ClientSession() as session:
            for response in await asyncio.gather(*[session.get(f"{server.url}/users/{number}") for number in range(3)]):
                await response.read()

    (group,) = read(lambda: asyncio.run(ask())).queries.statements
    assert group.function.endswith(".<locals>.ask")
    assert group.fingerprint == "GET http://127.0.0.1:?/users/?"
    assert (group.count, group.looped) == (3, 3)


def redirected_by_httpx(url):
    assert len(httpx.get(url, follow_redirects=True).history) == 3


async def redirected_by_aiohttp(url):
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert len(response.history) == 3


REDIRECTED = [
    redirected_by_httpx,
    requests.get,
    lambda url: urllib3.request("GET", url),
    lambda url: urllib.request.urlopen(url).close(),
    lambda url: asyncio.run(redirected_by_aiohttp(url)),
]


@pytest.mark.parametrize("call", REDIRECTED, ids=["httpx", "requests", "urllib3", "urllib", "aiohttp"])
def test_redirects_are_calls(call, server):
    reading = read(call, f"{server.url}/redirect/3")
    assert reading.values == {"http_calls": 4}
    assert len(server.asked) == 4
    assert sum(group.count for group in reading.queries.statements if group.fingerprint.endswith("/ok")) == 1
    assert len({group.function for group in reading.queries.statements}) == 1


def test_answers_to_challenges_are_calls(server):
    url = f"{server.url}/private"
    assert calls(lambda: httpx.get(url, auth=httpx.DigestAuth("user", "word"))) == 2
    assert calls(lambda: requests.get(url, auth=requests.auth.HTTPDigestAuth("user", "word"))) == 2
    assert len(server.asked) == 4


def test_repetitions_are_calls(server):
    again = urllib3.Retry(3, status_forcelist=[503], backoff_factor=0)

    def by_requests():
        with requests.Session() as session:
            session.mount("http://", requests.adapters.HTTPAdapter(max_retries=again))
            session.get(f"{server.url}/fails/a/2")

    reading = read(by_requests)
    assert reading.values == {"http_calls": 3}
    assert {group.driver for group in reading.queries.statements} == {"requests"}
    assert calls(lambda: urllib3.PoolManager(retries=again).request("GET", f"{server.url}/fails/b/1")) == 2
    assert len(server.asked) == 5


def test_failures_are_calls_and_pass_through():
    def call():
        for fail in (
            lambda: httpx.get("http://127.0.0.1:1/x"),
            lambda: requests.get("http://127.0.0.1:1/x"),
            lambda: urllib.request.urlopen("http://127.0.0.1:1/x"),
        ):
            with pytest.raises((httpx.ConnectError, requests.ConnectionError, OSError)):
                fail()

    assert calls(call) == 3


def test_what_is_no_request_is_no_call():
    def call():
        with pytest.raises(requests.exceptions.MissingSchema):
            requests.get("nowhere")
        with pytest.raises(requests.exceptions.InvalidSchema):
            requests.get("ftp://nowhere")
        with pytest.raises(requests.exceptions.InvalidURL):
            requests.get("http://")

    assert calls(call) == 0


def test_bodies_tell_calls_apart_and_are_not_kept(server):
    def call():
        for number in range(3):
            requests.post(f"{server.url}/orders", json={"secret": f"s3cr3t{number}"}, headers={"X-Token": "t0k3n"})

    reading = read(call)
    (group,) = reading.queries.statements
    assert (group.distinct, group.looped) == (3, 3)
    assert group.fingerprint == "POST http://127.0.0.1:?/orders"
    assert "s3cr3t" not in repr(reading)
    assert "t0k3n" not in repr(reading)


def test_nothing_stays_patched(server):
    classes = [
        *(http.client.HTTPConnection, urllib3.HTTPConnectionPool, requests.Session, requests.adapters.HTTPAdapter),
        *(httpx.Client, httpx.AsyncClient, httpx.HTTPTransport, httpx.AsyncHTTPTransport, httpx.MockTransport),
        *(httpcore.ConnectionPool, httpcore.AsyncConnectionPool, aiohttp.ClientSession, aiohttp.ClientRequest),
    ]
    before = [dict(vars(each)) for each in classes]
    token = PROBE.start()
    inner = PROBE.start()
    assert [dict(vars(each)) for each in classes] != before
    requests.get(f"{server.url}/ok")
    assert PROBE.stop(inner).values == PROBE.stop(token).values == {"http_calls": 1}
    assert [dict(vars(each)) for each in classes] == before
