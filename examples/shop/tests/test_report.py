"""The monthly report: pure functions measured by the `perf` fixture, and spans within a longer test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from shop.client import Client
from shop.db import Database
from shop.queries import list_sales
from shop.report import Sale, render_csv, render_html, summarise

if TYPE_CHECKING:
    from pytest_perfguard import Perf


@pytest.mark.perf_budget(time="8 ms")
def test_render_html(perf: Perf, sales: list[Sale]) -> None:
    html = perf(render_html, "February", sales)
    assert html.count("<table>") == 4
    assert "Cup &amp; saucer" in html


@pytest.mark.perf_budget(time="8 ms")
def test_render_csv(perf: Perf, sales: list[Sale]) -> None:
    header, *lines = perf(render_csv, sales).splitlines()
    assert header.startswith("category,sku")
    assert len(lines) == len({sale.sku for sale in sales})


@pytest.mark.perf_budget(memory="20 MiB", result_size="500 kB")
def test_report_needs_little_memory(perf: Perf, sales: list[Sale]) -> None:
    assert perf(render_html, "February", sales).endswith("</html>")


@pytest.mark.perf_budget(time="50 ms", name="load")
@pytest.mark.perf_budget(time="15 ms", name="render")
def test_report_step_by_step(perf: Perf, database: Database) -> None:
    with perf.span("load"), database.session() as session:
        rows = list_sales(session, 2026, 1)
    with perf.span("render"):
        html = render_html("January", rows)
    assert f"{len(rows)} lines" in html


def test_summary_by_hand() -> None:
    sales = [
        Sale("B", "Mug", "Cups", 1, 500),
        Sale("A", "Assam", "Tea", 2, 300),
        Sale("C", "Bowl", "Cups", 2, 400),
        Sale("B", "Mug", "Cups", 3, 450),
    ]
    found = [(product.sku, product.orders, product.pieces, product.revenue) for product in summarise(sales)]
    assert found == [("B", 2, 4, 1850), ("C", 1, 2, 800), ("A", 1, 2, 600)]


@pytest.mark.parametrize(("suffix", "kind"), [("html", "text/html"), ("csv", "text/csv")])
def test_report_endpoints(client: Client, suffix: str, kind: str) -> None:
    answer = client.get(f"/reports/2026-12.{suffix}")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith(kind)
    assert client.get(f"/reports/2026-13.{suffix}").status == 404
