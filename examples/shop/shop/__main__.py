"""Serve the shop with its example data: `python -m shop`, then open http://127.0.0.1:8000/dashboard."""

from __future__ import annotations

from contextlib import closing
from wsgiref.simple_server import make_server

from shop.app import Shop
from shop.db import Database
from shop.seed import seed


def main() -> None:
    with closing(Database.in_memory()) as database:
        seed(database)
        with make_server("127.0.0.1", 8000, Shop(database)) as server:
            server.serve_forever()


if __name__ == "__main__":
    main()
