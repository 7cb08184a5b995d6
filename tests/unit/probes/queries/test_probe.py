"""What depends on which libraries are loaded: each case in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest

from pytest_perfguard.errors import ProbeError
from pytest_perfguard.probes.queries import drivers
from pytest_perfguard.probes.queries.probe import QueryProbe
from pytest_perfguard.probes.watch.hub import Hub


def run(code):
    script = "from pytest_perfguard.probes.queries import QueryProbe\nimport sys\nprobe = QueryProbe()\n"
    done = subprocess.run(
        [sys.executable, "-c", script + textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr[-600:]


def test_nothing_loaded_is_an_error_and_imports_nothing():
    out = run("""
        from pytest_perfguard.errors import ProbeError
        token = probe.start()
        try:
            probe.stop(token)
        except ProbeError as error:
            print(error)
        print(any(name in sys.modules for name in ("sqlite3", "sqlalchemy")), len(sys.meta_path))
        try:
            token = probe.start()
            sys.modules["pg8000"] = sys
            probe.stop(token)
        except ProbeError as error:
            print(error)
    """)
    first, state, second = out.splitlines()
    assert "no library is loaded whose statements can be counted; known: sqlite3, " in first
    assert state.startswith("False")
    assert "(loaded: pg8000)" in second


def test_libraries_imported_in_the_block_are_watched():
    out = run("""
        finders = list(sys.meta_path)
        token = probe.start()
        from sqlite3 import connect
        import sqlalchemy as sa
        connection = connect(":memory:")
        connection.execute("SELECT 1, 1")
        engine = sa.create_engine("sqlite://")
        with engine.connect() as c:
            c.execute(sa.text("SELECT 1"))
        reading = probe.stop(token)
        print(sorted((s.fingerprint, s.count) for s in reading.queries.statements if s.kind == "read"))
        import sqlite3, _sqlite3
        print(connect is sqlite3.connect is _sqlite3.connect, type(connect).__name__, sys.meta_path == finders)
        print("exec_module" in vars(sqlite3.__spec__.loader), engine.dialect._has_events)
    """)
    assert out.splitlines() == [
        "[('SELECT ?', 1), ('SELECT ?, ?', 1)]",
        "True builtin_function_or_method True",
        "False False",
    ]


@pytest.mark.parametrize(
    ("setup", "outcome"),
    [
        ("", "ProbeError no statement was seen, but pg8000 is loaded"),
        ("connection = sqlite3.connect(':memory:')", "uninstrumented pg8000 is loaded"),
        ("import sqlalchemy; engine = sqlalchemy.create_engine('sqlite://')", "uninstrumented pg8000 is loaded"),
        (
            "import sqlalchemy; del sys.modules['pg8000']; sys.modules['pyodbc'] = sys",
            "ProbeError no statement was seen, but pyodbc",
        ),
        (
            "import sqlalchemy; sys.paramstyle = 'format'; engine = sqlalchemy.create_engine('postgresql+pg8000://')",
            "no notes",
        ),
        ("del sys.modules['pg8000']", "no notes"),
    ],
)
def test_a_driver_that_cannot_be_seen_is_named(setup, outcome):
    out = run(f"""
        import sqlite3
        sys.modules["pg8000"] = sys
        {setup}
        from pytest_perfguard.errors import ProbeError
        token = probe.start()
        try:
            notes = probe.stop(token).notes
            print(*(note.code + " " + note.message for note in notes) if notes else ["no notes"])
        except ProbeError as error:
            print("ProbeError", error)
    """)
    assert out.startswith(outcome)


def test_names_of_sqlalchemys_drivers():
    names = ["mysql.connector", "aioodbc", "pyodbc", "pg8000", "mariadb"]
    assert drivers.uncovered(names, ["mysqlconnector", "aioodbc"]) == ["pg8000", "mariadb"]
    assert not {"aiosqlite", "psycopg", "psycopg2", "asyncpg"}.intersection(drivers.UNINSTRUMENTED)


def test_a_source_that_fails_leaves_nothing_installed(monkeypatch):
    undone = []
    good = SimpleNamespace(
        name="good", module="good", installed=lambda: True, install=lambda _tape: lambda: undone.append(1)
    )
    bad = SimpleNamespace(name="bad", module="bad", installed=lambda: True, install=lambda _tape: 1 / 0)
    monkeypatch.setattr("pytest_perfguard.probes.queries.probe._HUB", Hub((good, bad)))
    finders = list(sys.meta_path)
    with pytest.raises(ProbeError, match="division by zero"):
        QueryProbe().start()
    assert undone == [1]
    assert sys.meta_path == finders
