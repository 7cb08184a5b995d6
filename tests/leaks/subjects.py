"""The subjects of the catalogue, and what each needs before its cases can be imported."""

from __future__ import annotations

from tests.leaks.catalogue import Catalogue

SUBJECTS = ("state", "runtime", "libraries", "django")
"""In the order in which they may share a process: what sets Django up stays."""


def catalogues(subject: str) -> tuple[Catalogue, ...]:
    """Return the catalogues of a subject: its leaks and its clean functions."""
    match subject:
        case "state":
            from tests.leaks.clean_state import CLEAN_STATE
            from tests.leaks.leaking_state import STATE

            return STATE, CLEAN_STATE
        case "runtime":
            from tests.leaks.clean_library import STANDARD_LIBRARY
            from tests.leaks.clean_runtime import CLEAN_RUNTIME
            from tests.leaks.leaking_runtime import RUNTIME

            return RUNTIME, CLEAN_RUNTIME, STANDARD_LIBRARY
        case "libraries":
            from tests.leaks.clean_libraries import CLEAN_LIBRARIES
            from tests.leaks.leaking_libraries import LIBRARIES

            return LIBRARIES, CLEAN_LIBRARIES
        case "django":
            set_up_django()
            from tests.leaks.clean_django import CLEAN_DJANGO
            from tests.leaks.leaking_django import DJANGO

            return DJANGO, CLEAN_DJANGO
    raise ValueError(subject)


def set_up_django() -> None:
    """Configure Django with the bookshop on a database in memory, once in a process: it stays."""
    from django.conf import settings

    if settings.configured:
        return
    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "tests.shapes.bookshop"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        ROOT_URLCONF="tests.leaks.clean_django",
        ALLOWED_HOSTS=["testserver"],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
        SECRET_KEY="not one",
        USE_TZ=True,
    )
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
