"""What stands beside every page."""

from __future__ import annotations

from typing import Any

from django import template

from blog.models import Tag

register = template.Library()


@register.inclusion_tag("blog/most_used_tags.html")
def most_used_tags(length: int = 8) -> dict[str, Any]:
    return {"tags": Tag.objects.most_used(length)}
