"""A server that speaks as much of MongoDB's protocol as PyMongo needs for the tests' commands, and counts them."""

from __future__ import annotations

import itertools
import socketserver
import struct
import threading
from collections import Counter, defaultdict
from typing import Any, ClassVar

import bson

GREETINGS = frozenset({"hello", "isMaster", "ismaster"})
_OP_REPLY, _OP_QUERY, _OP_MSG = 1, 2004, 2013
_MORE_TO_COME = 2
_BATCH = 101


class MongoServer:
    """Listens on a port of its own; a context manager."""

    def __init__(self, **hello: Any) -> None:
        self.hello = hello
        """What its greeting says beyond the usual, such as `msg="isdbgrid"` of a router, which knows transactions."""
        self.commands: Counter[str] = Counter()
        """How often each command was received."""
        self.collections: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self._cursors: dict[int, tuple[str, list[dict[str, Any]]]] = {}
        self._numbers = itertools.count(7001)
        self._lock = threading.Lock()

    def __enter__(self) -> MongoServer:
        handler = type("Handler", (_Handler,), {"mongo": self})
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self._server.server_address
        return f"mongodb://{host}:{port}/?directConnection=true&serverSelectionTimeoutMS=5000"

    def taken(self) -> Counter[str]:
        """Return how often each command was received, greetings left out, and begin to count anew."""
        with self._lock:
            counts = Counter({name: count for name, count in self.commands.items() if name not in GREETINGS})
            self.commands.clear()
        return counts

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Return the reply to a command."""
        name = next(iter(command))
        with self._lock:
            self.commands[name] += 1
            if name in GREETINGS:
                return self._greet()
            method = getattr(self, f"_{name.lower()}", None)
            if method is None:
                return {"ok": 0.0, "errmsg": f"no such command: {name}", "code": 59, "codeName": "CommandNotFound"}
            return {"ok": 1.0, **method(command, f"{command['$db']}.{command[name]}")}

    def _greet(self) -> dict[str, Any]:
        return {
            "ok": 1.0,
            "helloOk": True,
            "ismaster": True,
            "isWritablePrimary": True,
            "maxBsonObjectSize": 16 << 20,
            "maxMessageSizeBytes": 48_000_000,
            "maxWriteBatchSize": 1000,
            "logicalSessionTimeoutMinutes": 30,
            "minWireVersion": 0,
            "maxWireVersion": 25,
            "readOnly": False,
            **self.hello,
        }

    def _find(self, command: dict[str, Any], name: str) -> dict[str, Any]:
        if "$fail" in command.get("filter", {}):
            return {"ok": 0.0, "errmsg": "unknown operator: $fail", "code": 2, "codeName": "BadValue"}
        found = [each for each in self.collections[name] if _matches(each, command.get("filter", {}))]
        limit = abs(command.get("limit", 0))
        return self._cursor(name, found[:limit] if limit else found, command.get("batchSize", _BATCH))

    def _cursor(
        self, name: str, documents: list[dict[str, Any]], size: int, batch: str = "firstBatch"
    ) -> dict[str, Any]:
        number = 0
        if len(documents) > size:
            number = next(self._numbers)
            self._cursors[number] = (name, documents[size:])
        return {"cursor": {"id": bson.Int64(number), "ns": name, batch: documents[:size]}}

    def _getmore(self, command: dict[str, Any], _name: str) -> dict[str, Any]:
        number = command["getMore"]
        name, documents = self._cursors.pop(number)
        size = command.get("batchSize", _BATCH)
        if len(documents) > size:
            self._cursors[number] = (name, documents[size:])
        rest = number if number in self._cursors else 0
        return {"cursor": {"id": bson.Int64(rest), "ns": name, "nextBatch": documents[:size]}}

    def _killcursors(self, command: dict[str, Any], _name: str) -> dict[str, Any]:
        return {"cursorsKilled": [number for number in command["cursors"] if self._cursors.pop(number, None)]}

    def _aggregate(self, command: dict[str, Any], name: str) -> dict[str, Any]:
        found = list(self.collections[name])
        for stage in command["pipeline"]:
            if "$match" in stage:
                found = [each for each in found if _matches(each, stage["$match"])]
            elif "$group" in stage:
                found = [{"_id": 1, "n": len(found)}] if found else []
        return self._cursor(name, found, command.get("cursor", {}).get("batchSize", _BATCH))

    def _count(self, command: dict[str, Any], name: str) -> dict[str, Any]:
        return {"n": sum(_matches(each, command.get("query", {})) for each in self.collections[name])}

    def _distinct(self, command: dict[str, Any], name: str) -> dict[str, Any]:
        found = (each for each in self.collections[name] if _matches(each, command.get("query", {})))
        return {"values": list(dict.fromkeys(each[command["key"]] for each in found if command["key"] in each))}

    def _insert(self, command: dict[str, Any], name: str) -> dict[str, Any]:
        self.collections[name] += command["documents"]
        return {"n": len(command["documents"])}

    def _update(self, command: dict[str, Any], name: str) -> dict[str, Any]:
        changed = 0
        for change in command["updates"]:
            found = [each for each in self.collections[name] if _matches(each, change["q"])]
            for each in found if change.get("multi") else found[:1]:
                each.update(change["u"].get("$set", {}))
                changed += 1
        return {"n": changed, "nModified": changed}

    def _delete(self, command: dict[str, Any], name: str) -> dict[str, Any]:
        before = len(self.collections[name])
        for change in command["deletes"]:
            found = [each for each in self.collections[name] if _matches(each, change["q"])]
            for each in found[: change["limit"] or None]:
                self.collections[name].remove(each)
        return {"n": before - len(self.collections[name])}

    def _findandmodify(self, command: dict[str, Any], name: str) -> dict[str, Any]:
        found = next((each for each in self.collections[name] if _matches(each, command["query"])), None)
        before = dict(found) if found is not None else None
        if found is not None and command.get("remove"):
            self.collections[name].remove(found)
        elif found is not None:
            found.update(command["update"].get("$set", {}))
        return {"value": before, "lastErrorObject": {"n": int(found is not None)}}

    def _bulkwrite(self, command: dict[str, Any], _name: str) -> dict[str, Any]:
        spaces = [each["ns"] for each in command["nsInfo"]]
        inserts = [each for each in command["ops"] if "insert" in each]
        for each in inserts:
            self.collections[spaces[each["insert"]]].append(each["document"])
        results = [{"ok": 1.0, "idx": number, "n": 1} for number in range(len(command["ops"]))]
        counts = dict.fromkeys(("nErrors", "nMatched", "nModified", "nUpserted", "nDeleted"), 0)
        empty = {"cursor": {"id": bson.Int64(0), "ns": "admin.$cmd.bulkWrite", "firstBatch": results}}
        return {**empty, **counts, "nInserted": len(inserts)}

    def _nothing(self, _command: dict[str, Any], _name: str) -> dict[str, Any]:
        return {}

    _ping = _buildinfo = _endsessions = _create = _drop = _createindexes = _nothing
    _committransaction = _aborttransaction = _nothing


class _Handler(socketserver.BaseRequestHandler):
    mongo: ClassVar[MongoServer]

    def handle(self) -> None:
        """Answer until the client has closed its end."""
        try:
            while header := self._receive(16):
                length, request, _, code = struct.unpack("<iiii", header)
                body = self._receive(length - 16)
                reply = self._query(body, request) if code == _OP_QUERY else self._message(body, request)
                if reply:
                    self.request.sendall(reply)
        except (ConnectionError, OSError):
            pass

    def _receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.request.recv(size - len(data))
            if not piece:
                return b""
            data += piece
        return data

    def _query(self, body: bytes, request: int) -> bytes:
        start = body.index(b"\0", 4) + 1 + 8
        size = struct.unpack_from("<i", body, start)[0]
        reply = bson.encode(self.mongo.answer({**bson.decode(body[start : start + size]), "$db": "admin"}))
        fields = struct.pack("<iqii", 8, 0, 0, 1)
        return struct.pack("<iiii", 16 + len(fields) + len(reply), 0, request, _OP_REPLY) + fields + reply

    def _message(self, body: bytes, request: int) -> bytes:
        (flags,) = struct.unpack_from("<I", body)
        command: dict[str, Any] = {}
        lists: dict[str, list[Any]] = {}
        at = 4
        while at < len(body):
            size = struct.unpack_from("<i", body, at + 1)[0]
            part = body[at + 1 : at + 1 + size]
            if body[at] == 0:
                command = bson.decode(part)
            else:
                name, _, documents = part[4:].partition(b"\0")
                lists[name.decode()] = bson.decode_all(documents)
            at += 1 + size
        reply = self.mongo.answer({**command, **lists})
        if flags & _MORE_TO_COME:
            return b""
        payload = struct.pack("<IB", 0, 0) + bson.encode(reply)
        return struct.pack("<iiii", 16 + len(payload), 0, request, _OP_MSG) + payload


_OPERATORS = {
    "$gt": lambda value, wanted: value is not None and value > wanted,
    "$lt": lambda value, wanted: value is not None and value < wanted,
    "$in": lambda value, wanted: value in wanted,
}


def _matches(document: dict[str, Any], query: dict[str, Any]) -> bool:
    for name, wanted in query.items():
        if name == "$or":
            if not any(_matches(document, each) for each in wanted):
                return False
        elif isinstance(wanted, dict) and wanted and all(key in _OPERATORS for key in wanted):
            if not all(_OPERATORS[key](document.get(name), value) for key, value in wanted.items()):
                return False
        elif document.get(name) != wanted:
            return False
    return True
