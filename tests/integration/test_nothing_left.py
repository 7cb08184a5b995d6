"""Nothing is left behind: in the process after a run, or in the store after a run that was ended in its middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

STATE = """
    import gc, os, sqlite3, sys
    import pytest

    def state():
        descriptors = set()
        for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []:
            try:
                descriptors.add(os.readlink(f"/proc/self/fd/{name}"))
            except OSError:
                pass
        return {
            "connect": (sqlite3.connect, sqlite3.dbapi2.connect, sqlite3.Connection),
            "collector": (gc.isenabled(), gc.get_freeze_count() > 0, gc.get_debug(), gc.get_threshold()),
            "tracers": (sys.gettrace(), sys.getprofile()),
            "environment": {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_CURRENT")},
            "folder": os.getcwd(),
            "finders": [type(finder) for finder in sys.meta_path if not hasattr(finder, "session")],
            "filters": len(sys.path_hooks),
            "descriptors": {name for name in descriptors if not name.startswith(("pipe:", "/dev/", "/tmp/"))},
            "event hooks": len(gc.callbacks),
        }

    def compare(before, after):
        assert before == after
        print("\\nnothing is left")
"""


def test_a_run_leaves_the_process_as_it_was(either):
    either.write(
        state=STATE,
        conftest="""
        import os
        import pytest
        from state import compare, state

        BEFORE = {}

        def pytest_configure(config):
            BEFORE.update(state())

        @pytest.hookimpl(trylast=True)
        def pytest_unconfigure(config):
            with open(f"after-{os.getpid()}.txt", "w") as stream:
                compare(BEFORE, state())
                stream.write("nothing is left")
        """,
        test_it="""
        import sqlite3, pytest

        BUDGETS = pytest.mark.perf_budget(queries=9, memory="500 MB", retained=99, time="10 s")

        @BUDGETS
        def test_body():
            sqlite3.connect(":memory:").execute("select 1").connection.close()

        @BUDGETS
        @pytest.mark.perf_budget(result_size="1 MB")
        def test_fixture(perf):
            perf(test_body)

        @BUDGETS
        def test_fails(perf):
            perf(test_body)
            perf(int, "no number")

        @BUDGETS
        def test_body_fails():
            assert sqlite3.connect(":memory:").close() is not None
        """,
    )
    either.commit()
    inner = either.run("-s", "--perfguard-save", "--perfguard-compare", apart=True, code=1)
    assert inner.outcomes == {"passed": 2, "failed": 2}
    # One file of each process: the only one, or the controller and its workers.
    left = [path.read_text() for path in either.path.glob("after-*.txt")]
    assert left == ["nothing is left"] * (3 if either.workers else 1)
    assert either.leftovers() == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL], ids=lambda kind: kind.name)
@pytest.mark.parametrize("place", ["rounds", "body", "counting"])
def test_a_run_that_is_ended_in_the_middle(project, kind, place):
    project.write(
        state=STATE,
        conftest="""
        import pytest
        from state import compare, state

        BEFORE = {}

        def pytest_configure(config):
            BEFORE.update(state())

        @pytest.hookimpl(trylast=True)
        def pytest_unconfigure(config):
            compare(BEFORE, state())
        """,
        test_it=f"""
        import sqlite3, time, pathlib, pytest

        def wait():
            pathlib.Path("started").touch()
            connection = sqlite3.connect(":memory:")
            for _ in range(200):
                connection.execute("select 1")
                time.sleep(0.05)

        def test_done(perf):
            perf(sorted, [1])

        @pytest.mark.skipif({place!r} != "rounds", reason="another place")
        def test_rounds(perf):
            perf(wait)

        @pytest.mark.skipif({place!r} != "body", reason="another place")
        @pytest.mark.perf(rounds=3)
        def test_body():
            wait()

        @pytest.mark.skipif({place!r} != "counting", reason="another place")
        @pytest.mark.perf_budget(queries=3)
        def test_counting():
            wait()
        """,
    )
    command = [sys.executable, "-m", "pytest", "-p", "perfguard", "-s", "--perfguard-target-time=5ms"]
    running = subprocess.Popen(
        [*command, "-p", "no:cacheprovider", "--perfguard-save"],
        cwd=project.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        until = time.monotonic() + 30
        while not (project.path / "started").exists() and time.monotonic() < until and running.poll() is None:
            time.sleep(0.02)
        time.sleep(0.1)
        os.kill(running.pid, kind)
        text, _ = running.communicate(timeout=30)
    finally:
        running.kill()
    assert project.leftovers() == []
    if kind == signal.SIGKILL:
        assert running.returncode == -signal.SIGKILL
        assert project.stored() == []
        return
    assert running.returncode == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in text
    assert "nothing is left" in text, text
    # What was measured before the end is shown, but part of a run is no baseline.
    assert project.stored() == []
    assert "note: the baseline was not stored: the run was interrupted" in text.replace("\n  ", " ")
