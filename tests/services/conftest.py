"""Real servers: a URL for each, and a clear line where one is missing."""

from __future__ import annotations

import os
import socket

import pytest

SERVERS = {"postgresql": ("127.0.0.1", 5432), "mariadb": ("127.0.0.1", 3306), "redis": ("127.0.0.1", 6379)}
URLS = {
    "postgresql": os.environ.get("PERFGUARD_POSTGRESQL_URL", "postgresql+psycopg://root@127.0.0.1:5432/test"),
    "mariadb": os.environ.get("PERFGUARD_MARIADB_URL", "mysql+pymysql://root@127.0.0.1:3306/test"),
    "redis": os.environ.get("PERFGUARD_REDIS_URL", "redis://127.0.0.1:6379"),
}


def _missing(name: str) -> str:
    if f"PERFGUARD_{name.upper()}_URL" in os.environ:
        return ""  # wherever that is: the test itself will tell
    host, port = SERVERS[name]
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError as error:
        return f"no {name} on {host}:{port} ({error}); set PERFGUARD_{name.upper()}_URL or start one"
    return ""


@pytest.fixture
def service(request: pytest.FixtureRequest) -> str:
    """The URL, for SQLAlchemy, of the server that the test's `service` marker names."""
    marker = request.node.get_closest_marker("service")
    assert marker is not None, "the fixture `service` needs @pytest.mark.service(name)"
    return require(marker.args[0])


def require(name: str) -> str:
    """Return the URL of the server `name`; skip the test where it is missing, or fail it where servers are required."""
    reason = _missing(name)
    if reason and os.environ.get("PERFGUARD_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{reason}; PERFGUARD_REQUIRE_SERVICES=1 asks for it", pytrace=False)
    if reason:
        pytest.skip(reason)
    return URLS[name]
