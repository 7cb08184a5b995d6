"""What a copy of the process would share or lack: there the process itself is read."""

from __future__ import annotations

import sys

import pytest

from tests.unit.probes.memory.peak_readings import run

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells the peak of a copy")

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("setup", "reason"),
    [
        ("import socket; held = socket.socket()", "a socket is open"),
        ("import asyncio; held = asyncio.new_event_loop()", "open"),
        ("import os; held = os.pipe()", "a pipe has both of its ends in this process"),
        ("import mmap; held = mmap.mmap(-1, 4096)", "memory is shared with other processes"),
        ("import signal; signal.signal(signal.SIGCHLD, lambda *_: None)", "the end of child processes is handled"),
        ("import subprocess; held = subprocess.Popen(['sleep', '20'])", "this process has child processes"),
        (
            "import threading; held = threading.Event(); threading.Thread(target=held.wait, daemon=True).start()",
            "the thread Thread-1 (wait) runs",
        ),
        ("import select; held = select.epoll()", "eventpoll"),
    ],
)
def test_the_process_itself_is_read_where(setup, reason):
    program = f"""
{setup}
show(read(lambda: b'x' * (32 * MIB)))
if hasattr(globals().get("held"), "kill"):
    held.kill()
    held.wait()
os._exit(0) if sys.stdout.flush() is None else None
"""
    (reading,), _ = run(program)
    assert reason in reading["reason"]
    assert reading["value"] == pytest.approx(32 * MIB, rel=0.05)


def test_the_process_itself_is_read_where_a_database_is_open(tmp_path):
    program = f"""
import sqlite3
connection = sqlite3.connect({str(tmp_path / "data.db")!r})
connection.execute("create table t (x)")
show(read(lambda: b'x' * (32 * MIB)))
connection.close()
"""
    (reading,), _ = run(program)
    assert reading["reason"].endswith("data.db is open for reading and writing")


def test_the_process_itself_is_read_in_a_running_event_loop():
    program = """
import asyncio
async def main():
    show(read(lambda: b'x' * (32 * MIB)))
asyncio.run(main())
"""
    (reading,), _ = run(program)
    assert reading["reason"] == "an event loop runs"


@pytest.mark.parametrize(
    "setup",
    [
        "held = open(os.devnull, 'w')",
        "import tempfile; held = tempfile.TemporaryFile(); held.write(b'text'); held.flush()",
        "import sqlite3; held = sqlite3.connect(':memory:')",
        "import threading; held = threading.Timer(50, print); held.daemon = True; held.start()",
    ],
)
def test_a_copy_is_made_where(setup):
    (reading,), _ = run(f"{setup}\nshow(read(lambda: b'x' * (32 * MIB)))\nsys.stdout.flush()\nos._exit(0)")
    assert reading["reason"] == ""


def test_a_log_gets_each_line_once(tmp_path):
    log = tmp_path / "log.txt"
    program = f"""
held = open({str(log)!r}, "w", buffering=1)
def call(): held.write("line\\n")
show(read(call))
held.close()
"""
    (reading,), _ = run(program)
    assert reading["reason"] == ""
    assert log.read_text() == "line\n"


def test_a_temporary_file_gets_each_line_once():
    program = """
import tempfile
held = tempfile.TemporaryFile("w+", buffering=1)
def call(): held.write("line\\n")
show(read(call))
held.seek(0)
print(held.read(), end="")
held.close()
"""
    (reading,), lines = run(program)
    assert reading["reason"] == ""
    assert lines == ["line"]


def test_a_call_that_writes_a_file_does_so_once(tmp_path):
    program = f"""
def call(): os.mkdir({str(tmp_path / "folder")!r})
show(read(call))
"""
    (reading,), _ = run(program)
    assert reading["reason"] == "it changes files"
    assert (tmp_path / "folder").is_dir()
