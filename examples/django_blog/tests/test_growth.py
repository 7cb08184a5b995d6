"""Nothing grows with the blog: no threshold, only two sizes of it."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING

import pytest
from blog.models import Post, Tag
from blog.publishing import Manuscript, import_drafts
from blog.seed import add_posts
from django.contrib.auth.models import User
from django.test import Client

if TYPE_CHECKING:
    from pytest_perfguard import Perf

_NUMBERS = itertools.count(1)

pytestmark = pytest.mark.django_db


@pytest.fixture
def empty(db: None) -> None:
    Post.objects.all().delete()


@pytest.mark.parametrize("path", ["/", "/api/posts/"])
def test_lists_do_not_grow(perf: Perf, client: Client, empty: None, path: str) -> None:
    perf.queries.scales(populate=add_posts, exercise=partial(client.get, path))


def test_posts_of_a_tag_do_not_grow(perf: Perf, client: Client, empty: None) -> None:
    """What is added has to be what the page shows: more posts, and of this tag."""
    tea = Tag.objects.get(slug="tea")

    def add_posts_on_tea(number: int) -> None:
        tea.posts.add(*add_posts(number))

    perf.queries.scales(populate=add_posts_on_tea, exercise=partial(client.get, "/tags/tea/"))


def test_drafts_do_not_grow(perf: Perf, author_client: Client, ada: User) -> None:
    def write_drafts(number: int) -> None:
        import_drafts(ada, write(number))

    perf.queries.scales(populate=write_drafts, exercise=partial(author_client.get, "/drafts/"))


def test_import_does_not_grow(perf: Perf, ada: User) -> None:
    """What grows need not be in the database: here it is what is brought in, which has to be new each time."""
    number = 0

    def set_number(size: int) -> None:
        nonlocal number
        number = size

    perf.queries.scales(populate=set_number, exercise=lambda: import_drafts(ada, write(number)))


@pytest.mark.perf_budget(reads=1, writes=3, batchable=0)
def test_import(ada: User) -> None:
    """Tags, posts, and which belongs to which: one statement each, and one to know the tags again."""
    assert len(import_drafts(ada, write(20))) == 20


def write(number: int) -> list[Manuscript]:
    """Return manuscripts that the blog does not have, with tags old and new."""
    return [
        Manuscript(
            title=f"Found in a drawer {n}",
            summary="It was there all the time.",
            body="Dust, and then words.",
            tags=("Tea", f"Drawer {n % 3}"),
        )
        for n in itertools.islice(_NUMBERS, number)
    ]
