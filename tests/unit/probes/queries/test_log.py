"""From executions to groups and counts: what repeats, what loops, and what only looks like it."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import pytest

from pytest_perfguard.model import Note
from pytest_perfguard.model import StatementKind as Kind
from pytest_perfguard.model.queries import QueryLog, Statement, merge_logs
from pytest_perfguard.probes.queries.growth import growing
from pytest_perfguard.probes.queries.log import make_log, percentile, read, repetitions
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.recording import Opening, Recording
from pytest_perfguard.probes.watch.tape import Tape

ROOT = Path(__file__).parents[4]


class Statements:
    """A tape with one recording."""

    def __init__(self):
        self.tape, self.recording = Tape(), Recording()
        self.tape.attach(self.recording)

    def write(self, sql, *parameters, driver="sqlite3", batch=False):
        entry = self.tape.write(sql, parameters, dialect="sqlite", driver=driver)
        entry.batch = batch
        return entry

    def log(self):
        return make_log(read(self.recording.entries), ROOT, opened=(), leaked=())

    def groups(self):
        return {each.fingerprint: each for each in self.log().statements}


@pytest.fixture
def db():
    return Statements()


GET, PUT = "SELECT a FROM t WHERE id = ?", "INSERT INTO t VALUES (?)"


def test_a_loop_is_a_potential_n_plus_one_and_three_calls_written_out_are_none(db):
    for number in range(3):
        db.write(GET, number)
    assert db.groups()["SELECT a FROM t WHERE id = ?"].n_plus_one
    other = Statements()
    other.write(GET, 1)
    other.write(GET, 2)
    other.write(GET, 3)
    (group,) = other.log().statements
    assert (group.count, group.distinct, group.looped, group.n_plus_one) == (3, 3, 1, False)


def test_recursion_is_a_loop(db):
    def descend(depth):
        db.write(GET, depth)
        if depth:
            descend(depth - 1)

    descend(4)
    (group,) = db.log().statements
    assert group.looped >= 3


def test_what_a_function_asks_for_each_of_three_callers_is_no_loop(db):
    def ask(number):
        db.write(GET, number)

    def request():
        ask(1)

    request()
    ask(2)
    ask(3)
    assert not db.groups()["SELECT a FROM t WHERE id = ?"].n_plus_one


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a FROM t WHERE id IN (?, ?)",
        "SELECT a FROM t WHERE id = ANY(?)",
        "INSERT INTO t VALUES (?, ?), (?, ?)",
        "SELECT a FROM t WHERE (a, b) IN ((?, ?), (?, ?))",
    ],
)
def test_many_rows_at_once_are_no_loop_however_many_there_are(db, sql):
    for number in range(5):
        db.write(sql, number)
    (group,) = db.log().statements
    assert (group.distinct, group.looped) == (5, 0)


def test_executemany_in_pieces_is_no_loop(db):
    for number in range(5):
        db.write(PUT, number, batch=True)
    assert not db.log().statements[0].batchable


def test_a_list_of_one_is_a_loop(db):
    for number in range(3):
        db.write("SELECT a FROM t WHERE id IN (?)", number)
    assert db.log().statements[0].n_plus_one


def test_pages_of_one_list_are_no_loop_and_pages_of_several_are(db):
    page = "SELECT a FROM t WHERE p = ? AND id > ? ORDER BY id LIMIT ?"
    for start in (0, 10, 20, 30):
        db.write(page, 7, start, 10)
    (group,) = db.log().statements
    assert (group.count, group.distinct, group.looped) == (4, 4, 1)
    for parent in (8, 9):
        for start in (0, 10):
            db.write(page, parent, start, 10)
    assert [each.looped for each in db.log().statements] == [2]


def test_what_a_mapper_writes_for_one_flush_is_no_loop_and_a_flush_in_each_turn_is(db):
    for number in range(5):
        db.write(PUT, number).unit = 1
    assert not db.log().statements[0].batchable
    other = Statements()
    for number in range(5):
        other.write(PUT, number).unit = number + 1
    assert other.log().statements[0].looped == 5


def test_the_line_is_that_of_the_loop_or_else_of_what_repeats(db):
    write = functools.partial(db.tape.write, GET, dialect="sqlite", driver="sqlite3")
    first = sys._getframe().f_lineno + 1
    write((0,))
    assert db.log().statements[0].line == first
    write((1,))
    write((0,))
    assert db.log().statements[0].line == first + 3
    for number in range(3):
        write((number,))
    (group,) = db.log().statements
    assert (group.line, group.looped) == (first + 6, 3)


@pytest.mark.parametrize(
    ("statements", "again"),
    [
        ([(GET, 1), (GET, 1)], [1]),
        ([(GET, 1), (GET, 2)], []),
        ([(GET, 1), (GET, 1), (GET, 1)], [1, 2]),
        ([(GET, 1), (PUT, 1), (GET, 1)], []),
        ([(GET, 1), ("UPDATE T SET a = 1",), (GET, 1)], []),
        ([(GET, 1), ("INSERT INTO other VALUES (?)", 1), (GET, 1)], [2]),
        ([(GET, 1), ("ROLLBACK",), (GET, 1)], []),
        ([(GET, 1), ("ROLLBACK TO SAVEPOINT a",), (GET, 1)], []),
        ([(GET, 1), ("COMMIT",), (GET, 1)], [2]),
        ([(GET, 1), ("CREATE INDEX i ON t (a)",), (GET, 1)], []),
        ([(PUT, 1), (PUT, 1)], []),
        ([("SELECT nextval('s')",), ("SELECT nextval('s')",)], []),
        ([("SELECT a FROM t FOR UPDATE",), ("SELECT a FROM t FOR UPDATE",)], []),
        ([("SELECT 1",), ("SELECT 1",)], []),
        ([("SELECT a FROM t WHERE b > current_timestamp",)] * 2, []),
        ([("SELECT a FROM t WHERE b > datetime('now')",)] * 2, []),
        ([("SELECT date(a) FROM t",)] * 2, [1]),
        ([("SELECT pg_sleep(0) FROM t",)] * 2, []),
    ],
)
def test_duplicates(db, statements, again):
    for sql, *parameters in statements:
        db.write(sql, *parameters)
    assert repetitions(read(db.recording.entries)) == again


def test_connections_are_groups_of_a_kind_of_their_own():
    opening = Opening("psycopg", None, lambda: True)
    log = make_log([], ROOT, opened=[opening, opening], leaked=[opening])
    assert [(each.fingerprint, each.count, each.kind) for each in log.statements] == [
        ("connect (psycopg)", 2, Kind.CONNECTION),
        ("left open (psycopg)", 1, Kind.CONNECTION),
    ]
    assert log.kept().statements == ()


@pytest.mark.parametrize(("values", "result"), [([], 0), ([7], 7), (range(1, 21), 19), (range(1, 101), 95)])
def test_percentile(values, result):
    assert percentile([*values], 0.95) == result


def test_layers_hide_what_is_beneath_and_only_while_they_are_busy():
    tape = Tape()
    assert tape.hidden()  # nobody records
    tape.attach(Recording())
    entry = tape.write("SELECT 1", None, dialect="sqlite", driver="x")
    assert not tape.hidden()
    with entry:
        assert tape.hidden()
        with tape.layer():
            assert tape.hidden()
        assert tape.hidden()
    assert not tape.hidden()
    assert entry.nanoseconds > 0


def test_who_counts_rows_is_told_when_somebody_wants_to_know():
    tape, told = Tape(), []
    end = tape.watch_rows(told.append)
    plain, curious = Recording(), Recording(counts_rows=True)
    tape.attach(plain)
    tape.attach(curious)
    tape.detach(curious)
    assert told == [True, False]
    tape.attach(curious)
    end()
    assert told == [True, False, True, False]


def test_remarks_are_made_once():
    tape, recording = Tape(), Recording()
    tape.attach(recording)
    note = Note(code="a", message="b")
    tape.remark(note)
    tape.remark(note)
    assert recording.notes == [note]


def test_patches_leave_the_class_as_it_was():
    class Base:
        def asked(self):
            return 1

        @staticmethod
        def still():
            return 2

    class Child(Base):
        pass

    before = dict(vars(Base)), dict(vars(Child))
    patches = Patches()
    assert patches.wrap(Child, "asked", lambda original: lambda self: original(self) + 10)
    assert patches.wrap(Base, "still", lambda original: staticmethod(lambda: original() + 10))
    assert not patches.wrap(Base, "absent", lambda original: original)
    assert (Child().asked(), Base().asked(), Base.still()) == (11, 1, 12)
    patches.undo()
    assert (dict(vars(Base)), dict(vars(Child))) == before


def test_patches_of_others_stay():
    class Owner:
        def asked(self):
            return 1

    patches = Patches()
    patches.wrap(Owner, "asked", lambda _original: lambda _self: 3)
    theirs = Owner.asked = lambda self: 5
    patches.undo()
    assert Owner.asked is theirs


def counts(**each):
    return QueryLog(
        dialect="sqlite",
        driver="sqlite3",
        statements=tuple(
            Statement(fingerprint=text, kind=Kind.READ, count=count, distinct=count) for text, count in each.items()
        ),
    )


@pytest.mark.parametrize(
    ("small", "large", "grown"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 5}, {"b"}),
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}, set()),
        ({"a": 3}, {"a": 1}, set()),
        ({"a": 1, "two": 1}, {"a": 1, "five": 1}, set()),  # a text that is another for each size
        ({"a": 1}, {"a": 1, "b": 4}, {"b"}),
        ({"a": 1, "x1": 1}, {"a": 1, "x1": 1, "x2": 1, "x3": 1}, {"x2", "x3"}),  # a text that is another for each row
    ],
)
def test_growth(small, large, grown):
    log = growing((2, 5), [counts(**small), counts(**large)])
    assert {each.fingerprint for each in log.statements if each.growth} == grown
    for each in log.statements:
        if each.growth:
            assert each.growth == ((2, small.get(each.fingerprint, 0)), (5, large[each.fingerprint]))


def test_logs_of_several_passes_become_one():
    first = counts(a=2)
    timed = QueryLog(
        dialect="sqlite",
        driver="sqlite3",
        statements=(Statement(fingerprint="a", kind=Kind.READ, count=2, distinct=2, slowest=0.5),),
    )
    rows = QueryLog(
        dialect="sqlite",
        driver="sqlite3",
        statements=(Statement(fingerprint="a", kind=Kind.READ, count=2, distinct=2, rows=9),),
    )
    http = QueryLog(
        dialect="http",
        driver="httpx",
        statements=(Statement(fingerprint="GET /", kind=Kind.REQUEST, count=1, distinct=1),),
    )
    assert merge_logs([]) is None
    assert merge_logs([None, first]) == first
    merged = merge_logs([rows, http, timed, None])
    assert (merged.dialect, merged.driver) == ("http, sqlite", "httpx, sqlite3")
    assert [(each.fingerprint, each.rows, each.slowest) for each in merged.statements] == [
        ("a", 9, 0.5), ("GET /", 0, 0.0),
    ]  # fmt: skip


def test_the_way_to_a_place_ends_at_what_measures():
    from pytest_perfguard.probes.watch.callsite import locate

    found = []

    def ask():
        found.append(locate(sys._getframe()))

    for _ in range(2):
        ask()
    ask()
    assert found[0].path == found[1].path != found[2].path
