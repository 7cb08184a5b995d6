from __future__ import annotations

import asyncio
import gc
import sqlite3
import sqlite3 as alias
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from sqlite3 import connect as early

import pytest

from pytest_perfguard.model import StatementKind as Kind
from pytest_perfguard.model.protocols import Probe
from pytest_perfguard.probes.queries import QueryProbe, drivers, watch_connections

ROOT = Path(__file__).parents[4]
HERE = Path(__file__).relative_to(ROOT).as_posix()
PROBE = QueryProbe(ROOT)


@pytest.fixture(autouse=True)
def _no_other_drivers(monkeypatch):
    """Whichever tests ran before: what they loaded is not remarked upon."""
    monkeypatch.setattr(drivers, "loaded", list)


def read(call, *args):
    token = PROBE.start()
    try:
        call(*args)
    finally:
        reading = PROBE.stop(token)
    return reading


def groups(reading):
    return {statement.fingerprint: (statement.count, statement.distinct) for statement in reading.queries.statements}


@pytest.fixture(params=["opened in the block", "opened before", "watched before"])
def db(request):
    """A function that returns a connection with a table `t`, opened at the moment that the parameter names."""
    end = watch_connections() if request.param == "watched before" else lambda: None
    made = []

    def open_now():
        if not made:
            made.append(sqlite3.connect(":memory:"))
            made[0].execute("CREATE TABLE t (a)")
        return made[0]

    if request.param != "opened in the block":
        open_now()
    open_now.exact = request.param != "opened before"
    yield open_now
    made[0].close()
    end()


def test_conforms_to_the_protocol():
    assert isinstance(PROBE, Probe)
    assert (PROBE.intrusive, PROBE.warmup, PROBE.rounds) == (True, 1, 1)
    assert [metric.name for metric in PROBE.metrics] == ["queries", "reads", "writes"]


def test_counts_by_kind_and_groups_by_place(db):
    def call():
        connection = db()
        for number in range(4):
            connection.execute("INSERT INTO t VALUES (?)", (number,))
        cursor = connection.cursor()
        for _ in range(3):
            cursor.execute("SELECT a FROM t WHERE a = ?", (1,)).fetchall()
        connection.execute("SAVEPOINT s1")
        connection.execute("PRAGMA user_version")

    reading = read(call)
    assert reading.values == {"queries": 7, "reads": 3, "writes": 4}
    assert groups(reading)["INSERT INTO t VALUES (?)"] == (4, 4)
    assert groups(reading)["SELECT a FROM t WHERE a = ?"] == (3, 1)
    assert (reading.queries.dialect, reading.queries.driver) == ("sqlite", "sqlite3")
    insert = reading.queries.statements[0]
    function = f"{HERE}:test_counts_by_kind_and_groups_by_place.<locals>.call"
    assert (insert.function, insert.tables, insert.kind) == (function, ("t",), Kind.WRITE)
    assert insert.line == call.__code__.co_firstlineno + 3
    kinds = {statement.kind for statement in reading.queries.statements}
    assert {Kind.TRANSACTION, Kind.META} <= kinds
    assert not [note for note in reading.notes if note.code.startswith("unseen")]


def test_executemany_is_one_execution(db):
    reading = read(lambda: db().executemany("INSERT INTO t VALUES (?)", [(1,), (2,), (3,)]))
    if db.exact:
        assert reading.values["writes"] == 1
    else:  # all that a trace can tell: and the reader is told so
        assert reading.values["writes"] == 3
        assert [note.code for note in reading.notes] == ["executemany-rows"]


def test_a_script_is_its_statements(db):
    reading = read(lambda: db().executescript("INSERT INTO t VALUES (1); SELECT 1; INSERT INTO t VALUES (2)"))
    assert reading.values == {"queries": 3, "reads": 1, "writes": 2}
    assert groups(reading)["INSERT INTO t VALUES (?)"] == (2, 2)


def test_a_trigger_is_no_statement_of_the_user(db):
    def call():
        for _ in range(2):
            db().execute("INSERT INTO t VALUES (1)")
            db().execute("SELECT 1")

    db().executescript(
        "CREATE TABLE log (a); CREATE TRIGGER x AFTER INSERT ON t BEGIN INSERT INTO log VALUES (1); END;"
    )
    assert read(call).values == {"queries": 4, "reads": 2, "writes": 2}


def test_equal_writes_without_triggers_all_count(db):
    def call():
        for _ in range(5):
            db().execute("INSERT INTO t VALUES (1)")

    assert read(call).values["writes"] == 5


def test_failing_statements_count_and_raise(db):
    def call():
        with pytest.raises(sqlite3.OperationalError):
            db().execute("SELECT a FROM missing")
        with pytest.raises(sqlite3.ProgrammingError):
            db().execute("SELECT ?", ())
        with pytest.raises(TypeError):
            db().execute(1)

    if db.exact:
        assert read(call).values["reads"] == 2


@pytest.mark.filterwarnings("ignore:Passing more than 1 positional:DeprecationWarning")
def test_subclasses_of_the_user_still_work():
    class Cursor(sqlite3.Cursor):
        own = True

    class Connection(sqlite3.Connection):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.asked = 0

        def execute(self, *args):
            self.asked += 1
            return super().execute(*args)

        def cursor(self, factory=Cursor):
            return super().cursor(factory)

    def make(*args, **kwargs):
        return Connection(*args, **kwargs)

    def call():
        for connection in (
            sqlite3.connect(":memory:", factory=Connection),
            early(":memory:", 5.0, 0, None, True, Connection),
            alias.dbapi2.connect(":memory:", factory=make),
        ):
            assert connection.execute("SELECT 1").fetchone() == (1,)
            connection.cursor().execute("SELECT 2")
            assert connection.cursor().own
            assert isinstance(connection, Connection)
            assert connection.asked == 1
            connection.close()

    assert read(call).values["reads"] == 6


def test_threads_and_tasks_are_seen():
    def ask():
        connection = sqlite3.connect(":memory:")
        connection.execute("SELECT 1")
        connection.close()

    async def tasks():
        await asyncio.gather(asyncio.to_thread(ask), asyncio.get_running_loop().run_in_executor(None, ask))
        ask()

    def call():
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        asyncio.run(tasks())

    reading = read(call)
    assert reading.values["reads"] == 4
    assert {statement.function for statement in reading.queries.statements} == {
        f"{HERE}:test_threads_and_tasks_are_seen.<locals>.ask"
    }


def test_connection_of_another_thread_is_named():
    opened, done = threading.Event(), threading.Event()

    def own():
        connection = sqlite3.connect(":memory:")
        opened.set()
        done.wait(10)
        connection.close()

    thread = threading.Thread(target=own)
    thread.start()
    opened.wait(10)
    reading = read(lambda: None)
    done.set()
    thread.join()
    assert [note.code for note in reading.notes] == ["unseen-connection"]


def test_blocks_nest():
    def ask(times):
        connection = sqlite3.connect(":memory:")
        for _ in range(times):
            connection.execute("SELECT 1")
        connection.close()

    outer = PROBE.start()
    ask(1)
    inner = PROBE.start()
    ask(2)
    assert PROBE.stop(inner).values["reads"] == 2
    ask(4)
    assert PROBE.stop(outer).values["reads"] == 7


def test_parameters_are_not_kept_and_may_misbehave():
    class Adapted:
        def __conform__(self, _protocol):
            return 1

        def __repr__(self):
            raise RuntimeError

    def call():
        connection = sqlite3.connect(":memory:")
        connection.execute("SELECT ?", (Adapted(),))
        connection.execute("SELECT ?", ("a secret",))
        connection.execute("SELECT 'a secret'")
        connection.close()

    reading = read(call)
    assert reading.values["reads"] == 3
    assert "secret" not in repr(reading)


def _state():
    return (
        [(id(module), name) for module in list(sys.modules.values()) for name, value in list(vars(module).items())
         if getattr(value, "__name__", "") == "connect" and value is sqlite3.connect],
        sqlite3.connect, sqlite3.dbapi2.connect, early, sqlite3.Connection, sqlite3.Cursor, list(sys.meta_path),
    )  # fmt: skip


def test_nothing_is_left_behind():
    before = _state()
    with_error = PROBE.start()
    kept = sqlite3.connect
    during = sqlite3.connect(":memory:")
    cursor = during.cursor()
    assert sqlite3.connect is not before[1]
    assert early is not before[1]
    PROBE.stop(with_error)
    assert _state() == before
    assert not {"execute", "executemany", "executescript", "cursor"} & set(vars(type(during)))
    assert not {"execute", "executemany", "executescript"} & set(vars(type(cursor)))
    assert type(during).__mro__[1] is sqlite3.Connection
    late = kept(":memory:")
    assert type(late) is sqlite3.Connection
    # What was opened in an earlier block is seen entirely in a later one.
    assert read(lambda: during.execute("SELECT 1")).values["reads"] == 1
    for connection in (during, late):
        connection.close()


def test_open_connections_have_no_trace_left():
    connection = sqlite3.connect(":memory:")
    before = len(gc.get_referents(connection))
    assert read(lambda: connection.execute("SELECT 1")).values["reads"] == 1
    assert len(gc.get_referents(connection)) == before
    assert read(lambda: None).values["reads"] == 0
    connection.close()


class OwnCursor(sqlite3.Cursor):
    pass


class OwnConnection(sqlite3.Connection):
    def cursor(self, factory=OwnCursor):
        return super().cursor(factory)


WAYS = {
    "bound method": lambda made: made.execute,
    "cursor": lambda made: partial(_execute_on, made.cursor()),
    "bound method of a cursor": lambda made: made.cursor().execute,
    "cursor of a subclass": lambda made: made.cursor(OwnCursor).execute,
    "method of the type": lambda made: partial(sqlite3.Connection.execute, made),
    "cursor of the type": lambda made: lambda sql: sqlite3.Cursor(made).execute(sql),
    "closing": lambda made: partial(_execute_and_close, made),
    "script": lambda made: made.executescript,
    "asyncio.to_thread": lambda made: lambda sql: asyncio.run(asyncio.to_thread(_execute_on, made, sql)),
}


def _execute_on(cursor, sql):
    cursor.execute(sql)


def _execute_and_close(connection, sql):
    with closing(connection.cursor()) as cursor:
        cursor.execute(sql)


@contextmanager
def watching(wanted):
    end = watch_connections() if wanted else lambda: None
    try:
        yield
    finally:
        end()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("factory", [sqlite3.Connection, OwnConnection])
@pytest.mark.parametrize("watched", [False, True])
def test_what_was_taken_before_is_seen(way, factory, watched):
    with watching(watched), closing(early(":memory:", factory=factory, check_same_thread=False)) as connection:
        ask = WAYS[way](connection)
        reading = read(lambda: [ask("SELECT 1") for _ in range(3)])
        assert reading.values == {"queries": 3, "reads": 3, "writes": 0}
        assert {statement.function.split(":")[0] for statement in reading.queries.statements} == {HERE}
        assert not reading.notes
        assert read(lambda: None).values["queries"] == 0


def test_fetching_from_a_cursor_made_before_asks_nothing(db):
    cursor = db().execute("SELECT 1 UNION SELECT 2")
    reading = read(lambda: list(cursor))
    assert (reading.values["queries"], reading.notes) == (0, ())


@pytest.mark.parametrize(
    ("watched", "by_cursor", "expected"),
    [(True, False, (1, [])), (True, True, (0, ["unseen-connection"])), (False, False, (0, ["unseen-connection"]))],
)
def test_a_pool_of_threads_started_before(watched, by_cursor, expected):
    with watching(watched), ThreadPoolExecutor(1) as pool:
        connection = pool.submit(sqlite3.connect, ":memory:").result()
        user = pool.submit(connection.cursor).result() if by_cursor else connection
        reading = read(lambda: pool.submit(lambda: user.execute("SELECT 1")).result())
        assert (reading.values["queries"], [note.code for note in reading.notes]) == expected
        assert all(note.undermines == ("queries", "reads", "writes") for note in reading.notes)
        pool.submit(connection.close).result()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_connection_let_go_by_another_thread_is_not_complained_of():
    gc.disable()
    try:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: sqlite3.connect(":memory:").execute("SELECT 1") and None).result()
        assert not read(lambda: None).notes
    finally:
        gc.enable()
        gc.collect()


class Opener:
    connect = staticmethod(sqlite3.connect)

    def __init__(self):
        self.own = sqlite3.connect


OPENER = Opener()
HELD = {"a": [sqlite3.connect]}


@pytest.mark.parametrize(
    "way",
    [
        lambda connect=sqlite3.connect: connect(":memory:"),
        partial(sqlite3.connect, ":memory:"),
        lambda: Opener.connect(":memory:"),
        lambda: OPENER.own(":memory:"),
        lambda: HELD["a"][0](":memory:"),
    ],
)
def test_connect_is_seen_wherever_it_is_held(way):
    before = way()
    before.close()
    assert read(lambda: closing(way()).__enter__().execute("SELECT 1").fetchall()).values["queries"] == 1
    plain = way()
    assert type(plain) is sqlite3.Connection
    plain.close()


def test_connections_opened_past_connect_undermine_the_count():
    gc.collect()  # what earlier tests let go
    opened = []

    def call():
        opened.append(sqlite3.Connection(":memory:"))
        opened[0].execute("SELECT 1")

    (note,) = read(call).notes
    assert (note.code, note.undermines) == ("unseen-opening", ("queries", "reads", "writes"))
    assert read(lambda: opened[0].execute("SELECT 1")).values["queries"] == 1, "open before: followed by its trace"
    opened[0].close()
    assert not read(lambda: None).notes


def test_all_objects_are_gone_through_only_where_a_connection_may_have_come_past_connect():
    # In a process of its own: what other tests have left of sqlite3's classes makes it walk.
    script = f"from {__name__} import check_walks; check_walks()"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def check_walks():
    gc.collect()
    walks = []
    find = gc.get_referrers

    def walk(*objects):
        if sqlite3.Connection in objects:
            walks.append(len(objects))
        return find(*objects)

    with watching(wanted=True), closing(sqlite3.connect(":memory:")) as connection:
        read(lambda: None)
        gc.get_referrers = walk
        assert read(lambda: connection.execute("SELECT 1")).values["queries"] == 1
        assert read(lambda: sqlite3.Cursor(connection).execute("SELECT 1")).values["queries"] == 1
        assert not walks
        opened = []
        assert len(read(lambda: opened.append(sqlite3.Connection(":memory:"))).notes) == 1
        assert len(walks) == 1
        assert read(lambda: opened[0].execute("SELECT 1")).values["queries"] == 1
        opened.pop().close()
        read(lambda: None)
        walks.clear()
        assert not read(lambda: None).notes
        assert not walks


def test_the_users_own_trace_goes_on(db):
    mine = []
    connection = db()
    connection.set_trace_callback(mine.append)
    cursor = connection.cursor()
    assert read(lambda: cursor.execute("SELECT 1")).values["reads"] == 1
    cursor.execute("SELECT 2")
    assert mine == ["SELECT 1", "SELECT 2"]


@pytest.mark.parametrize("watched", [False, True])
def test_a_trace_set_in_the_block_stays(watched):
    mine = []
    with watching(watched), closing(sqlite3.connect(":memory:")) as connection:
        reading = read(lambda: (connection.set_trace_callback(mine.append), connection.execute("SELECT 1")))
        connection.execute("SELECT 2")
    assert mine == ["SELECT 1", "SELECT 2"]
    if watched:
        assert (reading.values["queries"], reading.notes) == (1, ())
    else:  # the one thing by which it could have been seen was taken away, and the reader is told so
        assert [note.undermines for note in reading.notes] == [("queries", "reads", "writes")]


@pytest.mark.parametrize("module", ["fts5(x)", "fts4(x)", "rtree(x, a, b)"])
def test_what_virtual_tables_ask_for_themselves_is_not_counted(db, module):
    connection = db()
    try:
        connection.execute(f"CREATE VIRTUAL TABLE v USING {module}")
    except sqlite3.OperationalError as error:
        pytest.skip(str(error))
    cursor = connection.cursor()

    def call():
        for number in range(4):
            cursor.execute(
                "INSERT INTO v VALUES (?)" if "fts" in module else "INSERT INTO v VALUES (?, 1, 2)", [number]
            )
        list(connection.execute("SELECT * FROM v"))

    assert read(call).values == {"queries": 5, "reads": 1, "writes": 4}


def test_functions_that_sqlite_calls_back_may_ask():
    def call():
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.create_function("ask", 0, lambda: connection.execute("SELECT 7").fetchone()[0])
            connection.execute("SELECT ask() UNION ALL SELECT ask()").fetchall()

    assert read(call).values["reads"] == 3


def test_a_connection_is_seen_that_came_when_another_reference_to_its_class_went():
    held = [sqlite3.Connection]
    read(lambda: None)
    held.clear()
    with closing(early(":memory:")) as connection:
        assert read(lambda: connection.execute("SELECT 1")).values["queries"] == 1
