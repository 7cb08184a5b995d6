"""What a call leaves behind, on calls of which it is known."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from pytest_perfguard.model.growth import Detail
from pytest_perfguard.model.note import Note
from pytest_perfguard.model.protocols import Reading, Stage, StagedProbe
from pytest_perfguard.probes.memory.leftovers import probe as leftovers
from pytest_perfguard.probes.memory.leftovers import surroundings, temporary
from pytest_perfguard.probes.memory.leftovers.probe import LeftoverProbe

posix = pytest.mark.skipif(sys.platform == "win32", reason="descriptors are POSIX's")

KEPT: list[object] = []


class Clock:
    """Time that passes only where the probe waits; `meanwhile` is what others do then."""

    def __init__(self):
        self.now = 0.0
        self.waits = 0
        self.meanwhile = lambda: None

    def sleep(self, seconds):
        self.now += seconds
        self.waits += 1
        self.meanwhile()


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(leftovers, "sleep", clock.sleep)
    monkeypatch.setattr(leftovers, "monotonic", lambda: clock.now)
    return clock


@pytest.fixture(autouse=True)
def own_temporary(tmp_path, monkeypatch):
    """A folder for temporary files that no other process writes to."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    names = tempfile._get_candidate_names()
    yield tmp_path
    assert tempfile._get_candidate_names() is names
    assert temporary._open == []


@pytest.fixture(autouse=True)
def nothing_kept():
    yield
    for each in KEPT:
        if isinstance(each, subprocess.Popen):
            each.kill()
            each.wait()
            if each.stdin is not None:
                each.stdin.close()
        elif isinstance(each, (tuple, list)):
            for one in each:
                one.close()
        elif hasattr(each, "close"):
            each.close()
    KEPT.clear()


@pytest.fixture
def release():
    """An event that ends the threads of a test."""
    event = threading.Event()
    before = threading.enumerate()
    yield event
    event.set()
    for thread in threading.enumerate():
        if thread not in before:
            thread.join()


def read(call):
    """Return the reading of one call."""
    probe = LeftoverProbe()
    token = probe.start()
    try:
        call()
    finally:
        reading = probe.stop(token)
    return reading


def measure(call):
    """Return what all calls come to, and how many were made, as a runner makes them."""
    probe = LeftoverProbe()
    stage: Stage | Reading = Stage(probe=probe, warmup=probe.warmup, rounds=probe.rounds)
    stages, calls = [], 0
    while isinstance(stage, Stage):
        readings = [read(call) for _ in range(stage.warmup + stage.rounds)]
        calls += len(readings)
        stages.append(readings[stage.warmup :])
        stage = probe.proceed(stages)
    return stage, calls


def left(reading):
    """Return the kinds that have a count."""
    return {name.removeprefix("leaked_"): value for name, value in reading.values.items() if value}


def lines(reading, metric="leaked"):
    return [line for detail in reading.details if detail.metric == metric for line in detail.lines]


def open_file():
    KEPT.append(open(__file__, "rb"))  # noqa: PTH123, SIM115


def open_socket():
    KEPT.append(socket.create_server(("127.0.0.1", 0)))


def open_pair():
    KEPT.append(socket.socketpair())


def open_pipe():
    KEPT.append([os.fdopen(number) for number in os.pipe()])


def make_folder():
    tempfile.mkdtemp(prefix="mine-")


@posix
@pytest.mark.parametrize(
    ("call", "kinds", "line"),
    [
        (open_file, {"leaked": 1, "files": 1}, "test_leftovers.py"),
        (open_socket, {"leaked": 1, "sockets": 1}, "TCP, listens on 127.0.0.1:"),
        (open_pair, {"leaked": 2, "sockets": 2}, "Unix socket, of a pair"),
        (make_folder, {"leaked": 1, "temporary": 1}, "mine-"),
        (open_pipe, {"leaked": 2, "files": 2}, "a pipe"),
        (lambda: KEPT.append(asyncio.new_event_loop()), {"leaked": 3, "files": 1, "sockets": 2}, "an event loop"),
    ],
    ids=["file", "server", "pair", "folder", "pipe", "loop"],
)
def test_what_each_call_leaves_is_counted_and_named(call, kinds, line):
    reading, calls = measure(call)
    assert left(reading) == kinds
    assert any(line in each for each in lines(reading)), reading.details
    assert calls == 5  # those of the first stage, and two more to be sure


def test_a_thread_is_named_with_what_it_runs(release):
    def wait_for_ever():
        release.wait()

    reading, _ = measure(lambda: threading.Thread(target=wait_for_ever, name="worker", daemon=True).start())
    assert left(reading) == {"leaked": 1, "threads": 1}
    (line,) = lines(reading, "leaked_threads")
    assert line.startswith("daemon thread 'worker': ")
    assert "wait_for_ever at " in line
    assert line.endswith(f":{wait_for_ever.__code__.co_firstlineno}")


def test_a_thread_without_an_object_counts(release):
    import _thread

    begun = threading.Event()

    def wait_for_ever():
        begun.set()
        release.wait()

    def call():
        begun.clear()
        _thread.start_new_thread(wait_for_ever, ())
        begun.wait()

    reading, _ = measure(call)
    assert left(reading) == {"leaked": 1, "threads": 1}
    assert "wait_for_ever at" in lines(reading)[0]


def test_a_process_is_named_with_its_command():
    command = [sys.executable, "-c", "input()"]
    reading, _ = measure(lambda: KEPT.append(subprocess.Popen(command, stdin=subprocess.PIPE)))
    assert left(reading) == {"leaked": 2, "files": 1, "processes": 1}
    (line,) = lines(reading, "leaked_processes")
    assert line.startswith(f"process {KEPT[-1].pid}: ")
    assert "input()" in line


def test_a_process_that_nobody_waits_for_is_told_as_such():
    def call():
        child = subprocess.Popen([sys.executable, "-S", "-c", ""])
        KEPT.append(child)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    reading, _ = measure(call)
    assert left(reading) == {"leaked": 1, "processes": 1}
    assert lines(reading)[0].endswith("has ended and was not waited for")


def test_a_process_of_before_that_is_waited_for_hides_none():
    def start():
        child = subprocess.Popen([sys.executable, "-S", "-c", ""])
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        KEPT.append(child)

    def call():
        KEPT.pop().wait()
        start()

    start()
    assert left(read(call)) == {"leaked": 1, "processes": 1}


class Node:
    def __init__(self):
        self.me = self
        self.socket = socket.socket()


CURRENT: list[object] = [None]


def replace():
    old, CURRENT[0] = CURRENT[0], open(__file__, "rb")  # noqa: PTH123, SIM115
    if old is not None:
        old.close()


def run_loop():
    asyncio.run(asyncio.sleep(0))


def run_process():
    subprocess.run([sys.executable, "-S", "-c", ""], check=True)


def run_threads():
    threads = [threading.Thread(target=int) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def use_temporary():
    with tempfile.NamedTemporaryFile(), tempfile.TemporaryDirectory(), tempfile.TemporaryFile():
        pass


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("call", [int, Node, replace, run_loop, run_process, run_threads, use_temporary])
def test_clean_calls_leave_nothing(call):
    reading, calls = measure(call)
    assert left(reading) == {}
    assert reading.details == ()
    assert calls == 3
    if CURRENT[0] is not None:
        CURRENT[0].close()
        CURRENT[0] = None


def test_what_is_opened_once_is_no_leak():
    def call():
        if not KEPT:
            open_pair()

    assert left(read(call)) == {"leaked": 2, "sockets": 2}
    assert left(measure(call)[0]) == {}


def test_a_thread_that_is_ending_gets_time(clock, release):
    threads = []

    def call():
        threads.append(threading.Thread(target=release.wait))
        threads[-1].start()

    def end():
        if clock.waits == 3:
            release.set()
            threads[-1].join()

    clock.meanwhile = end
    assert left(read(call)) == {}
    assert 0 < clock.now < leftovers.GRACE


def test_a_thread_that_stays_gets_no_more_than_the_grace(clock, release):
    read(lambda: threading.Thread(target=release.wait).start())
    assert clock.now == pytest.approx(leftovers.GRACE)


def test_a_file_that_another_thread_closes_gets_time(clock, release):
    threading.Thread(target=release.wait).start()
    clock.meanwhile = lambda: KEPT.pop().close() if KEPT else None
    assert left(read(open_file)) == {}


def test_no_time_is_spent_where_nothing_is_new(clock):
    read(int)
    assert clock.waits == 0


@posix
def test_no_time_is_spent_on_a_file_that_nobody_can_close(clock, monkeypatch):
    monkeypatch.setattr(surroundings, "look_threads", lambda: ({("main",): None}, 0))
    assert left(read(open_file))["files"] == 1
    assert clock.waits == 0


def test_native_threads_are_a_remark(monkeypatch):
    count = iter([3, *[4] * 100])
    monkeypatch.setattr(surroundings, "look_threads", lambda: ({}, next(count)))
    reading = read(int)
    assert [note.code for note in reading.notes] == ["native-threads"]
    assert left(reading) == {}


async def forgotten(event):
    await event.wait()


def test_a_pending_task_is_named_with_its_coroutine_and_line():
    async def main():
        event = asyncio.Event()
        tasks = []

        async def call():
            tasks.append(asyncio.create_task(forgotten(event), name=f"task-{len(tasks)}"))
            await asyncio.sleep(0)

        probe = LeftoverProbe()
        token = probe.start()
        await call()
        reading = probe.stop(token)
        event.set()
        await asyncio.gather(*tasks)
        return reading

    reading = asyncio.run(main())
    assert left(reading) == {"leaked": 1, "tasks": 1}
    (line,) = lines(reading, "leaked_tasks")
    assert line.startswith("asyncio task 'task-0': forgotten at ")
    first = forgotten.__code__.co_firstlineno
    assert line.endswith(f"test_leftovers.py:{first}, waits in line {first + 1}")


def test_tasks_that_are_done_or_cancelled_do_not_count():
    async def main():
        probe = LeftoverProbe()
        token = probe.start()
        await asyncio.create_task(asyncio.sleep(0))
        asyncio.create_task(asyncio.sleep(1000)).cancel()
        return probe.stop(token)

    assert left(asyncio.run(main())) == {}


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="3.14 tells the tasks of a loop only to those who have it")
def test_tasks_of_loops_that_do_not_run_count():
    loop = asyncio.new_event_loop()
    event = asyncio.Event()

    async def main():
        KEPT.append(asyncio.ensure_future(forgotten(event)))

    reading = read(lambda: loop.run_until_complete(main()))
    event.set()
    loop.run_until_complete(KEPT.pop())
    loop.close()
    assert left(reading) == {"leaked": 1, "tasks": 1}


def test_transports_that_are_closing_do_not_count():
    async def main():
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        probe = LeftoverProbe()
        reader, writer = await asyncio.open_connection(*address[:2])
        await reader.read()
        token = probe.start()
        more, writer_2 = await asyncio.open_connection(*address[:2])
        await more.read()
        writer_2.close()
        reading = probe.stop(token)
        await writer_2.wait_closed()
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return reading

    reading = asyncio.run(main())
    assert left(reading) == {}


def test_threads_of_the_running_loop_do_not_count():
    """It ends them with itself; a test's body ends before it does."""

    async def main():
        probe = LeftoverProbe()
        token = probe.start()
        await asyncio.to_thread(int)
        return probe.stop(token)

    reading = asyncio.run(main())
    assert left(reading) == {}
    assert reading.notes == ()


def test_threads_of_anyio_do_not_count():
    to_thread = pytest.importorskip("anyio.to_thread")

    async def main():
        probe = LeftoverProbe()
        token = probe.start()
        await to_thread.run_sync(int)
        return probe.stop(token)

    assert left(asyncio.run(main())) == {}


def test_what_another_process_leaves_in_the_folder_is_a_remark(own_temporary):
    def call():
        (own_temporary / "tmpabcd1234").touch()

    reading = read(call)
    assert left(reading) == {}
    assert [note.code for note in reading.notes] == ["temporary-unclear"]
    assert not reading.notes[0].undermines


def test_pytests_own_folder_is_no_remark(own_temporary):
    assert read((own_temporary / "pytest-of-me").mkdir).notes == ()


def test_a_temporary_folder_that_is_replaced_is_no_leak():
    def call():
        KEPT.append(tempfile.mkdtemp())
        if len(KEPT) > 1:
            Path(KEPT.pop(0)).rmdir()

    assert left(measure(call)[0]) == {}
    KEPT.clear()


def test_readings_nest():
    probe = LeftoverProbe()
    outer = probe.start()
    make_folder()
    inner = probe.start()
    make_folder()
    open_file()
    assert left(probe.stop(inner)) == {"leaked": 2, "files": 1, "temporary": 1}
    assert left(probe.stop(outer)) == {"leaked": 3, "files": 1, "temporary": 2}


def test_more_than_ten_of_a_kind_are_not_all_named():
    reading = read(lambda: [open_file() for _ in range(13)] and None)
    assert left(reading)["files"] == 13
    assert len(lines(reading)) == 11
    assert lines(reading)[-1] == "… and 3 more"


def test_what_is_gone_is_told_beside_what_is_new():
    open_socket()

    def call():
        kept = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        KEPT.pop().close()
        KEPT.append(kept)

    reading = read(call)
    assert left(reading) == {"leaked": 1, "sockets": 1}
    assert [line.split(": ")[-1] for line in lines(reading)] == [
        "UDP 0.0.0.0:0, not connected",
        "UDP 0.0.0.0:0, not connected",
        "and 1 of before the call is gone",
    ]


def refuse():
    raise OSError("permission denied")


@pytest.mark.parametrize(
    ("look", "names"),
    [("look_descriptors", {"leaked_files", "leaked_sockets"}), ("look_processes", {"leaked_processes"})],
)
def test_what_cannot_be_seen_has_no_value_and_a_note(monkeypatch, look, names):
    monkeypatch.setattr(surroundings, look, refuse)
    reading = read(int)
    assert not names & set(reading.values)
    assert {metric for note in reading.notes for metric in note.undermines} == {*names, "leaked"}
    assert "permission denied" in str(reading.notes[0])


def test_names_of_temporary_files_that_cannot_be_seen_have_a_note(monkeypatch):
    def refuse_watch():
        raise OSError("no names")

    monkeypatch.setattr(temporary, "open_watch", refuse_watch)
    reading = read(int)
    assert "leaked_temporary" not in reading.values
    assert reading.notes[0].undermines == ("leaked_temporary", "leaked")


def test_nothing_stays_where_looking_fails(monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(surroundings, "look_threads", interrupt)
    with pytest.raises(KeyboardInterrupt):
        LeftoverProbe().start()


NOTE = Note(code="a", message="always")


def reading(files=0, sockets=0, *, notes=(), line="x"):
    return Reading(
        values={"leaked": files + sockets, "leaked_files": files, "leaked_sockets": sockets},
        details=(Detail(metric="leaked_files", lines=(line,)), Detail(metric="leaked_sockets", lines=(line,))),
        notes=notes,
    )


def test_each_kind_counts_by_its_smallest_and_the_sum_is_theirs():
    found = LeftoverProbe().proceed([[reading(1, 0), reading(0, 1)]])
    assert isinstance(found, Reading)
    assert found.values == {"leaked": 0, "leaked_files": 0, "leaked_sockets": 0}


def test_a_count_in_each_call_asks_for_two_more():
    probe = LeftoverProbe()
    stage = probe.proceed([[reading(2), reading(3)]])
    assert stage == Stage(probe=probe, warmup=0, rounds=2)
    found = probe.proceed([[reading(2), reading(3)], [reading(2, line="y"), reading(5)]])
    assert found.values == {"leaked": 2, "leaked_files": 2, "leaked_sockets": 0}
    assert found.details == (Detail(metric="leaked", lines=("y",)), Detail(metric="leaked_files", lines=("y",)))


def test_only_remarks_on_every_call_stay():
    once = Note(code="b", message="once")
    found = LeftoverProbe().proceed([[reading(notes=(NOTE,)), reading(notes=(NOTE, once))]])
    assert found.notes == (NOTE,)


def test_is_a_staged_probe():
    assert isinstance(LeftoverProbe(), StagedProbe)


def test_garbage_is_collected_first(monkeypatch):
    calls = []
    monkeypatch.setattr(gc, "collect", lambda *_: calls.append(1) or 0)
    read(int)
    assert len(calls) == 2
