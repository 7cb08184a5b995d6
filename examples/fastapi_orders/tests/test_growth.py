"""Nothing grows with the data: coroutines at two sizes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
from httpx import AsyncClient
from orders.database import Database
from orders.seed import add_orders

if TYPE_CHECKING:
    from pytest_perfguard import Perf

pytestmark = pytest.mark.anyio


async def test_lists_of_orders_do_not_grow(perf: Perf, client: AsyncClient, database: Database, newcomer: int) -> None:
    async def order(number: int) -> None:
        async with database.sessions.begin() as session:
            await add_orders(session, newcomer, number)

    await perf.queries.scales_aio(populate=order, exercise=partial(client.get, f"/customers/{newcomer}/orders"))


async def test_placing_does_not_grow(perf: Perf, client: AsyncClient, newcomer: int) -> None:
    """What grows need not be in the database: here it is the order itself."""
    lines: list[dict[str, object]] = []

    def choose(number: int) -> None:
        skus = ("DE-AS", "DE-BE", "DE-CH", "DE-MA", "DE-OA", "DE-PI", "CH-AS", "CH-BE", "CH-CH", "CH-MA")
        lines[:] = [{"sku": sku, "quantity": 1} for sku in skus[:number]]

    async def place() -> None:
        answer = await client.post("/orders", json={"customer": newcomer, "lines": lines})
        assert answer.status_code == 201

    await perf.queries.scales_aio(populate=choose, exercise=place, sizes=(2, 5, 10))
