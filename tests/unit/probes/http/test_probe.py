from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.probes.http import HttpProbe
from pytest_perfguard.probes.http import probe as module
from pytest_perfguard.testing import check_probe

ROOT = Path(__file__).parents[4]


def run(script, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_conforms():
    import http.client

    assert http.client.HTTPConnection
    check_probe(HttpProbe())


def test_without_a_library_it_is_an_error_and_none_is_imported():
    script = """
import sys
from pytest_perfguard.errors import ProbeError
from pytest_perfguard.probes.http import HttpProbe
libraries = {"http.client", "urllib3", "requests", "httpx", "httpcore", "aiohttp"}
assert libraries.isdisjoint(sys.modules)
probe = HttpProbe()
token = probe.start()
try:
    probe.stop(token)
except ProbeError as error:
    print(error)
assert libraries.isdisjoint(sys.modules)
assert not any(type(finder).__name__ == "ImportWatch" for finder in sys.meta_path)
"""
    message = run(script)
    assert message.startswith("no library is loaded whose calls over HTTP can be counted; known: http.client, urllib3,")
    assert message.endswith("take the budget on http_calls away")


@pytest.mark.parametrize("library", ["urllib.request", "requests", "httpx", "aiohttp", "urllib3"])
def test_a_library_that_the_block_imports_is_watched(library, server):
    pytest.importorskip(library)
    script = """
import sys
from pytest_perfguard.probes.http import HttpProbe
probe = HttpProbe()
token = probe.start()
name, url = sys.argv[1:]
if name == "urllib.request":
    import urllib.request
    urllib.request.urlopen(url).close()
elif name == "requests":
    import requests
    requests.get(url)
elif name == "httpx":
    import httpx
    httpx.get(url)
elif name == "urllib3":
    import urllib3
    urllib3.request("GET", url)
else:
    import asyncio, aiohttp
    async def main():
        async with aiohttp.ClientSession() as session, session.get(url):
            pass
    asyncio.run(main())
print(probe.stop(token).values["http_calls"])
"""
    assert run(script, library, f"{server.url}/ok") == "1"
    assert len(server.asked) == 1


def test_a_library_that_cannot_be_watched_is_named(monkeypatch):
    import http.client  # noqa: F401

    monkeypatch.setitem(sys.modules, "pycurl", sys)
    probe = HttpProbe()
    if {source.name for source in module._HUB.installed()} <= {"http.client"}:
        with pytest.raises(ProbeError, match="no call over HTTP was seen, but pycurl is loaded"):
            probe.stop(probe.start())
        return
    (note,) = probe.stop(probe.start()).notes
    assert note.code == "unwatched-http"
    assert note.message.startswith("pycurl is loaded")


def test_a_library_that_cannot_be_watched_is_an_error_where_it_is_the_only_one():
    script = """
import http.client, sys
from pytest_perfguard.errors import ProbeError
from pytest_perfguard.probes.http import HttpProbe
sys.modules["pycurl"] = sys
probe = HttpProbe()
try:
    probe.stop(probe.start())
except ProbeError as error:
    print(error)
"""
    assert run(script).startswith("no call over HTTP was seen, but pycurl is loaded, whose calls cannot be counted")


def test_a_block_without_calls_counts_none():
    import http.client  # noqa: F401

    probe = HttpProbe()
    reading = probe.stop(probe.start())
    assert reading.values == {"http_calls": 0}
    assert reading.queries.statements == ()
