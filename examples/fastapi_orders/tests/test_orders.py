"""Orders: the bodies of coroutine tests are measured, in all that the application does for them.

The ini file says what no endpoint may do; a marker adds what is special about one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from httpx import AsyncClient

if TYPE_CHECKING:
    from pytest_perfguard import Perf

pytestmark = pytest.mark.anyio


@pytest.mark.perf_budget(queries=3, connections_opened=0)
async def test_list_orders(client: AsyncClient) -> None:
    """Customer, orders, and all their lines at once, over a connection that is there already."""
    answer = await client.get("/customers/7/orders?limit=10")
    assert answer.status_code == 200
    assert len(answer.json()) == 10
    assert answer.json()[0]["placed_at"] > answer.json()[-1]["placed_at"]


@pytest.mark.perf_budget(queries={"orders": 1, "order_lines": 1, "products": 1, "customers": 1})
async def test_show_order(client: AsyncClient) -> None:
    """Limits for the tables that matter; a statement that joins two counts for both."""
    order = (await client.get("/orders/100")).json()
    assert order["total"] == sum(line["quantity"] * line["unit_price"] for line in order["lines"])


@pytest.mark.perf_budget(reads=2, writes=3, batchable=0)
async def test_place_order(client: AsyncClient, newcomer: int) -> None:
    """The order, all its lines, and the stock of all products: one statement each."""
    lines = [{"sku": sku, "quantity": 2} for sku in ("DE-AS", "CH-OA", "SH-PI", "LA-BE", "ST-MA")]
    answer = await client.post("/orders", json={"customer": newcomer, "lines": lines})
    assert answer.status_code == 201
    assert len(answer.json()["lines"]) == 5


@pytest.mark.perf_budget(reads=2, writes=0)
async def test_more_than_there_is(client: AsyncClient, newcomer: int) -> None:
    """What is refused is refused before anything is written."""
    lines = [{"sku": "DE-AS", "quantity": 1000}] * 101
    answer = await client.post("/orders", json={"customer": newcomer, "lines": lines[:100]})
    assert answer.status_code == 409
    assert (await client.post("/orders", json={"customer": newcomer, "lines": lines})).status_code == 422


async def test_an_order_is_listed(perf: Perf, client: AsyncClient, newcomer: int) -> None:
    """Two steps of one test, each with limits of its own."""
    with perf.queries(writes=3, queries={"products": 2}, name="place"):
        placed = await client.post("/orders", json={"customer": newcomer, "lines": [{"sku": "DE-OA", "quantity": 3}]})
    with perf.queries(max=3, writes=0, name="list") as listing:
        listed = await client.get(f"/customers/{newcomer}/orders")
    assert listed.json() == [placed.json()]
    assert listing.by_table == {"customers": 1, "orders": 1, "order_lines": 1, "products": 1}


@pytest.mark.parametrize(
    ("path", "status"),
    [("/customers/0/orders", 404), ("/orders/0", 404), ("/customers/7/orders?limit=0", 422), ("/nowhere", 404)],
)
async def test_what_cannot_be_answered(client: AsyncClient, path: str, status: int) -> None:
    assert (await client.get(path)).status_code == status
