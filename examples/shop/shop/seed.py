"""A shop full of data, the same one every time."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from sqlalchemy import insert

from shop.db import Database
from shop.models import Customer, Order, OrderLine, Product

START = datetime(2026, 1, 1)
DAYS = 90
CATEGORIES = {
    "Tea": ("Assam", "Darjeeling", "Sencha", "Oolong", "Rooibos"),
    "Coffee": ("Espresso", "Filter", "Mocha", "Decaf", "Robusta"),
    "Pots": ("Teapot", "Kettle", "Carafe", "Moka pot", "Samovar"),
    "Cups": ("Mug", "Cup & saucer", "Glass", "Bowl", "Tumbler"),
}
QUALITIES = ("Green", "Black", "White", "Golden", "Small", "Large", "Plain", "Fine", "Royal", "Daily")
ORIGINS = ("from Ceylon", "from Kyoto")


def seed(database: Database, *, customers: int = 60, orders: int = 1800) -> None:
    """Create the tables and fill them: 400 products, and orders of one to five lines over three months."""
    chance = random.Random(20260101)
    kinds = (
        (f"{quality} {kind} {origin}", category)
        for category, names in CATEGORIES.items()
        for kind in names
        for quality in QUALITIES
        for origin in ORIGINS
    )
    products = [
        {
            "id": number,
            "sku": f"{category[:2].upper()}-{number:04}",
            "name": name,
            "category": category,
            "price": number * 7 % 4000 + 150,
        }
        for number, (name, category) in enumerate(kinds, start=1)
    ]
    people = [
        {"id": number, "name": f"Customer {number}", "email": f"customer{number}@shop.example"}
        for number in range(1, customers + 1)
    ]
    placed = sorted(START + timedelta(minutes=chance.randrange(DAYS * 24 * 60)) for _ in range(orders))
    purchases = [
        {"id": number, "customer_id": number % customers + 1, "placed_at": moment}
        for number, moment in enumerate(placed, start=1)
    ]
    lines = [
        {
            "order_id": order["id"],
            "position": position,
            "product_id": product["id"],
            "quantity": chance.randint(1, 4),
            "unit_price": product["price"],
        }
        for order in purchases
        for position, product in enumerate(chance.sample(products, chance.randint(1, 5)), start=1)
    ]
    database.create_tables()
    with database.session() as session:
        session.execute(insert(Customer), people)
        session.execute(insert(Product), products)
        session.execute(insert(Order), purchases)
        session.execute(insert(OrderLine), lines)
