"""`perf.memory`: blocks with limits of their own."""

from __future__ import annotations


def test_a_block_has_limits_and_a_record(either):
    either.write(
        test_it="""
        import gc

        def test_within(perf):
            with perf.memory(max="60 MB", leaked=0) as m:
                rows = bytearray(30_000_000)
                gc.collect()
            assert 29e6 < m.peak < 32e6
            assert m.leaked == 0
            assert m.gc_collections >= 1
            assert 0 < m.gc_pause < 10
            assert "memory 2" in str(m) and "MiB" in str(m)

        def test_over(perf):
            with perf.memory(max="20 MB", name="load"):
                rows = bytearray(30_000_000)
        """
    )
    inner = either.run(code=1)
    assert inner.outcomes == {"passed": 1, "failed": 1}
    (verdict,) = inner.verdicts("test_over", "memory")
    assert (verdict["outcome"], verdict["name"]) == ("over budget", "load")
    inner.result.stdout.fnmatch_lines(["*memory of test_it.py::test_over [[]load[]] is over its budget: 28.* MiB*"])


def test_what_one_run_cannot_tell_is_refused_with_what_to_do(project):
    project.write(
        test_it="""
        import pytest

        @pytest.mark.parametrize("limits", [{"retained": 0}, {"result_size": 1}, {"rss_growth": 0}, {"time": 1}])
        def test_it(perf, limits):
            with perf.memory(**limits):
                pass

        def test_early(perf):
            with perf.memory() as m:
                m.peak

        def test_unknown(perf):
            with perf.memory() as m:
                pass
            assert not hasattr(m, "time")
            assert not hasattr(m, "leaked")
            assert repr(m).startswith("<memory of test_it.py::test_unknown: gc_collections 0, ")
        """
    )
    inner = project.run(code=1)
    inner.result.stdout.fnmatch_lines(
        [
            "*retained cannot be told of a block, which runs once (perf.memory() in *perf(function, argument, *",
            "*unknown budget 'time' (perf.memory() in *",
            "*a record of perf.memory() was read within its block*",
        ]
    )
    assert inner.outcomes == {"failed": 5, "passed": 1}


def test_the_limits_of_the_marker_are_those_of_measurements(project):
    project.write(
        test_it="""
        import pytest

        @pytest.mark.perf_budget(memory="20 MB", name="load")
        def test_it(perf):
            with perf.memory(name="load"):
                rows = bytearray(30_000_000)
        """
    )
    inner = project.run(code=1)
    inner.result.stdout.fnmatch_lines(["*[[]load[]] is over its budget: 28.* MiB, budget 19.1 MiB*marker on*"])
