from __future__ import annotations

import pytest

from tests.unit.probes.http.server import Server


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()
