"""`manage.py seed_blog`: fill the blog with example posts."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from blog.models import Post
from blog.seed import seed


class Command(BaseCommand):
    help = "Fill an empty blog with example posts"

    def handle(self, **options: Any) -> None:
        if Post.objects.exists():
            raise CommandError("this blog has posts already")
        seed()
        self.stdout.write(f"{Post.objects.count()} posts")
