"""Posts, their tags, and what readers say about them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Count, Q
from django.urls import reverse
from django.utils import timezone


class TagQuerySet(models.QuerySet):
    """Tags as pages need them."""

    def most_used(self, length: int) -> TagQuerySet:
        """Return the tags of most published posts, each with its `post_count`."""
        published = Q(posts__published_at__lte=timezone.now())
        return self.annotate(post_count=Count("posts", filter=published)).order_by("-post_count", "name")[:length]


class Tag(models.Model):
    name = models.CharField(max_length=40, unique=True)
    slug = models.SlugField(max_length=40, unique=True)

    objects = TagQuerySet.as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class PostQuerySet(models.QuerySet):
    """Posts as pages need them: with all that a page shows of each, in a number of statements that does not grow."""

    def published(self) -> PostQuerySet:
        return self.filter(published_at__lte=timezone.now())

    def drafts_of(self, author: object) -> PostQuerySet:
        return self.filter(author=author, published_at=None)

    def for_lists(self) -> PostQuerySet:
        """Return the posts with author, tags and `comment_count`, without their long texts."""
        return (
            self.defer("body")
            .select_related("author")
            .prefetch_related("tags")
            .annotate(comment_count=Count("comments"))
            .order_by("-published_at", "-pk")  # grouping gives up the order of the model
        )

    def for_pages(self) -> PostQuerySet:
        """Return the posts with author, tags, and comments with theirs."""
        return self.select_related("author").prefetch_related("tags", "comments__author")


class Post(models.Model):
    """What an author wrote; a draft until `published_at`."""

    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="posts")
    title = models.CharField(max_length=120)
    slug = models.SlugField(max_length=120, unique=True)
    summary = models.CharField(max_length=300)
    body = models.TextField()
    tags = models.ManyToManyField(Tag, related_name="posts", blank=True)
    published_at = models.DateTimeField(null=True, blank=True, db_index=True)

    objects = PostQuerySet.as_manager()

    class Meta:
        ordering = ("-published_at", "-pk")

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("post", args=[self.slug])


class Comment(models.Model):
    post = models.ForeignKey(Post, on_delete=models.CASCADE, related_name="comments")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="comments")
    text = models.TextField(max_length=2000)
    written_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("written_at", "pk")

    def __str__(self) -> str:
        return self.text[:60]
