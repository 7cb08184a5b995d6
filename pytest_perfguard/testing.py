"""For tests of perfguard and of what others add to it: a clock that is told the time, and checks of the protocols.

The checks raise `AssertionError` with the sentence of the protocol that was broken; they need no test framework.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_perfguard.model.baseline import Header
from pytest_perfguard.model.commit import Commit, Machine
from pytest_perfguard.model.measurement import Key, Measurement
from pytest_perfguard.model.metric import BUILTIN, CPU, QUERIES, TIME, WALL, Metric
from pytest_perfguard.model.protocols import Probe, Reading, Reporter, StagedProbe, Store
from pytest_perfguard.model.run import Run
from pytest_perfguard.model.sample import Series


@dataclass(slots=True)
class FakeClock:
    """A clock probe and a source of seconds whose time passes only when it is told to."""

    seconds: float = 0.0
    metrics: tuple[Metric, ...] = (TIME, WALL, CPU)
    intrusive: bool = False
    warmup: int = 0
    rounds: int = 1
    wants_result: bool = False

    def __call__(self) -> float:
        """Return the time, in seconds, as `time.perf_counter` does."""
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds

    def taking(self, seconds: float, result: Any = None) -> Callable[..., Any]:
        """Return a function that takes `seconds` of this clock's time and returns `result`."""

        def work(*_args: Any, **_kwargs: Any) -> Any:
            self.advance(seconds)
            return result

        return work

    def start(self) -> float:
        """Begin."""
        return self.seconds

    def stop(self, token: float, result: object = None) -> Reading:
        """End: all three clocks show what has passed."""
        passed = round((self.seconds - token) * 1e9)
        return Reading(values={metric.name: passed for metric in self.metrics})


@dataclass(slots=True)
class ScriptedProbe:
    """A probe that reads the values it was given, one after the other, and keeps what it was asked."""

    script: Sequence[int]
    metrics: tuple[Metric, ...] = (QUERIES,)
    intrusive: bool = True
    warmup: int = 0
    rounds: int = 1
    wants_result: bool = False
    results: list[object] = field(default_factory=list)
    open_tokens: int = 0

    def start(self) -> int:
        """Begin; the token is the place in the script."""
        self.open_tokens += 1
        return len(self.results)

    def stop(self, token: int, result: object = None) -> Reading:
        """End, with the next value of the script."""
        self.open_tokens -= 1
        self.results.append(result)
        return Reading(values={metric.name: self.script[token] for metric in self.metrics})


def check_probe(probe: Probe) -> None:
    """Check that `probe` keeps what the protocol `Probe` promises; the probe must work in this process."""
    assert isinstance(probe, Probe), f"{probe!r} lacks a part of the protocol Probe"
    assert probe.metrics, "a probe measures at least one metric"
    assert probe.warmup >= 0, "calls before the first that counts cannot be fewer than none"
    assert probe.rounds >= 1, "at least one call counts"
    names = {metric.name for metric in probe.metrics}

    before = _footprint()
    readings = [_read(probe, result=[1, 2, 3]) for _ in range(2)]
    for reading in readings:
        assert set(reading.values) <= names, f"a reading holds values of the probe's own metrics only: {reading}"
        assert all(isinstance(value, int) for value in reading.values.values()), f"values are integers: {reading}"

    outer = probe.start()
    inner = probe.start()
    assert isinstance(probe.stop(inner), Reading), "tokens nest"
    assert isinstance(probe.stop(outer), Reading), "tokens nest"
    if isinstance(probe, StagedProbe):
        _check_stages(probe, readings)
    gc.collect()
    assert _footprint() == before, "nothing of a probe is left in the process after stop"


def _check_stages(probe: StagedProbe, readings: list[Reading]) -> None:
    """Check that the stages of `probe` come to an end."""
    stages = [readings]
    for _ in range(_STAGES):
        found = probe.proceed(stages)
        if isinstance(found, Reading):
            return
        assert found.warmup >= 0, "calls before the first that counts cannot be fewer than none"
        assert found.rounds >= 1, "at least one call of a stage counts"
        made = [_read(found.probe, result=[1, 2, 3]) for _ in range(found.warmup + found.rounds)]
        stages.append(made[found.warmup :])
    raise AssertionError(f"the stages of a probe come to an end; this one asked for more than {_STAGES}")


def check_store(make_store: Callable[[], Store]) -> None:
    """Check that stores keep what the protocol `Store` promises; `make_store` opens the same, empty store each time."""
    store = make_store()
    assert isinstance(store, Store), f"{store!r} lacks a part of the protocol Store"
    assert list(store.headers()) == [], "a new store is empty, and reading it changes nothing"

    older, newer = example_header("1", "2026-01-01T00:00:00Z"), example_header("2", "2026-01-02T00:00:00Z")
    first, second = example_measurement(1_000_000), example_measurement(2_000_000)
    assert store.save(older, [first]), "save tells where the run was put"
    store.save(newer, [second])

    store = make_store()
    assert [header.run_id for header in store.headers()] == ["2", "1"], "headers come newest first"
    assert list(store.headers()) == [newer, older], "a header is read as it was written"
    assert len(store.headers(older.machine.key)) == 2, "headers can be asked for by machine class"
    assert list(store.headers("another-class")) == [], "headers of another machine class are left out"

    loaded = store.load([older, newer])
    assert [run.header.run_id for run in loaded] == ["1", "2"], "runs are loaded in the order of their headers"
    record = next(iter(loaded[0].records))
    assert record.key == first.key, "a record keeps its key"
    kept = None if first.queries is None else first.queries.kept()
    assert record.queries == kept, "a record keeps its statements"
    summary = record.get("time")
    assert summary is not None, "a record summarises each series"
    assert summary.value == first.series[0].reduced(), "a summary's value is the series reduced"

    samples = store.samples(older)
    assert samples[first.key][0] == first.series[0], "samples are kept whole and in their order"
    values = [value for _, _, value in store.history(first.key.test, "time")]
    assert values == [first.series[0].reduced(), second.series[0].reduced()], "history is told oldest first"

    store.delete([older], samples_only=True)
    assert make_store().samples(older) == {}, "samples can be deleted alone"
    assert len(make_store().headers()) == 2, "deleting samples keeps the run"
    store.delete([older])
    assert [header.run_id for header in make_store().headers()] == ["2"], "a deleted run is gone"


def check_reporter(reporter: Reporter, run: Run | None = None) -> None:
    """Check that `reporter` keeps what the protocol `Reporter` promises."""
    assert isinstance(reporter, Reporter), f"{reporter!r} lacks a part of the protocol Reporter"
    assert reporter.name.isidentifier(), "a reporter's name can be written on a command line"
    assert reporter.suffix.startswith("."), "a reporter's suffix begins with a dot"
    runs = [Run(header=example_header("1", "2026-01-01T00:00:00Z"))]
    if run is not None:
        runs.append(run)
    for each in runs:
        text = reporter.render(each)
        assert isinstance(text, str), "a report is text"
        assert reporter.render(each) == text, "the same run gives the same text"


def example_header(run_id: str, created: str) -> Header:
    """Return the header of a run that never was, of commit "run_id" repeated."""
    return Header(
        run_id=run_id,
        created=created,
        commit=Commit(sha=(run_id * 40)[:40], tree=("f" + run_id * 39)[:40], branch="main", time=1_767_225_600),
        machine=Machine(
            system="linux", architecture="x86_64", processor="Example 3000", processors=4,
            implementation="cpython", python="3.12",
        ),
        metrics=(BUILTIN["time"],),
    )  # fmt: skip


def example_measurement(nanoseconds: int, test: str = "tests/test_a.py::test_x", name: str = "") -> Measurement:
    """Return a measurement of ten rounds of about `nanoseconds` a call, three calls a round."""
    values = tuple(3 * nanoseconds + step for step in (7, 3, 9, 1, 0, 4, 8, 2, 6, 5))
    return Measurement(
        key=Key(test=test, name=name), series=(Series(metric=replace(TIME), values=values, iterations=3),)
    )


_STAGES = 20


def _read(probe: Probe, *, result: object) -> Reading:
    token = probe.start()
    return probe.stop(token, result) if probe.wants_result else probe.stop(token)


def _footprint() -> tuple[object, ...]:
    """Return what a careless instrument would leave behind."""
    return (
        sys.gettrace(),
        sys.getprofile(),
        gc.isenabled(),
        gc.get_freeze_count(),
        tuple(gc.callbacks),
        threading.active_count(),
        _open_files(),
        tuple(sys.meta_path),
        tuple(getattr(sys.modules.get(name), "connect", None) for name in ("sqlite3", "sqlite3.dbapi2")),
    )


def _open_files() -> int:
    """Return how many file descriptors are open; 0 where the system does not list them."""
    try:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a list of names is all that is wanted
    except OSError:
        return 0
