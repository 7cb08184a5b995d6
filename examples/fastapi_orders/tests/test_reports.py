"""Figures: statements made at the same time, and what they take from the pool."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from httpx import AsyncClient


@pytest.mark.anyio
@pytest.mark.perf_budget(queries=3, pool_in_use=3, pool_wait_p95="1 s")
async def test_dashboard(client: AsyncClient) -> None:
    """Three connections are in use at one time, of the five that the pool keeps."""
    figures = (await client.get("/dashboard")).json()
    assert figures["orders"] >= 135
    assert len(figures["scarce"]) == 5


@pytest.mark.perf_budget(queries=3, pool_in_use=3)
def test_dashboard_from_another_thread(sync_client: TestClient) -> None:
    """Starlette's client runs the application in a thread of its own; all of it is seen there as well."""
    assert len(sync_client.get("/dashboard").json()["scarce"]) == 5
