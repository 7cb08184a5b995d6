"""Django, set up once in a process for all tests that need it there: a database in a file, a model and some views."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace
from urllib.request import urlopen


@functools.cache
def set_up():
    """Return the models and what else tests ask for."""
    from django.conf import settings

    folder = Path(tempfile.mkdtemp(prefix="perfguard-django-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "db.sqlite3")}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        ROOT_URLCONF="tests.django_project",
        ALLOWED_HOSTS=["testserver"],
        SECRET_KEY="not one",
        USE_TZ=True,
    )
    import django

    django.setup()
    from django.db import connection, models

    class Author(models.Model):
        name = models.CharField(max_length=20)

        class Meta:
            app_label = "perfguard"

    class Book(models.Model):
        title = models.CharField(max_length=20)
        author = models.ForeignKey(Author, models.CASCADE)

        class Meta:
            app_label = "perfguard"

    with connection.schema_editor() as editor:
        editor.create_model(Author)
        editor.create_model(Book)
    return SimpleNamespace(Author=Author, Book=Book, connection=connection)


def populate(project):
    """Fill the tables anew: 5 authors with a book each."""
    for model in (project.Book, project.Author):
        model.objects.all().delete()
    authors = project.Author.objects.bulk_create(project.Author(name=f"n{number}") for number in range(5))
    project.Book.objects.bulk_create(project.Book(title="t", author=author) for author in authors)


def list_authors(request):
    """Read 1 + 5 times, or call out as often as the query says."""
    from django.http import JsonResponse

    for url in request.GET.getlist("call"):
        urlopen(url).close()
    return JsonResponse({"authors": [book.author.name for book in set_up().Book.objects.all()]})


async def list_authors_async(request):
    """Do the same in a coroutine."""
    from django.http import JsonResponse

    project = set_up()
    names = []
    async for book in project.Book.objects.all():
        author = await project.Author.objects.aget(pk=book.author_id)
        names.append(author.name)
    return JsonResponse({"authors": names})


def __getattr__(name):
    if name != "urlpatterns":
        raise AttributeError(name)
    from django.urls import path

    return [path("sync", list_authors), path("async", list_authors_async)]
