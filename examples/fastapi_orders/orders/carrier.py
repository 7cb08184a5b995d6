"""The carrier, who says over HTTP what a delivery costs."""

from __future__ import annotations

from typing import Self

import httpx


class CarrierError(Exception):
    """The carrier did not answer, or not with a price."""


class Carrier:
    """Asks the carrier's service at `url`; one client, so that its connections are used again."""

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(base_url=url, timeout=5)

    async def quote(self, *, country: str, weight: int) -> int:
        """Return the price of a delivery of `weight` grams; raises `CarrierError`."""
        try:
            answer = await self._client.get("/quote", params={"country": country, "weight": weight})
            return int(answer.raise_for_status().json()["price"])
        except (httpx.HTTPError, KeyError, ValueError) as error:
            raise CarrierError(f"no price for a delivery to {country}: {error}") from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.aclose()
