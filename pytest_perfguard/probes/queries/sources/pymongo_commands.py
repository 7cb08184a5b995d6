"""What a MongoDB command does, and what is kept of it once its values are gone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice

from pytest_perfguard.model import StatementKind
from pytest_perfguard.probes.watch.entry import Shape

_KINDS = {
    StatementKind.READ: "find aggregate count distinct mapReduce geoSearch",
    StatementKind.WRITE: "insert update delete findAndModify findandmodify bulkWrite",
    StatementKind.TRANSACTION: "commitTransaction abortTransaction",
    StatementKind.DDL: """
        create drop dropDatabase createIndexes dropIndexes collMod renameCollection cloneCollectionAsCapped
        convertToCapped createSearchIndexes dropSearchIndex updateSearchIndex reIndex createUser updateUser dropUser
        createRole updateRole dropRole grantRolesToUser revokeRolesFromUser
    """,
    StatementKind.META: """
        hello isMaster ismaster ping buildInfo buildinfo getMore killCursors endSessions refreshSessions killSessions
        startSession authenticate getnonce logout saslStart saslContinue copydbgetnonce copydb connectionStatus explain
        serverStatus dbStats collStats listCollections listDatabases listIndexes listCommands hostInfo getParameter
        setParameter getLog profile currentOp killOp fsync validate whatsmyuri replSetGetStatus replSetGetConfig top
        shutdown usersInfo rolesInfo configureFailPoint
    """,
}
_BY_NAME = {name: kind for kind, names in _KINDS.items() for name in names.split()}
_OF_COLLECTION = frozenset(
    {"create", "drop", "createIndexes", "dropIndexes", "listIndexes", "collMod", "collStats", "validate", "reIndex"}
)

_WRITING_STAGES = frozenset({"$out", "$merge"})
_VALUES = frozenset({"$match", "$literal", "$search", "$searchMeta", "$vectorSearch", "$documents", "query"})
"""Parts of a pipeline in which a text is a value even if it begins with a dollar sign: the hash of a password."""
_NAMES: dict[str, tuple[str, ...]] = {
    "$lookup": ("from", "localField", "foreignField", "as"),
    "$graphLookup": ("from", "connectFromField", "connectToField", "as"),
    "$unionWith": ("coll",),
    "$merge": ("into",),
    "$out": ("coll",),
    "$unwind": ("path",),
    "$count": (),
}
"""Stages with names in them, which are no values; or a name is all that they are given."""
_OTHER_TABLES = frozenset({"from", "coll", "into"})
_WHOLE_TABLES = frozenset({"$unionWith", "$merge", "$out"})

_FIELD = re.compile(r"\${1,2}[A-Za-z_][\w.]{0,80}")
_NAME = re.compile(r"\$?[A-Za-z_][\w.-]{0,80}")
_INDEX = re.compile(r"(?<=\.)\d+(?=\.|$)")
_DEEPEST = 12
_LONGEST = 100
"""Elements of a list beyond which no other form is expected."""


def shape_of(command: Mapping[str, object]) -> Shape:
    """Return the shape of a command: operators and names of fields stay, values go, equal parts of lists are one.

    Of documents that are inserted, and of what an update sets, nothing is kept.
    """
    name = next(iter(command), "?")
    kind = _BY_NAME.get(name, StatementKind.READ)
    target = command.get("collection") if name == "getMore" else command.get(name)
    collection = target if isinstance(target, str) else ""
    reader = _Reader()
    if name == "insert":
        parts, reader.batch = ["?"], _length(command.get("documents")) > 1
    elif name in {"update", "delete"}:
        changes = command.get("updates" if name == "update" else "deletes")
        reader.batch = _length(changes) > 1
        first: Mapping[str, object] = changes[0] if isinstance(changes, (list, tuple)) and changes else {}
        parts = [reader.read(first.get("q") or {}), *(["?"] if name == "update" else [])]
    elif name in {"findAndModify", "findandmodify"}:
        parts = [reader.read(command.get("query") or {}), *_sort(command), "remove" if command.get("remove") else "?"]
    elif name == "bulkWrite":
        return _bulk(command)
    elif name == "find":
        parts = [reader.read(command.get("filter") or {}), *_options(command)]
    elif name == "aggregate":
        parts = [reader.read(command.get("pipeline") or [], fields=True)]
        kind = StatementKind.WRITE if reader.writes else kind
    elif name in {"count", "distinct"}:
        key = command.get("key")
        names = [_quote(key)] if isinstance(key, str) else []
        parts = [*names, reader.read(command.get("query") or {}), *_options(command)]
    elif name in _OF_COLLECTION or name == "getMore":
        parts = []
    else:  # what stands after the name may be anything, the name of a user as well
        return Shape(name, kind)
    text = " ".join([name, *([collection] if collection else []), *parts])
    tables = dict.fromkeys([*([collection] if collection else []), *reader.tables])
    return Shape(text, kind, tuple(tables), reader.batch)


class _Reader:
    """Reads filters and pipelines, and what they say of the whole command."""

    def __init__(self) -> None:
        self.batch = False
        self.writes = False
        self.tables: dict[str, None] = {}

    def read(self, value: object, *, fields: bool = False, depth: int = 0) -> str:
        """Return `value` without its values; with `fields`, a text like "$name" is the name of a field."""
        if isinstance(value, Mapping) and depth < _DEEPEST:
            parts = (f"{_quote(key)}: {self._member(str(key), value[key], fields, depth + 1)}" for key in value)
            return "{" + ", ".join(parts) + "}"
        if isinstance(value, (list, tuple)) and depth < _DEEPEST:
            found = dict.fromkeys(self.read(each, fields=fields, depth=depth + 1) for each in islice(value, _LONGEST))
            self.batch = self.batch or (len(value) > 1 and list(found) == ["?"] and not fields)
            return "[" + ", ".join(found) + "]"
        if fields and isinstance(value, str) and _FIELD.fullmatch(value):
            return f'"{value}"'
        return "?"

    def _member(self, key: str, value: object, fields: bool, depth: int) -> str:
        if not fields:
            return self.read(value, depth=depth)
        self.writes = self.writes or key in _WRITING_STAGES
        if key in _VALUES:
            return self.read(value, depth=depth)
        if key == "$sort" and isinstance(value, Mapping):
            return _directions(value)
        if key not in _NAMES:
            return self.read(value, fields=True, depth=depth)
        if not isinstance(value, Mapping):
            return self._name(value, table=key in _WHOLE_TABLES)
        parts = []
        for name in value:
            if name in _NAMES[key]:
                read = self._name(value[name], table=name in _OTHER_TABLES)
            else:
                read = self._member(str(name), value[name], fields, depth + 1)
            parts.append(f"{_quote(name)}: {read}")
        return "{" + ", ".join(parts) + "}"

    def _name(self, value: object, *, table: bool) -> str:
        if not isinstance(value, str) or _NAME.fullmatch(value) is None:
            return "?"
        if table:
            self.tables[value] = None
        return f'"{value}"'


def _options(command: Mapping[str, object]) -> list[str]:
    projection = command.get("projection")
    fields = [f"fields {{{', '.join(map(_quote, projection))}}}"] if isinstance(projection, Mapping) else []
    return [*fields, *_sort(command), *(f"{name} ?" for name in ("skip", "limit") if command.get(name))]


def _sort(command: Mapping[str, object]) -> list[str]:
    order = command.get("sort")
    return [f"sort {_directions(order)}"] if isinstance(order, Mapping) and order else []


def _directions(order: Mapping[str, object]) -> str:
    known = {1: "1", -1: "-1"}
    parts = (f"{_quote(name)}: {known.get(way, '?') if isinstance(way, int) else '?'}" for name, way in order.items())
    return "{" + ", ".join(parts) + "}"


def _bulk(command: Mapping[str, object]) -> Shape:
    spaces = command.get("nsInfo")
    names: Iterable[object] = (each.get("ns") for each in spaces) if isinstance(spaces, (list, tuple)) else ()
    tables = tuple(dict.fromkeys(name.partition(".")[2] for name in names if isinstance(name, str)))
    batch = _length(command.get("ops")) > 1
    return Shape(" ".join(["bulkWrite", ", ".join(tables), "?"]), StatementKind.WRITE, tables, batch)


def _quote(name: object) -> str:
    text = _INDEX.sub("?", str(name)).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _length(found: object) -> int:
    return len(found) if isinstance(found, (list, tuple)) else 0
