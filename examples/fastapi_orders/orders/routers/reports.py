"""Figures for those who run the shop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession

from orders import queries
from orders.dependencies import DatabaseDep
from orders.schemas import Dashboard, ProductOut

router = APIRouter()

T = TypeVar("T")


@router.get("/dashboard")
async def show_dashboard(database: DatabaseDep) -> Dashboard:
    """Ask for the figures at the same time, each over a connection of its own."""

    async def ask(query: Callable[[AsyncSession], Awaitable[T]]) -> T:
        async with database.sessions() as session:
            return await query(session)

    orders, turnover, scarce = await asyncio.gather(
        ask(queries.count_orders), ask(queries.sum_turnover), ask(queries.list_scarce)
    )
    shown = [ProductOut.model_validate(product, from_attributes=True) for product in scarce]
    return Dashboard(orders=orders, turnover=turnover, scarce=shown)
