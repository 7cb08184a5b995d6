"""The monthly sales report, as a web page and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import NamedTuple


class Sale(NamedTuple):
    """One order line."""

    sku: str
    name: str
    category: str
    quantity: int
    unit_price: int


@dataclass(slots=True)
class ProductSales:
    """What a month brought in by one product."""

    sku: str
    name: str
    category: str
    orders: int = 0
    pieces: int = 0
    revenue: int = 0

    def add(self, sale: Sale) -> None:
        self.orders += 1
        self.pieces += sale.quantity
        self.revenue += sale.quantity * sale.unit_price


def summarise(sales: Iterable[Sale]) -> list[ProductSales]:
    """Return one entry for each product that was sold: by category, and the best of each category first."""
    products: dict[str, ProductSales] = {}
    for sale in sales:
        product = products.get(sale.sku)
        if product is None:
            product = products[sale.sku] = ProductSales(sale.sku, sale.name, sale.category)
        product.add(sale)
    return sorted(products.values(), key=lambda product: (product.category, -product.revenue, product.sku))


def render_html(title: str, sales: Sequence[Sale]) -> str:
    """Return the report as one self-contained page: a table for each category, with its share of the month."""
    products = summarise(sales)
    month = sum(product.revenue for product in products)
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title></head>',
        f"<body><h1>{escape(title)}</h1><p>{len(sales)} lines, {money(month)}</p>",
    ]
    for category, members in groupby(products, key=lambda product: product.category):
        section = list(members)
        subtotal = sum(product.revenue for product in section)
        parts.append(f"<h2>{escape(category)}: {money(subtotal)} ({subtotal / month:.1%})</h2><table>")
        parts.append("<tr><th>SKU</th><th>Product</th><th>Orders</th><th>Pieces</th><th>Revenue</th></tr>")
        parts.extend(
            f"<tr><td>{escape(product.sku)}</td><td>{escape(product.name)}</td><td>{product.orders}</td>"
            f"<td>{product.pieces}</td><td>{money(product.revenue)}</td></tr>"
            for product in section
        )
        parts.append("</table>")
    parts.append("</body></html>")
    return "\n".join(parts)


def render_csv(sales: Sequence[Sale]) -> str:
    """Return the report as CSV with a header line; revenue in units, with two decimals."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("category", "sku", "product", "orders", "pieces", "revenue"))
    writer.writerows(
        (product.category, product.sku, product.name, product.orders, product.pieces, f"{product.revenue / 100:.2f}")
        for product in summarise(sales)
    )
    return out.getvalue()


def money(cents: int) -> str:
    """Return an amount as it is shown: "1,234.50 €"."""
    return f"{cents / 100:,.2f} €"
