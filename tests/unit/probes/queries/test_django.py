from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from pytest_perfguard.model import StatementKind as Kind
from pytest_perfguard.model.queries import COUNTED
from pytest_perfguard.probes.queries import QueryProbe
from pytest_perfguard.probes.queries.fingerprint import kind_of

pytest.importorskip("django")

from asgiref.sync import SyncToAsync, async_to_sync, sync_to_async

from tests.django_project import populate, set_up

ROOT = Path(__file__).parents[4]
HERE = Path(__file__).relative_to(ROOT).as_posix()
PROBE = QueryProbe(ROOT, metrics=("rows", "round_trips", "connections_opened", "n_plus_one", "batchable", "duplicates"))


@pytest.fixture
def project():
    project = set_up()
    populate(project)
    yield project
    project.connection.close()


def read(call, *args, probe=PROBE):
    token = probe.start()
    try:
        call(*args)
    finally:
        reading = probe.stop(token)
    return reading


def queries(call, *args):
    return read(call, *args).values["queries"]


def asked(reading, *kinds):
    return {each.fingerprint: each.count for each in reading.queries.statements if each.kind in (kinds or Kind)}


def list_authors(project, books):
    return [book.author.name for book in books]


def test_lazy_loading_is_one_group_and_its_cure_is_not(project):
    reading = read(lambda: list_authors(project, project.Book.objects.all()))
    assert {name: reading.values[name] for name in ("queries", "reads", "n_plus_one", "rows")} == {
        **{"queries": 6, "reads": 6, "n_plus_one": 1, "rows": 10}
    }
    lazy = reading.queries.statements[0]
    assert (lazy.count, lazy.distinct, lazy.looped, lazy.tables) == (5, 5, 5, ("perfguard_author",))
    assert lazy.function == f"{HERE}:list_authors"
    assert (reading.queries.dialect, reading.queries.driver) == ("sqlite", "django+sqlite3")
    assert not reading.notes
    assert queries(lambda: list_authors(project, project.Book.objects.select_related("author"))) == 1


def test_ways_past_the_orm_and_past_django_count_once(project):
    def call():
        with project.connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.execute("SELECT %s, %s", ["a", "b"])
            cursor.execute("SELECT %(a)s, 1, 1", {"a": 1})
            assert cursor.execute("PRAGMA foreign_keys").fetchall() == [(1,)]
        list(project.Author.objects.raw("SELECT * FROM perfguard_author"))
        project.connection.connection.execute("SELECT 2, 2, 2, 2").fetchall()

    reading = read(call)
    assert reading.values["reads"] == 5
    assert asked(reading, Kind.META) == {"PRAGMA foreign_keys": 1}
    drivers = {each.fingerprint: each.driver for each in reading.queries.statements}
    assert drivers.pop("SELECT ?, ?, ?, ?") == "sqlite3"
    assert set(drivers.values()) == {"django+sqlite3"}


@pytest.mark.parametrize("rows", [True, False])
def test_cursors_that_were_open_before(project, rows):
    probe = PROBE if rows else QueryProbe(ROOT)
    with project.connection.cursor() as cursor:
        reading = read(lambda: cursor.execute("SELECT name FROM perfguard_author").fetchmany(2), probe=probe)
        assert reading.values["reads"] == 1
        assert reading.values.get("rows", 2) == 2
        assert len(cursor.fetchall()) == 3
        assert cursor.execute("SELECT 1").fetchone() == (1,)


def test_rows_are_counted_however_they_are_fetched(project):
    def call():
        with project.connection.cursor() as cursor:
            cursor.execute("SELECT name FROM perfguard_author")
            cursor.fetchone()
            cursor.fetchmany(2)
            assert len(list(cursor)) == 2
            cursor.execute("SELECT 1")
            cursor.fetchall()
        assert len(list(project.Author.objects.iterator(chunk_size=2))) == 5
        project.Author.objects.create(name="x")

    assert read(call).values["rows"] == 5 + 1 + 5 + 1


def test_writes(project):
    def one_by_one():
        for number in range(4):
            project.Author(name=f"x{number}").save()

    def at_once():
        project.Author.objects.bulk_create(project.Author(name="y") for _ in range(4))
        with project.connection.cursor() as cursor:
            cursor.executemany(
                "UPDATE perfguard_author SET name = %s WHERE id = %s", ((f"z{key}", key) for key in "123")
            )

    one, all_at_once = read(one_by_one), read(at_once)
    assert (one.values["writes"], one.values["batchable"]) == (4, 1)
    assert (all_at_once.values["writes"], all_at_once.values["batchable"]) == (2, 0)


def test_control_of_transactions_stands_beside(project):
    from django.db import transaction

    def call():
        with transaction.atomic(), transaction.atomic():
            project.Author.objects.count()
        with suppress(ZeroDivisionError), transaction.atomic():
            raise ZeroDivisionError

    reading = read(call)
    assert reading.values["queries"] == 1
    assert asked(reading, Kind.TRANSACTION) == {
        **{"BEGIN": 2, "COMMIT": 1, "ROLLBACK": 1, "SAVEPOINT ?": 1, "RELEASE SAVEPOINT ?": 1}
    }
    assert {each.function for each in reading.queries.statements if each.fingerprint != "BEGIN"} == {
        f"{HERE}:test_control_of_transactions_stands_beside.<locals>.call"
    }


def test_hooks_on_commit_are_seen(project):
    from django.db import transaction

    def call():
        with transaction.atomic():
            transaction.on_commit(project.Author.objects.count)

    assert queries(call) == 1


def test_captures_of_django_go_on_and_cost_nothing(project):
    from django.test import TransactionTestCase
    from django.test.utils import CaptureQueriesContext

    def call():
        with CaptureQueriesContext(project.connection) as context:
            list(project.Author.objects.filter(name="n1"))
            with project.connection.cursor() as cursor:
                cursor.execute("SELECT %s", [b"bytes"])
        assert "'n1'" in context.captured_queries[0]["sql"]
        with TransactionTestCase().assertNumQueries(1):
            project.Author.objects.first()

    assert queries(call) == 3


def test_wrappers_of_the_user(project):
    seen = []

    def look(execute, sql, params, many, context):
        seen.append(sql)
        context["connection"].connection.execute("SELECT 1, 1")  # which is sqlite3's
        return execute(sql, params, many, context)

    def ask(execute, sql, params, many, context):
        if "perfguard" in sql:
            with context["connection"].cursor() as cursor:
                cursor.execute("SELECT 2, 2, 2")
        return execute(sql, params, many, context)

    def refuse(*_arguments):
        raise PermissionError

    def call(wrapper):
        with project.connection.execute_wrapper(wrapper):
            project.Author.objects.count()

    count = 'SELECT COUNT(*) AS "__count" FROM "perfguard_author"'

    def refused():
        with pytest.raises(PermissionError):
            call(refuse)

    assert asked(read(refused)) == {}
    assert asked(read(call, look)) == {count: 1, "SELECT ?, ?": 1}
    assert len(seen) == 1
    reading = read(call, ask)
    assert asked(reading) == {count: 1, "SELECT ?, ?, ?": 1}
    assert {each.function.rpartition(".")[2] for each in reading.queries.statements} == {"ask", "call"}


def test_cursors_of_subclasses_as_debuggers_make_them(project):
    from django.db.backends.utils import CursorWrapper

    class Watched(CursorWrapper):
        def execute(self, sql, params=None):
            return super().execute(sql, params)

    project.connection.make_cursor = lambda cursor: Watched(cursor, project.connection)
    try:
        assert queries(project.Author.objects.count) == 1
    finally:
        del project.connection.make_cursor


def test_errors_pass_through(project):
    from django.db import DatabaseError, transaction

    def call():
        with pytest.raises(DatabaseError), project.connection.cursor() as cursor:
            cursor.execute("SELECT a FROM missing")
        with transaction.atomic():
            transaction.set_rollback(True)
            with pytest.raises(transaction.TransactionManagementError):
                project.Author.objects.count()  # which Django refuses

    assert queries(call) == 1


def ask_and_close(project):
    try:
        project.Author.objects.get(name="n1")
    finally:
        project.connection.close()


def test_threads_and_what_opens_their_connections(project):
    def call():
        thread = threading.Thread(target=ask_and_close, args=(project,))
        thread.start()
        thread.join()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(ask_and_close, [project] * 3))

    reading = read(call)
    assert (reading.values["queries"], reading.values["connections_opened"]) == (4, 4)
    assert asked(reading, Kind.META) == {}
    (group,) = [each for each in reading.queries.statements if each.kind is Kind.READ]
    assert (group.count, group.function) == (4, f"{HERE}:ask_and_close")


async def aask(project, names):
    for name in names:
        await project.Author.objects.aget(name=name)
    await close(project)


async def close(project):
    def close_own():  # the attribute itself belongs to the thread that it is read in
        project.connection.close()

    await sync_to_async(close_own)()


@pytest.mark.parametrize("outermost", ["asynchronous", "synchronous"])
def test_asynchronous_orm_names_the_coroutine(project, outermost):
    names = ["n1", "n2", "n3"]

    def call():
        if outermost == "asynchronous":
            asyncio.run(aask(project, names))
        else:  # Django goes on in this thread, whose frames did not ask for anything
            async_to_sync(aask)(project, names)

    reading = read(call)
    group = reading.queries.statements[0]
    assert (group.count, group.looped, group.function) == (3, 3, f"{HERE}:aask")
    assert reading.values["n_plus_one"] == 1


def test_synchronous_code_of_a_coroutine_is_told_apart_by_who_asked(project):
    def get(name):
        return project.Author.objects.get(name=name)

    async def one_after_the_other():
        await sync_to_async(get)("n1")
        await sync_to_async(get)("n2")
        await sync_to_async(get)("n3")
        await close(project)

    async def in_a_loop():
        for name in ("n1", "n2", "n3"):
            await sync_to_async(get)(name)
        await close(project)

    straight, loop = (read(lambda call=call: asyncio.run(call())) for call in (one_after_the_other, in_a_loop))
    assert [reading.values["queries"] for reading in (straight, loop)] == [3, 3]
    assert [reading.values["n_plus_one"] for reading in (straight, loop)] == [0, 1]
    assert straight.queries.statements[0].function.endswith(".<locals>.get")


def test_iteration_in_a_coroutine(project):
    async def call():
        async for book in project.Book.objects.all():
            await project.Author.objects.aget(pk=book.author_id)
        await close(project)

    reading = read(lambda: asyncio.run(call()))
    assert (reading.values["queries"], reading.values["n_plus_one"]) == (6, 1)
    assert {each.function for each in reading.queries.statements if each.kind is Kind.READ} == {
        f"{HERE}:test_iteration_in_a_coroutine.<locals>.call"
    }


class Planned(QueryProbe):
    """One whose planner has each statement explained."""

    def __init__(self):
        super().__init__(ROOT)
        self.plans = []

    def _planner(self):
        return self

    def ask(self, entry, parameters, run, *, in_transaction):
        if kind_of(entry.text) in COUNTED:
            self.plans.append((run(f"EXPLAIN QUERY PLAN {entry.text}", parameters)[0][3], in_transaction))


def test_a_planner_asks_with_djangos_placeholders(project):
    from django.db import transaction

    def call():
        list(project.Author.objects.filter(name="n1"))
        with transaction.atomic(), project.connection.cursor() as cursor:
            cursor.execute("SELECT * FROM perfguard_author WHERE id = %(key)s AND name LIKE 'n%%'", {"key": 1})

    probe = Planned()
    assert read(call, probe=probe).values["queries"] == 2
    assert [(plan.split()[0], inside) for plan, inside in probe.plans] == [("SCAN", False), ("SEARCH", True)]


def test_nothing_stays_patched(project):
    from django.db import connections
    from django.db.backends import utils
    from django.db.backends.base import base

    classes = [
        *(utils.CursorWrapper, utils.CursorDebugWrapper, base.BaseDatabaseWrapper, base, SyncToAsync),
        *(type(connections["default"]), type(project.connection.ops)),
    ]
    project.connection.ensure_connection()
    before = [dict(vars(each)) for each in classes]
    token = PROBE.start()
    inner = PROBE.start()
    assert [dict(vars(each)) for each in classes] != before
    project.Author.objects.count()
    assert PROBE.stop(inner).values["queries"] == PROBE.stop(token).values["queries"] == 1
    assert [dict(vars(each)) for each in classes] == before
