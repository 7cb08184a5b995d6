"""Clean use of the standard library's modules."""

from __future__ import annotations

import ast
import base64
import contextlib
import copy
import csv
import dataclasses
import datetime
import decimal
import enum
import fractions
import gzip
import hashlib
import importlib
import inspect
import io
import ipaddress
import itertools
import json
import locale
import os
import pathlib
import pickle
import shlex
import shutil
import socket
import sqlite3
import string
import subprocess
import sys
import tempfile
import textwrap
import traceback
import typing
import uuid
import xml.etree.ElementTree as ET
import zoneinfo
from collections.abc import Callable, Iterator
from typing import Any

from tests.leaks.catalogue import Catalogue
from tests.leaks.leaking_state import ticket

STANDARD_LIBRARY = Catalogue("library")
clean = STANDARD_LIBRARY.clean


class Color(enum.Enum):
    """Colors."""

    RED = "red"
    GREEN = "green"


class Right(enum.Flag):
    """Rights that combine; combinations are members that are kept, and there are few."""

    READ = enum.auto()
    WRITE = enum.auto()
    OWN = enum.auto()


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of an order."""

    article: str
    price: decimal.Decimal
    tags: tuple[str, ...] = ()


@clean()
def json_there_and_back() -> Callable[[], Any]:
    """Data is written as JSON and read."""
    return lambda: json.loads(json.dumps({"id": ticket(), "lines": [{"n": n / 3} for n in range(20)]}))


@clean()
def decimals_and_fractions() -> Callable[[], Any]:
    """Prices are computed in a context of their own."""

    def work() -> decimal.Decimal:
        with decimal.localcontext() as context:
            context.prec = 10
            return decimal.Decimal("19.90") / 3 + fractions.Fraction(1, 3).numerator

    return work


@clean()
def dataclasses_and_enumerations() -> Callable[[], Any]:
    """Dataclasses are copied and taken apart, members looked up and combined."""

    def work() -> int:
        line = dataclasses.replace(Line("a", decimal.Decimal(1)), article=ticket())
        rights = Right.READ | Right.OWN
        return len(dataclasses.asdict(line)) + len(Color("green").name) + rights.value

    return work


@clean()
def copied_and_pickled() -> Callable[[], Any]:
    """Objects are copied deeply and pickled."""
    lines = [Line(str(n), decimal.Decimal(n), ("new",)) for n in range(5)]
    return lambda: pickle.loads(pickle.dumps(copy.deepcopy(lines)))


@clean()
def dates_and_zones() -> Callable[[], Any]:
    """Times are parsed, moved between zones and written."""

    def work() -> str:
        when = datetime.datetime.strptime("2024-02-29 12:00", "%Y-%m-%d %H:%M")
        local = when.replace(tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
        return (local.astimezone(datetime.UTC) + datetime.timedelta(hours=1)).isoformat()

    return work


@clean()
def temporary_files() -> Callable[[], Any]:
    """A temporary folder with a file is made, searched and removed."""

    def work() -> int:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "orders.csv")  # noqa: PTH118
            with open(path, "w", newline="", encoding="utf-8") as file:  # noqa: PTH123
                csv.writer(file).writerows([[n, ticket()] for n in range(5)])
            with open(path, encoding="utf-8") as file:  # noqa: PTH123
                rows = list(csv.DictReader(file, ["n", "id"]))
            return len(rows) + len(os.listdir(folder))  # noqa: PTH208

    return work


def paths_of_new_names() -> Callable[[], Any]:
    """A path has a name that is new each time: pathlib interns its parts, and Python 3.12 keeps those for ever."""
    folder = pathlib.Path("/srv/orders")
    return lambda: (folder / f"{ticket()}.csv").with_suffix(".txt").name


if sys.version_info[:2] == (3, 12):
    STANDARD_LIBRARY.leak("(?i)intern")(paths_of_new_names)
else:
    clean()(paths_of_new_names)


@clean()
def child_process() -> Callable[[], Any]:
    """A process is run to its end."""
    return lambda: subprocess.run(["/bin/echo", "x"], check=True, capture_output=True, text=True).stdout


@clean()
def database_closed() -> Callable[[], Any]:
    """A database is made, filled, read and closed."""

    def work() -> int:
        with contextlib.closing(sqlite3.connect(":memory:")) as connection:
            connection.row_factory = sqlite3.Row
            connection.create_function("twice", 1, lambda n: n * 2)
            connection.execute("create table orders (id integer primary key, name text)")
            connection.executemany("insert into orders (name) values (?)", [(ticket(),) for _ in range(5)])
            connection.commit()
            return sum(row["n"] for row in connection.execute("select twice(id) as n from orders"))

    return work


@clean()
def compressed_and_hashed() -> Callable[[], Any]:
    """Bytes are compressed, encoded and hashed."""

    def work() -> str:
        data = gzip.compress(ticket().encode() * 50)
        return hashlib.sha256(base64.b64encode(gzip.decompress(data))).hexdigest()

    return work


@clean()
def text_and_templates() -> Callable[[], Any]:
    """Text is formatted, wrapped, split and compared."""

    def work() -> int:
        page = string.Template("Dear $name").substitute(name=ticket())
        lines = textwrap.wrap(f"{page:>60}" * 3, 40)
        return len(shlex.split(" ".join(lines))) + len(locale.localeconv())

    return work


@clean()
def trees_of_xml() -> Callable[[], Any]:
    """XML is written and parsed."""

    def work() -> str:
        root = ET.Element("orders")
        for n in range(5):
            ET.SubElement(root, "order", id=str(n)).text = ticket()
        return ET.fromstring(ET.tostring(root)).find("order[@id='3']").text

    return work


@clean()
def sockets_closed() -> Callable[[], Any]:
    """A pair of sockets is made, used and closed."""

    def work() -> bytes:
        left, right = socket.socketpair()
        with left, right:
            left.sendall(b"ping")
            return right.recv(4)

    return work


@clean()
def code_compiled() -> Callable[[], Any]:
    """Code is parsed, compiled and run, from a source that is different each time."""

    numbers = itertools.count(1000)

    def work() -> int:
        tree = ast.parse(f"value = 2 * {next(numbers)}")
        scope: dict[str, Any] = {}
        exec(compile(tree, "<rule>", "exec"), scope)
        return scope["value"]

    return work


@clean()
def signatures_and_hints() -> Callable[[], Any]:
    """Signatures and type hints are looked at, of a function that is let go."""

    def work() -> int:
        def order(article: str, *, count: int = 1) -> dict[str, list[int]]:
            return {article: [count]}

        bound = inspect.signature(order).bind("a", count=2)
        return len(bound.arguments) + len(typing.get_type_hints(order))

    return work


@clean()
def stack_looked_at() -> Callable[[], Any]:
    """A function looks at all frames of those who call it, as loggers and assertions do."""

    def work() -> int:
        return len(inspect.stack(0)) + sum(1 for _ in traceback.walk_stack(None))

    return work


@clean()
def imported_again() -> Callable[[], Any]:
    """A module is imported in a function and, another, from the disk anew."""

    def work() -> str:
        sys.modules.pop("this_is_not_there", None)
        with contextlib.suppress(ImportError):
            importlib.import_module("this_is_not_there")
        return importlib.import_module("json.decoder").__name__

    return work


@clean()
def streams_and_redirections() -> Iterator[Callable[[], Any]]:
    """What is printed is caught, with an exit stack that calls back."""

    def work() -> int:
        with contextlib.ExitStack() as stack:
            out = stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            stack.callback(out.close)
            print(ticket())
            return len(out.getvalue())

    yield work


@clean()
def identifiers_and_addresses() -> Callable[[], Any]:
    """Identifiers and addresses are made and compared."""

    def work() -> bool:
        network = ipaddress.ip_network("10.0.0.0/24")
        return uuid.uuid4() != uuid.uuid5(uuid.NAMESPACE_DNS, ticket()) and ipaddress.ip_address("10.0.0.7") in network

    return work


@clean()
def files_of_a_folder() -> Callable[[], Any]:
    """A folder is listed and looked through."""
    folder = pathlib.Path(__file__).parent
    return lambda: len(list(folder.rglob("*.py"))) + len(shutil.which("echo") or "")
