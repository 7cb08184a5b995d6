"""Orders: list, show, place, and what a delivery would cost."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, status

from orders import queries
from orders.dependencies import CarrierDep, SessionDep
from orders.models import Customer, Order, OrderLine
from orders.schemas import NewOrder, OrderOut, Quote

router = APIRouter()


@router.get("/customers/{customer_id}/orders")
async def list_orders(
    session: SessionDep, customer_id: int, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> list[OrderOut]:
    """Return a customer's latest orders."""
    if await session.get(Customer, customer_id) is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no customer {customer_id}")
    return [OrderOut.of(order) for order in await queries.list_orders(session, customer_id, limit=limit)]


@router.get("/orders/{order_id}")
async def show_order(session: SessionDep, order_id: int) -> OrderOut:
    return OrderOut.of(await _find(session, order_id))


@router.post("/orders", status_code=status.HTTP_201_CREATED)
async def place_order(session: SessionDep, wanted: NewOrder) -> OrderOut:
    """Take an order, and its products from the stock."""
    customer = await session.get(Customer, wanted.customer)
    if customer is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no customer {wanted.customer}")
    pieces = Counter[str]()
    for line in wanted.lines:
        pieces[line.sku] += line.quantity
    products = await queries.lock_products(session, list(pieces))
    if missing := sorted(pieces.keys() - products.keys()):
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, f"not sold here: {', '.join(missing)}")
    if short := sorted(sku for sku, number in pieces.items() if products[sku].stock < number):
        raise HTTPException(status.HTTP_409_CONFLICT, f"not enough in stock: {', '.join(short)}")
    order = Order(customer=customer)
    order.lines = [
        OrderLine(
            position=position,
            product=products[line.sku],
            quantity=line.quantity,
            unit_price=products[line.sku].price,
        )
        for position, line in enumerate(wanted.lines, start=1)
    ]
    session.add(order)
    await session.flush()
    await queries.take_from_stock(session, {products[sku].id: number for sku, number in pieces.items()})
    return OrderOut.of(order)


@router.get("/orders/{order_id}/delivery")
async def quote_delivery(session: SessionDep, carrier: CarrierDep, order_id: int) -> Quote:
    """Ask the carrier what the delivery of an order would cost."""
    order = await _find(session, order_id)
    weight = sum(line.quantity * line.product.weight for line in order.lines)
    price = await carrier.quote(country=order.customer.country, weight=weight)
    return Quote(order=order_id, weight=weight, price=price)


async def _find(session: SessionDep, order_id: int) -> Order:
    order = await queries.find_order(session, order_id)
    if order is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no order {order_id}")
    return order
