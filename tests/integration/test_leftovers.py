"""Budgets on what a call leaves: with the fixture and on bodies, in one process and in workers, sync and async."""

from __future__ import annotations

import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="descriptors are POSIX's")

CODE = """
    import asyncio
    import socket
    import subprocess
    import sys
    import tempfile
    import threading

    import pytest

    KEPT = []
    STOP = threading.Event()

    @pytest.fixture(autouse=True, scope="module")
    def clean_up():
        yield
        STOP.set()
        for each in KEPT:
            each.close()

    def work():
        STOP.wait()

    def start_thread():
        threading.Thread(target=work, name="worker", daemon=True).start()

    def open_file():
        KEPT.append(open(__file__))

    def open_socket():
        KEPT.append(socket.create_server(("127.0.0.1", 0)))

    def leave_folder():
        tempfile.mkdtemp(prefix="left-", dir=None)

    def clean():
        with open(__file__), tempfile.TemporaryDirectory():
            subprocess.run([sys.executable, "-S", "-c", ""], check=True)
            thread = threading.Thread(target=int)
            thread.start()
            thread.join()
"""


@pytest.fixture(autouse=True)
def own_temporary(tmp_path, monkeypatch):
    """The inner sessions leave their temporary files where they are found."""
    import tempfile

    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))


def test_calls_that_leave_something_are_over_their_budget(either):
    either.write(
        test_it=CODE
        + """
    @pytest.mark.perf_budget(leaked=0)
    def test_clean(perf):
        perf(clean)

    @pytest.mark.perf_budget(leaked_threads=0)
    def test_thread(perf):
        perf.using(iterations=1, rounds=1)(start_thread)

    @pytest.mark.perf_budget(leaked_files=0, leaked_sockets=0)
    def test_file(perf):
        perf.using(iterations=1, rounds=1)(open_file)

    @pytest.mark.perf_budget(leaked=0)
    def test_socket(perf):
        perf.using(iterations=1, rounds=1)(open_socket)

    @pytest.mark.perf_budget(leaked_temporary=0)
    def test_temporary(perf):
        perf.using(iterations=1, rounds=1)(leave_folder)

    @pytest.mark.perf_budget(leaked_files=1)
    def test_allowed(perf):
        perf.using(iterations=1, rounds=1)(open_file)
    """
    )
    inner = either.run(code=1)
    assert inner.outcomes == {"passed": 2, "failed": 4}
    assert inner.judged("test_clean", "leaked") == ("passed", False)
    assert inner.judged("test_thread", "leaked_threads") == ("over budget", True)
    assert inner.judged("test_file", "leaked_files") == ("over budget", True)
    assert inner.judged("test_file", "leaked_sockets") == ("passed", False)
    assert inner.judged("test_socket", "leaked") == ("over budget", True)
    assert inner.judged("test_temporary", "leaked_temporary") == ("over budget", True)
    assert inner.judged("test_allowed", "leaked_files") == ("passed", False)
    inner.result.stdout.fnmatch_lines_random(
        [
            "*leaked_threads of test_it.py::test_thread is over its budget: 1, budget 0*",
            "* daemon thread 'worker': work at *test_it.py:*",
            "* file descriptor *: *test_it.py",
            "* socket *: TCP, listens on 127.0.0.1:*",
            "* temporary */left-*",
        ]
    )


def test_bodies_that_leave_something_are_over_their_budget(either):
    either.write(
        test_it=CODE
        + """
    @pytest.mark.perf_budget(leaked=0)
    def test_clean(tmp_path, capfd, caplog, monkeypatch):
        clean()
        (tmp_path / "a").touch()
        print("something")

    @pytest.mark.perf_budget(leaked_threads=0)
    def test_thread():
        start_thread()

    @pytest.mark.perf_budget(leaked=0)
    def test_file():
        open_file()

    class TestClass:
        @pytest.mark.perf_budget(leaked_sockets=0)
        def test_socket(self):
            open_socket()
    """
    )
    inner = either.run(code=1)
    assert inner.outcomes == {"passed": 1, "failed": 3}
    assert inner.judged("test_clean", "leaked") == ("passed", False)
    assert inner.judged("test_thread", "leaked_threads") == ("over budget", True)
    assert inner.judged("test_file", "leaked") == ("over budget", True)
    assert inner.judged("test_socket", "leaked_sockets") == ("over budget", True)
    inner.result.stdout.fnmatch_lines_random(["* daemon thread 'worker': work at *", "* file descriptor *test_it.py"])


TASKS = """
    import asyncio

    import pytest

    KEPT = set()

    async def forgotten():
        await asyncio.sleep(1000)

    async def leave():
        KEPT.add(asyncio.ensure_future(forgotten()))
        await asyncio.sleep(0)

    async def clean():
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        await asyncio.to_thread(int)

"""


def test_a_task_left_pending_is_found_and_named(either):
    pytest.importorskip("pytest_asyncio")
    either.write(
        test_it=TASKS
        + """
    pytestmark = pytest.mark.asyncio

    @pytest.mark.perf_budget(leaked_tasks=0)
    async def test_leaves(perf):
        await perf.using(iterations=1, rounds=1).aio(leave)

    @pytest.mark.perf_budget(leaked=0)
    async def test_clean(perf):
        await perf.aio(clean)

    @pytest.mark.perf_budget(leaked_tasks=0)
    async def test_body_leaves():
        await leave()

    @pytest.mark.perf_budget(leaked=0)
    async def test_body_clean():
        await clean()
    """
    )
    inner = either.run("-o", "asyncio_default_fixture_loop_scope=function", plugins=("pytest_asyncio.plugin",), code=1)
    assert inner.outcomes == {"passed": 2, "failed": 2}
    assert inner.judged("test_leaves", "leaked_tasks") == ("over budget", True)
    assert inner.judged("test_body_leaves", "leaked_tasks") == ("over budget", True)
    assert inner.judged("test_clean", "leaked") == ("passed", False)
    assert inner.judged("test_body_clean", "leaked") == ("passed", False)
    inner.result.stdout.fnmatch_lines_random(
        [
            "*leaked_tasks of test_it.py::test_leaves is over its budget: 1, budget 0*",
            "* asyncio task 'Task-*': forgotten at *test_it.py:7, waits in line 8",
        ]
    )


def test_a_task_that_a_sync_test_leaves_is_found(project):
    project.write(
        test_it=TASKS
        + """
    @pytest.mark.perf_budget(leaked_tasks=0)
    def test_leaves(perf):
        loop = asyncio.new_event_loop()
        perf.using(iterations=1, rounds=1)(lambda: loop.run_until_complete(leave()))
        for task in KEPT:
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    """
    )
    inner = project.run(code=1)
    assert inner.judged("test_leaves", "leaked_tasks") == ("over budget", True)


def test_pauses_and_collections_have_budgets(either):
    either.write(
        test_it="""
    import gc

    import pytest

    def collect():
        for _ in range(3):
            gc.collect()

    @pytest.mark.perf_budget(gc_collections=3, gc_pause="10 s")
    def test_within(perf):
        perf.using(iterations=1, rounds=1)(collect)

    @pytest.mark.perf_budget(gc_collections=2)
    def test_over(perf):
        perf.using(iterations=1, rounds=1)(collect)

    @pytest.mark.perf_budget(gc_pause="1 ns")
    def test_pause():
        collect()

    @pytest.mark.perf_budget(gc_pause="1 ns", gc_collections=0)
    def test_none(perf):
        perf(int)
    """
    )
    inner = either.run(code=1)
    assert inner.judged("test_within", "gc_collections") == ("passed", False)
    assert inner.judged("test_within", "gc_pause") == ("passed", False)
    assert inner.judged("test_over", "gc_collections") == ("over budget", True)
    assert inner.judged("test_none", "gc_pause") == ("passed", False)
    assert inner.verdicts("test_pause", "gc_pause")[0]["outcome"] == "over budget"
    inner.result.stdout.fnmatch_lines(["* generation 2 3 times, the longest took *"])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is judged on Linux")
def test_resident_memory_has_budgets(either):
    either.write(
        test_it="""
    import ctypes

    import pytest

    LIBRARY = ctypes.CDLL(None)
    LIBRARY.malloc.restype = ctypes.c_void_p
    LIBRARY.malloc.argtypes = [ctypes.c_size_t]
    LIBRARY.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]

    def leak():
        LIBRARY.memset(LIBRARY.malloc(20_000), 1, 20_000)

    def clean():
        return [str(number) for number in range(1000)]

    @pytest.mark.perf_budget(rss_growth=0, rss="10 GB")
    def test_clean(perf):
        perf(clean)

    @pytest.mark.perf_budget(rss_growth="1 kB")
    def test_leak(perf):
        perf(leak)

    @pytest.mark.perf_budget(rss="1 MB")
    def test_large(perf):
        perf(clean)

    @pytest.mark.perf_budget(rss_growth="2 kB")
    def test_body_clean():
        clean()

    @pytest.mark.perf_budget(rss_growth="2 kB")
    def test_body_leak():
        leak()
    """
    )
    inner = either.run(code=1)
    assert inner.judged("test_clean", "rss_growth") == ("passed", False)
    assert inner.judged("test_clean", "rss") == ("passed", False)
    assert inner.judged("test_leak", "rss_growth") == ("over budget", True)
    assert inner.judged("test_large", "rss") == ("over budget", True)
    assert inner.judged("test_body_clean", "rss_growth")[1] is False
    assert inner.judged("test_body_leak", "rss_growth") == ("over budget", True)
    inner.result.stdout.fnmatch_lines(["*: resident memory grew by * KiB a call [[]* over 60 calls, budget 1000 B*"])
