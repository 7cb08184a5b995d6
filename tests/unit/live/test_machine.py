from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading

import pytest

from pytest_perfguard.live import machine

needs_affinity = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="processes cannot be bound here")


@pytest.fixture
def bound(monkeypatch):
    """Keep what threads would have been bound to, of a machine with processors 2, 3 and 5."""
    calls = []
    allowed = {5, 2, 3}

    def bind(thread, cores):
        calls.append((thread, set(cores)))
        allowed.clear()
        allowed.update(cores)

    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(allowed), raising=False)
    monkeypatch.setattr(machine.os, "sched_setaffinity", bind, raising=False)
    return calls


def test_processors_are_those_that_are_allowed(bound):
    assert machine.processors() == (2, 3, 5)


def test_where_processes_cannot_be_bound_there_are_none_to_choose_from(monkeypatch):
    monkeypatch.delattr(machine.os, "sched_getaffinity", raising=False)
    monkeypatch.delattr(machine.os, "sched_setaffinity", raising=False)
    assert machine.processors() == ()
    machine.bind([0])
    with machine.aside(None):
        pass


def test_every_thread_is_bound(bound, monkeypatch):
    monkeypatch.setattr(machine.os, "listdir", lambda _: ["11", "12"])
    machine.bind((3,))
    assert bound == [(11, {3}), (12, {3})]


def test_where_threads_are_not_listed_the_calling_one_is_bound(bound, monkeypatch):
    def fail(_):
        raise FileNotFoundError

    monkeypatch.setattr(machine.os, "listdir", fail)
    machine.bind((3,))
    assert bound == [(0, {3})]


def test_what_may_not_be_bound_stays_where_it_is(monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(machine.os, "sched_setaffinity", refuse, raising=False)
    machine.bind((0,))


def test_binding_to_nothing_does_nothing(bound):
    machine.bind(())
    assert bound == []


def test_the_coordinator_steps_aside_and_comes_back(bound, monkeypatch):
    monkeypatch.setattr(machine.os, "listdir", lambda _: ["1"])
    with contextlib.suppress(ZeroDivisionError), machine.aside(3):
        assert machine.processors() == (2, 5)
        raise ZeroDivisionError
    assert bound == [(1, {2, 5}), (1, {2, 3, 5})]


def test_it_stays_where_there_is_no_other_place(bound, monkeypatch):
    monkeypatch.setattr(machine, "processors", lambda: (3,))
    for core in (3, None):
        with machine.aside(core):
            pass
    assert bound == []


@needs_affinity
def test_all_threads_of_a_real_process_are_bound():
    program = """
import os, threading
from pytest_perfguard.live import machine
event = threading.Event()
threads = [threading.Thread(target=event.wait) for _ in range(3)]
for thread in threads: thread.start()
core = machine.processors()[-1]
machine.bind([core])
assert {tuple(os.sched_getaffinity(int(each))) for each in os.listdir("/proc/self/task")} == {(core,)}
event.set()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert threading.active_count()  # nothing of it happened here


def test_stolen_time_is_the_eighth_field_of_all(tmp_path, monkeypatch):
    file = tmp_path / "stat"
    monkeypatch.setattr(machine, "Path", lambda _: file)
    file.write_text("cpu  100 10 50 800 20 5 5 10 7 3\ncpu0 1 2 3\n")
    assert machine.stolen() == (10, 1000)


@pytest.mark.parametrize("text", ["", "cpu 1 2 3\n", "cpu a b c d e f g h\n"])
def test_a_system_that_does_not_tell_of_stolen_time_is_not_guessed_at(tmp_path, monkeypatch, text):
    file = tmp_path / "stat"
    file.write_text(text)
    monkeypatch.setattr(machine, "Path", lambda _: file)
    assert machine.stolen() is None
    monkeypatch.setattr(machine, "Path", lambda _: tmp_path / "nowhere")
    assert machine.stolen() is None
