"""Connections and sessions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, StaticPool, create_engine
from sqlalchemy.orm import Session

from shop.models import Base


class Database:
    """An engine, and one session for each unit of work."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def in_memory(cls) -> Database:
        """Return an empty database that lives as long as its one connection."""
        return cls(create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}))

    def create_tables(self) -> None:
        Base.metadata.create_all(self.engine)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Commit at the end of the block, roll back if it raises."""
        with Session(self.engine) as session, session.begin():
            yield session

    def close(self) -> None:
        self.engine.dispose()
