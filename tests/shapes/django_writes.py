"""Writes by Django that are made row by row, and how the same is written at once."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Case, F, When

from tests.shapes.bookshop.models import Author, Book, Setting, Tag
from tests.shapes.catalogue import Catalogue

WRITES = Catalogue()
shape, twin, lookalike = WRITES.shape, WRITES.twin, WRITES.lookalike

TITLES = [f"new {number}" for number in range(6)]


@shape("batchable")
def create_for_each() -> None:
    """create() in a loop."""
    for title in TITLES:
        Book.objects.create(title=title, author_id=1)  # here


@twin
def create_in_bulk() -> None:
    """bulk_create."""
    Book.objects.bulk_create([Book(title=title, author_id=1) for title in TITLES])


@shape("batchable")
def save_for_each() -> None:
    """save() for each object."""
    with transaction.atomic():
        for book in Book.objects.all():
            book.title = book.title.upper()
            book.save()  # here


@twin
def save_in_bulk() -> None:
    """bulk_update."""
    books = [*Book.objects.all()]
    for book in books:
        book.title = book.title.upper()
    Book.objects.bulk_update(books, ["title"])


@shape("batchable")
def update_for_each() -> None:
    """update() for each row."""
    for number in range(1, 7):
        Book.objects.filter(pk=number).update(price=number)  # here


@twin
def update_by_case() -> None:
    """One update() with Case."""
    arms = [When(pk=number, then=number) for number in range(1, 7)]
    Book.objects.filter(pk__in=range(1, 7)).update(price=Case(*arms))


@twin
def update_by_expression() -> None:
    """One update() with F."""
    Book.objects.filter(pk__lt=7).update(price=F("pk"))


@shape("batchable")
def delete_for_each() -> None:
    """delete() for each object."""
    for book in Book.objects.filter(author__lt=3):
        book.delete()  # here


@twin
def delete_at_once() -> None:
    """delete() of the queryset."""
    Book.objects.filter(author__lt=3).delete()


@shape("batchable")
def add_for_each() -> None:
    """add() to a many-to-many of each object."""
    tag = Tag.objects.create(word="sale")
    for book in Book.objects.all():
        book.tags.add(tag)  # here


@twin
def add_through() -> None:
    """bulk_create of the rows between."""
    tag = Tag.objects.create(word="sale")
    between = Book.tags.through
    between.objects.bulk_create([between(book_id=book.pk, tag_id=tag.pk) for book in Book.objects.all()])


@twin
def add_many_to_one() -> None:
    """add() of all from the other side."""
    Tag.objects.create(word="sale").book_set.add(*Book.objects.all())


@shape("n_plus_one")
def get_or_create_each() -> None:
    """get_or_create in a loop."""
    for number in range(6):
        Setting.objects.get_or_create(key=f"key {number}", defaults={"value": "on"})  # here


@twin
def create_what_is_missing() -> None:
    """Look all up, create those that are missing."""
    keys = {f"key {number}" for number in range(6)}
    found = set(Setting.objects.filter(key__in=keys).values_list("key", flat=True))
    Setting.objects.bulk_create([Setting(key=key, value="on") for key in sorted(keys - found)])


@twin
def create_without_a_look() -> None:
    """bulk_create that ignores conflicts."""
    rows = [Setting(key=f"key {number}", value="on") for number in range(6)]
    Setting.objects.bulk_create(rows, ignore_conflicts=True)


@lookalike()
def bulk_create_in_batches() -> None:
    """bulk_create in batches."""
    Book.objects.bulk_create([Book(title=f"new {number}", author_id=1) for number in range(9)], batch_size=3)


@lookalike()
def bulk_update_in_batches() -> None:
    """bulk_update in batches."""
    books = [*Book.objects.all()]
    for book in books:
        book.price += 1
    Book.objects.bulk_update(books, ["price"], batch_size=6)


@lookalike()
def get_or_create_once() -> None:
    """get_or_create once, update_or_create once."""
    Setting.objects.get_or_create(key="theme", defaults={"value": "dark"})
    Setting.objects.update_or_create(key="theme", defaults={"value": "light"})


@lookalike()
def delete_with_cascades() -> None:
    """delete() of authors, with all that hangs on them."""
    Author.objects.filter(pk__lt=4).delete()


@lookalike()
def three_writes_written_out() -> None:
    """Three writes from three lines."""
    Book.objects.filter(pk=1).update(price=1)
    Book.objects.filter(pk=2).update(price=2)
    Book.objects.filter(pk=3).update(price=3)
