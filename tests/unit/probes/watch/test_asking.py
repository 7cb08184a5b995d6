"""Passing over a library's frames gives the places that looking at each of them gives."""

from __future__ import annotations

import random
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_perfguard.measure.loop import repeat_call
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
    monkeypatch.setattr(callsite, "_WAYS", {})
    space = {"locate_asking": locate_asking, "locate": locate, "frame": sys._getframe, "seen": []}
    exec(compile(LIBRARY, "<library>", "exec"), space)  # a file's name like this is no user's
    return space


def test_the_same_place_in_a_loop(library):
    places = set()
    for _ in range(3):
        places.add(library["execute"]("SELECT 1"))
    assert len(places) == 1
    assert len(callsite._WAYS) == 1
    assert all(one == other for one, other in library["seen"])
    assert places.pop().code.co_name == "test_the_same_place_in_a_loop"


def measured(call):
    """Call from code that measures, as a budget does."""
    return repeat_call(call, (), {})


def test_the_same_way_gives_the_same_object_and_is_not_walked_again(library, monkeypatch):
    found = []

    def ask():
        found.append(library["execute"]("SELECT 1", 10))

    def one():
        ask()

    def other():
        ask()
        ask()

    measured(one)(9)  # as many calls are written out, and more
    walked = []
    monkeypatch.setattr(callsite, "_learn", walked.append)
    measured(one)(9)
    assert {id(place) for place in found} == {id(found[0])}
    assert found[0] == library["seen"][0][1] is not None
    assert not walked
    measured(other)(1)
    assert walked == [hash("SELECT 1")] * 2


def test_where_nothing_measures_only_the_users_frames_are_walked_again(library, monkeypatch):
    looked_at = []

    def ask():
        execute = library["execute"]
        execute("SELECT 1", 10)
        monkeypatch.setattr(callsite, "locate", lambda frame: looked_at.append(frame.f_code.co_name))
        monkeypatch.setattr(callsite, "_learn", looked_at.append)
        execute("SELECT 1", 10)
        execute("SELECT 1", 9)
        execute("SELECT 2", 10)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(ask).result()
    assert looked_at == ["ask", hash("SELECT 1"), hash("SELECT 2")]


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

    def any_way():
        rnd.choice((one, other, by_hook, nested))(rnd.choice(("SELECT 1", "SELECT 2")), rnd.randrange(6))

    for _ in range(1000):
        any_way()
    measured(any_way)(1000)
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
    assert len(callsite._WAYS) <= 11
