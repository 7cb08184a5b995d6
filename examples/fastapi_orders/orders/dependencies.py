"""What endpoints ask for: the database, a session for the request, the carrier."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from orders.carrier import Carrier
from orders.database import Database


def get_database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


def get_carrier(request: Request) -> Carrier:
    carrier: Carrier = request.app.state.carrier
    return carrier


async def get_session(database: Annotated[Database, Depends(get_database)]) -> AsyncIterator[AsyncSession]:
    """Give a session for one request: committed where it ends well, rolled back where it does not."""
    async with database.sessions.begin() as session:
        yield session


DatabaseDep = Annotated[Database, Depends(get_database)]
CarrierDep = Annotated[Carrier, Depends(get_carrier)]
# Before the answer is sent, so that a commit that fails is no success to the client.
SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
