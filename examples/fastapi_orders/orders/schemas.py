"""What the API takes and gives."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from orders.models import Order


class WantedLine(BaseModel):
    sku: str
    quantity: Annotated[int, Field(gt=0, le=1000)]


class NewOrder(BaseModel):
    customer: int
    lines: Annotated[list[WantedLine], Field(min_length=1, max_length=100)]


class Line(BaseModel):
    sku: str
    product: str
    quantity: int
    unit_price: int


class OrderOut(BaseModel):
    """An order with its lines, and what they cost together."""

    number: int
    placed_at: datetime
    total: int
    lines: list[Line]

    @classmethod
    def of(cls, order: Order) -> OrderOut:
        """Return what is shown of an order, whose lines and their products have been loaded."""
        lines = [
            Line(sku=line.product.sku, product=line.product.name, quantity=line.quantity, unit_price=line.unit_price)
            for line in order.lines
        ]
        total = sum(line.quantity * line.unit_price for line in lines)
        return cls(number=order.id, placed_at=order.placed_at, total=total, lines=lines)


class ProductOut(BaseModel):
    sku: str
    name: str
    price: int
    stock: int


class Quote(BaseModel):
    """What the delivery of an order would cost."""

    order: int
    weight: int
    price: int


class Dashboard(BaseModel):
    orders: int
    turnover: int
    scarce: list[ProductOut]
