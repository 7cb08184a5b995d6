"""Django on PostgreSQL and MariaDB, by each of its drivers, against what the server was asked."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

from tests.services.conftest import require
from tests.services.django_program import ROOT

pytest.importorskip("django")

_DRIVERS = {
    "psycopg": ("postgresql", "postgresql"),
    "psycopg2": ("postgresql", "postgresql"),
    "MySQLdb": ("mysql", "mariadb"),
    "pymysql": ("mysql", "mariadb"),
}


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.service(_DRIVERS[name][1])) for name in _DRIVERS]
)
def seen(request):
    """What was recorded of each way, by one driver."""
    driver = request.param
    dialect, server = _DRIVERS[driver]
    url = require(server)
    if importlib.util.find_spec(driver) is None:
        pytest.skip(f"{driver} is not installed")
    command = [sys.executable, "-W", "error", "-m", "tests.services.django_program", dialect, driver]
    done = subprocess.run(
        [*command, f"{dialect}://{url.partition('://')[2]}"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return {**json.loads(done.stdout), "driver": driver, "dialect": dialect}


def test_each_way_counts_what_the_server_was_asked(seen):
    expected = {
        **{"orm": 9, "raw": 5, "iterate": 2, "beneath": 2, "captured": 2, "wrapped": 1, "forbidden": 0, "loop": 4},
        **{"atomic": 2, "idle_atomic": 0, "broken": 1, "open cursor": 1},
    }
    assert {name: seen[name]["queries"] for name in expected} == expected
    assert {name: seen[name]["truth"]["queries"] for name in expected} == expected
    assert seen["orm"]["reads"] == 6
    assert {seen[name]["dialect"] for name in expected if seen[name]["queries"]} == {seen["dialect"]}
    assert seen["orm"]["drivers"] == [f"django+{seen['driver']}"]
    assert not any(seen[name]["notes"] for name in expected if name != "open cursor")


def test_rows_for_many_are_one_statement(seen):
    trips = 1 if seen["driver"] == "psycopg" else 3
    assert (seen["many"]["queries"], seen["many"]["round_trips"]) == (1, trips)
    assert seen["many"]["truth"]["queries"] == 3
    if "round_trips" in seen["many"]["truth"]:
        assert seen["many"]["truth"]["round_trips"] == trips


def test_other_threads_and_tasks(seen):
    assert (seen["in_threads"]["queries"], seen["in_threads"]["connections_opened"]) == (2, 2)
    assert (seen["asynchronous"]["queries"], seen["asynchronous"]["connections_opened"]) == (4, 1)
    assert seen["asynchronous"]["functions"] == ["scenarios.<locals>.asynchronous"]
    assert seen["asynchronous"]["n_plus_one"] == 1
    if seen["dialect"] == "postgresql":  # a new connection is told its time zone
        assert seen["in_threads"]["truth"]["queries"] == 2 + 2
        assert seen["asynchronous"]["truth"]["queries"] == 4 + 1


def test_what_opens_and_checks_a_connection_does_not_count(seen):
    assert (seen["reopened"]["queries"], seen["reopened"]["connections_opened"]) == (1, 1)
    assert seen["checked"]["queries"] == 1
    if seen["dialect"] == "postgresql":
        assert seen["reopened"]["truth"]["queries"] == 2
        assert seen["checked"]["truth"]["queries"] == 2
    if "pooled" in seen:
        assert (seen["pooled"]["queries"], seen["pooled"]["connections_opened"]) == (1, 0)
        assert seen["pooled"]["connections_leaked"] == 0


def test_control_of_transactions_stands_beside(seen):
    begins = {} if seen["dialect"] == "postgresql" else {"BEGIN": 2}  # there the driver sends it with the first
    inner = {"SAVEPOINT ?": 1, "RELEASE SAVEPOINT ?": 1}
    assert seen["atomic"]["transaction"] == {**begins, **inner, "COMMIT": 1, "ROLLBACK": 1}
    assert seen["atomic"]["meta"] == 0
    idle = {} if seen["dialect"] == "postgresql" else {"BEGIN": 1, "COMMIT": 1}
    assert seen["idle_atomic"]["transaction"] == idle
    if seen["dialect"] == "mysql":
        switched_back = 2
        assert seen["atomic"]["truth"]["all"] == 2 + 6 + switched_back


def test_rows(seen):
    assert {name: seen[name]["rows"] for name in ("orm", "raw", "iterate", "in_threads")} == {
        **{"orm": seen["orm"]["rows"], "raw": 9 + 1 + 1 + 9, "iterate": 18, "in_threads": 2}
    }
    returned = 10  # keys of what was inserted
    assert seen["orm"]["rows"] == returned + 10 + 3 + 3 + 1


def test_procedures_and_composed_statements(seen):
    if "procedure" in seen:
        assert (seen["procedure"]["queries"], seen["procedure"]["rows"]) == (1, 1)
    if seen["dialect"] == "postgresql":
        assert (seen["composed"]["queries"], seen["composed"]["rows"]) == (2, 10)


def test_what_a_planner_asks_is_not_counted(seen):
    assert (seen["planned"]["queries"], seen["planned"]["plans"]) == (5, 5)
    assert seen["planned"]["inside"] == [False] * 5
    inside = seen["planned in a transaction"]
    assert (inside["queries"], inside["plans"], inside["inside"]) == (2, 2, [True, True])


def test_loops_are_found(seen):
    assert (seen["orm"]["n_plus_one"], seen["loop"]["batchable"], seen["raw"]["n_plus_one"]) == (1, 1, 0)
