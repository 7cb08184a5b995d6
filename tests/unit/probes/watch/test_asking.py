"""Passing over a library's frames gives the places that looking at each of them gives."""

from __future__ import annotations

import random
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_perfguard.probes.watch import callsite
from pytest_perfguard.probes.watch.callsite import locate, locate_asking

LIBRARY = """
def execute(text, depth=0, hook=None):
    if depth:
        return execute(text, depth - 1, hook)
    return write(text) if hook is None else hook(text)

def write(text):
    return note(text)

def note(text):
    found = locate_asking(hash(text)), locate(frame())
    seen.append(found)
    return found[0]
"""


@pytest.fixture
def library(monkeypatch):
    """The functions of a library, and in `seen` the place of each call, found in both ways."""
    monkeypatch.setattr(callsite, "_NEAREST", {})
    space = {"locate_asking": locate_asking, "locate": locate, "frame": sys._getframe, "seen": []}
    exec(compile(LIBRARY, "<library>", "exec"), space)  # a file's name like this is no user's
    return space


def test_the_same_place_in_a_loop(library):
    places = set()
    for _ in range(3):
        places.add(library["execute"]("SELECT 1"))
    assert len(places) == 1
    assert len(callsite._NEAREST) == 1
    assert all(one == other for one, other in library["seen"])
    assert places.pop().code.co_name == "test_the_same_place_in_a_loop"


def test_what_was_passed_over_is_not_looked_at(library, monkeypatch):
    library["execute"]("SELECT 1", 10)
    looked_at = []
    monkeypatch.setattr(callsite, "locate", lambda frame, text=None: looked_at.append((frame.f_code.co_name, text)))
    library["execute"]("SELECT 1", 10)
    library["execute"]("SELECT 1", 9)
    library["execute"]("SELECT 2", 10)
    name = "test_what_was_passed_over_is_not_looked_at"
    assert looked_at == [(name, None), ("write", hash("SELECT 1")), ("write", hash("SELECT 2"))]


def test_places_by_any_way_and_from_any_depth(library):
    execute = library["execute"]
    rnd = random.Random(7)

    def one(text, depth):
        return execute(text, depth)

    def other(text, depth):
        return (execute(text, depth), execute(text, depth))[0]

    def by_hook(text, depth):
        return execute(text, depth, lambda text: execute(text, rnd.randrange(3)))

    def nested(text, depth):
        return rnd.choice((one, other, by_hook))(text, depth)

    for _ in range(2000):
        rnd.choice((one, other, by_hook, nested))(rnd.choice(("SELECT 1", "SELECT 2")), rnd.randrange(6))
    assert len(library["seen"]) > 2000
    assert all(asked == located for asked, located in library["seen"])


def test_no_place_of_the_users(library):
    with ThreadPoolExecutor(1) as pool:
        places = [pool.submit(library["execute"], "SELECT 1", 3).result() for _ in range(3)]
    assert places == [None] * 3
    assert library["execute"]("SELECT 1") is not None


def test_what_is_known_of_texts_is_bounded(library, monkeypatch):
    monkeypatch.setattr(callsite, "_TEXTS", 10)
    for number in range(100):
        library["execute"](f"SELECT {number}")
    assert len(callsite._NEAREST) <= 11
