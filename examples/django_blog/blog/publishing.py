"""What authors do with many posts at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify

from blog.models import Post, Tag


@dataclass(frozen=True, slots=True)
class Manuscript:
    """A post from elsewhere, not yet in the blog."""

    title: str
    summary: str
    body: str
    tags: tuple[str, ...] = ()


def publish(author: AbstractBaseUser, slugs: Iterable[str]) -> int:
    """Publish the drafts of `author` that `slugs` name, all at this moment; return how many."""
    return Post.objects.drafts_of(author).filter(slug__in=slugs).update(published_at=timezone.now())


@transaction.atomic
def import_drafts(author: AbstractBaseUser, manuscripts: Sequence[Manuscript]) -> list[Post]:
    """Add `manuscripts` as drafts with their tags, new ones included, in a few statements however many there are."""
    names = {name for manuscript in manuscripts for name in manuscript.tags}
    Tag.objects.bulk_create([Tag(name=name, slug=slugify(name)) for name in sorted(names)], ignore_conflicts=True)
    tags = {tag.name: tag for tag in Tag.objects.filter(name__in=names)}
    posts = Post.objects.bulk_create(
        Post(
            author=author,
            title=manuscript.title,
            slug=slugify(manuscript.title),
            summary=manuscript.summary,
            body=manuscript.body,
        )
        for manuscript in manuscripts
    )
    tagging = Post.tags.through
    tagging.objects.bulk_create(
        tagging(post=post, tag=tags[name])
        for post, manuscript in zip(posts, manuscripts, strict=True)
        for name in manuscript.tags
    )
    return posts
