"""Reads by SQLAlchemy that are made row by row, and how the same is read at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa
from anyio.from_thread import start_blocking_portal
from sqlalchemy import orm
from sqlalchemy.orm import Session

from tests.shapes.catalogue import Catalogue
from tests.shapes.rendering import PAGE, render
from tests.shapes.sqlalchemy_models import Author, AuthorOut, Book, Category, Publisher, Setting, Tagging

READS = Catalogue()
shape, twin, lookalike = READS.shape, READS.twin, READS.lookalike


@shape("n_plus_one")
def lazy_collection(session: Session) -> None:
    """One-to-many, loaded lazily in a loop."""
    for author in session.scalars(sa.select(Author)):
        for book in author.books:  # here
            assert book.title


@twin
def eager_collection(session: Session) -> None:
    """selectinload."""
    for author in session.scalars(sa.select(Author).options(orm.selectinload(Author.books))):
        for book in author.books:
            assert book.title


@shape("n_plus_one")
def lazy_parent(session: Session) -> None:
    """Many-to-one, loaded lazily in a loop."""
    names = []
    for book in session.scalars(sa.select(Book)):
        names.append(book.author.name)  # here
    assert names


@twin
def joined_parent(session: Session) -> None:
    """joinedload."""
    names = []
    for book in session.scalars(sa.select(Book).options(orm.joinedload(Book.author))):
        names.append(book.author.name)
    assert names


@shape("n_plus_one")
def nested(session: Session) -> None:
    """Two levels, of which only the first is loaded eagerly."""
    for author in session.scalars(sa.select(Author).options(orm.selectinload(Author.books))):
        for book in author.books:
            assert len(book.taggings) == 2  # here


@twin
def nested_eagerly(session: Session) -> None:
    """selectinload of both levels."""
    books = orm.selectinload(Author.books)
    for author in session.scalars(sa.select(Author).options(books.selectinload(Book.taggings))):
        for book in author.books:
            assert len(book.taggings) == 2


@shape("n_plus_one")
def in_a_comprehension(session: Session) -> list[int]:
    """Comprehension over lazy collections."""
    authors = session.scalars(sa.select(Author)).all()
    return [len(author.books) for author in authors]  # here


@twin
def after_subqueryload(session: Session) -> list[int]:
    """subqueryload."""
    authors = session.scalars(sa.select(Author).options(orm.subqueryload(Author.books))).all()
    return [len(author.books) for author in authors]


@shape("n_plus_one")
def in_a_generator(session: Session) -> int:
    """Generator expression over lazy collections."""
    return sum(
        len(author.books)  # here
        for author in session.scalars(sa.select(Author)).all()
    )


@twin
def counted_by_the_database(session: Session) -> int:
    """The database counts."""
    return session.scalar(sa.select(sa.func.count()).select_from(Book))


@shape("n_plus_one", at=Author.label.fget)
def in_a_property(session: Session) -> list[str]:
    """Property of the model that reads a relationship."""
    return [author.label for author in session.scalars(sa.select(Author))]


@twin
def property_of_a_join(session: Session) -> list[str]:
    """contains_eager."""
    statement = sa.select(Author).join(Author.publisher).options(orm.contains_eager(Author.publisher))
    return [author.label for author in session.scalars(statement)]


@shape("n_plus_one", at=AuthorOut.from_row.__func__)
def in_a_serializer(session: Session) -> list[AuthorOut]:
    """Conversion to dataclasses."""
    return [AuthorOut.from_row(author) for author in session.scalars(sa.select(Author))]


@twin
def serializer_after_selectinload(session: Session) -> list[AuthorOut]:
    """selectinload."""
    books = orm.selectinload(Author.books)
    return [AuthorOut.from_row(author) for author in session.scalars(sa.select(Author).options(books))]


@shape("n_plus_one", at=render)
def in_a_template(session: Session) -> str:
    """Template that is rendered by another module."""
    return render(PAGE, session.scalars(sa.select(Author)))


@twin
def template_after_joinedload(session: Session) -> str:
    """joinedload."""
    return render(PAGE, session.scalars(sa.select(Author).options(orm.joinedload(Author.publisher))))


@shape("n_plus_one")
def get_in_a_loop(session: Session) -> list[Any]:
    """session.get in a loop."""
    found = []
    for number in (1, 2, 3, 4, 5, 6):
        found.append(session.get(Author, number))  # here
    return found


@twin
def get_at_once(session: Session) -> list[Any]:
    """IN."""
    numbers = (1, 2, 3, 4, 5, 6)
    return [*session.scalars(sa.select(Author).where(Author.id.in_(numbers)))]


@twin
def get_what_is_there(session: Session) -> list[Any]:
    """session.get after all were loaded."""
    kept = session.scalars(sa.select(Author)).all()
    return [session.get(Author, author.id) for author in kept]


@shape("n_plus_one")
def count_for_each(session: Session) -> dict[str, int]:
    """count() for each parent."""
    counts = {}
    for author in session.scalars(sa.select(Author)):
        statement = sa.select(sa.func.count()).where(Book.author_id == author.id)
        counts[author.name] = session.scalar(statement)  # here
    return counts


@twin
def counts_by_group(session: Session) -> dict[str, int]:
    """GROUP BY."""
    statement = sa.select(Author.name, sa.func.count(Book.id)).outerjoin(Author.books).group_by(Author.id)
    return {row.name: row[1] for row in session.execute(statement)}


@shape("n_plus_one")
def exists_for_each(session: Session) -> list[Author]:
    """exists() for each parent."""
    found = []
    for author in session.scalars(sa.select(Author)).all():
        expensive = sa.exists().where(Book.author_id == author.id, Book.price > 5)
        if session.scalar(sa.select(expensive)):  # here
            found.append(author)
    return found


@twin
def exists_at_once(session: Session) -> list[Author]:
    """any() in the query."""
    return [*session.scalars(sa.select(Author).where(Author.books.any(Book.price > 5)))]


@shape("n_plus_one")
def first_of_each(session: Session) -> list[Any]:
    """Latest row of each parent, with LIMIT 1."""
    found = []
    for author in session.scalars(sa.select(Author)).all():
        newest = sa.select(Book).where(Book.author_id == author.id).order_by(Book.id.desc()).limit(1)
        found.append(session.scalars(newest).first())  # here
    return found


@twin
def first_by_window(session: Session) -> list[Any]:
    """Window function."""
    rank = sa.func.row_number().over(partition_by=Book.author_id, order_by=Book.id.desc()).label("rank")
    ranked = sa.select(Book.id, rank).subquery()
    return [*session.scalars(sa.select(Book).join(ranked, ranked.c.id == Book.id).where(ranked.c.rank == 1))]


@shape("n_plus_one")
def page_of_each(session: Session) -> list[Any]:
    """First page of each parent's rows, with LIMIT and a range."""
    found = []
    for author in session.scalars(sa.select(Author)).all():
        page = sa.select(Book).where(Book.author_id == author.id, Book.id > 0).order_by(Book.id).limit(2)
        found += session.scalars(page)  # here
    return found


@twin
def pages_by_window(session: Session) -> list[Any]:
    """Window function."""
    rank = sa.func.row_number().over(partition_by=Book.author_id, order_by=Book.id).label("rank")
    ranked = sa.select(Book.id, rank).subquery()
    return [*session.scalars(sa.select(Book).join(ranked, ranked.c.id == Book.id).where(ranked.c.rank <= 2))]


@shape("n_plus_one")
def refreshed_after_commit(session: Session) -> list[str]:
    """Objects that a commit expired, refreshed one by one."""
    authors = session.scalars(sa.select(Author)).all()
    session.commit()
    return [author.name for author in authors]  # here


@twin
def not_expired(session: Session) -> list[str]:
    """expire_on_commit=False."""
    with Session(session.get_bind(), expire_on_commit=False) as lasting:
        authors = lasting.scalars(sa.select(Author)).all()
        lasting.commit()
        return [author.name for author in authors]


RENAME = sa.text("UPDATE author SET name = upper(name)")


@shape("n_plus_one")
def refresh_for_each(session: Session) -> None:
    """session.refresh for each object, after an UPDATE of all."""
    authors = session.scalars(sa.select(Author)).all()
    session.execute(RENAME)
    for author in authors:
        session.refresh(author, ["name"])  # here


@twin
def refresh_at_once(session: Session) -> None:
    """populate_existing."""
    authors = session.scalars(sa.select(Author)).all()
    session.execute(RENAME)
    assert session.scalars(sa.select(Author).execution_options(populate_existing=True)).all() == authors


@shape("n_plus_one")
def deferred_column(session: Session) -> int:
    """Deferred column, read of each row."""
    length = 0
    for author in session.scalars(sa.select(Author)):
        length += len(author.biography)  # here
    return length


@twin
def undeferred_column(session: Session) -> int:
    """undefer."""
    length = 0
    for author in session.scalars(sa.select(Author).options(orm.undefer(Author.biography))):
        length += len(author.biography)
    return length


@shape("n_plus_one")
def association_proxy(session: Session) -> set[str]:
    """Association proxy over a lazy collection."""
    words = set()
    for book in session.scalars(sa.select(Book)):
        words.update(book.tags)  # here
    return words


@twin
def association_proxy_eagerly(session: Session) -> set[str]:
    """selectinload of what the proxy reads."""
    words = set()
    for book in session.scalars(sa.select(Book).options(orm.selectinload(Book.taggings))):
        words.update(book.tags)
    return words


@shape("n_plus_one")
def write_only_collection(session: Session) -> list[Any]:
    """Collection of its own query for each parent."""
    found = []
    for author in session.scalars(sa.select(Author)).all():
        found += session.scalars(author.shelf.select().where(Book.price < 20))  # here
    return found


@twin
def query_of_all_collections(session: Session) -> list[Any]:
    """JOIN."""
    return [*session.scalars(sa.select(Book).join(Book.author).where(Book.price < 20))]


def _walk(category: Category) -> int:
    return 1 + sum([_walk(child) for child in category.children])  # here


@shape("n_plus_one", at=_walk)
def tree_by_recursion(session: Session) -> int:
    """Tree that refers to itself, descended by recursion."""
    return _walk(session.scalars(sa.select(Category).where(Category.parent_id.is_(None))).one())


@twin
def tree_in_memory(session: Session) -> int:
    """All nodes at once, the tree built in memory."""
    nodes = session.scalars(sa.select(Category)).all()
    children: dict[int | None, list[Category]] = {}
    for node in nodes:
        children.setdefault(node.parent_id, []).append(node)
    for node in nodes:
        orm.attributes.set_committed_value(node, "children", children.get(node.id, []))
    return _walk(children[None][0])


@twin
def tree_level_by_level(session: Session) -> int:
    """selectinload with recursion_depth."""
    levels = orm.selectinload(Category.children, recursion_depth=-1)
    return _walk(session.scalars(sa.select(Category).where(Category.parent_id.is_(None)).options(levels)).one())


@shape("n_plus_one")
def core_in_a_loop(session: Session) -> list[Any]:
    """Core select in a loop."""
    connection = session.connection()
    found = []
    for (number,) in connection.execute(sa.text("SELECT id FROM author")).all():
        found += connection.execute(sa.text("SELECT title FROM book WHERE author_id = :id"), {"id": number})  # here
    return found


@twin
def core_join(session: Session) -> list[Any]:
    """JOIN."""
    return [*session.execute(sa.text("SELECT title FROM book JOIN author ON author_id = author.id"))]


@shape("n_plus_one")
def written_out_values(session: Session) -> list[Any]:
    """Core select with its values written into the text."""
    found = []
    for number in range(1, 7):
        found += session.execute(sa.text(f"SELECT title FROM book WHERE author_id = {number}"))  # here
    return found


@twin
def written_out_list(session: Session) -> list[Any]:
    """IN with its values written into the text."""
    return [*session.execute(sa.text("SELECT title FROM book WHERE author_id IN (1, 2, 3, 4, 5, 6)"))]


@shape("n_plus_one")
def merge_for_each(session: Session) -> None:
    """session.merge for each row of an import."""
    for number in range(1, 7):
        session.merge(Publisher(id=number, name=f"renamed {number}"))  # here


@twin
def merge_into_what_is_there(session: Session) -> None:
    """session.merge after all were loaded, without a flush for each."""
    kept = session.scalars(sa.select(Publisher)).all()
    with session.no_autoflush:
        for publisher in kept:
            session.merge(Publisher(id=publisher.id, name=f"renamed {publisher.id}"))
    session.flush()


@shape("n_plus_one")
def cascade_to_each(session: Session) -> None:
    """session.delete, which loads each object's children first."""
    for publisher in session.scalars(sa.select(Author)).all():
        session.delete(publisher)  # here
    session.flush()


@twin
def cascade_to_all(session: Session) -> None:
    """session.delete after the children were loaded."""
    books = orm.selectinload(Author.books).selectinload(Book.taggings)
    for author in session.scalars(sa.select(Author).options(books)).all():
        session.delete(author)
    session.flush()


def _title(factory: Any, number: int) -> str:
    with factory() as session:
        return session.scalar(sa.select(Book.title).where(Book.id == number))  # here


@shape("n_plus_one", at=_title)
def in_threads(session: Session) -> list[str]:
    """Thread pool that reads one row in each task."""
    factory = orm.sessionmaker(session.get_bind())
    with ThreadPoolExecutor(1) as executor:
        return [*executor.map(lambda number: _title(factory, number), range(1, 7))]


@twin
def in_one_thread(session: Session) -> list[str]:
    """One task that reads all rows."""
    with ThreadPoolExecutor(1) as executor:
        statement = sa.select(Book.title).where(Book.id.in_(range(1, 7)))
        return executor.submit(lambda: [*session.scalars(statement)]).result()


def _currency(session: Session) -> str:
    return session.scalar(sa.select(Setting.value).where(Setting.key == "currency"))  # here


@shape("duplicates", at=_currency)
def setting_for_each(session: Session) -> list[str]:
    """The same setting, looked up for each row."""
    return [f"{book.price} {_currency(session)}" for book in session.scalars(sa.select(Book)).all()]


@twin
def setting_once(session: Session) -> list[str]:
    """Looked up before the loop."""
    currency = _currency(session)
    return [f"{book.price} {currency}" for book in session.scalars(sa.select(Book)).all()]


@twin
def setting_in_the_session(session: Session) -> list[str]:
    """session.get, which has it in its identity map."""
    found = []
    setting = session.get(Setting, 1)
    for book in session.scalars(sa.select(Book)).all():
        assert session.get(Setting, 1) is setting
        found.append(f"{book.price} {setting.value}")
    return found


@shape("duplicates")
def list_read_twice(session: Session) -> tuple[int, Any]:
    """The same list, read for its length and again for its rows."""
    statement = sa.select(Book).where(Book.price < 20).order_by(Book.id)
    count = len(session.scalars(statement).all())
    return count, session.scalars(statement).all()  # here


@twin
def list_read_once(session: Session) -> tuple[int, Any]:
    """Read once."""
    books = session.scalars(sa.select(Book).where(Book.price < 20).order_by(Book.id)).all()
    return len(books), books


@shape("n_plus_one")
def once_and_in_a_loop(session: Session) -> None:
    """The same statement once before a loop, and in it."""
    first = session.get(Author, 1)
    session.expunge_all()
    for number in (2, 3, 4, 5, 6):
        assert session.get(Author, number) is not first  # here


@twin
def once_and_at_once(session: Session) -> None:
    """IN."""
    first = session.get(Author, 1)
    session.expunge_all()
    assert first not in session.scalars(sa.select(Author).where(Author.id.in_((2, 3, 4, 5, 6)))).all()


@lookalike()
def lists_in_pieces(session: Session) -> None:
    """IN in pieces."""
    for start in range(1, 19, 6):
        session.scalars(sa.select(Tagging).where(Tagging.book_id.in_(range(start, start + 6)))).all()


@lookalike(size=1200)
def thousands_of_parents(session: Session) -> None:
    """selectinload of 1,200 parents, which SQLAlchemy does in pieces."""
    authors = session.scalars(sa.select(Author).options(orm.selectinload(Author.books))).all()
    assert sum([len(author.books) for author in authors]) == 3600


@lookalike(size=20)
def in_batches_of_one_result(session: Session) -> None:
    """yield_per with selectinload."""
    statement = sa.select(Author).options(orm.selectinload(Author.books)).execution_options(yield_per=5)
    assert sum([len(author.books) for author in session.scalars(statement)]) == 60


@lookalike(size=20)
def pages_by_key(session: Session) -> None:
    """Pages by key."""
    last, found = 0, 0
    while books := session.scalars(sa.select(Book).where(Book.id > last).order_by(Book.id).limit(10)).all():
        last, found = books[-1].id, found + len(books)
    assert found == 60


@lookalike(size=20)
def pages_by_key_of_one_parent(session: Session) -> None:
    """Pages by a key of two columns, of one price, newest first."""
    price, number = 10, 10**6
    while True:
        before = sa.tuple_(Book.price, Book.id) < sa.tuple_(price, number)
        statement = sa.select(Book).where(Book.price == 10, before).order_by(Book.price.desc(), Book.id.desc())
        books = session.scalars(statement.limit(10)).all()
        if not books:
            break
        price, number = books[-1].price, books[-1].id


@lookalike(size=20)
def pages_by_number(session: Session) -> None:
    """Pages by OFFSET."""
    found = []
    for page in range(6):
        found += session.scalars(sa.select(Book).order_by(Book.id).limit(10).offset(10 * page)).all()
    assert len(found) == 60


def _author_of(session: Session, number: int) -> Any:
    return session.scalars(sa.select(Author).where(Author.id == number)).one()


@lookalike()
def one_helper_of_three_endpoints(session: Session) -> None:
    """Three endpoints that call one helper, once each."""

    def show() -> str:
        return _author_of(session, 1).name

    def edit() -> None:
        _author_of(session, 2).name = "other"

    def summary() -> int:
        return len(_author_of(session, 3).books)

    show()
    edit()
    summary()


@lookalike()
def requests_of_two_users(session: Session) -> None:
    """Two users' requests and an administrator's, written out."""

    def page(number: int) -> tuple[str, int]:
        author = _author_of(session, number)
        return author.label, len(author.books)

    page(1)
    page(2)
    page(3)


@lookalike()
def requests_in_another_thread(session: Session) -> None:
    """Three requests to one endpoint, as Starlette's test client makes them."""
    factory = orm.sessionmaker(session.get_bind())

    async def endpoint(number: int) -> str:
        with factory() as inner:
            return inner.get(Author, number).name

    with start_blocking_portal() as portal:
        portal.call(endpoint, 1)
        portal.call(endpoint, 2)
        portal.call(endpoint, 3)


@lookalike()
def read_before_and_after_a_write(session: Session) -> None:
    """The same read before and after a write."""
    before = session.scalar(sa.select(sa.func.count()).select_from(Book))
    session.add(Book(title="another", author_id=1))
    session.flush()
    assert session.scalar(sa.select(sa.func.count()).select_from(Book)) == before + 1


@lookalike()
def read_again_after_a_rollback(session: Session) -> None:
    """The same read after a rollback."""
    session.scalars(sa.select(Book)).all()
    session.rollback()
    session.scalars(sa.select(Book)).all()
