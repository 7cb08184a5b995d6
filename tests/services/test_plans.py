"""Plans on real servers, in databases of these tests alone."""

from __future__ import annotations

import re
import uuid
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

pytest.importorskip("sqlglot")
sa = pytest.importorskip("sqlalchemy")

from tests.unit.probes.queries.plans.cases import LACKING, ROWS, SERVED, TABLES, ask, check, plain

SIZES = (8, 5000)
ROOT = Path(__file__).parents[2]
NAME = f"perfguard_plans_{uuid.uuid4().hex[:8]}"


class Server:
    """A connection to a database of its own, filled with so many rows."""

    def __init__(self, dialect, url, connection, rows):
        self.dialect = dialect
        self.url = url
        self.connection = connection
        for table in TABLES:
            self.execute(table)
        for table, make in ROWS.items():
            if rows:
                marks = ", ".join(["%s"] * len(make(0)))
                with closing(connection.cursor()) as cursor:
                    cursor.executemany(f"INSERT INTO {table} VALUES ({marks})", list(map(make, range(1, rows + 1))))
        connection.commit()

    def run(self, text, values=None):
        with closing(self.connection.cursor()) as cursor:
            cursor.execute(text, values)
            return cursor.fetchall() if cursor.description else []

    def execute(self, text):
        self.run(text)
        self.connection.commit()

    def said(self, sql, parameters=None, **more):
        return ask(self.run, self.dialect, sql, parameters, **more)

    def lines(self, sql, parameters=None, **more):
        return plain(self.said(sql, parameters, **more))


@contextmanager
def postgresql(url, rows):
    psycopg = pytest.importorskip("psycopg")
    url = sa.make_url(url)
    name = f"{NAME}_{rows}"
    plain_url = url.set(drivername="postgresql")
    with closing(psycopg.connect(plain_url.render_as_string(hide_password=False), autocommit=True)) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        try:
            own = plain_url.set(database=name).render_as_string(hide_password=False)
            with closing(psycopg.connect(own)) as connection:
                server = Server("postgresql", url.set(database=name), connection, rows)
                connection.autocommit = True
                connection.execute("VACUUM ANALYZE")
                connection.autocommit = False
                yield server
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def mariadb(url, rows):
    pymysql = pytest.importorskip("pymysql")
    url = sa.make_url(url)
    name = f"{NAME}_{rows}"
    connection = pymysql.connect(
        host=url.host, port=url.port or 3306, user=url.username or "root", password=url.password or ""
    )
    with closing(connection):
        with closing(connection.cursor()) as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
            cursor.execute(f"USE {name}")
        try:
            yield Server("mysql", url.set(database=name), connection, rows)
        finally:
            with closing(connection.cursor()) as cursor:
                cursor.execute(f"DROP DATABASE {name}")


MAKERS = {"postgresql": postgresql, "mariadb": mariadb}
_open = {}


@pytest.fixture(scope="module", autouse=True)
def _close():
    yield
    while _open:
        manager, _ = _open.popitem()[1]
        manager.__exit__(None, None, None)


@pytest.fixture
def server(request, service):
    """The server that the test's marker names, with as many rows as the parameter `rows` says, or 8."""
    kind = request.node.get_closest_marker("service").args[0]
    rows = request.node.callspec.params.get("rows", 8) if hasattr(request.node, "callspec") else 8
    if (kind, rows) not in _open:
        manager = MAKERS[kind](service, rows)
        _open[kind, rows] = (manager, manager.__enter__())
    found = _open[kind, rows][1]
    made = []
    execute = found.execute

    def note(text):
        execute(text)
        made.append(text)

    found.execute = note
    yield found
    del found.execute
    found.connection.rollback()
    for text in reversed(made):
        created = re.match(r"CREATE (?:UNIQUE )?(INDEX|TABLE|VIEW|SCHEMA|EXTENSION) (\S+)(?: ON (\S+))?", text)
        if created:
            kind_of, name, table = created.groups()
            where = f" ON {table}" if kind_of == "INDEX" and found.dialect == "mysql" else ""
            schema = f"{table.rpartition('.')[0]}." if kind_of == "INDEX" and not where and "." in table else ""
            found.run(f"DROP {kind_of} {schema}{name}{where}" + ("" if where else " CASCADE"))
    found.connection.commit()


on_each_server = pytest.mark.parametrize(
    "dialect",
    [
        pytest.param("postgresql", marks=pytest.mark.service("postgresql")),
        pytest.param("mysql", marks=pytest.mark.service("mariadb")),
    ],
)


@on_each_server
@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("name", LACKING)
def test_what_lacks_an_index_and_its_twin(server, dialect, name, rows):
    check(server.run, server.execute, dialect, LACKING[name])


@on_each_server
@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("name", SERVED)
def test_nothing_is_said(server, dialect, name, rows):
    assert server.said(SERVED[name]) == ()
