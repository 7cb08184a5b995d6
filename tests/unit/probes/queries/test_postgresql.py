from __future__ import annotations

from types import SimpleNamespace

import pytest

from pytest_perfguard.probes.queries.sources.postgresql import CountedRows, controls_transaction, split, text_of, write
from pytest_perfguard.probes.watch.recording import Recording
from pytest_perfguard.probes.watch.tape import Tape


@pytest.mark.parametrize(
    ("script", "statements"),
    [
        ("", []),
        (" ; -- nothing\n; /* ; */", []),
        ("SELECT 1;", ["SELECT 1"]),
        ("SELECT ';' ; SELECT \"a;b\"", ["SELECT ';'", 'SELECT "a;b"']),
        (r"SELECT E'\';'; SELECT 'it''s;'", [r"SELECT E'\';'", "SELECT 'it''s;'"]),
        ("DO $$ BEGIN a; b; END $$; SELECT 1", ["DO $$ BEGIN a; b; END $$", "SELECT 1"]),
        ("SELECT $tag$ ; $$ ; $tag$, $1; SELECT $2", ["SELECT $tag$ ; $$ ; $tag$, $1", "SELECT $2"]),
        ("BEGIN; INSERT INTO a VALUES (1); COMMIT", ["BEGIN", "INSERT INTO a VALUES (1)", "COMMIT"]),
        ("SELECT CASE WHEN a THEN 1 END; SELECT 2", ["SELECT CASE WHEN a THEN 1 END", "SELECT 2"]),
        ("BEGIN; SELECT 1; END; SELECT 2", ["BEGIN", "SELECT 1", "END", "SELECT 2"]),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN a THEN 1 END; END; SELECT 2",
            ["CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN a THEN 1 END; END", "SELECT 2"],
        ),
        ("SELECT 'never closed; SELECT 1", ["SELECT 'never closed", "SELECT 1"]),
    ],
)
def test_split(script, statements):
    assert split(script) == statements


def test_texts_of_all_forms():
    composed = SimpleNamespace(as_string=lambda context: f"SELECT {context}")
    assert text_of("SELECT 1") == "SELECT 1"
    assert text_of(b"SELECT '\xff'") == "SELECT '\ufffd'"
    assert text_of(composed, 1) == "SELECT 1"
    assert text_of(SimpleNamespace(strings=("SELECT ", " + ", ""))) == "SELECT ? + ?"
    assert text_of(3) == "3"
    assert text_of(SimpleNamespace(as_string=None, strings=3)) == "SimpleNamespace"


def test_one_call_is_one_round_trip_of_something_that_counts():
    tape = Tape()
    recording = Recording()
    tape.attach(recording)
    write(tape, "BEGIN; INSERT INTO a VALUES (1); SELECT 1", None, "driver")
    write(tape, "SELECT 1;", (1,), "driver")
    write(tape, "", None, "driver")
    assert [(entry.text, entry.trips) for entry in recording.entries] == [
        ("BEGIN", 0), ("INSERT INTO a VALUES (1)", 1), ("SELECT 1", 0), ("SELECT 1", 1), ("", 1),
    ]  # fmt: skip


def test_control_of_transactions():
    for text in ("BEGIN", " begin;", "COMMIT", "ROLLBACK TO x", "SAVEPOINT x", "RELEASE x", "START TRANSACTION", "END"):
        assert controls_transaction(text)
    for text in ("SELECT 1", "ENDPOINT", "PREPARE x AS SELECT 1", 'FETCH FORWARD 1 FROM "x"', "CLOSE x"):
        assert not controls_transaction(text)


def test_rows_are_counted_on_their_way():
    rows = CountedRows([1, 2, 3])
    assert not rows.any()
    assert next(rows) == 1
    assert list(rows) == [2, 3]
    assert rows.count == 3
    with pytest.raises(TypeError):
        CountedRows(None)
