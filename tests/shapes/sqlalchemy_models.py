"""A bookshop for SQLAlchemy: authors with publishers and books, books with tags, a tree of categories."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.associationproxy import AssociationProxy, association_proxy
from sqlalchemy.ext.asyncio import AsyncAttrs

AUTHORS = 6
BOOKS = 3
"""Of each author."""


class Base(AsyncAttrs, orm.DeclarativeBase):
    pass


class Publisher(Base):
    __tablename__ = "publisher"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str]
    city_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("city.id"))
    city: orm.Mapped[City] = orm.relationship()


class City(Base):
    __tablename__ = "city"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str]


class Author(Base):
    __tablename__ = "author"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str]
    biography: orm.Mapped[str] = orm.mapped_column(default="", deferred=True)
    publisher_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("publisher.id"))
    publisher: orm.Mapped[Publisher] = orm.relationship()
    books: orm.Mapped[list[Book]] = orm.relationship(back_populates="author", cascade="all, delete-orphan")
    shelf: orm.WriteOnlyMapped[Book] = orm.relationship(viewonly=True)

    @property
    def label(self) -> str:
        return f"{self.name} ({self.publisher.name})"  # here


class Book(Base):
    __tablename__ = "book"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    title: orm.Mapped[str]
    price: orm.Mapped[int] = orm.mapped_column(default=10)
    author_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("author.id"))
    author: orm.Mapped[Author] = orm.relationship(back_populates="books")
    taggings: orm.Mapped[list[Tagging]] = orm.relationship(cascade="all, delete-orphan")
    tags: AssociationProxy[list[str]] = association_proxy("taggings", "word")


class Tagging(Base):
    __tablename__ = "tagging"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    book_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("book.id"))
    word: orm.Mapped[str]


class Category(Base):
    __tablename__ = "category"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str]
    parent_id: orm.Mapped[int | None] = orm.mapped_column(sa.ForeignKey("category.id"))
    children: orm.Mapped[list[Category]] = orm.relationship()


class Setting(Base):
    __tablename__ = "setting"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    key: orm.Mapped[str]
    value: orm.Mapped[str]


@dataclass
class AuthorOut:
    """What an interface would return of an author."""

    name: str
    titles: list[str]

    @classmethod
    def from_row(cls, author: Author) -> AuthorOut:
        return cls(
            name=author.name,
            titles=[book.title for book in author.books],  # here
        )


def populate(session: orm.Session, authors: int = AUTHORS) -> None:
    """Add the shop's data: each author has another publisher, each of those another city."""
    for number in range(1, authors + 1):
        city = City(name=f"city {number}")
        author = Author(name=f"author {number}", publisher=Publisher(name=f"house {number}", city=city))
        author.books = [
            Book(title=f"title {number}.{book}", taggings=[Tagging(word="new"), Tagging(word=f"w{book}")])
            for book in range(BOOKS)
        ]
        session.add(author)
    session.add(Category(name="all", children=[_category("fiction"), _category("science"), _category("art")]))
    session.add(Setting(key="currency", value="EUR"))
    session.commit()


def _category(name: str) -> Category:
    leaves = [Category(name=f"{name} {part}") for part in "ab"]
    return Category(name=name, children=leaves)
