"""Reads by Django that are made row by row, and how the same is read at once."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.paginator import Paginator
from django.db.models import Count, Exists, OuterRef, Prefetch, Subquery
from django.template import Context, Template
from django.test import Client

from tests.shapes.bookshop.models import Author, Book, Note, Setting, Tag
from tests.shapes.catalogue import Catalogue
from tests.shapes.rendering import PAGE, render

READS = Catalogue()
shape, twin, lookalike = READS.shape, READS.twin, READS.lookalike


@shape("n_plus_one")
def foreign_key() -> list[str]:
    """Foreign key, followed in a loop."""
    names = []
    for book in Book.objects.all():
        names.append(book.author.name)  # here
    return names


@twin
def foreign_key_selected() -> list[str]:
    """select_related."""
    names = []
    for book in Book.objects.select_related("author"):
        names.append(book.author.name)
    return names


@shape("n_plus_one")
def reverse_foreign_key() -> None:
    """Reverse foreign key, read in a loop."""
    for author in Author.objects.all():
        for book in author.books.all():  # here
            assert book.title


@twin
def reverse_foreign_key_prefetched() -> None:
    """prefetch_related."""
    for author in Author.objects.prefetch_related("books"):
        for book in author.books.all():
            assert book.title


@shape("n_plus_one")
def many_to_many() -> list[list[str]]:
    """Many-to-many, read in a comprehension."""
    return [
        [tag.word for tag in book.tags.all()]  # here
        for book in Book.objects.all()
    ]


@twin
def many_to_many_prefetched() -> list[list[str]]:
    """prefetch_related."""
    return [[tag.word for tag in book.tags.all()] for book in Book.objects.prefetch_related("tags")]


@shape("n_plus_one")
def nested() -> None:
    """Two levels, of which only the first is prefetched."""
    for author in Author.objects.prefetch_related("books"):
        for book in author.books.all():
            assert [*book.tags.all()]  # here


@twin
def nested_prefetched() -> None:
    """prefetch_related of both levels."""
    for author in Author.objects.prefetch_related("books__tags"):
        for book in author.books.all():
            assert [*book.tags.all()]


@shape("n_plus_one")
def count_for_each() -> dict[str, int]:
    """count() for each object."""
    return {author.name: author.books.count() for author in Author.objects.all()}  # here


@twin
def count_annotated() -> dict[str, int]:
    """annotate."""
    return {author.name: author.amount for author in Author.objects.annotate(amount=Count("books"))}


@shape("n_plus_one")
def exists_for_each() -> list[Author]:
    """exists() for each object."""
    found = []
    for author in Author.objects.all():
        if author.books.filter(price__gt=5).exists():  # here
            found.append(author)
    return found


@twin
def exists_annotated() -> list[Author]:
    """Exists in the query."""
    return [*Author.objects.filter(Exists(Book.objects.filter(author=OuterRef("pk"), price__gt=5)))]


@shape("n_plus_one")
def first_of_each() -> list[Any]:
    """first() for each object."""
    return [author.books.order_by("-id").first() for author in Author.objects.all()]  # here


@twin
def first_by_subquery() -> list[Any]:
    """Subquery."""
    newest = Book.objects.filter(author=OuterRef("pk")).order_by("-id").values("title")[:1]
    return [author.newest for author in Author.objects.annotate(newest=Subquery(newest))]


@shape("n_plus_one")
def filter_after_prefetch() -> int:
    """filter() on a relation that was prefetched."""
    cheap = 0
    for author in Author.objects.prefetch_related("books"):
        cheap += len(author.books.filter(price__lt=20))  # here
    return cheap


@twin
def filter_in_prefetch() -> int:
    """Prefetch with a queryset."""
    cheap = 0
    books = Prefetch("books", Book.objects.filter(price__lt=20), to_attr="cheap")
    for author in Author.objects.prefetch_related(books):
        cheap += len(author.cheap)
    return cheap


@twin
def filter_in_memory() -> int:
    """Filtered in memory."""
    cheap = 0
    for author in Author.objects.prefetch_related("books"):
        cheap += sum([book.price < 20 for book in author.books.all()])
    return cheap


@shape("n_plus_one", at=Author.label.fget)
def in_a_property() -> list[str]:
    """Property of the model that follows a foreign key."""
    return [author.label for author in Author.objects.all()]


@twin
def property_after_select_related() -> list[str]:
    """select_related."""
    return [author.label for author in Author.objects.select_related("publisher")]


@shape("n_plus_one", at=Author.serialized)
def in_a_serializer() -> list[Any]:
    """Serializer of the model that reads a relation."""
    return [author.serialized() for author in Author.objects.all()]


@twin
def serializer_after_prefetch() -> list[Any]:
    """prefetch_related."""
    return [author.serialized() for author in Author.objects.prefetch_related("books")]


BOOKS = "{% for book in books %}{{ book.title }} by {{ book.author.name }}{% endfor %}"


@shape("n_plus_one")
def in_a_template() -> str:
    """Template of Django's."""
    template = Template(BOOKS)
    return template.render(Context({"books": Book.objects.all()}))  # here


@twin
def template_after_select_related() -> str:
    """select_related."""
    return Template(BOOKS).render(Context({"books": Book.objects.select_related("author")}))


@shape("n_plus_one", at=render)
def in_a_module() -> str:
    """Template that is rendered by another module."""
    return render(PAGE, Author.objects.all())


@twin
def module_after_select_related() -> str:
    """select_related."""
    return render(PAGE, Author.objects.select_related("publisher"))


class _Choice(forms.Form):
    book = forms.ModelChoiceField(Book.objects.all())


@shape("n_plus_one", at=Book.__str__)
def choices_of_a_form() -> str:
    """Choices of a form, whose labels follow a foreign key."""
    return str(_Choice())


@twin
def choices_after_select_related() -> str:
    """select_related."""
    form = _Choice()
    form.fields["book"].queryset = Book.objects.select_related("author")
    return str(form)


@shape("n_plus_one")
def generic_foreign_key() -> list[Any]:
    """Generic foreign key, followed in a loop."""
    found = []
    for note in Note.objects.all():
        found.append(note.subject)  # here
    return found


@twin
def generic_foreign_key_prefetched() -> list[Any]:
    """prefetch_related."""
    return [note.subject for note in Note.objects.prefetch_related("subject")]


@shape("n_plus_one")
def get_for_each() -> list[Author]:
    """get() in a loop."""
    found = []
    for number in (1, 2, 3, 4, 5, 6):
        found.append(Author.objects.get(pk=number))  # here
    return found


@twin
def get_in_bulk() -> list[Author]:
    """in_bulk."""
    return [*Author.objects.in_bulk([1, 2, 3, 4, 5, 6]).values()]


@shape("n_plus_one")
def deferred_field() -> int:
    """Field that only() left out, read of each row."""
    length = 0
    for author in Author.objects.only("name"):
        length += len(author.biography)  # here
    return length


@twin
def named_field() -> int:
    """only() with that field."""
    return sum([len(author.biography) for author in Author.objects.only("name", "biography")])


@shape("n_plus_one")
def refresh_for_each() -> None:
    """refresh_from_db for each object, after an UPDATE of all."""
    authors = [*Author.objects.all()]
    Author.objects.update(biography="none")
    for author in authors:
        author.refresh_from_db()  # here


@twin
def read_again() -> None:
    """Read again at once."""
    authors = [*Author.objects.all()]
    Author.objects.update(biography="none")
    assert len(Author.objects.all()) == len(authors)


@shape("n_plus_one")
async def asynchronous() -> dict[str, int]:
    """acount() in an asynchronous loop."""
    counts = {}
    async for author in Author.objects.all():
        counts[author.name] = await author.books.acount()  # here
    return counts


@twin
async def asynchronous_annotated() -> dict[str, int]:
    """annotate."""
    return {author.name: author.amount async for author in Author.objects.annotate(amount=Count("books"))}


def _currency() -> str:
    return Setting.objects.get(key="currency").value  # here


@shape("duplicates", at=_currency)
def setting_for_each() -> list[str]:
    """The same setting, looked up for each row."""
    return [f"{book.price} {_currency()}" for book in Book.objects.all()]


@twin
def setting_once() -> list[str]:
    """Looked up before the loop."""
    currency = _currency()
    return [f"{book.price} {currency}" for book in Book.objects.all()]


@shape("duplicates")
def list_read_twice() -> tuple[bool, Any]:
    """The same queryset, evaluated by two calls."""
    author = Author.objects.first()
    titles = [book.title for book in author.books.all()]
    return bool(titles), [book.price for book in author.books.all()]  # here


@twin
def list_read_once() -> tuple[bool, Any]:
    """Kept."""
    books = Author.objects.first().books.all()
    titles = [book.title for book in books]
    return bool(titles), [book.price for book in books]


@lookalike()
def lists_in_pieces() -> None:
    """IN in pieces."""
    for start in range(1, 19, 6):
        assert [*Book.objects.filter(pk__in=range(start, start + 6))]


@lookalike(size=600)
def iterator_with_prefetch() -> None:
    """iterator() with prefetch_related, which prefetches each chunk."""
    for author in Author.objects.prefetch_related("books").iterator(chunk_size=200):
        assert [*author.books.all()]


@lookalike(size=20)
def pages_by_key() -> None:
    """Pages by key."""
    last = 0
    while books := Book.objects.filter(pk__gt=last).order_by("pk")[:10]:
        last = [*books][-1].pk


@lookalike(size=20)
def pages_by_number() -> None:
    """Paginator."""
    for page in Paginator(Book.objects.filter(price__gt=5).order_by("pk"), 10):
        assert [*page]


@lookalike()
def three_requests() -> None:
    """Three requests to one view, written out."""
    client = Client()
    assert client.get("/authors/1/").status_code == 200
    assert client.get("/authors/2/").status_code == 200
    assert client.get("/authors/3/").status_code == 200


@lookalike()
def read_before_and_after_a_write() -> None:
    """The same read before and after a write."""
    before = Book.objects.count()
    Book.objects.create(title="another", author_id=1)
    assert Book.objects.count() == before + 1


@lookalike()
def several_relations() -> None:
    """Several relations of one object."""
    author = Author.objects.get(pk=1)
    assert author.publisher.name
    assert author.books.count() == 3
    assert author.books.first().tags.count() == 2
    assert Tag.objects.exists()
