"""The JSON API, with a coroutine among its views."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

pytestmark = pytest.mark.django_db


@pytest.mark.perf_budget(queries=3, rows=40)
def test_posts(client: Client) -> None:
    """`rows` sees what a count of statements does not: one that fetches more than the page shows."""
    answer = client.get("/api/posts/?page=2").json()
    assert answer["total"] == 40
    assert len(answer["posts"]) == 10


@pytest.mark.perf_budget(queries={"blog_post": 1, "blog_tag": 1, "blog_comment": 1, "auth_user": 2})
def test_post(client: Client) -> None:
    """The view is a coroutine, in another thread than the statements that Django makes for it; all count, and once."""
    post = client.get("/api/posts/soup-slowly-13/").json()
    assert post["author"] == "Grace Murray"
    assert len(post["comments"]) in (3, 4, 5)


@pytest.mark.perf_budget(queries=1)
def test_no_such_post(client: Client) -> None:
    assert client.get("/api/posts/nothing/").status_code == 404


def test_assertions_of_pytest_django(client: Client, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    """What a suite has already goes on to work beside budgets."""
    with django_assert_num_queries(4) as captured:
        client.get("/api/posts/soup-slowly-13/")
    assert "blog_tag" in captured.captured_queries[1]["sql"]
