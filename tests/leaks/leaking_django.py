"""Leaks in applications of Django: receivers of signals, middleware, caches, rows kept; Django must be set up."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from django.core.signals import request_finished
from django.db.models.signals import ModelSignal, post_save
from django.dispatch import Signal
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from tests.leaks.catalogue import Catalogue
from tests.leaks.leaking_state import ticket
from tests.shapes.bookshop.models import Setting, Tag

# A connection of sqlite3 keeps a weak reference to each cursor and drops the dead ones at every two hundredth: what a
# call leaves is not the same each time, and only its being there can be asked for.
DJANGO = Catalogue("django")
leak = DJANGO.leak
HERE = sys.modules[__name__]

SETTINGS: dict[str, Setting] = {}


def page(request: HttpRequest) -> HttpResponse:
    """Answer with how many tags there are."""
    return HttpResponse(str(Tag.objects.count()))


def save_with_notice(word: str) -> Tag:
    """Save a tag, and connect a receiver to hear of it that stays."""
    saved: list[Tag] = []

    def notice(sender: type, instance: Tag, **_rest: Any) -> None:
        saved.append(instance)

    post_save.connect(notice, sender=Tag, weak=False)
    return Tag.objects.update_or_create(pk=1, defaults={"word": word})[0]


@leak("receivers|notice|ModelSignal|post_save", at=[save_with_notice, ModelSignal, Signal])
def receivers_not_disconnected() -> Iterator[Callable[[], Any]]:
    """Each call connects a receiver, not weakly, and does not disconnect it."""
    before = list(post_save.receivers)
    yield lambda: save_with_notice("new").pk
    post_save.receivers[:] = before
    post_save.sender_receivers_cache.clear()


class Slow:
    """Middleware that keeps requests to tell later which were slow."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.requests: list[tuple[HttpRequest, float]] = []

    def __call__(self, request: HttpRequest) -> HttpResponse:
        self.requests.append((request, 0.25))
        return self.get_response(request)


@leak("Slow", "requests", at=Slow)
def middleware_keeps_requests() -> Callable[[], Any]:
    """Middleware keeps all requests."""
    middleware, factory = Slow(page), RequestFactory()
    return lambda: middleware(factory.get("/tags/")).content


def setting(key: str) -> Setting:
    """Return a setting, a default where it is not in the table."""
    if key not in SETTINGS:
        SETTINGS[key] = Setting.objects.filter(key=key).first() or Setting(key=key, value="")
    return SETTINGS[key]


@leak("SETTINGS", at=(HERE, "SETTINGS"))
def rows_in_a_global() -> Iterator[Callable[[], Any]]:
    """Rows are kept by a key that each user has another of."""
    yield lambda: setting(f"theme-{ticket()}").value
    SETTINGS.clear()


class Outbox:
    """Work to be done when the request has ended, which nobody empties."""

    def __init__(self) -> None:
        self.mails: list[dict[str, str]] = []
        request_finished.connect(self.flush)

    def flush(self, **_rest: Any) -> None:
        """Send."""

    def add(self, to: str) -> None:
        Tag.objects.filter(word=to).exists()
        self.mails.append({"to": to, "text": f"Hello {to}"})


@leak("Outbox", "mails", at=Outbox)
def outbox_never_emptied() -> Iterator[Callable[[], Any]]:
    """Mails are collected in an outbox, and sending them does not take them out."""
    outbox = Outbox()
    yield lambda: outbox.add(ticket())
    request_finished.disconnect(outbox.flush)


class Repository:
    """Querysets by filter: each keeps its rows once it was evaluated."""

    querysets: ClassVar[dict[str, Any]] = {}

    @classmethod
    def by_word(cls, word: str) -> list[Tag]:
        cls.querysets[word] = Tag.objects.filter(word__startswith=word[:1])
        return list(cls.querysets[word])


@leak("Repository", "querysets", at=Repository)
def querysets_kept() -> Iterator[Callable[[], Any]]:
    """Querysets are kept by word, with the rows they were evaluated to."""
    yield lambda: Repository.by_word(ticket())
    Repository.querysets.clear()
