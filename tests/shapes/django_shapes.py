"""All shapes for Django, and how each is carried out: in a process of its own, on a database in memory."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import AbstractContextManager

import django
from django.conf import settings

from tests.shapes.catalogue import Case, Catalogue

AUTHORS = 6


def configure(*applications: str) -> tuple[Catalogue, ...]:
    """Set Django up, with `applications` beside the bookshop, make its tables and return the shapes.

    Once in a process: what it configures stays.
    """
    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "tests.shapes.bookshop", *applications],
        # Shared, since asynchronous code runs in threads that have connections of their own.
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "file:shapes?mode=memory&cache=shared"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        ROOT_URLCONF="tests.shapes.bookshop.urls",
        ALLOWED_HOSTS=["testserver"],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        ZEAL_RAISE=False,
    )
    django.setup()
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
    from tests.shapes.django_reads import READS
    from tests.shapes.django_writes import WRITES

    return READS, WRITES


def carry_out(case: Case, watched: AbstractContextManager[object]) -> None:
    """Call `case` on tables that are filled anew, in the context of `watched`."""
    from django.contrib.contenttypes.models import ContentType

    _populate(case.size or AUTHORS)
    ContentType.objects.clear_cache()
    if inspect.iscoroutinefunction(case.call):
        asyncio.run(_carry_out(case, watched))
    else:
        with watched:
            case.call()


async def _carry_out(case: Case, watched: AbstractContextManager[object]) -> None:
    with watched:
        await case.call()


def _populate(authors: int) -> None:
    from tests.shapes.bookshop import models

    for model in (models.Note, models.Book, models.Tag, models.Author, models.Publisher, models.Setting):
        model.objects.all().delete()
    numbers = range(1, authors + 1)
    models.Publisher.objects.bulk_create([models.Publisher(pk=n, name=f"house {n}") for n in numbers])
    writers = models.Author.objects.bulk_create(
        [models.Author(pk=n, name=f"author {n}", publisher_id=n) for n in numbers]
    )
    books = models.Book.objects.bulk_create(
        [models.Book(pk=3 * n - rest, title=f"title {n}.{rest}", author_id=n) for n in numbers for rest in (2, 1, 0)]
    )
    tags = models.Tag.objects.bulk_create([models.Tag(pk=1, word="new"), models.Tag(pk=2, word="old")])
    for tag in tags:
        tag.book_set.set(books[:100])
    for writer in writers[:10]:
        models.Note.objects.create(text="read", subject=writer)
    models.Setting.objects.create(key="currency", value="EUR")
