"""What the API asks of its database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import case, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from orders.models import Order, OrderLine, Product


async def list_orders(session: AsyncSession, customer_id: int, *, limit: int) -> Sequence[Order]:
    """Return a customer's latest orders, newest first, with their lines and products."""
    statement = (
        select(Order)
        .where(Order.customer_id == customer_id)
        .order_by(Order.placed_at.desc(), Order.id.desc())
        .options(selectinload(Order.lines).joinedload(OrderLine.product))
        .limit(limit)
    )
    return (await session.scalars(statement)).all()


async def find_order(session: AsyncSession, order_id: int) -> Order | None:
    """Return an order with its customer, its lines and their products."""
    statement = (
        select(Order)
        .where(Order.id == order_id)
        .options(selectinload(Order.lines).joinedload(OrderLine.product), selectinload(Order.customer))
    )
    return (await session.scalars(statement)).one_or_none()


async def lock_products(session: AsyncSession, skus: Sequence[str]) -> dict[str, Product]:
    """Return the products that exist, by SKU, and let nobody else sell them until the transaction ends."""
    statement = select(Product).where(Product.sku.in_(skus)).order_by(Product.id).with_for_update()
    return {product.sku: product for product in await session.scalars(statement)}


async def take_from_stock(session: AsyncSession, pieces: Mapping[int, int]) -> None:
    """Take so many pieces of each product, by its id, in one statement."""
    taken = case(pieces, value=Product.id)
    await session.execute(
        update(Product)
        .where(Product.id.in_(pieces))
        .values(stock=Product.stock - taken)
        .execution_options(synchronize_session=False)
    )


async def count_orders(session: AsyncSession) -> int:
    return await session.scalar(select(func.count()).select_from(Order)) or 0


async def sum_turnover(session: AsyncSession) -> int:
    return await session.scalar(select(func.sum(OrderLine.quantity * OrderLine.unit_price))) or 0


async def list_scarce(session: AsyncSession, *, length: int = 5) -> Sequence[Product]:
    """Return the products of which the fewest pieces are left."""
    return (await session.scalars(select(Product).order_by(Product.stock, Product.id).limit(length))).all()
