"""Calls that behave badly in a copy of the process, and what is left of the copy."""

from __future__ import annotations

import sys

import pytest

from tests.unit.probes.memory.peak_readings import run

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells the peak of a copy")

MIB = 1024 * 1024
ENDED = "its copy ended in the call"
# Only the copy misbehaves, so that the process can go on and show its own reading.
COPY = """
process = os.getpid()
def left():
    gone = []
    try:
        os.waitpid(-1, os.WNOHANG)
        gone.append("a child")
    except ChildProcessError:
        pass
    return gone, len(os.listdir("/proc/self/fd")), threading.active_count()
before = left()
def call():
    kept = b"x" * (32 * MIB)
    if os.getpid() != process:
        misbehave()
"""
SHOW = "show(read(call))\nassert left() == before, (left(), before)"


@pytest.mark.parametrize(
    ("misbehave", "reason"),
    [
        ("os._exit(3)", ENDED),
        ("raise ValueError", ENDED),
        ("sys.exit(3)", ENDED),
        ("import ctypes; ctypes.string_at(0)", ENDED),
        ("os.abort()", ENDED),
        ("open('/nowhere/at/all', 'w')", "it changes files"),
        ("os.mkdir('/nowhere/at/all')", "it changes files"),
        ("import socket; socket.socket().connect(('127.0.0.1', 9))", "it uses the network"),
        ("os.kill(process, 9)", "it acts on other processes"),
        ("os.system('false')", "it starts a program"),
    ],
)
def test_a_copy_without_an_answer_leaves_the_reading_to_the_process(misbehave, reason):
    (reading,), _ = run(f"{COPY}\ndef misbehave():\n    {misbehave}\n{SHOW}")
    assert reading["reason"] == reason
    assert reading["value"] == pytest.approx(32 * MIB, rel=0.05)


@pytest.mark.parametrize(
    ("shortened", "misbehave"), [("child.IDLE", "time.sleep(50)"), ("child.DEADLINE", "while True: pass")]
)
def test_a_copy_that_hangs_is_given_up(shortened, misbehave):
    program = f"{shortened}, child._BUSY_SECONDS = 1.5, 0.1\n{COPY}\ndef misbehave():\n    {misbehave}\n{SHOW}"
    (reading,), _ = run(program)
    assert reading["reason"] == "its copy did not end within 1.5 s"
    assert reading["value"] == pytest.approx(32 * MIB, rel=0.05)


def test_a_fork_that_runs_on_out_of_the_call_answers_nothing_and_ends():
    (reading,), others = run(f"{COPY}\ndef misbehave():\n    if not os.fork(): b'x' * (8 * MIB)\n{SHOW}\nprint('once')")
    assert reading["reason"] == ""
    assert reading["value"] == pytest.approx(40 * MIB, rel=0.25)
    assert others == ["once"]


def test_a_call_that_raises_raises_as_it_would_have():
    program = f"""
{COPY}
def misbehave(): pass
def fails():
    call()
    raise ValueError("as it would have")
try:
    read(fails)
except ValueError as error:
    print(error)
assert left() == before
assert not peak._open
"""
    assert run(program) == ([], ["as it would have"])


def test_a_call_inside_an_exception_handler_is_read_in_a_copy():
    handled = "try:\n    1 / 0\nexcept ZeroDivisionError:\n    show(read(call))"
    (reading,), _ = run(f"{COPY}\ndef misbehave(): pass\n{handled}")
    assert reading["reason"] == ""


def test_output_of_the_call_appears_once():
    program = """
print("before")
def call():
    print("from Python")
    os.write(1, b"from the descriptor\\n")
    sys.stdout.flush()
reading = read(call)
show(reading)
"""
    (reading,), lines = run(program)
    assert reading["reason"] == ""
    assert sorted(lines) == ["before", "from Python", "from the descriptor"]


def test_the_process_goes_on_as_if_there_had_been_no_copy():
    program = """
import random
numbers = iter(range(100))
random.seed(7)
expected = [random.Random(7).random()]
drawn = []
def call():
    drawn.append(random.random())
    drawn.append(next(numbers))
show(read(call))
assert drawn == [*expected, 0], drawn
"""
    (reading,), _ = run(program)
    assert reading["reason"] == ""


def test_a_copy_draws_the_same_random_numbers():
    program = """
import random
def call(): return bytearray(random.choice((8, 64)) * MIB)
for seed in range(4):
    random.seed(seed)
    size = random.choice((8, 64)) * MIB
    random.seed(seed)
    reading = read(call)
    assert abs(reading.values["memory"] - size) < MIB, (reading, size)
    show(reading)
"""
    assert len(run(program)[0]) == 4


def test_a_file_that_is_being_read_is_read_from_the_same_place_again():
    program = """
stream = open(json.__file__, "rb", buffering=0)
read_so_far = []
def call(): read_so_far.append(stream.read(100))
show(read(call))
stream.close()
assert read_so_far == [Path(json.__file__).read_bytes()[:100]]
"""
    (reading,), _ = run(program)
    assert reading["reason"] == ""


def test_an_interrupt_while_waiting_ends_the_copy_and_comes_through():
    program = f"""
import signal
{COPY}
def misbehave(): time.sleep(50)
signal.signal(signal.SIGALRM, signal.default_int_handler)
signal.setitimer(signal.ITIMER_REAL, 0.4)
try:
    read(call)
except KeyboardInterrupt:
    print("interrupted")
assert left() == before, (left(), before)
assert not peak._open
"""
    assert run(program) == ([], ["interrupted"])


def test_what_the_copy_started_ends_with_it():
    program = f"""
{COPY}
def misbehave():
    worker = os.fork()
    if not worker:
        time.sleep(50)
        os._exit(0)
{SHOW}
me = str(os.getpid())
marker = Path("/proc/self/cmdline").read_bytes()
alike = [entry.name for entry in Path("/proc").iterdir() if entry.name.isdecimal() and entry.name != me]
def same(name):
    try:
        return (Path("/proc") / name / "cmdline").read_bytes() == marker
    except OSError:
        return False
deadline = time.monotonic() + 5
while any(map(same, alike)) and time.monotonic() < deadline:
    time.sleep(0.01)
assert not any(map(same, alike))
"""
    (reading,), _ = run(program)
    assert reading["reason"] == ""


def test_warning_filters_are_as_they_were():
    program = """
import warnings
filters = list(warnings.filters)
def call(): pass
show(read(call))
assert warnings.filters == filters
"""
    (reading,), _ = run(program)
    assert reading["reason"] == ""
