"""Addresses of pages and of the JSON API."""

from __future__ import annotations

from django.urls import path

from blog import views

urlpatterns = [
    path("", views.PostList.as_view(), name="posts"),
    path("tags/<slug:tag>/", views.PostList.as_view(), name="tag"),
    path("posts/<slug:slug>/", views.show_post, name="post"),
    path("posts/<slug:slug>/comments/", views.add_comment, name="comment"),
    path("drafts/", views.list_drafts, name="drafts"),
    path("drafts/publish/", views.publish_drafts, name="publish"),
    path("api/posts/", views.list_posts_json, name="api-posts"),
    path("api/posts/<slug:slug>/", views.show_post_json, name="api-post"),
]
