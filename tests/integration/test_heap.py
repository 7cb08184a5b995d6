"""Budgets of what a call allocates, by memray, with the call paths that a failure shows."""

from __future__ import annotations

import sys

import pytest

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.probes.memory.heap import tracing

memray = pytest.importorskip("memray")  # here, as it cannot be imported again by an inner session


def safe():
    try:
        tracing.load_memray()
    except ProbeError:
        return False
    return True


SAFE = safe()
needs_safe = pytest.mark.skipif(not SAFE, reason="this version of memray is not safe on this version of Python")

SHOP = """
    import json

    DOCUMENT = json.dumps(["row %07d" % number for number in range(2000)])

    def parse():
        return json.loads(DOCUMENT)

    def copy(rows):
        return [row + "!" for row in rows]

    def load():
        return copy(parse())

    def nothing():
        pass
"""


@needs_safe
def test_budgets_below_the_floor_of_memory_with_call_paths(either):
    either.write(
        shop=SHOP,
        test_it="""
    import pytest
    from shop import load, nothing

    @pytest.mark.perf_budget(heap="100 kB", allocations="1k")
    def test_over(perf):
        perf(load)

    @pytest.mark.perf_budget(heap="300 kB", allocations="5k", allocated="1 MB")
    def test_within(perf):
        perf(load)

    @pytest.mark.perf_budget(heap="100 kB")
    def test_body_over():
        load()

    @pytest.mark.perf_budget(heap="300 kB")
    def test_body():
        load()

    @pytest.mark.perf_budget(heap=0, allocations=0, allocated=0)
    def test_nothing(perf):
        perf(nothing)
    """,
    )
    inner = either.run(code=1)
    assert inner.outcomes == {"passed": 3, "failed": 2}
    assert inner.judged("test_over", "heap") == ("over budget", True)
    assert inner.judged("test_over", "allocations") == ("over budget", True)
    assert inner.judged("test_body_over", "heap") == ("over budget", True)
    for metric in ("heap", "allocations", "allocated"):
        assert inner.judged("test_nothing", metric) == ("passed", False)
    inner.result.stdout.fnmatch_lines(
        [
            "heap of test_it.py::test_over is over its budget: 2?? KiB, budget 97.7 KiB*",
            "    * KiB, [45]? %: shop.py:12 load → shop.py:9 copy",
            "    * KiB, [45]? %: shop.py:12 load → shop.py:6 parse → json/__init__.py:* loads",
        ]
    )
    inner.result.stdout.fnmatch_lines(
        [
            "heap of test_it.py::test_body_over is over its budget*",
            "    * KiB, [45]? %: test_it.py:14 test_body_over → shop.py:12 load → shop.py:9 copy",
        ]
    )
    assert "allocations of test_it.py::test_over is over its budget: 40" in inner.text
    called, body = inner.value("heap", "test_within"), inner.value("heap", "::test_body")
    assert body == pytest.approx(called, rel=0.01)


@needs_safe
def test_the_same_code_reads_the_same_in_another_process_and_deeper_in_the_runner(project):
    project.write(
        shop=SHOP,
        test_it="""
    import pytest
    from shop import load

    pytestmark = pytest.mark.perf(metrics=("heap", "allocations"))

    def test_it(perf):
        perf(load)

    def test_deeper(perf):
        def deeper(depth):
            return deeper(depth - 1) if depth else perf(load)
        deeper(100)
    """,
    )
    found = []
    for workers in ((), ("-n", "2")):
        inner = project.run(*workers, "--perfguard-target-time=5ms", code=0)
        found += [(inner.value("heap", test), inner.value("allocations", test)) for test in ("_it", "_deeper")]
    heaps, allocations = zip(*found, strict=True)
    assert max(heaps) <= 1.01 * min(heaps)
    assert max(allocations) <= 1.01 * min(allocations)


@needs_safe
def test_a_tracker_that_is_active_is_an_error_on_the_test(either):
    either.write(
        test_it="""
    import memray
    import pytest

    @pytest.fixture(autouse=True)
    def tracked(tmp_path):
        with memray.Tracker(tmp_path / "capture"):
            yield

    @pytest.mark.perf_budget(heap="1 MB")
    def test_called(perf):
        perf(list)

    @pytest.mark.perf_budget(heap="1 MB")
    def test_body():
        pass
    """
    )
    inner = either.run(code=1)
    assert inner.outcomes == {"failed": 2}
    assert inner.text.count("memray traces this process already (pytest --memray, memray run") >= 2
    inner.result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.skipif(SAFE, reason="this version of memray is safe on this version of Python")
def test_a_memray_that_crashes_here_is_refused(either):
    either.write(
        test_it="""
    import pytest

    @pytest.mark.perf_budget(heap="1 MB")
    def test_it(perf):
        perf(list)
    """
    )
    inner = either.run(code=1)
    assert inner.outcomes == {"failed": 1}
    inner.result.stdout.fnmatch_lines(
        [f"*memray {memray.__version__} may end this process*Python 3.{sys.version_info.minor}*"]
    )


def test_without_memray_the_failure_says_how_to_install_it(either, monkeypatch):
    either.write(
        conftest="""
    import sys

    sys.modules["memray"] = None
    """,
        test_it="""
    import pytest

    @pytest.mark.perf_budget(allocations=10)
    def test_it(perf):
        perf(list)
    """,
    )
    monkeypatch.setitem(sys.modules, "memray", None)
    inner = either.run(code=1)
    assert inner.outcomes == {"failed": 1}
    inner.result.stdout.fnmatch_lines(["*pip install 'pytest-perfguard?memray?'*"])
