"""Clean use of Django: queries, signals, caches, requests, templates, forms; Django must be set up."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from django import forms
from django.core.cache import cache
from django.core.paginator import Paginator
from django.db import connection, transaction
from django.db.models import Count, Q
from django.db.models.signals import post_save
from django.dispatch import Signal
from django.http import HttpRequest, JsonResponse
from django.template import Context, Template
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils import timezone, translation

from tests.leaks.catalogue import Catalogue
from tests.leaks.leaking_state import ticket
from tests.shapes.bookshop.models import Author, Book, Publisher, Tag

CLEAN_DJANGO = Catalogue("django")
clean = CLEAN_DJANGO.clean


def titles(request: HttpRequest) -> JsonResponse:
    """Answer with the titles of all books."""
    return JsonResponse({"titles": [book.title for book in Book.objects.select_related("author")]})


urlpatterns = [path("titles/", titles)]


def populate() -> None:
    """Let there be an author with three books."""
    if not Author.objects.exists():
        author = Author.objects.create(name="a", publisher=Publisher.objects.create(name="house"))
        Book.objects.bulk_create(Book(title=f"title {n}", author=author) for n in range(3))


@clean()
def queries() -> Callable[[], Any]:
    """Rows are read with their relations, counted and paged."""
    populate()

    def work() -> int:
        books = Book.objects.select_related("author__publisher").prefetch_related("tags")
        found = [book.author.name for book in books.filter(Q(title__contains="title") | Q(price__lt=3))]
        counted = Author.objects.annotate(n=Count("books")).values_list("n", flat=True)
        return len(found) + sum(counted) + len(Paginator(Book.objects.order_by("pk"), 2).page(1).object_list)

    return work


@clean()
def written_and_deleted() -> Callable[[], Any]:
    """Rows are saved in a transaction, changed and deleted."""

    def work() -> None:
        with transaction.atomic():
            tag = Tag.objects.create(word=ticket())
            Tag.objects.filter(pk=tag.pk).update(word="new")
            tag.refresh_from_db()
            tag.delete()

    return work


@clean()
def transaction_rolled_back() -> Callable[[], Any]:
    """A transaction is rolled back by an exception."""

    def work() -> str:
        try:
            with transaction.atomic():
                transaction.on_commit(lambda: None)
                Tag.objects.create(word=ticket())
                raise ValueError("no")
        except ValueError as error:
            return str(error)

    return work


@clean()
def signal_disconnected() -> Callable[[], Any]:
    """A receiver is connected for a call and disconnected."""

    def work() -> int:
        saved: list[Any] = []

        def notice(instance: Any, **_rest: Any) -> None:
            saved.append(instance)

        post_save.connect(notice, sender=Tag, weak=False)
        try:
            Tag.objects.create(word=ticket()).delete()
        finally:
            post_save.disconnect(notice, sender=Tag)
        return len(saved)

    return work


@clean()
def receiver_held_weakly() -> Callable[[], Any]:
    """A receiver is connected weakly, and let go."""

    def work() -> None:
        def notice(**_rest: Any) -> None:
            """Nothing."""

        post_save.connect(notice, sender=Tag)
        Tag.objects.create(word=ticket()).delete()

    return work


def requests_of_a_client() -> Callable[[], Any]:
    """A test client asks for a page; before Django 6 it leaves three finalizers of a function each time."""
    populate()
    client = Client()
    return lambda: client.get("/titles/").json()


@clean()
def templates() -> Callable[[], Any]:
    """A template is compiled and rendered."""
    populate()

    def work() -> int:
        template = Template("{% for book in books %}<li>{{ book.title|upper }}{% endfor %}")
        return len(template.render(Context({"books": Book.objects.all()})))

    return work


@clean(fills=300)
def local_cache() -> Iterator[Callable[[], Any]]:
    """The cache in memory gets a new key each time, and keeps 300."""
    cache.clear()
    yield lambda: cache.set(ticket(), {"a": 1})
    cache.clear()


@clean()
def local_cache_of_few_keys() -> Iterator[Callable[[], Any]]:
    """The cache in memory is asked for a few keys."""
    cache.clear()
    yield lambda: cache.get_or_set("titles", lambda: list(range(1000, 1010)))
    cache.clear()


class TagForm(forms.ModelForm):
    """A form for a tag."""

    class Meta:
        model = Tag
        fields = ("word",)


@clean()
def forms_validated() -> Callable[[], Any]:
    """A form is validated and rendered."""

    def work() -> int:
        form = TagForm({"word": ticket() * 2})
        return len(form.errors) + len(form.as_p())

    return work


def captured_queries() -> Callable[[], Any]:
    """Queries are captured for an assertion; the connection keeps the newest 9,000.

    Before Django 6 it leaves a finalizer of a function each time.
    """
    populate()

    def work() -> int:
        with CaptureQueriesContext(connection) as captured:
            list(Tag.objects.all())
        return len(captured)

    return work


if "finalize" in inspect.getsource(Signal.connect):
    # Django connects functions that live for ever, again and again, and each time makes a finalizer for them.
    again = CLEAN_DJANGO.leak("finalize", at=[weakref.finalize, Signal, Client, CaptureQueriesContext])
    again(requests_of_a_client)
    again(captured_queries)
else:
    clean()(requests_of_a_client)
    clean(fills=9000)(captured_queries)


@clean()
def languages_and_zones() -> Callable[[], Any]:
    """Text is translated, times are made local."""

    def work() -> str:
        with translation.override("de"), timezone.override("Europe/Berlin"):
            return str(translation.gettext("January")) + str(timezone.localtime(timezone.now()))

    return work
