"""Example data, the same every time."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from orders.models import Customer, Order, OrderLine, Product

START = datetime(2026, 1, 1, tzinfo=UTC)
COUNTRIES = ("DE", "FR", "PT")
KINDS = ("Desk", "Chair", "Shelf", "Lamp", "Stool")
WOODS = ("ash", "beech", "cherry", "maple", "oak", "pine")


async def seed(session: AsyncSession, *, customers: int = 9, orders: int = 135) -> None:
    """Fill empty tables: thirty products, and orders of one to five lines."""
    await session.execute(
        insert(Customer), [{"name": f"Customer {n}", "country": COUNTRIES[n % 3]} for n in range(1, customers + 1)]
    )
    await session.execute(
        insert(Product),
        [
            {
                "sku": f"{kind[:2].upper()}-{wood[:2].upper()}",
                "name": f"{kind} of {wood}",
                "price": 4900 + 700 * number,
                "weight": 1500 + 250 * number,
                "stock": 50_000 + number,
            }
            for number, (kind, wood) in enumerate((kind, wood) for kind in KINDS for wood in WOODS)
        ],
    )
    people = (await session.scalars(select(Customer.id).order_by(Customer.id))).all()
    for customer in people:
        await add_orders(session, customer, orders // customers)


async def add_customer(session: AsyncSession, name: str = "Newcomer") -> int:
    """Add a customer without orders, and return the number."""
    return (await session.execute(insert(Customer).values(name=name, country="PT").returning(Customer.id))).scalar_one()


async def add_orders(session: AsyncSession, customer: int, number: int) -> list[int]:
    """Add orders of one to five lines to those of a customer, and return their numbers."""
    before = await session.scalar(select(func.count()).select_from(Order).where(Order.customer_id == customer)) or 0
    chance = random.Random(before)
    products = (await session.execute(select(Product.id, Product.price).order_by(Product.id))).all()
    rows = [{"customer_id": customer, "placed_at": START + timedelta(hours=before + n)} for n in range(number)]
    orders = (await session.scalars(insert(Order).returning(Order.id, sort_by_parameter_order=True), rows)).all()
    lines = [
        {
            "order_id": order,
            "position": position,
            "product_id": product.id,
            "quantity": chance.randint(1, 4),
            "unit_price": product.price,
        }
        for order in orders
        for position, product in enumerate(chance.sample(products, chance.randint(1, 5)), start=1)
    ]
    await session.execute(insert(OrderLine), lines)
    return list(orders)
