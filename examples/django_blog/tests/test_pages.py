"""Pages: budgets on the bodies of tests, for all statements, for tables, and for what must not happen at all.

The ini file forbids N+1 and duplicates for all of these; a marker adds what is special about a page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from blog.models import Post
from django.contrib.auth.models import User
from django.test import Client

if TYPE_CHECKING:
    from pytest_perfguard import Perf

pytestmark = pytest.mark.django_db


@pytest.mark.perf_budget(queries=4, writes=0)
def test_front_page(client: Client) -> None:
    """How many posts, ten of them with their authors, the tags of these, and the tags beside the page."""
    page = client.get("/").content.decode()
    assert page.count("<article>") == 10
    assert "Alan Mathison" in page


@pytest.mark.perf_budget(queries=5)
def test_posts_of_a_tag(client: Client) -> None:
    assert "<h1>Tea</h1>" in client.get("/tags/tea/").content.decode()


@pytest.mark.perf_budget(queries={"blog_post": 2, "blog_comment": 1, "auth_user": 2})
def test_post(client: Client) -> None:
    """Limits for the tables that matter here; a statement counts for each table that it names."""
    page = client.get("/posts/soup-slowly-13/").content.decode()
    assert page.count("<blockquote>") in (3, 4, 5)


@pytest.mark.perf_budget(queries={"django_session": 1, "auth_user": 2, "blog_post": 2})
def test_drafts(author_client: Client) -> None:
    assert author_client.get("/drafts/").content.decode().count("<label>") == 4


@pytest.mark.perf_budget(queries={"blog_post": 1}, batchable=0)
def test_publish(author_client: Client, ada: User) -> None:
    """All drafts are published by one statement."""
    slugs = [f"draft-{n}-of-ada" for n in range(4)]
    author_client.post("/drafts/publish/", {"slug": slugs})


def test_published_drafts_are_on_the_front_page(perf: Perf, author_client: Client) -> None:
    """Two steps of one test, each with limits of its own; what is between them is not counted."""
    with perf.queries(writes=1, queries={"blog_post": 1}, name="publish"):
        author_client.post("/drafts/publish/", {"slug": [f"draft-{n}-of-ada" for n in range(4)]})
    assert not Post.objects.filter(slug__startswith="draft", author__username="ada", published_at=None).exists()
    with perf.queries(max=6, name="front page") as page:
        assert "Draft 3 of ada" in author_client.get("/").content.decode()
    assert page.by_table["auth_user"] == 2  # who has logged in, and the authors together with their posts


def test_only_authors_have_drafts(client: Client) -> None:
    assert client.get("/drafts/").headers["Location"].startswith("/login/")


def test_drafts_are_not_shown(client: Client) -> None:
    assert client.get("/posts/draft-0-of-ada/").status_code == 404
