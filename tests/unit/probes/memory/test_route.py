from __future__ import annotations

import json
from pathlib import Path

import pytest

import pytest_perfguard
from pytest_perfguard.probes.memory.heap.route import describe_route

ROOT = Path("/project")
OURS = ("_perform", str(Path(pytest_perfguard.__file__).parent / "measure" / "runner.py"), 100)
LIBRARY = json.__file__


def frame(name, line=1, path="/project/shop.py"):
    return name, path, line


def route(*outermost_first):
    return describe_route(reversed(outermost_first), ROOT)


def test_the_way_begins_at_the_measured_call():
    assert route(frame("test_it"), OURS, frame("load", 3), frame("parse", 9)) == "shop.py:3 load → shop.py:9 parse"


def test_what_the_loop_of_calls_is_made_of_is_not_the_users():
    assert route(frame("test_it"), ("loop", "<perfguard loop>", 3), frame("load", 3)) == "shop.py:3 load"


def test_of_a_library_its_entry_is_shown():
    shown = route(OURS, frame("load", 3), frame("loads", 346, LIBRARY), frame("decode", 337, LIBRARY))
    assert shown == "shop.py:3 load → json/__init__.py:346 loads"


def test_what_lies_between_the_users_own_is_left_out():
    shown = route(OURS, frame("load", 3), frame("loads", 346, LIBRARY), frame("hook", 8))
    assert shown == "shop.py:3 load → shop.py:8 hook"


def test_a_library_that_is_called_directly_is_shown():
    assert route(OURS, frame("loads", 346, LIBRARY)) == "json/__init__.py:346 loads"


def test_recursion_is_shown_once():
    assert route(OURS, *[frame("walk", 3), frame("visit", 5)] * 400) == "shop.py:3 walk → shop.py:5 visit"


@pytest.mark.parametrize("name", ["<listcomp>", "<dictcomp>", "<setcomp>"])
def test_comprehensions_are_a_part_of_their_function(name):
    assert route(OURS, frame("load", 3), frame(name, 3)) == "shop.py:3 load"


def test_a_long_way_is_shown_from_both_ends():
    shown = route(OURS, *[frame(f"f{number}", number) for number in range(20)])
    assert [part.rpartition(" ")[2] for part in shown.split(" → ")] == ["f0", "f1", "…", "f16", "f17", "f18", "f19"]


def test_a_call_without_python_code_has_no_way():
    assert route(frame("test_it"), OURS) == "the call itself, in C"
