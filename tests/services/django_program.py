"""Django on a server of its own choice: what is recorded of each way to ask it, beside what the server was asked.

A process of its own, since Django is set up once and chooses its driver when it is imported. Its arguments are a
dialect, a driver and the server's URL; it prints JSON.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

from pytest_perfguard.model import StatementKind as Kind
from pytest_perfguard.model.queries import COUNTED
from pytest_perfguard.probes.queries import QueryProbe
from pytest_perfguard.probes.queries.fingerprint import kind_of

ROOT = Path(__file__).parents[2]
TAG = uuid.uuid4().hex[:8]
METRICS = ("round_trips", "rows", "connections_opened", "connections_leaked", "duplicates", "n_plus_one", "batchable")


def can_pool(driver):
    return driver == "psycopg" and importlib.util.find_spec("psycopg_pool") is not None


def set_up(dialect, driver, host, port, user, name):
    if driver == "psycopg2":
        sys.modules["psycopg"] = None  # Django takes this one where it can
    if driver == "pymysql":
        import pymysql

        pymysql.version_info = (2, 2, 8, "final", 0)  # what Django asks of the driver that this one stands in for
        pymysql.install_as_MySQLdb()
    from django.conf import settings

    engine = {"postgresql": "postgresql", "mysql": "mysql"}[dialect]
    default = {
        "ENGINE": f"django.db.backends.{engine}",
        **{"HOST": host, "PORT": str(port), "USER": user, "NAME": name},
        "CONN_MAX_AGE": None,
    }
    settings.configure(
        DATABASES={
            "default": default,
            "checked": {**default, "CONN_HEALTH_CHECKS": True},
            **({"pooled": {**default, "CONN_MAX_AGE": 0, "OPTIONS": {"pool": True}}} if can_pool(driver) else {}),
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    import django

    django.setup()


class Truth:
    """What the server says that it was asked: by a proxy, or by the counters of the connection."""

    def __init__(self, wire):
        self._wire = wire

    def reset(self):
        if self._wire is not None:
            self._wire.reset()
        else:
            self._before = self._status()

    def read(self):
        if self._wire is not None:
            return {"queries": len(self._wire.statements), "round_trips": self._wire.cycles}
        after = self._status()
        asked = {name: after[name] - self._before[name] for name in after}
        asked["Questions"] -= 1
        kinds = ("Com_select", "Com_insert", "Com_update", "Com_delete", "Com_call_procedure")
        return {"queries": sum(asked[kind] for kind in kinds), "all": asked["Questions"]}

    @staticmethod
    def _status():
        from django.db import connection

        connection.ensure_connection()
        with connection.connection.cursor() as cursor:
            cursor.execute("SHOW SESSION STATUS WHERE Variable_name LIKE 'Com\\_%' OR Variable_name = 'Questions'")
            return {name: int(value) for name, value in cursor.fetchall()}


def observe(call, truth, probe=None):
    probe = probe or QueryProbe(ROOT, METRICS)
    truth.reset()
    token = probe.start()
    try:
        call()
    finally:
        reading = probe.stop(token)
    groups = reading.queries.statements
    return {
        **reading.values,
        "truth": truth.read(),
        "transaction": {each.fingerprint: each.count for each in groups if each.kind is Kind.TRANSACTION},
        "meta": sum(each.count for each in groups if each.kind is Kind.META),
        "drivers": sorted({each.driver for each in groups}),
        "functions": sorted({each.function.rpartition(":")[2] for each in groups}),
        "dialect": reading.queries.dialect,
        "notes": [note.code for note in reading.notes if note.undermines],
    }


class Planned(QueryProbe):
    """One whose planner has each statement explained."""

    def __init__(self):
        super().__init__(ROOT)
        self.plans = []
        self.inside = []

    def _planner(self):
        return self

    def ask(self, entry, parameters, run, *, in_transaction):
        if kind_of(entry.text) not in COUNTED:
            return
        self.inside.append(in_transaction)
        self.plans.append(str(run(f"EXPLAIN {entry.text}", parameters)))


def scenarios(dialect, driver):
    from asgiref.sync import sync_to_async
    from django.db import connection, connections, models, transaction
    from django.test.utils import CaptureQueriesContext

    class Order(models.Model):
        name = models.CharField(max_length=20)
        note = models.JSONField(null=True)

        class Meta:
            app_label = "shop"
            db_table = f"django_{TAG}"

    table = Order._meta.db_table
    orders = Order.objects

    def orm():
        orders.bulk_create(Order(name=f"n{number}") for number in range(10))
        assert len(orders.all()) == 10
        for key in orders.values_list("pk", flat=True)[:3]:
            orders.get(pk=key)
        orders.filter(name="n1").update(note={"a": 1})
        orders.filter(name="n9").delete()
        assert orders.filter(name__in=["n1", "n2", "n3"]).exists()

    def write_in_a_loop():
        for number in range(4):
            Order(name=f"n{number}").save()

    def atomic():
        with transaction.atomic(), transaction.atomic():
            orders.count()
        with suppress(ZeroDivisionError), transaction.atomic():
            orders.count()
            raise ZeroDivisionError

    def idle_atomic():
        with transaction.atomic():
            pass

    def raw():
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT id FROM {table}")
            assert len(cursor.fetchall()) == 9
            cursor.execute(f"SELECT id FROM {table} WHERE name = %s LIMIT 1", ["n1"])
            assert len(list(cursor)) == 1
            cursor.execute(f"SELECT id FROM {table} WHERE name = %(name)s", {"name": "n2"})
            assert cursor.fetchone() is not None
            cursor.execute(f"UPDATE {table} SET note = NULL")
        list(orders.raw(f"SELECT * FROM {table}"))

    def many():
        with connection.cursor() as cursor:
            cursor.executemany(f"UPDATE {table} SET name = name WHERE name = %s", [["n1"], ["n2"], ["n3"]])

    def procedure():
        with connection.cursor() as cursor:
            cursor.callproc(f"{table}_call", [1])
            assert cursor.fetchone() == (2,)

    def iterate():
        assert sum(1 for _ in orders.iterator(chunk_size=2)) == 9
        with transaction.atomic():
            assert sum(1 for _ in orders.iterator(chunk_size=2)) == 9

    def in_thread():
        try:
            orders.count()
        finally:
            connection.close()

    def in_threads():
        with ThreadPoolExecutor(1) as pool:
            for _ in range(2):
                pool.submit(in_thread).result()

    async def asynchronous():
        for number in range(3):
            await orders.filter(name=f"n{number}").afirst()
        async for _ in orders.all():
            pass
        await sync_to_async(connections.close_all)()

    def beneath():
        orders.count()
        with connection.connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table}")
            cursor.fetchall()

    def captured():
        with CaptureQueriesContext(connection) as context:
            orders.count()
            orders.first()
        assert len(context) == 2

    def composed():
        sql = __import__(driver).sql
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("SELECT id FROM {} WHERE name = %s").format(sql.Identifier(table)), ["n1"])
            cursor.execute(f"SELECT id FROM {table}".encode())

    def forbidden():
        def refuse(*_arguments):
            raise PermissionError

        with connection.execute_wrapper(refuse), suppress(PermissionError):
            orders.count()

    def wrapped():
        def look(execute, sql, params, many, context):
            return execute(sql, params, many, context)

        with connection.execute_wrapper(look):
            orders.count()

    def broken():
        with suppress(Exception), transaction.atomic():
            with suppress(Exception), connection.cursor() as cursor:
                cursor.execute("SELECT a FROM missing_table")
            connection.needs_rollback = True
            orders.count()  # which Django refuses

    def reopened():
        connection.close()
        orders.count()

    def checked():
        other = connections["checked"]
        other.health_check_done = False
        with other.cursor() as cursor:
            cursor.execute("SELECT 1")

    def pooled():
        with connections["pooled"].cursor() as cursor:
            cursor.execute("SELECT 1")
        connections["pooled"].close()

    return locals()


def main(dialect, driver, url):
    parts = urlsplit(url)
    with ExitStack() as stack:
        host, port, wire = parts.hostname, parts.port or {"postgresql": 5432, "mysql": 3306}[dialect], None
        if dialect == "postgresql":
            from tests.services.wire_postgresql import proxied

            wire = stack.enter_context(proxied(url))
            host, port = "127.0.0.1", urlsplit(wire.dsn).port
        set_up(dialect, driver, host, port, parts.username, parts.path.strip("/"))
        from django.db import connection, connections

        ways = scenarios(dialect, driver)
        table = ways["table"]
        with connection.schema_editor() as editor:
            editor.create_model(ways["Order"])
        body = {
            "postgresql": f"CREATE FUNCTION {table}_call(a int) RETURNS int LANGUAGE sql AS 'SELECT a + 1'",
            "mysql": f"CREATE PROCEDURE {table}_call(a INTEGER) SELECT a + 1",
        }
        with connection.cursor() as cursor:
            if driver != "psycopg":  # which has no callproc
                cursor.execute(body[dialect])
        stack.callback(connections.close_all)
        try:
            print(json.dumps(observe_all(dialect, driver, ways, Truth(wire))))
        finally:
            with connection.cursor() as cursor:
                cursor.execute(f"DROP TABLE {table}")
                if driver != "psycopg":
                    kind = {"postgresql": "FUNCTION", "mysql": "PROCEDURE"}[dialect]
                    cursor.execute(f"DROP {kind} {table}_call")


def observe_all(dialect, driver, ways, truth):
    from django.db import connection, connections

    names = [
        *("orm", "raw", "many", "iterate", "atomic", "idle_atomic", "beneath", "captured", "forbidden", "wrapped"),
        *("in_threads", "broken", "reopened"),
    ]
    names += ["procedure"] if driver != "psycopg" else []
    names += ["composed"] if dialect == "postgresql" else []
    found = {name: observe(ways[name], truth) for name in names}
    found["asynchronous"] = observe(lambda: asyncio.run(ways["asynchronous"]()), truth)
    connections["checked"].ensure_connection()
    found["checked"] = observe(ways["checked"], truth)
    with connection.cursor() as cursor:
        found["open cursor"] = observe(lambda: cursor.execute("SELECT 1"), truth)
    for name, way in (("planned", "raw"), ("planned in a transaction", "atomic")):
        probe = Planned()
        found[name] = {**observe(ways[way], truth, probe), "plans": len(probe.plans), "inside": probe.inside}
    if can_pool(driver):
        connections["pooled"].ensure_connection()
        connections["pooled"].close()
        connections["pooled"].pool.wait()
        found["pooled"] = observe(ways["pooled"], truth)
        connections["pooled"].close_pool()
    found["loop"] = observe(ways["write_in_a_loop"], truth)
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
