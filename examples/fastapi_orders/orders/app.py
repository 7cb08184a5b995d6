"""The application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from orders.carrier import Carrier, CarrierError
from orders.database import Database
from orders.routers import orders, reports
from orders.settings import Settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return an application whose engine and HTTP client live as long as it runs."""
    chosen = settings or Settings.from_environment()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.database = Database(chosen)
        async with Carrier(chosen.carrier_url) as app.state.carrier:
            yield
        await app.state.database.close()

    app = FastAPI(title="Orders", lifespan=lifespan)
    app.include_router(orders.router)
    app.include_router(reports.router)
    app.add_exception_handler(CarrierError, _answer_bad_gateway)
    return app


async def _answer_bad_gateway(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=502)
