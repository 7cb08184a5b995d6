import sqlite3
import sys

import pytest

from pytest_perfguard.model.metric import QUERIES
from pytest_perfguard.model.protocols import Reading, Stage
from pytest_perfguard.probes.clock import ClockProbe
from pytest_perfguard.registry import Registry
from pytest_perfguard.testing import FakeClock, ScriptedProbe, check_probe

BUILT_IN = [
    *("memory", "retained", "result_size", "rss", "rss_growth", "gc_pause", "leaked"),
    *("queries", "calls", *(["work"] if sys.version_info >= (3, 12) else [])),
]


@pytest.mark.parametrize("metric", BUILT_IN)
def test_built_in_probes_conform(metric):
    assert sqlite3.connect is not None  # something that the query probe can count must be loaded
    (probe,) = Registry().probes([metric])
    check_probe(probe)


@pytest.mark.parametrize(
    "probe", [ClockProbe(), FakeClock(), ScriptedProbe(script=range(100))], ids=lambda probe: type(probe).__name__
)
def test_clocks_and_scripted_probes_conform(probe):
    check_probe(probe)


def test_a_probe_that_leaves_something_behind_is_found():
    class Careless(ScriptedProbe):
        def start(self):
            import sys

            sys.meta_path.append(object())
            return super().start()

    import sys

    before = list(sys.meta_path)
    try:
        with pytest.raises(AssertionError, match="left in the process"):
            check_probe(Careless(script=range(100)))
    finally:
        sys.meta_path[:] = before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rounds": 0}, "at least one call"),
        ({"warmup": -1}, "fewer than none"),
        ({"metrics": ()}, "at least one metric"),
        ({"script": ["a"] * 9}, "integers"),
    ],
)
def test_a_probe_that_breaks_a_promise_is_found(change, message):
    with pytest.raises(AssertionError, match=message):
        check_probe(ScriptedProbe(**{"script": range(100), **change}))


def test_a_probe_with_values_of_others_is_found():
    class Foreign(ScriptedProbe):
        def stop(self, token, result=None):
            super().stop(token, result)
            return Reading(values={"other": 1})

    with pytest.raises(AssertionError, match="own metrics only"):
        check_probe(Foreign(script=range(100), metrics=(QUERIES,)))


class Hesitant(ScriptedProbe):
    """Wants as many further calls as it is told, one stage each."""

    wanted = 2

    def proceed(self, stages):
        if len(stages) <= self.wanted:
            return Stage(probe=self, warmup=1, rounds=2)
        return Reading(values={"queries": 1})


def test_a_probe_in_stages_conforms():
    check_probe(Hesitant(script=range(100)))


def test_stages_that_never_end_are_found(monkeypatch):
    monkeypatch.setattr(Hesitant, "wanted", 1000)
    with pytest.raises(AssertionError, match="come to an end"):
        check_probe(Hesitant(script=range(1000)))
