"""The shop as a WSGI application."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from html import escape
from http import HTTPStatus
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from shop import queries, report
from shop.cache import Cache
from shop.db import Database
from shop.http import HttpError, Request, Response, Router
from shop.models import Order, OrderLine


class Shop:
    """Answers requests from one database; `fragments` keeps what is expensive to render."""

    def __init__(self, database: Database, *, fragments: Cache[str] | None = None) -> None:
        self.database = database
        self.fragments: Cache[str] = Cache(max_entries=256, ttl=60) if fragments is None else fragments
        self.router = Router()
        self.router.add("GET", "/dashboard", self.show_dashboard)
        self.router.add("GET", "/products", self.search)
        self.router.add("GET", "/customers/{customer}/orders", self.list_orders)
        self.router.add("POST", "/customers/{customer}/orders", self.place_order)
        self.router.add("GET", "/orders/{order}", self.show_order)
        self.router.add("GET", "/reports/{year}-{month}.html", self.report_html)
        self.router.add("GET", "/reports/{year}-{month}.csv", self.report_csv)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            response = self.router.respond(Request.read(environ))
        except HttpError as error:
            response = Response.json({"error": error.message}, error.status)
        start_response(
            f"{response.status.value} {response.status.phrase}",
            [("Content-Type", response.content_type), ("Content-Length", str(len(response.body)))],
        )
        return [response.body]

    def show_dashboard(self, request: Request) -> Response:
        return Response.html(self.fragments.get_or_compute("dashboard", self._render_dashboard))

    def _render_dashboard(self) -> str:
        with self.database.session() as session:
            overview = queries.summarise_shop(session)
        best = "".join(f"<li>{escape(name)}: {pieces}</li>" for name, pieces in overview.best_sellers)
        latest = "".join(
            f"<li>{number}: {escape(name)}, {placed:%Y-%m-%d %H:%M}</li>" for number, name, placed in overview.latest
        )
        return (
            f"<h1>{overview.orders} orders, {report.money(overview.revenue)}</h1>"
            f"<h2>Best sellers</h2><ol>{best}</ol><h2>Latest orders</h2><ul>{latest}</ul>"
        )

    def search(self, request: Request) -> Response:
        words = request.query.get("q", "")
        number, size = request.number("page", 1), request.number("size", 20, most=100)
        with self.database.session() as session:
            page = queries.search_products(session, words, page=number, size=size)
            products = [{"sku": product.sku, "name": product.name, "price": product.price} for product in page.products]
        return Response.json({"total": page.total, "page": number, "products": products})

    def list_orders(self, request: Request) -> Response:
        customer_id = request.numbers["customer"]
        with self.database.session() as session:
            customer = queries.find_customer(session, customer_id)
            if customer is None:
                raise HttpError(HTTPStatus.NOT_FOUND, f"there is no customer {customer_id}")
            orders = queries.list_orders(session, customer_id, limit=request.number("limit", 20, most=100))
            return Response.json({"customer": customer.name, "orders": [summarise_order(order) for order in orders]})

    def show_order(self, request: Request) -> Response:
        number = request.numbers["order"]
        with self.database.session() as session:
            order = queries.find_order(session, number)
            if order is None:
                raise HttpError(HTTPStatus.NOT_FOUND, f"there is no order {number}")
            lines = [
                {"product": line.product.name, "quantity": line.quantity, "price": line.unit_price}
                for line in order.lines
            ]
            return Response.json({**summarise_order(order), "customer": order.customer.name, "lines": lines})

    def place_order(self, request: Request) -> Response:
        """Take an order in the form `{"lines": [{"sku": "TE-0001", "quantity": 2}]}`."""
        wanted = read_lines(request.json())
        customer_id = request.numbers["customer"]
        with self.database.session() as session:
            if queries.find_customer(session, customer_id) is None:
                raise HttpError(HTTPStatus.NOT_FOUND, f"there is no customer {customer_id}")
            products = queries.find_products(session, [sku for sku, _ in wanted])
            unknown = sorted({sku for sku, _ in wanted} - set(products))
            if unknown:
                raise HttpError(HTTPStatus.BAD_REQUEST, f"not sold here: {', '.join(unknown)}")
            order = Order(customer_id=customer_id, placed_at=datetime.now())
            order.lines = [
                OrderLine(position=position, product=products[sku], quantity=quantity, unit_price=products[sku].price)
                for position, (sku, quantity) in enumerate(wanted, start=1)
            ]
            session.add(order)
            session.flush()
            response = Response.json({"number": order.id, "total": order.total}, HTTPStatus.CREATED)
        self.fragments.clear()
        return response

    def report_html(self, request: Request) -> Response:
        year, month = read_month(request)
        with self.database.session() as session:
            sales = queries.list_sales(session, year, month)
        return Response.html(report.render_html(f"Sales of {year}-{month:02}", sales))

    def report_csv(self, request: Request) -> Response:
        with self.database.session() as session:
            sales = queries.list_sales(session, *read_month(request))
        return Response.csv(report.render_csv(sales))


def summarise_order(order: Order) -> dict[str, object]:
    """Return an order as it stands in a list."""
    return {
        "number": order.id,
        "placed": order.placed_at.isoformat(timespec="minutes"),
        "total": order.total,
        "items": [line.product.name for line in order.lines],
    }


def read_month(request: Request) -> tuple[int, int]:
    year, month = request.numbers["year"], request.numbers["month"]
    if not (1970 <= year <= 9998 and 1 <= month <= 12):
        raise HttpError(HTTPStatus.NOT_FOUND, f"there is no month {year}-{month}")
    return year, month


def read_lines(body: Any) -> list[tuple[str, int]]:
    """Return SKUs and quantities from the body of an order; raise `HttpError` if it is anything else."""
    match body:
        case {"lines": [_, *_] as lines}:
            pass
        case _:
            raise HttpError(HTTPStatus.BAD_REQUEST, 'an order needs "lines"')
    wanted = []
    for line in lines:
        match line:
            case {"sku": str(sku), "quantity": int(quantity)} if quantity > 0 and quantity is not True:
                wanted.append((sku, quantity))
            case _:
                raise HttpError(HTTPStatus.BAD_REQUEST, f'a line needs "sku" and a positive "quantity": {line!r:.80}')
    return wanted
