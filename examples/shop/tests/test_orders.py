"""Orders: the endpoints' own bodies are measured, without a fixture."""

from __future__ import annotations

import pytest
from shop.client import Client


@pytest.mark.perf_budget(time="100 ms", queries=3)
def test_list_orders(client: Client) -> None:
    """Customer, orders, and all their lines at once: three statements, however many orders there are."""
    answer = client.get("/customers/7/orders")
    assert answer.status == 200
    assert len(answer.json()["orders"]) == 20


@pytest.mark.perf_budget(time="50 ms", queries=2)
def test_show_order(client: Client) -> None:
    answer = client.get("/orders/1000")
    assert answer.json()["total"] == sum(line["quantity"] * line["price"] for line in answer.json()["lines"])


@pytest.mark.perf_budget(reads=2, writes=2)
def test_place_order(client: Client) -> None:
    """One insert for the order and one for all its lines; no limit on time, since the table grows with each call."""
    lines = [{"sku": sku, "quantity": 2} for sku in ("TE-0001", "CO-0101", "PO-0201", "CU-0301")]
    answer = client.post("/customers/7/orders", {"lines": lines})
    assert answer.status == 201


def test_orders_are_listed_newest_first(client: Client) -> None:
    placed = [order["placed"] for order in client.get("/customers/7/orders?limit=100").json()["orders"]]
    assert len(placed) == 30
    assert placed == sorted(placed, reverse=True)


@pytest.mark.parametrize(
    ("url", "status"),
    [("/customers/999/orders", 404), ("/orders/0", 404), ("/customers/7/orders?limit=0", 400), ("/nowhere", 404)],
)
def test_what_cannot_be_answered(client: Client, url: str, status: int) -> None:
    answer = client.get(url)
    assert answer.status == status
    assert answer.json()["error"]


@pytest.mark.parametrize(
    "order",
    [{}, {"lines": []}, {"lines": [{"sku": "TE-0001", "quantity": 0}]}, {"lines": [{"sku": "?", "quantity": 1}]}],
)
def test_orders_that_are_refused(client: Client, order: object) -> None:
    assert client.post("/customers/7/orders", order).status == 400
