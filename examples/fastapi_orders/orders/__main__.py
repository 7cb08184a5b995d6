"""Create the tables and example data in the database of the settings: `python -m orders`."""

from __future__ import annotations

import asyncio

from orders.database import Database
from orders.seed import seed
from orders.settings import Settings


async def main() -> None:
    database = Database(Settings.from_environment())
    await database.create_tables()
    async with database.sessions.begin() as session:
        await seed(session)
    await database.close()


if __name__ == "__main__":
    asyncio.run(main())
