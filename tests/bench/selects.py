"""Prints SELECTs of 12 columns with a JOIN and conditions as SQLAlchemy and Django write them, with their dialects."""

from __future__ import annotations

import json

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

REGIONS = ["eu", "us"]


def of_sqlalchemy() -> tuple[str, str]:
    """Return one for PostgreSQL."""

    class Base(DeclarativeBase):
        pass

    class Customer(Base):
        __tablename__ = "customers"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        region: Mapped[str]
        email: Mapped[str]

    class Order(Base):
        __tablename__ = "orders"
        id: Mapped[int] = mapped_column(primary_key=True)
        customer_id: Mapped[int] = mapped_column(sa.ForeignKey("customers.id"))
        state: Mapped[str]
        total: Mapped[float]
        currency: Mapped[str]
        placed_at: Mapped[str]
        shipped_at: Mapped[str]
        note: Mapped[str]
        customer: Mapped[Customer] = relationship()

    query = sa.select(Order, Customer).join(Order.customer)
    query = query.where(Order.state == "open", Customer.region.in_(REGIONS)).order_by(Order.placed_at.desc()).limit(20)
    return str(query.compile(dialect=postgresql.dialect(), compile_kwargs={"render_postcompile": True})), "postgresql"


def of_django() -> tuple[str, str]:
    """Return one for PostgreSQL; written for SQLite, where the text is the same."""
    from django import setup
    from django.conf import settings

    settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})
    setup()
    from django.db import models

    class Customer(models.Model):
        name = models.TextField()
        region = models.TextField()
        email = models.TextField()

        class Meta:
            app_label = "shop"

    class Order(models.Model):
        customer = models.ForeignKey(Customer, models.CASCADE)
        state = models.TextField()
        total = models.FloatField()
        currency = models.TextField()
        placed_at = models.TextField()
        shipped_at = models.TextField()
        note = models.TextField()

        class Meta:
            app_label = "shop"

    query = Order.objects.select_related("customer").filter(state="open", customer__region__in=REGIONS)
    return query.order_by("-placed_at")[:20].query.sql_with_params()[0], "postgresql"


if __name__ == "__main__":
    print(json.dumps({"SQLAlchemy's ORM": of_sqlalchemy(), "Django's ORM": of_django()}))
