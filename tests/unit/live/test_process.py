from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from pytest_perfguard.errors import MeasurementError
from pytest_perfguard.live import process
from pytest_perfguard.live.process import ADDRESS, Launch, Worker, WorkerDiedError, call_home, start_pair
from pytest_perfguard.live.sides import Side
from pytest_perfguard.live.wire import SilentError

WORKER = r"""
import json, os, signal, socket, subprocess, sys
host, port, word = os.environ["PERFGUARD_LIVE"].split(":")
connection = None

def connect(said=None):
    global connection, lines
    connection = socket.create_connection((host, int(port)))
    lines = connection.makefile("r")
    say({"word": word} if said is None else said)

def say(message):
    connection.sendall(json.dumps(message).encode() + b"\n")

def hear():
    line = lines.readline()
    if not line:
        sys.exit(0)
    return json.loads(line)

def answer():
    while (order := hear())["do"] != "end":
        say({"at": "ran", "order": order, "side": os.environ["NAME"], "pid": os.getpid()})
    say({"at": "end"})

"""
"""The beginning of a worker, for which nothing is to be imported."""

OBEDIENT = "connect(); answer()"


class Groups:
    """Who is told of process groups."""

    def __init__(self):
        self.guarded, self.released = [], []

    def guard_group(self, pid):
        self.guarded.append(pid)

    def release_group(self, pid):
        self.released.append(pid)


@pytest.fixture
def groups():
    """Groups of which none is left at the end."""
    groups = Groups()
    yield groups
    assert set(groups.guarded) == set(groups.released)
    wait_until(lambda: not any(member_of(groups.guarded, process) for process in psutil.process_iter()))


@pytest.fixture
def start(tmp_path, groups):
    """Start a pair of workers from their programs."""

    def make(*programs):
        launches = [launch(tmp_path, name, program) for name, program in zip(("base", "head"), programs, strict=False)]
        return start_pair(launches, groups)

    return make


def launch(folder, name, program, python=sys.executable):
    side = Side(name=name, tree=folder, root=folder, cwd=folder, python=python)
    command = ("-I", "-S", "-c", WORKER + program)
    return Launch(side=side, command=command, environment={"NAME": name}, log=folder / f"{name}.log")


def wait_until(holds):
    """Wait for what is nobody's to wait for, such as the end of a worker's own child."""
    deadline, pause = time.monotonic() + 5, threading.Event()
    while not holds():
        assert time.monotonic() < deadline
        pause.wait(0.01)


def runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def let_end(worker, timeout=10.0):
    worker.dismiss(timeout)
    worker.finish(timeout)


def send_for_long(worker):
    """Say so much that it must be noticed when nobody is there to hear it."""
    for _ in range(100):
        worker.send({"do": "x" * 10_000})


def member_of(groups, process):
    try:
        return os.getpgid(process.pid) in groups and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


def test_both_sides_answer_and_end_by_themselves(start, groups, tmp_path):
    workers = start(OBEDIENT, OBEDIENT)
    assert [worker.side.name for worker in workers] == ["base", "head"]
    assert groups.guarded == [worker.pid for worker in workers]
    for worker in workers:
        assert worker.alive
        said = worker.ask({"do": "run", "test": "test_x"}, 10)
        assert said["order"] == {"do": "run", "test": "test_x"}
        assert said["side"] == worker.side.name
        assert said["pid"] == worker.pid != os.getpid()
    for worker in workers:
        let_end(worker)
        assert not worker.alive
        worker.end()  # doing it twice is nothing


def test_one_that_stands_in_a_test_is_brought_to_its_end(start, tmp_path):
    program = """
connect()
assert hear()["do"] == "run"
say({"at": "ready"})
assert hear()["do"] == "end"
say({"at": "ran"})
assert hear()["do"] == "end"
open("torn-down", "w").close()
say({"at": "end"})
"""
    [worker] = start(program)
    assert worker.ask({"do": "run"}, 10) == {"at": "ready"}
    let_end(worker, timeout=2.0)
    assert (tmp_path / "torn-down").exists()


def test_one_that_does_not_end_is_ended(start):
    [worker] = start("connect()\nwhile True: hear()")
    let_end(worker, timeout=0.05)
    assert not worker.alive


def test_one_that_says_that_it_ends_and_does_not_is_ended(start):
    [worker] = start("connect(); answer(); signal.pause()")
    let_end(worker, timeout=0.05)
    assert not worker.alive


def test_one_that_exits_says_what_it_printed(start):
    workers = start(OBEDIENT, "connect(); hear(); print('x' * 5000 + 'The last words'); sys.exit(7)")
    with pytest.raises(WorkerDiedError) as raised:
        workers[1].ask({"do": "run"}, 10)
    assert raised.value.side == "head"
    assert isinstance(raised.value, MeasurementError)
    text = str(raised.value)
    assert text.startswith("on head: its process ended with exit code 7; the end of what it printed:\nxxx")
    assert text.endswith("The last words")
    assert len(text) < 2200
    assert workers[0].ask({"do": "run"}, 10)["side"] == "base"
    with pytest.raises(WorkerDiedError, match="on head: its process ended with exit code 7"):
        send_for_long(workers[1])
    for worker in workers:
        let_end(worker, timeout=1)


@pytest.mark.parametrize(("how", "name"), [("SIGKILL", "SIGKILL"), ("SIGSEGV", "SIGSEGV")])
def test_one_that_was_killed_says_by_what(start, how, name):
    [worker] = start(f"connect(); hear(); os.kill(os.getpid(), signal.{how})")
    with pytest.raises(WorkerDiedError, match=f"on base: its process was ended by {name}$"):
        worker.ask({"do": "run"}, 10)
    worker.end()


@pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="has no real-time signals")
def test_a_signal_without_a_name_is_told_by_its_number(start):
    number = signal.SIGRTMIN + 5
    [worker] = start(f"connect(); hear(); os.kill(os.getpid(), {number})")
    try:
        with pytest.raises(WorkerDiedError, match=f"was ended by .*{number}$"):
            worker.ask({"do": "run"}, 10)
    finally:
        worker.end()


def test_one_that_closes_its_connection_and_lives_on_is_told_apart(start, monkeypatch):
    [worker] = start("connect(); hear(); lines.close(); connection.close(); signal.pause()")
    wait = worker._process.wait
    monkeypatch.setattr(worker._process, "wait", lambda timeout=None: wait(timeout and min(timeout, 0.01)))
    with pytest.raises(WorkerDiedError, match="on base: its process closed its connection"):
        worker.ask({"do": "run"}, 10)
    assert worker.alive
    worker.end()


def test_one_that_falls_silent_is_stopped_with_all_that_it_started(start, groups):
    program = """
child = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"])
connect(); hear(); say({"child": child.pid}); hear(); signal.pause()
"""
    [worker] = start(program)
    child = worker.ask({"do": "run"}, 10)["child"]
    assert runs(child)
    with pytest.raises(WorkerDiedError, match=r"on base: it did not come to an end in 0\.05 s and was stopped"):
        worker.ask({"do": "run"}, 0.05)
    assert not worker.alive
    assert groups.released == [worker.pid]
    wait_until(lambda: not runs(child))
    for speak in (lambda: worker.send({}), lambda: worker.receive(1)):
        with pytest.raises(WorkerDiedError):
            speak()
    let_end(worker)  # nothing is left to be said


def test_a_forked_child_that_goes_on_does_not_hide_that_its_parent_is_dead(start, monkeypatch):
    monkeypatch.setattr(process, "_SLICE", 0.05)
    program = """
connect(); hear()
if os.fork() == 0:
    signal.pause()
os._exit(3)
"""
    [worker] = start(program)
    try:
        with pytest.raises(WorkerDiedError, match="its process ended with exit code 3"):
            worker.ask({"do": "run"}, 4.0)
    finally:
        worker.end()


def test_what_it_prints_is_not_taken_for_an_answer(start):
    [worker] = start("""print('{"at": "garbage"}', flush=True); connect(); print('{"at": 1}', flush=True); answer()""")
    assert worker.ask({"do": "run"}, 10)["at"] == "ran"
    let_end(worker)


def test_garbage_in_the_conversation_is_the_end_of_that_worker(start):
    [worker] = start("connect(); hear(); connection.sendall(b'garbage\\n'); sys.exit(9)")
    with pytest.raises(WorkerDiedError, match="on base: its process ended with exit code 9"):
        worker.ask({"do": "run"}, 10)
    worker.end()


def test_a_pair_of_which_one_ends_before_it_speaks_does_not_start(start, groups):
    with pytest.raises(WorkerDiedError, match=r"(?s)on head: its process ended with exit code 4; .*\nno such option"):
        start(OBEDIENT, "print('no such option'); sys.exit(4)")
    assert len(groups.guarded) == 2


def test_a_pair_of_which_one_never_speaks_does_not_start(start, monkeypatch):
    monkeypatch.setattr(process, "START_SECONDS", 0.2)
    with pytest.raises(WorkerDiedError, match=r"on base: its process did not speak in 0\.2 s"):
        start("signal.pause()", OBEDIENT)


def test_a_pair_whose_interpreter_is_not_there_does_not_start(tmp_path, groups):
    launches = [launch(tmp_path, "base", OBEDIENT), launch(tmp_path, "head", OBEDIENT, python="/nowhere/python")]
    with pytest.raises(WorkerDiedError, match="on head: /nowhere/python could not be started"):
        start_pair(launches, groups)


def test_nothing_is_left_where_starting_is_interrupted(start, groups, monkeypatch):
    def interrupt(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "_connect", interrupt)
    with pytest.raises(KeyboardInterrupt):
        start(OBEDIENT, OBEDIENT)
    assert len(groups.guarded) == 2


@pytest.mark.parametrize("said", ['{"word": "wrong"}', "{}", "5", "[]", '{"word": []}'])
def test_strangers_are_shown_the_door(start, said):
    """Whoever else connects is none of the two, whatever it says."""
    [worker] = start(f"connect(json.loads({said!r})); connect(); answer()")
    assert worker.ask({"do": "run"}, 10)["at"] == "ran"
    let_end(worker)


def test_each_worker_has_a_word_of_its_own_and_an_empty_input(start, tmp_path):
    program = (
        "connect(); hear(); say({'word': word, 'input': sys.stdin.read(), 'cwd': os.getcwd(), 'sid': os.getsid(0)})"
    )
    said = []
    for worker in start(program, program):
        said.append(worker.ask({"do": "run"}, 10))
        assert said[-1]["sid"] == worker.pid
        worker.end()
    assert len({each["word"] for each in said}) == 2
    assert [each["input"] for each in said] == ["", ""]
    assert {Path(each["cwd"]) for each in said} == {tmp_path}


def test_a_worker_that_was_not_spoken_with_cannot_be_asked(tmp_path, groups):
    worker = Worker(launch(tmp_path, "base", "signal.pause()"), groups)
    with pytest.raises(WorkerDiedError, match="was not started"):
        worker.send({})
    with pytest.raises(WorkerDiedError, match="was ended"):
        worker.receive(1)
    worker.end()


def test_a_worker_calls_home_and_forgets_where_that_is(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv(ADDRESS, f"127.0.0.1:{server.getsockname()[1]}:abc")
        channel = call_home()
        other, _ = server.accept()
        with other:
            assert json.loads(other.makefile().readline()) == {"word": "abc"}
            assert ADDRESS not in os.environ
            with pytest.raises(SilentError):
                channel.receive(0)
        channel.close()
