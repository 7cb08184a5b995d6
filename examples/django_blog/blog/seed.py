"""A blog full of posts, the same ones every time."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from django.contrib.auth.models import User
from django.utils.text import slugify

from blog.models import Comment, Post, Tag

START = datetime(2026, 1, 1, 8, tzinfo=UTC)
AUTHORS = ("Ada Byron", "Grace Murray", "Alan Mathison", "Edsger Wybe")
TOPICS = ("Bread", "Cheese", "Coffee", "Jam", "Pickles", "Soup", "Tea", "Vinegar")
TITLES = ("A year with {}", "The trouble with {}", "{} for two", "{}, slowly", "Notes on {}")


def seed(*, posts: int = 40, drafts: int = 4) -> None:
    """Fill an empty blog: four authors with their drafts, and posts with one to three tags and up to five comments."""
    User.objects.bulk_create(_make_user(name) for name in AUTHORS)
    Tag.objects.bulk_create(Tag(name=topic, slug=slugify(topic)) for topic in TOPICS)
    add_posts(posts)
    authors = User.objects.order_by("pk")[: len(AUTHORS)]
    Post.objects.bulk_create(
        _make_post(author, f"Draft {n} of {author}", None) for author in authors for n in range(drafts)
    )


def add_posts(number: int) -> list[Post]:
    """Add `number` published posts with their tags and comments to a blog that has authors and tags."""
    before = Post.objects.count()
    chance = random.Random(before)
    authors, tags = list(User.objects.order_by("pk")), list(Tag.objects.order_by("pk"))
    posts = Post.objects.bulk_create(
        _make_post(
            authors[n % len(authors)],
            f"{TITLES[n % len(TITLES)].format(TOPICS[n % len(TOPICS)])} {n}",
            START + timedelta(hours=n),
        )
        for n in range(before, before + number)
    )
    tagging = Post.tags.through
    tagging.objects.bulk_create(
        tagging(post=post, tag=tag) for post in posts for tag in chance.sample(tags, chance.randint(1, 3))
    )
    Comment.objects.bulk_create(
        Comment(
            post=post,
            author=chance.choice(authors),
            text="I tried it, and it works.",
            written_at=START + timedelta(days=30, minutes=n),
        )
        for post in posts
        for n in range(chance.randint(3, 5))
    )
    return posts


def _make_user(name: str) -> User:
    first, last = name.split()
    # Nobody can log in with this password: tests and demonstrations force the login, or set one.
    return User(username=first.lower(), first_name=first, last_name=last, password="!")


def _make_post(author: User, title: str, published_at: datetime | None) -> Post:
    return Post(
        author=author,
        title=title,
        slug=slugify(title),
        summary=f"What {author.first_name} thinks of it.",
        body="It takes time, and it is worth it.\n\n" * 20,
        published_at=published_at,
    )
