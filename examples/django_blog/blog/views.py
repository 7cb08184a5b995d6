"""Pages and the JSON API of the blog."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AbstractBaseUser
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST
from django.views.generic import ListView

from blog import publishing
from blog.forms import CommentForm
from blog.models import Post, Tag
from blog.serializers import serialize_post, serialize_summary

PAGE_SIZE = 10


class PostList(ListView):
    """The newest posts, all or those of a tag, a page at a time."""

    template_name = "blog/post_list.html"
    context_object_name = "posts"
    paginate_by = PAGE_SIZE

    def get_queryset(self) -> Any:
        posts = Post.objects.published().for_lists()
        self.tag = get_object_or_404(Tag, slug=self.kwargs["tag"]) if "tag" in self.kwargs else None
        return posts if self.tag is None else posts.filter(tags=self.tag)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, tag=self.tag)


@require_GET
def show_post(request: HttpRequest, slug: str) -> HttpResponse:
    """Show a post with its comments."""
    return _render_post(request, slug, CommentForm())


@login_required
@require_POST
def add_comment(request: HttpRequest, slug: str) -> HttpResponse:
    """Take a comment, or show what is wrong with it."""
    form = CommentForm(request.POST)
    if not form.is_valid():
        return _render_post(request, slug, form, status=400)
    post = get_object_or_404(Post.objects.published().only("slug"), slug=slug)
    form.instance.post, form.instance.author = post, request.user
    form.save()
    return redirect(post)


def _render_post(request: HttpRequest, slug: str, form: CommentForm, status: int = 200) -> HttpResponse:
    post = get_object_or_404(Post.objects.published().for_pages(), slug=slug)
    return render(request, "blog/post.html", {"post": post, "form": form}, status=status)


@login_required
@require_GET
def list_drafts(request: HttpRequest) -> HttpResponse:
    """Show an author what is not published yet."""
    return render(request, "blog/drafts.html", {"posts": Post.objects.drafts_of(request.user).for_lists()})


@login_required
@require_POST
def publish_drafts(request: HttpRequest) -> HttpResponse:
    """Publish the drafts that were ticked."""
    assert isinstance(request.user, AbstractBaseUser)
    number = publishing.publish(request.user, request.POST.getlist("slug"))
    messages.success(request, f"{number} published")
    return redirect("drafts")


@require_GET
def list_posts_json(request: HttpRequest) -> JsonResponse:
    """Return a page of posts, and how many there are."""
    page = Paginator(Post.objects.published().for_lists(), PAGE_SIZE).get_page(request.GET.get("page"))
    return JsonResponse({"total": page.paginator.count, "posts": [serialize_summary(post) for post in page]})


@require_GET
async def show_post_json(request: HttpRequest, slug: str) -> JsonResponse:
    """Return a post with its comments; a coroutine, since readers wait for new ones."""
    post = await Post.objects.published().for_pages().filter(slug=slug).afirst()
    if post is None:
        return JsonResponse({"error": f"there is no post {slug}"}, status=404)
    return JsonResponse(serialize_post(post))
