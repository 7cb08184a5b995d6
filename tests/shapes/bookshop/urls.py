"""Pages of the bookshop."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.urls import path

from tests.shapes.bookshop.models import Author


def author(request: HttpRequest, number: int) -> JsonResponse:
    """Answer with one author and the titles of their books."""
    found = Author.objects.get(pk=number)
    return JsonResponse(found.serialized())


urlpatterns = [path("authors/<int:number>/", author)]
