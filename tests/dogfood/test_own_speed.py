"""perfguard guards itself: `make dogfood` compares with the runs in `baselines/`."""

import sqlite3

import pytest

from pytest_perfguard.judge.noise import Noise
from pytest_perfguard.judge.policy import Policy
from pytest_perfguard.judge.regression import Against, compare_metric
from pytest_perfguard.measure.plan import Call, Plan
from pytest_perfguard.measure.runner import Runner
from pytest_perfguard.model import BUILTIN, Key, Measurement, Method, Record
from pytest_perfguard.model.codec import from_plain, to_plain
from pytest_perfguard.probes.clock import ClockProbe
from pytest_perfguard.probes.queries import fingerprint
from pytest_perfguard.quantity import Unit, parse, render
from pytest_perfguard.testing import FakeClock, example_measurement

COLUMNS = ", ".join(f"orders.column_{number} AS orders_column_{number}" for number in range(12))
ORM_SELECT = (
    f"SELECT {COLUMNS} FROM orders JOIN customers ON customers.id = orders.customer_id "
    "WHERE orders.customer_id = ? AND orders.state IN (?, ?, ?) ORDER BY orders.placed_on DESC LIMIT ? OFFSET ?"
)


@pytest.mark.perf_budget(time="50 us", retained=0)
def test_reading_a_budget(perf):
    assert perf(parse, "1.5 MiB", Unit.BYTES) == 1.5 * 2**20


@pytest.mark.perf_budget(time="50 us")
def test_showing_a_value(perf):
    assert perf(render, 0.001234, Unit.SECONDS) == "1.23 ms"


@pytest.mark.perf_budget(time="600 us", name="new")
@pytest.mark.perf_budget(time="5 us", name="known")
def test_fingerprint_of_a_statement(perf):
    def distinct():
        distinct.number += 1
        return (ORM_SELECT.replace("LIMIT", f"AND x = y{distinct.number} LIMIT"),), {}

    distinct.number = 0
    perf.using(name="new", setup=distinct)(fingerprint)
    perf.using(name="known")(fingerprint, ORM_SELECT)


@pytest.mark.perf_budget(time="200 us", retained=0)
def test_reading_the_clocks(perf):
    clock = ClockProbe()
    perf(lambda: clock.stop(clock.start()))


@pytest.mark.perf_budget(time="5 ms")
def test_the_procedure_of_a_measurement(perf):
    clock = FakeClock()
    runner, work = Runner(clock, now=clock), clock.taking(0.0001)
    plan = Plan(key=Key(test="test_x"), method=Method(rounds=50, iterations=1))
    perf(lambda: runner.measure(Call(func=work), plan))


@pytest.mark.perf_budget(time="3 ms")
def test_sending_a_measurement_between_processes(perf):
    measurement = example_measurement(1_000_000)
    assert perf(lambda: from_plain(Measurement, to_plain(measurement))) == measurement


@pytest.mark.perf_budget(time="3 ms")
def test_a_verdict(perf):
    record = Record.of(example_measurement(1_000_000))
    perf(
        compare_metric, BUILTIN["time"], [record], [record] * 5,
        against=Against(words="1a2b3c4d5e6f"), noise=Noise(), policy=Policy(tests=100),
    )  # fmt: skip


@pytest.mark.perf_budget(queries=1)
def test_counting_a_query(perf):
    connection = sqlite3.connect(":memory:")
    try:
        perf(lambda: connection.execute("SELECT 1").fetchall())
    finally:
        connection.close()
