"""A bookshop for Django: authors with publishers and books, books with tags, notes on anything."""

from __future__ import annotations

from typing import Any

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models


class Publisher(models.Model):
    name = models.CharField(max_length=50)


class Author(models.Model):
    name = models.CharField(max_length=50)
    biography = models.TextField(default="")
    publisher = models.ForeignKey(Publisher, models.CASCADE)

    @property
    def label(self) -> str:
        return f"{self.name} ({self.publisher.name})"  # here

    def serialized(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "titles": [book.title for book in self.books.all()],  # here
        }


class Tag(models.Model):
    word = models.CharField(max_length=50)


class Book(models.Model):
    title = models.CharField(max_length=50)
    price = models.IntegerField(default=10)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    tags = models.ManyToManyField(Tag)

    def __str__(self) -> str:
        return f"{self.title} by {self.author.name}"  # here


class Note(models.Model):
    text = models.CharField(max_length=50)
    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.IntegerField()
    subject = GenericForeignKey()


class Setting(models.Model):
    key = models.CharField(max_length=50, unique=True)
    value = models.CharField(max_length=50)
