"""Search: a budget for each set of parameters, and one that is relative to another test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from shop.client import Client

if TYPE_CHECKING:
    from pytest_perfguard import Perf


@pytest.mark.parametrize(
    ("words", "total"),
    [
        pytest.param("moka royal", 2, id="two words", marks=pytest.mark.perf_budget(time="50 ms", queries=2)),
        pytest.param("golden", 40, id="one word", marks=pytest.mark.perf_budget(time="60 ms", queries=2)),
        pytest.param("", 400, id="everything", marks=pytest.mark.perf_budget(time="80 ms", queries=2)),
    ],
)
def test_search(perf: Perf, client: Client, words: str, total: int) -> None:
    answer = perf(client.get, f"/products?q={words}&size=100".replace(" ", "+"))
    assert answer.json()["total"] == total


@pytest.mark.perf_budget(time="50 ms", queries=2)
def test_first_page(client: Client) -> None:
    assert client.get("/products?page=1").json()["products"]


@pytest.mark.perf_budget(time="3x test_first_page")
def test_last_page(client: Client) -> None:
    """Leafing through all products must not get slower on the way."""
    assert client.get("/products?page=20").json()["products"]


def test_words_are_matched_literally(client: Client) -> None:
    assert client.get("/products?q=%25").json()["total"] == 0
    assert client.get("/products?q=cup+%26+saucer").json()["total"] == 20
