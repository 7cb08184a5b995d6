"""What differs between one deployment and another."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The database, and the service of the carrier; `pool_size` connections are kept open."""

    database_url: str = "postgresql+asyncpg://root@127.0.0.1:5432/orders"
    carrier_url: str = "http://127.0.0.1:8001"
    pool_size: int = 5

    @classmethod
    def from_environment(cls) -> Settings:
        """Return the settings of ORDERS_DATABASE_URL and ORDERS_CARRIER_URL, where these are set."""
        names = {"database_url": "ORDERS_DATABASE_URL", "carrier_url": "ORDERS_CARRIER_URL"}
        return cls(**{field: os.environ[name] for field, name in names.items() if name in os.environ})
