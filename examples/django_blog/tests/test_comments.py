"""Comments, tested in the manner of Django: budgets stand on classes and methods of `TestCase` as on functions."""

from __future__ import annotations

import pytest
from blog.models import Comment, Post
from django.contrib.auth.models import User
from django.test import TestCase


@pytest.mark.perf_budget(n_plus_one=0, duplicates=0)
class CommentTest(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        cls.post = Post.objects.get(slug="notes-on-bread-24")
        cls.ada = User.objects.get(username="ada")

    def setUp(self) -> None:
        self.client.force_login(self.ada)

    @pytest.mark.perf_budget(reads=3, writes=1)
    def test_comment(self) -> None:
        """The session, who it belongs to, and the post are read; the comment is written."""
        answer = self.client.post(f"{self.post.get_absolute_url()}comments/", {"text": "More, please."})
        self.assertRedirects(answer, self.post.get_absolute_url(), fetch_redirect_response=False)

    @pytest.mark.perf_budget(writes=0)
    def test_empty_comment(self) -> None:
        answer = self.client.post(f"{self.post.get_absolute_url()}comments/", {"text": " "})
        self.assertContains(answer, "This field is required.", status_code=400)

    @pytest.mark.perf_budget(queries={"blog_comment": 1})
    async def test_comments_in_the_api(self) -> None:
        answer = await self.async_client.get("/api/posts/notes-on-bread-24/")
        assert "I tried it, and it works." in answer.content.decode()

    def test_longer_comments_are_cut_in_lists(self) -> None:
        assert str(Comment(text="x" * 100)) == "x" * 60
