"""What tests may do to a comparison side by side, and how it may be ended: the rest goes on, and nothing is left."""

from __future__ import annotations

import contextlib
import random
import signal
import sys
import time

import psutil
import pytest

from .live_projects import compare, left_within, own_temp, processes, start

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks and signals")

HOSTILE = """
    import ctypes, os, signal, sys, threading, time
    import pytest, shop

    BASE = shop.SIDE == "base"
    HEAD = not BASE

    def crash():
        ctypes.string_at(0)

    def test_first(perf):
        perf(shop.work, 100)

    def test_prints(perf):
        print("x" * 100_000)
        for descriptor in (1, 2):
            os.write(descriptor, b'{"at": "ran"}\\n' * 1000)
        sys.stdout.flush()
        perf(shop.work, 100)

    def test_prints_while_measured(perf):
        perf(os.write, 1, b"x" * 10)

    def test_closes_its_output(perf):
        for descriptor in (0, 1, 2):
            os.close(descriptor)
        perf(shop.work, 100)

    def test_fork_exits(perf):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        perf(shop.work, 100)

    def test_fork_lives_on(perf):
        if os.fork() == 0:
            time.sleep(1000)
        perf(shop.work, 100)

    def test_fork_goes_on(perf):
        pid = os.fork()
        if pid == 0:
            return
        os.waitpid(pid, 0)
        perf(shop.work, 100)

    def test_thread_outlives(perf):
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        perf(shop.work, 100)

    def test_chdir(perf, tmp_path):
        (tmp_path / "there").mkdir()
        os.chdir(tmp_path / "there")
        os.rmdir(tmp_path / "there")
        perf(shop.work, 100)

    def test_after_chdir(perf):
        perf(shop.work, 100)

    def test_environment(perf):
        for name in list(os.environ):
            del os.environ[name]
        perf(shop.work, 100)

    def test_modules(perf):
        for name in [name for name in sys.modules if name.startswith(("json", "socket", "random"))]:
            del sys.modules[name]
        sys.meta_path.reverse()
        sys.path.clear()
        perf(shop.work, 100)
        sys.meta_path.reverse()

    def test_signals(perf):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        perf(shop.work, 100)

    def test_head_exits(perf):
        if HEAD:
            os._exit(3)
        perf(shop.work, 100)

    def test_base_exits(perf):
        if BASE:
            os._exit(3)
        perf(shop.work, 100)

    @pytest.mark.perf_budget(calls=1)
    def test_base_crashes_over_budget():
        if BASE:
            crash()
        shop.work(100)

    def test_head_crashes(perf):
        if HEAD:
            crash()
        perf(shop.work, 100)

    def test_base_hangs(perf):
        if BASE:
            time.sleep(1000)
        perf(shop.work, 100)

    def test_head_hangs_measured(perf):
        perf(time.sleep, 1000 if HEAD else 0)

    def test_base_raises(perf):
        if BASE:
            raise KeyError("base")
        perf(shop.work, 100)

    def test_head_raises(perf):
        if HEAD:
            raise KeyError("head")
        perf(shop.work, 100)

    def test_base_raises_measured(perf):
        perf(shop.raises_on, "base")

    def test_head_raises_measured(perf):
        perf(shop.raises_on, "head")

    def test_head_raises_late(perf):
        calls = []
        def late():
            calls.append(1)
            if HEAD and len(calls) > 8:  # when it is measured, after it was warmed up
                raise KeyError("late")
        perf.using(iterations=4)(late)

    def test_base_exits_python(perf):
        if BASE:
            sys.exit(5)
        perf(shop.work, 100)

    @pytest.fixture
    def leaves_badly():
        yield
        raise KeyError("in its teardown")

    @pytest.fixture
    def leaves_badly_on_base():
        yield
        if BASE:
            raise KeyError("in its teardown")

    @pytest.fixture
    def begins_badly():
        raise KeyError("in its setup")

    def test_teardown(perf, leaves_badly):
        perf(shop.work, 100)

    @pytest.mark.perf
    def test_teardown_body(leaves_badly):
        shop.work(100)

    def test_teardown_on_base(perf, leaves_badly_on_base):
        perf(shop.work, 100)

    def test_setup(perf, begins_badly):
        perf(shop.work, 100)

    def test_property(perf, record_property):
        for value in (object(), {1, 2}, b"bytes", float("nan"), {(1, 2): object()}, "\\ud800"):
            record_property("odd", value)
        perf(shop.work, 100)

    def test_raises_odd(perf):
        class Odd(Exception):
            def __str__(self):
                raise KeyError("str")
        raise Odd()

    def test_surrogates(perf):
        perf.using(name="\\u00e4 \\u4e2d")(shop.work, 10)
        assert False, "\\ud800 \\x1b[31m \\x00"

    def test_unguarded():
        assert True

    def test_last(perf):
        perf(shop.work, 100)
"""

SHOP = """
    SIDE = "base"

    def work(number):
        return sum(range(number))

    def raises_on(side):
        if SIDE == side:
            raise KeyError(side)
"""

FAILED = {
    "head_exits", "head_crashes", "head_hangs_measured", "head_raises", "head_raises_measured", "head_raises_late",
    "raises_odd", "surrogates", "base_crashes_over_budget",
}  # fmt: skip
BROKEN = {"teardown", "teardown_body", "setup"}
"""Tests that pytest reports an error of."""
WITHOUT_BASE = {
    "base_exits", "base_crashes_over_budget", "base_hangs", "base_raises", "base_raises_measured", "base_exits_python",
    "teardown_on_base",
}  # fmt: skip


def test_hostile_tests(project, monkeypatch):
    temp = own_temp(project, monkeypatch)
    project.write(shop=SHOP, test_it=HOSTILE)
    project.commit()
    project.write(shop=SHOP.replace('"base"', '"head"'))
    inner = compare(project, "--perfguard-against-timeout=3s", "-rA", code=1)
    tests = {line.split()[2].rstrip(":") for line in project_lines(HOSTILE, "def test_")}
    tests = {name.partition("(")[0].removeprefix("test_") for name in tests}
    outcomes = {"FAILED": set(), "ERROR": set(), "PASSED": set()}
    for line in inner.result.outlines:
        word, _, rest = line.partition(" ")
        if word in outcomes and "::test_" in rest:
            outcomes[word].add(rest.split()[0].partition("::test_")[2])
    assert outcomes["FAILED"] == FAILED
    assert outcomes["ERROR"] == BROKEN
    assert outcomes["PASSED"] == tests - FAILED - {"setup"}

    for test in sorted(tests - FAILED - BROKEN - WITHOUT_BASE - {"unguarded"}):
        found = inner.verdicts(f"::test_{test}", "time")
        assert [each["outcome"] for each in found] in (["inconclusive"], ["unchanged"]), (test, found)
    for test in sorted(WITHOUT_BASE):
        kinds = {each["outcome"] for each in inner.verdicts(f"::test_{test}")}
        assert kinds & {"no baseline", "invalid"}, (test, kinds)
    inner.result.stdout.fnmatch_lines(["*ended with exit code 3*"])
    inner.result.stdout.fnmatch_lines(["*was ended by SIGSEGV*"])
    inner.result.stdout.fnmatch_lines(["*did not come to an end in 3 s and was stopped*"])
    assert left_within(10, project, temp) == []


def project_lines(text, beginning):
    """Return the lines of a module's own functions."""
    return [f"x {line.strip()}" for line in text.splitlines() if line.strip().startswith(beginning)]


def test_properties_without_words(project, monkeypatch):
    temp = own_temp(project, monkeypatch)
    project.write(
        test_it="""
        class Odd:
            def __repr__(self):
                raise KeyError("repr")

        def test_circle(perf, record_property):
            circle = []
            circle.append(circle)
            record_property("circle", circle)
            perf(sorted, [1])

        def test_silent(perf, record_property):
            record_property("odd", Odd())
            perf(sorted, [1])
        """
    )
    project.commit()
    inner = compare(project)
    assert left_within(10, project, temp) == []
    assert inner.outcomes == {"passed": 2}


ENDLESS = """
    import os, subprocess, sys, threading, time
    import pytest, shop

    @pytest.fixture(scope="session", autouse=True)
    def child():
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
        yield
        process.kill()
        process.wait()

    def test_call(perf):
        perf(shop.work, 1000)

    @pytest.mark.perf
    def test_body():
        shop.work(1000)

    def test_waits(perf):
        perf(time.sleep, 0.01)
"""


@pytest.mark.parametrize("kind", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_a_comparison_that_is_ended(project, tmp_path, kind):
    project.write(shop=SHOP, test_it=ENDLESS)
    project.commit()
    dice = random.Random(f"{kind} 1")
    # Twice at the same time: what one cleans up is not the other's.
    temps = [tmp_path / "one", tmp_path / "two"]
    runs, waits = [], sorted(dice.uniform(0.3, 5.0) for _ in temps)
    begun = time.monotonic()
    try:
        for temp in temps:
            temp.mkdir()
            runs.append(start(project, temp, "--perfguard-against=HEAD", "--perfguard-max-time=60s"))
        for run, temp, wait in zip(runs, temps, waits, strict=True):
            time.sleep(max(0.0, begun + wait - time.monotonic()))
            assert run.poll() is None, run.communicate()[0]
            run.send_signal(getattr(signal, kind))
            assert left_within(10, project, temp) == [], (kind, wait)
        for run in runs:
            text, _ = run.communicate(timeout=10)
            assert run.returncode == (2 if kind == "SIGINT" else -getattr(signal, kind)), text
    finally:
        for run in runs:
            run.kill()
            run.wait()
            run.stdout.close()
        for process in processes(*temps):
            with contextlib.suppress(psutil.Error):
                process.kill()
