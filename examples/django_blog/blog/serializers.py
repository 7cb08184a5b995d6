"""Posts as the JSON API shows them."""

from __future__ import annotations

from typing import Any

from blog.models import Comment, Post


def serialize_summary(post: Post) -> dict[str, Any]:
    """Return a post as it stands in a list; it comes from `PostQuerySet.for_lists`."""
    return {
        "title": post.title,
        "url": post.get_absolute_url(),
        "summary": post.summary,
        "author": post.author.get_full_name(),
        "tags": [tag.name for tag in post.tags.all()],
        "comments": post.comment_count,
    }


def serialize_post(post: Post) -> dict[str, Any]:
    """Return all of a post; it comes from `PostQuerySet.for_pages`."""
    return {
        "title": post.title,
        "author": post.author.get_full_name(),
        "tags": [tag.name for tag in post.tags.all()],
        "body": post.body,
        "comments": [serialize_comment(comment) for comment in post.comments.all()],
    }


def serialize_comment(comment: Comment) -> dict[str, Any]:
    return {
        "author": comment.author.get_full_name(),
        "text": comment.text,
        "written": comment.written_at.isoformat(timespec="seconds"),
    }
