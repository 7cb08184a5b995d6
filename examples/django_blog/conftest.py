"""Fixtures of the blog's tests: one seeded database for the session; what a test writes to it is rolled back."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoDbBlocker


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """Fill the test database, or find it filled: `--reuse-db` keeps it between runs."""
    from blog.models import Post
    from blog.seed import seed

    with django_db_blocker.unblock():
        if not Post.objects.exists():
            seed()


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.get(username="ada")


@pytest.fixture
def author_client(client: Client, ada: User) -> Client:
    """A browser in which Ada has logged in."""
    client.force_login(ada)
    return client
