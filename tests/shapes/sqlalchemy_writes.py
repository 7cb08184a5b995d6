"""Writes by SQLAlchemy that are made row by row, and how the same is written at once."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.orm import Session

from tests.shapes.catalogue import Catalogue
from tests.shapes.sqlalchemy_models import Author, Book, Category, Setting, Tagging

WRITES = Catalogue()
shape, twin, lookalike = WRITES.shape, WRITES.twin, WRITES.lookalike

INSERT = sa.text("INSERT INTO book (title, price, author_id) VALUES (:title, 1, 1)")
TITLES = [f"new {number}" for number in range(6)]


@shape("batchable")
def flush_for_each(session: Session) -> None:
    """INSERT with a flush for each object."""
    for title in TITLES:
        session.add(Book(title=title, author_id=1))
        session.flush()  # here


@twin
def one_flush(session: Session) -> None:
    """add_all and one flush."""
    session.add_all([Book(title=title, author_id=1) for title in TITLES])
    session.flush()


@twin
def one_bulk_insert(session: Session) -> None:
    """insert() with a list."""
    session.execute(sa.insert(Book), [{"title": title, "author_id": 1} for title in TITLES])


@shape("batchable")
def commit_for_each(session: Session) -> None:
    """UPDATE with a commit for each object."""
    for book in session.scalars(sa.select(Book).where(Book.author_id < 3)).all():
        book.price = 11
        session.commit()  # here


@twin
def one_commit(session: Session) -> None:
    """One commit after the loop."""
    for book in session.scalars(sa.select(Book).where(Book.author_id < 3)).all():
        book.price = 11
    session.commit()


@shape("batchable")
def update_for_each(session: Session) -> None:
    """UPDATE statement for each row."""
    for number in range(1, 7):
        session.execute(sa.update(Book).where(Book.id == number).values(price=number))  # here


@twin
def update_many(session: Session) -> None:
    """Bulk UPDATE by primary key."""
    session.execute(sa.update(Book), [{"id": number, "price": number} for number in range(1, 7)])


@twin
def update_by_case(session: Session) -> None:
    """One UPDATE with CASE."""
    prices = {number: number for number in range(1, 7)}
    session.execute(sa.update(Book).where(Book.id.in_(prices)).values(price=sa.case(prices, value=Book.id)))


@shape("batchable")
def delete_for_each(session: Session) -> None:
    """DELETE statement for each row."""
    for number in range(1, 7):
        session.execute(sa.delete(Tagging).where(Tagging.book_id == number))  # here


@twin
def delete_many(session: Session) -> None:
    """DELETE with IN."""
    session.execute(sa.delete(Tagging).where(Tagging.book_id.in_(range(1, 7))))


@twin
def delete_in_one_flush(session: Session) -> None:
    """session.delete and one flush."""
    for tagging in session.scalars(sa.select(Tagging).where(Tagging.book_id < 3)).all():
        session.delete(tagging)
    session.flush()


@shape("batchable")
def core_insert_for_each(session: Session) -> None:
    """Core INSERT in a loop."""
    connection = session.connection()
    for title in TITLES:
        connection.execute(INSERT, {"title": title})  # here


@twin
def core_insert_many(session: Session) -> None:
    """executemany."""
    session.connection().execute(INSERT, [{"title": title} for title in TITLES])


@shape("batchable")
def upsert_for_each(session: Session) -> None:
    """Upsert in a loop."""
    for number in range(1, 7):
        statement = upsert(Setting).values(id=number, key=f"key {number}", value="on")
        session.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"value": "on"}))  # here


@twin
def upsert_many(session: Session) -> None:
    """Upsert with several rows."""
    statement = upsert(Setting).values([{"id": n, "key": f"key {n}", "value": "on"} for n in range(1, 7)])
    session.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"value": "on"}))


@shape("n_plus_one")
def find_or_add_each(session: Session) -> None:
    """Row by row: look it up, add it if it is missing."""
    for number in range(6):
        found = session.scalar(sa.select(Setting).where(Setting.key == f"key {number}"))  # here
        if found is None:
            session.add(Setting(key=f"key {number}", value="on"))


@twin
def find_all_and_add(session: Session) -> None:
    """Look all up, add those that are missing."""
    keys = {f"key {number}" for number in range(6)}
    found = set(session.scalars(sa.select(Setting.key).where(Setting.key.in_(keys))))
    session.add_all([Setting(key=key, value="on") for key in sorted(keys - found)])
    session.flush()


def _number(mapper: Any, connection: Any, book: Book) -> None:
    books = sa.select(sa.func.count()).where(Book.author_id == book.author_id)
    book.title = f"{book.title}, number {connection.scalar(books)}"  # here


@shape("n_plus_one", at=_number)
def listener_of_a_flush(session: Session) -> None:
    """Listener that reads for each object of one flush."""
    session.add_all([Book(title="new", author_id=number) for number in range(1, 7)])
    event.listen(Book, "before_insert", _number)
    try:
        session.flush()
    finally:
        event.remove(Book, "before_insert", _number)


@twin
def numbered_before_the_flush(session: Session) -> None:
    """Read for all before the flush."""
    counts = sa.select(Book.author_id, sa.func.count()).group_by(Book.author_id)
    numbers = {row[0]: row[1] for row in session.execute(counts)}
    session.add_all([Book(title=f"new, number {number}", author_id=author) for author, number in numbers.items()])
    session.flush()


@lookalike()
def executemany_in_pieces(session: Session) -> None:
    """executemany in pieces."""
    for start in range(0, 9, 3):
        rows = [{"title": f"{start} {number}", "price": 1, "author_id": 1} for number in range(3)]
        session.execute(sa.insert(Book), rows)


@lookalike()
def insert_that_returns(session: Session) -> None:
    """insert() with a list, RETURNING in its order."""
    statement = sa.insert(Book).returning(Book.id, sort_by_parameter_order=True)
    rows = [{"title": title, "price": 1, "author_id": 1} for title in TITLES]
    assert len(session.execute(statement, rows).all()) == 6


@lookalike()
def tree_in_one_flush(session: Session) -> None:
    """A tree whose nodes must be inserted one after the other, in one flush."""
    node = Category(name="root")
    session.add(node)
    for depth in range(6):
        child = Category(name=f"depth {depth}")
        node.children.append(child)
        node = child
    session.flush()


@lookalike()
def several_kinds_in_one_commit(session: Session) -> None:
    """Objects of several kinds and shapes, in one commit."""
    author = session.get(Author, 1)
    for number, title in enumerate(TITLES):
        author.books.append(Book(title=title, **({"price": number} if number % 2 else {})))
        author.books[-1].taggings.append(Tagging(word="new"))
    session.commit()


@lookalike()
def three_writes_written_out(session: Session) -> None:
    """Three writes from three lines."""
    session.execute(sa.update(Book).where(Book.id == 1).values(price=1))
    session.execute(sa.update(Book).where(Book.id == 2).values(price=2))
    session.execute(sa.update(Book).where(Book.id == 3).values(price=3))
