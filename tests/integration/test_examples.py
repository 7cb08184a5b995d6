"""The example projects over databases: their suites pass, alone and on workers, and their seeded mistakes are found."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import uuid
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SERVER = os.environ.get("PERFGUARD_POSTGRESQL_URL", "")
REQUIRED = os.environ.get("PERFGUARD_REQUIRE_SERVICES") == "1"

WORKERS = ("-p", "xdist.plugin", "-n", "2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A folder of `examples`, and what its tests need."""

    name: str
    modules: tuple[str, ...]
    plugins: tuple[str, ...]


BLOG = Example(name="django_blog", modules=("django", "pytest_django", "psycopg"), plugins=("django",))
ORDERS = Example(name="fastapi_orders", modules=("fastapi", "sqlalchemy", "asyncpg", "httpx"), plugins=("anyio",))


class Copy:
    """A copy of an example in a temporary folder, whose own suite can be run."""

    def __init__(self, example, folder):
        self.example = example
        self.root = folder / example.name
        ignored = shutil.ignore_patterns("__pycache__", ".*_cache", "*.sqlite3")
        shutil.copytree(EXAMPLES / example.name, self.root, ignore=ignored)

    def run(self, *options, code, **environment):
        """Run the suite in a process of its own and return its output and perfguard's verdicts."""
        report = self.root / "perf.json"
        plugins = [part for name in ("perfguard", *self.example.plugins) for part in ("-p", name)]
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                *plugins,
                *options,
                "-p",
                "no:cacheprovider",
                f"--perfguard-report=json:{report}",
            ],
            cwd=self.root,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200", **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout, json.loads(report.read_text("utf-8"))["verdicts"]

    def slow_down(self, patch):
        """Apply one of the example's seeded mistakes."""
        subprocess.run(["git", "apply", f"slowdowns/{patch}"], cwd=self.root, check=True, capture_output=True)

    def line_of(self, path, function, code):
        """Return `path:line function` of the first line with `code` in a function."""
        text = (self.root / path).read_text("utf-8")
        start = text.index(f"def {function.rpartition('.')[2]}(")
        return f"{path}:{text.count(chr(10), 0, text.index(code, start)) + 1} {function}"


@pytest.fixture
def copy_of(tmp_path, inner_environment):
    """Return a function that copies an example, where what it needs is installed."""

    def copy(example):
        for module in example.modules:
            if find_spec(module) is None:
                pytest.skip(f"examples/{example.name} needs {module}, which is not installed")
        return Copy(example, tmp_path)

    return copy


@pytest.fixture
def postgresql():
    """The URL of a server for the examples, or a skipped test."""
    url = SERVER or "postgresql://root@127.0.0.1:5432/test"
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname, parts.port or 5432), timeout=2).close()
    except OSError as error:
        if REQUIRED:
            pytest.fail(f"no postgresql ({error}); PERFGUARD_REQUIRE_SERVICES=1 asks for it", pytrace=False)
        pytest.skip(f"no postgresql ({error}); set PERFGUARD_POSTGRESQL_URL or start one")
    return url


def failed(verdicts):
    return {(verdict["test"], verdict["metric"]) for verdict in verdicts if verdict["fails"]}


def check_passed(text, verdicts, *, tests):
    """Every test passes, and each of the budgets was looked at."""
    assert re.search(rf"^=* {tests} passed in .*$", text, re.MULTILINE), text
    assert {verdict["outcome"] for verdict in verdicts} <= {"passed", "measured"}


def check_found(text, place, cure):
    """The output names a place, says of the statements from there what they suggest, and no assertion is broken."""
    assert re.search(
        rf"^ +at {re.escape(place)}\n +potential N\+1: \d+ different .*{re.escape(cure)}", text, re.MULTILINE
    ), text
    assert set(re.findall(r"^FAILED \S+ - (\w+)", text, re.MULTILINE)) == {"PerfguardFailed"}


def test_blog(copy_of):
    check_passed(*copy_of(BLOG).run(code=0), tests=22)


def test_blog_on_workers_and_postgresql(copy_of, postgresql):
    parts = urlsplit(postgresql)
    # Each worker makes a database whose name begins like this; the one of the URL itself need not exist.
    url = urlunsplit(("postgresql", parts.netloc, f"/blog_{uuid.uuid4().hex[:8]}", "", ""))
    check_passed(*copy_of(BLOG).run(*WORKERS, code=0, BLOG_DATABASE_URL=url), tests=22)


def test_mistake_in_the_blog(copy_of):
    blog = copy_of(BLOG)
    blog.slow_down("n_plus_one.patch")
    text, verdicts = blog.run(code=1)
    place = blog.line_of("blog/serializers.py", "serialize_summary", "post.tags.all()")
    check_found(text, place, "prefetch_related()")
    assert failed(verdicts) == {
        ("tests/test_api.py::test_posts", "queries"),
        ("tests/test_api.py::test_posts", "n_plus_one"),
        ("tests/test_pages.py::test_front_page", "queries"),
        ("tests/test_pages.py::test_front_page", "n_plus_one"),
        ("tests/test_pages.py::test_posts_of_a_tag", "queries"),
        ("tests/test_pages.py::test_posts_of_a_tag", "n_plus_one"),
        ("tests/test_pages.py::test_drafts", "n_plus_one"),
        ("tests/test_pages.py::test_published_drafts_are_on_the_front_page", "queries"),
        ("tests/test_growth.py::test_lists_do_not_grow[/]", "scaling"),
        ("tests/test_growth.py::test_lists_do_not_grow[/api/posts/]", "scaling"),
        ("tests/test_growth.py::test_posts_of_a_tag_do_not_grow", "scaling"),
        ("tests/test_growth.py::test_drafts_do_not_grow", "scaling"),
    }


@pytest.mark.parametrize("options", [(), WORKERS], ids=["alone", "workers"])
def test_orders(copy_of, postgresql, options):
    check_passed(*copy_of(ORDERS).run(*options, code=0, PERFGUARD_POSTGRESQL_URL=postgresql), tests=15)


def test_mistake_in_orders(copy_of, postgresql):
    orders = copy_of(ORDERS)
    orders.slow_down("n_plus_one.patch")
    text, verdicts = orders.run(code=1, PERFGUARD_POSTGRESQL_URL=postgresql)
    for code in ("awaitable_attrs.lines", "awaitable_attrs.product"):
        check_found(text, orders.line_of("orders/schemas.py", "OrderOut.of", code), "selectinload() or joinedload()")
    assert failed(verdicts) == {
        ("tests/test_orders.py::test_list_orders", "queries"),
        ("tests/test_orders.py::test_list_orders", "n_plus_one"),
        ("tests/test_orders.py::test_an_order_is_listed", "queries"),
        ("tests/test_growth.py::test_lists_of_orders_do_not_grow", "scaling"),
    }
