"""What is no call, since it stays in this process; and what a mock answers."""

from __future__ import annotations

import asyncio
import importlib

import pytest

from tests.unit.probes.http.test_libraries import PROBE, calls, read

requests = pytest.importorskip("requests")
aiohttp = pytest.importorskip("aiohttp")
httpx = pytest.importorskip("httpx")


@pytest.fixture(params=["httpx", "httpx2"])
def library(request):
    return pytest.importorskip(request.param)


async def asgi(scope, _receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def wsgi(_environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]


def test_each_library_counts_what_the_server_was_asked(library, server):
    async def asynchronously():
        async with library.AsyncClient() as client:
            await client.get(f"{server.url}/redirect/1", follow_redirects=True)

    reading = read(lambda: (library.get(f"{server.url}/ok"), asyncio.run(asynchronously())))
    assert reading.values == {"http_calls": 3}
    assert {group.driver for group in reading.queries.statements} == {library.__name__}
    assert len(server.asked) == 3


def test_applications_in_this_process_are_not_called_out_to(library):
    def call():
        with library.Client(transport=library.WSGITransport(wsgi)) as client:
            assert client.get("http://app/x").text == "ok"

        async def asynchronous():
            async with library.AsyncClient(transport=library.ASGITransport(asgi)) as client:
                assert (await client.get("http://app/x")).text == "ok"

        asyncio.run(asynchronous())

    assert calls(call) == 0


def test_what_applications_call_themselves_is_counted(library, server):
    def calling(_environ, start_response):
        library.get(f"{server.url}/ok")
        return wsgi(_environ, start_response)

    def call():
        with library.Client(transport=library.WSGITransport(calling)) as client:
            client.get("http://app/x")

    assert calls(call) == 1


def test_transports_of_the_users_own(library, server):
    class Canned(library.BaseTransport):
        def handle_request(self, request):
            return library.Response(200)

    class Twice(library.BaseTransport):
        def __init__(self, inner):
            self.inner = inner

        def handle_request(self, request):
            self.inner.handle_request(request).read()
            return self.inner.handle_request(request)

        def close(self):
            self.inner.close()

    def call(transport):
        with library.Client(transport=transport) as client:
            client.get(f"{server.url}/ok")

    assert calls(call, Canned()) == 1
    assert calls(call, Twice(library.HTTPTransport())) == 2
    assert calls(call, Twice(Canned())) == 1  # nothing of the library's is asked, so that it is the client's call
    assert calls(call, Twice(library.WSGITransport(wsgi))) == 0
    assert len(server.asked) == 2


def test_the_librarys_own_mock_is_a_call(library):
    mock = library.MockTransport(lambda request: library.Response(200, text=str(request.url)))

    def call():
        with library.Client(transport=mock) as client:
            client.get("https://api.example/a/1")

        async def asynchronous():
            async with library.AsyncClient(transport=mock) as client:
                await client.post("https://api.example/a/1", json={})

        asyncio.run(asynchronous())
        mock.handle_request(library.Request("GET", "https://api.example/a/1"))

    reading = read(call)
    assert reading.values == {"http_calls": 3}
    assert {group.fingerprint for group in reading.queries.statements} == {
        *("GET https://api.example/a/?", "POST https://api.example/a/?")
    }


def test_adapters_of_requests():
    class Canned(requests.adapters.BaseAdapter):
        def send(self, request, **_options):
            response = requests.Response()
            response.status_code, response.url, response.request = 200, request.url, request
            return response

        def close(self):
            pass

    class WSGIAdapter(Canned):
        pass

    def call(adapter, scheme="http"):
        with requests.Session() as session:
            session.mount(f"{scheme}://", adapter)
            session.get(f"{scheme}://app/x")

    assert calls(call, Canned()) == 1
    assert calls(call, WSGIAdapter()) == 0
    assert calls(call, Canned(), "file") == 0


def test_the_test_client_of_aiohttp(server):
    from aiohttp import web
    from aiohttp.test_utils import TestClient, TestServer

    async def endpoint(_request):
        async with aiohttp.ClientSession() as session, session.get(f"{server.url}/ok") as response:
            return web.Response(text=await response.text())

    async def inner(_request):
        return web.Response(text="ok")

    async def socket(request):
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        await answer.close()
        return answer

    async def main():
        application = web.Application()
        application.router.add_get("/out", endpoint)
        application.router.add_route("*", "/in", inner)
        application.router.add_get("/socket", socket)
        async with TestClient(TestServer(application)) as client:
            token = PROBE.start()
            await (await client.get("/in")).read()
            await (await client.post("/in")).read()
            await (await client.ws_connect("/socket")).close()
            quiet = PROBE.stop(token).values["http_calls"]
            token = PROBE.start()
            await (await client.get("/out")).read()
            return quiet, PROBE.stop(token).values["http_calls"]

    assert asyncio.run(main()) == (0, 1)


URL = "http://api.example/a/1"


def mocked_by_responses():
    responses = importlib.import_module("responses")
    with responses.RequestsMock() as mock:
        mock.get(URL, status=302, headers={"Location": f"{URL}0"})
        mock.get(f"{URL}0", body="ok")
        assert requests.get(URL).text == "ok"


def mocked_by_requests_mock():
    with importlib.import_module("requests_mock").Mocker() as mock:
        mock.get(URL, text="ok")
        assert requests.get(URL).text == requests.get(URL).text == "ok"


def mocked_by_respx():
    respx = importlib.import_module("respx")
    with respx.mock(using="httpx") as mock:
        mock.get(URL).respond(text="ok")
        assert httpx.get(URL).text == "ok"
    with respx.mock as mock:
        mock.get(URL).respond(text="ok")
        assert httpx.get(URL).text == "ok"


def mocked_by_aioresponses():
    async def main():
        async with aiohttp.ClientSession() as session:
            with importlib.import_module("aioresponses").aioresponses() as mock:
                mock.get(URL, body="ok")
                mock.post(URL, body="ok")
                async with session.get(URL) as response:
                    assert await response.text() == "ok"
                await session.post(URL)

    asyncio.run(main())


def mocked_by_vcr():
    vcr = importlib.import_module("vcr")

    class Fake:
        @staticmethod
        def load_cassette(_path, serializer):
            answer = {"status": {"code": 200, "message": "OK"}, "headers": {}, "body": {"string": b"ok"}}
            request = vcr.request.Request("GET", URL, None, {})
            return [request] * 2, [answer] * 2

        @staticmethod
        def save_cassette(*_args, **_kwargs):
            pass

    recorder = vcr.VCR(record_mode="none")
    recorder.register_persister(Fake)
    with recorder.use_cassette("x", allow_playback_repeats=True):
        assert requests.get(URL).text == "ok"
        assert httpx.get(URL).text == "ok"


MOCKS = {
    "responses": (mocked_by_responses, 2),
    "requests_mock": (mocked_by_requests_mock, 2),
    "respx": (mocked_by_respx, 2),
    "aioresponses": (mocked_by_aioresponses, 2),
    "vcr": (mocked_by_vcr, 2),
}


@pytest.mark.parametrize("name", MOCKS)
def test_what_a_mock_answers_is_a_call(name):
    pytest.importorskip(name)
    call, expected = MOCKS[name]
    try:
        call()
    except TypeError as error:
        pytest.skip(f"{name} does not fit the library that it stands in for: {error}")
    assert calls(call) == expected


def test_what_a_mock_answers_that_was_there_before_is_a_call():
    responses = pytest.importorskip("responses")
    with responses.RequestsMock() as mock:
        mock.get(URL, body="ok")
        assert calls(requests.get, URL) == 1
