"""What the shop asks of its database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import desc, func, select
from sqlalchemy.orm import Session, joinedload, selectinload

from shop.models import Customer, Order, OrderLine, Product
from shop.report import Sale


def find_customer(session: Session, customer_id: int) -> Customer | None:
    return session.get(Customer, customer_id)


def list_orders(session: Session, customer_id: int, *, limit: int = 20) -> Sequence[Order]:
    """Return a customer's latest orders, newest first, with all that a list of them shows."""
    statement = (
        select(Order)
        .where(Order.customer_id == customer_id)
        .order_by(Order.placed_at.desc(), Order.id.desc())
        .options(selectinload(Order.lines).joinedload(OrderLine.product))
        .limit(limit)
    )
    return session.scalars(statement).all()


def find_order(session: Session, order_id: int) -> Order | None:
    """Return an order with its customer, its lines and their products."""
    statement = (
        select(Order)
        .where(Order.id == order_id)
        .options(joinedload(Order.customer), selectinload(Order.lines).joinedload(OrderLine.product))
    )
    return session.scalars(statement).one_or_none()


def find_products(session: Session, skus: Sequence[str]) -> dict[str, Product]:
    """Return the products that exist, by SKU."""
    found = session.scalars(select(Product).where(Product.sku.in_(skus)))
    return {product.sku: product for product in found}


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search, and how many products match in all."""

    products: Sequence[Product]
    total: int


def search_products(session: Session, words: str, *, page: int = 1, size: int = 20) -> Page:
    """Return the products whose name contains all `words`, by name; pages count from 1."""
    matches = [Product.name.icontains(word, autoescape=True) for word in words.split()]
    total = session.scalar(select(func.count()).select_from(Product).where(*matches)) or 0
    statement = select(Product).where(*matches).order_by(Product.name, Product.id).limit(size).offset((page - 1) * size)
    return Page(session.scalars(statement).all(), total)


def list_sales(session: Session, year: int, month: int) -> list[Sale]:
    """Return every order line of a month, in the order in which they were sold."""
    first = datetime(year, month, 1)
    after = datetime(year + month // 12, month % 12 + 1, 1)
    statement = (
        select(Product.sku, Product.name, Product.category, OrderLine.quantity, OrderLine.unit_price)
        .join(OrderLine.order)
        .join(OrderLine.product)
        .where(Order.placed_at >= first, Order.placed_at < after)
        .order_by(Order.placed_at, Order.id, OrderLine.position)
    )
    return [Sale(*row) for row in session.execute(statement)]


@dataclass(frozen=True, slots=True)
class Overview:
    """The figures of the dashboard."""

    orders: int
    revenue: int
    best_sellers: list[tuple[str, int]]
    latest: list[tuple[int, str, datetime]]


def summarise_shop(session: Session, *, length: int = 10) -> Overview:
    """Return the totals, the best sellers by pieces and the latest orders."""
    revenue = func.coalesce(func.sum(OrderLine.quantity * OrderLine.unit_price), 0)
    orders, turnover = session.execute(select(func.count(OrderLine.order_id.distinct()), revenue)).one()
    pieces = func.sum(OrderLine.quantity).label("pieces")
    best_sellers = session.execute(
        select(Product.name, pieces)
        .join(OrderLine.product)
        .group_by(Product.id)
        .order_by(desc("pieces"), Product.name)
        .limit(length)
    )
    latest = session.execute(
        select(Order.id, Customer.name, Order.placed_at)
        .join(Order.customer)
        .order_by(Order.placed_at.desc(), Order.id.desc())
        .limit(length)
    )
    return Overview(
        orders=orders,
        revenue=turnover,
        best_sellers=[(row.name, row.pieces) for row in best_sellers],
        latest=[(row.id, row.name, row.placed_at) for row in latest],
    )
