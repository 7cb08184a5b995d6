"""Settings of the blog: SQLite in a file, or the PostgreSQL that BLOG_DATABASE_URL names."""

from __future__ import annotations

import os
from pathlib import Path

from config.databases import read_url

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = os.environ.get("BLOG_DEBUG") == "1"
SECRET_KEY = os.environ.get("BLOG_SECRET_KEY", "known to everybody who reads this example")
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "blog",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "config.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# Tests keep SQLite in memory, as Django's test runner does.
DATABASES = {
    "default": read_url(
        os.environ.get("BLOG_DATABASE_URL"),
        default={"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "blog.sqlite3"},
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "drafts"
LOGOUT_REDIRECT_URL = "posts"
