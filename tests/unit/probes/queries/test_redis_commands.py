from __future__ import annotations

import pytest

from pytest_perfguard.model import StatementKind as Kind
from pytest_perfguard.probes.queries.sources.redis_commands import shape_of, unpack


@pytest.mark.parametrize(
    ("command", "text", "kind", "tables", "batch"),
    [
        (("GET", "session:8f2a"), "GET session:?", Kind.READ, ("session",), False),
        (("get", b"session:8f2a"), "GET session:?", Kind.READ, ("session",), False),
        (("GET", "hunter2"), "GET ?", Kind.READ, (), False),
        (("GET", "hunter2:1"), "GET ?", Kind.READ, (), False),  # no plain word
        (("GET", "x" * 40 + ":1"), "GET ?", Kind.READ, (), False),
        (("GET", 5), "GET ?", Kind.READ, (), False),
        (("GET", memoryview(b"user:1")), "GET ?", Kind.READ, (), False),
        (("GET",), "GET", Kind.READ, (), False),
        (("SET", "hunter2", "user:1"), "SET ?", Kind.WRITE, (), False),
        (("MGET", "user:1"), "MGET user:?", Kind.READ, ("user",), False),
        (("MGET", "user:1", "user:2"), "MGET user:?", Kind.READ, ("user",), True),
        (("MSET", "user:1", 1), "MSET user:?", Kind.WRITE, ("user",), False),
        (("MSET", "user:1", 1, "user:2", 2), "MSET user:?", Kind.WRITE, ("user",), True),
        (("HSET", "user:1", "a", 1), "HSET user:?", Kind.WRITE, ("user",), False),
        (("HSET", "user:1", "a", 1, "b", 2), "HSET user:?", Kind.WRITE, ("user",), True),
        (("DEL", "user:1", "user:2"), "DEL user:?", Kind.WRITE, ("user",), True),
        (("EVALSHA", "5f", 1, "user:1", "hunter2"), "EVALSHA user:?", Kind.WRITE, ("user",), False),
        (("EVAL", "return 'user:1'", 0, "user:1"), "EVAL", Kind.WRITE, (), False),
        (("EVAL_RO", "return 1", "1", "user:1"), "EVAL_RO user:?", Kind.READ, ("user",), False),
        (("OBJECT", "ENCODING", "user:1"), "OBJECT ENCODING user:?", Kind.READ, ("user",), False),
        (("OBJECT ENCODING", "user:1"), "OBJECT ENCODING user:?", Kind.READ, ("user",), False),
        (("MEMORY USAGE", "user:1"), "MEMORY USAGE user:?", Kind.READ, ("user",), False),
        (("MEMORY", "STATS"), "MEMORY STATS", Kind.META, (), False),
        (("XGROUP CREATE", "log:1", "g", "$"), "XGROUP CREATE log:?", Kind.WRITE, ("log",), False),
        (
            ("XREADGROUP", "GROUP", "a:1", "b:1", "STREAMS", "log:1", ">"),
            "XREADGROUP log:?",
            Kind.WRITE,
            ("log",),
            False,
        ),
        (("BITOP", "AND", "a:1", "b:1"), "BITOP a:?", Kind.WRITE, ("a",), False),
        (("ZUNION", 2, "z:1", "z:2"), "ZUNION z:?", Kind.READ, ("z",), False),
        (("SORT", "list:1"), "SORT list:?", Kind.READ, ("list",), False),
        (("SORT", "list:1", "STORE", "other:1"), "SORT list:?", Kind.WRITE, ("list",), False),
        (("PUBLISH", "news:1", "hunter2"), "PUBLISH news:?", Kind.WRITE, (), False),
        (("SUBSCRIBE", "news:1"), "SUBSCRIBE", Kind.META, (), False),
        (("AUTH", "user:1", "hunter2"), "AUTH", Kind.META, (), False),
        (("HELLO", 3, "AUTH", "user:1", "hunter2"), "HELLO", Kind.META, (), False),
        (("CONFIG SET", "requirepass", "hunter2"), "CONFIG SET", Kind.META, (), False),
        (("ACL", "SETUSER", "hunter2", ">hunter2"), "ACL SETUSER", Kind.META, (), False),
        (("CLIENT", "SETNAME", "hunter2"), "CLIENT SETNAME", Kind.META, (), False),
        (("SCRIPT LOAD", "return 'hunter2'"), "SCRIPT LOAD", Kind.META, (), False),
        (("WATCH", "user:1"), "WATCH", Kind.TRANSACTION, (), False),
        (("FLUSHALL",), "FLUSHALL", Kind.WRITE, (), False),
        (("JSON.SET", "doc:1", "$", "{}"), "JSON.SET doc:?", Kind.WRITE, ("doc",), False),
        (("FT.SEARCH", "index", "hunter2"), "FT.SEARCH ?", Kind.READ, (), False),
        (("UNHEARD", "a:1"), "UNHEARD a:?", Kind.READ, ("a",), False),
        (("hunter 2",), "?", Kind.READ, (), False),
        (("",), "?", Kind.READ, (), False),
        ((), "?", Kind.READ, (), False),
        ((object(), "a:1"), "?", Kind.READ, (), False),
    ],
)
def test_shapes(command, text, kind, tables, batch):
    assert tuple(shape_of(command)) == (text, kind, tables, batch)


def test_packed_commands_are_read():
    packed = [b"*2\r\n$3\r\nGET\r\n$6\r\nuser:1\r\n*3\r\n", b"$3\r\nSET\r\n$1\r\na\r\n$4\r\n\r\n*1\r\n"]
    assert unpack(packed) == [[b"GET", b"user:1"], [b"SET", b"a", b"\r\n*1"]]
    assert unpack(b"*1\r\n$4\r\nPING\r\n") == [[b"PING"]]
    assert unpack("PING\r\n") == []
