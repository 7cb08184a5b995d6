"""Delivery: calls to another server are limited as statements are."""

from __future__ import annotations

import pytest
from httpx import AsyncClient

pytestmark = pytest.mark.anyio


@pytest.mark.perf_budget(http_calls=1, queries=3)
async def test_quote(client: AsyncClient) -> None:
    """The carrier is asked once; what the test asks the application does not leave this process, and is no call."""
    quote = (await client.get("/orders/100/delivery")).json()
    assert quote["price"] > 0
    assert quote["weight"] >= 1500


@pytest.mark.perf_budget(http_calls=0)
async def test_no_order_no_call(client: AsyncClient) -> None:
    assert (await client.get("/orders/0/delivery")).status_code == 404
