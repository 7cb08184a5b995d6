"""The dashboard and its cache: named measurements, queries that must not happen, and memory that must not stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from shop.cache import Cache
from shop.client import Client

if TYPE_CHECKING:
    from pytest_perfguard import Perf


@pytest.mark.perf_budget(time="25 ms", queries=3, name="cold")
@pytest.mark.perf_budget(time="200 us", queries=0, name="warm")
def test_dashboard(perf: Perf, client: Client, fragments: Cache[str]) -> None:
    cold = perf.using(name="cold", setup=fragments.clear)(client.get, "/dashboard")
    warm = perf.using(name="warm")(client.get, "/dashboard")
    assert "Best sellers" in cold.text
    assert warm.text == cold.text


def test_dashboard_shows_a_new_order(client: Client) -> None:
    assert "1800 orders" in client.get("/dashboard").text
    client.post("/customers/7/orders", {"lines": [{"sku": "TE-0001", "quantity": 1}]})
    assert "1801 orders" in client.get("/dashboard").text


@pytest.mark.perf(warmup=10)
@pytest.mark.perf_budget(time="4 us")
def test_hit(perf: Perf) -> None:
    cache: Cache[str] = Cache(max_entries=8, ttl=3600)
    cache.put("page", "<h1>page</h1>")
    assert perf(cache.get, "page") == "<h1>page</h1>"


@pytest.mark.perf_budget(retained=0)
def test_full_cache_does_not_grow(perf: Perf) -> None:
    cache: Cache[str] = Cache(max_entries=50, ttl=3600)

    def serve_many_pages() -> None:
        for number in range(200):
            cache.get_or_compute(number, lambda: "x" * 1000)

    perf(serve_many_pages)
    assert len(cache) == 50


def test_least_recently_used_goes_first() -> None:
    cache: Cache[int] = Cache(max_entries=2, ttl=10)
    cache.put("a", 1)
    cache.put("b", 2)
    cache.get("a")
    cache.put("c", 3)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)


def test_entries_expire() -> None:
    now = 100.0
    cache: Cache[str] = Cache(max_entries=2, ttl=10, clock=lambda: now)
    cache.put("a", "x")
    now = 109.9
    assert cache.get("a") == "x"
    now = 110.0
    assert cache.get("a") is None
    assert len(cache) == 0
