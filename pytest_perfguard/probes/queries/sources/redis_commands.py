"""What a Redis command does, and what is kept of it once its values are gone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pytest_perfguard.model import StatementKind
from pytest_perfguard.probes.watch.entry import Shape

_KINDS = {
    StatementKind.WRITE: """
        APPEND BITFIELD BITOP BLMOVE BLMPOP BLPOP BRPOP BRPOPLPUSH BZMPOP BZPOPMAX BZPOPMIN COPY DECR DECRBY DEL DELEX
        EVAL EVALSHA EXPIRE EXPIREAT FCALL FLUSHALL FLUSHDB GEOADD GEOSEARCHSTORE GETDEL GETEX GETSET HDEL HEXPIRE
        HEXPIREAT HGETDEL HGETEX HINCRBY HINCRBYFLOAT HMSET HPERSIST HPEXPIRE HPEXPIREAT HSET HSETEX HSETNX INCR INCRBY
        INCRBYFLOAT LINSERT LMOVE LMPOP LPOP LPUSH LPUSHX LREM LSET LTRIM MIGRATE MOVE MSET MSETEX MSETNX PERSIST
        PEXPIRE PEXPIREAT PFADD PFMERGE PSETEX PUBLISH RENAME RENAMENX RESTORE RPOP RPOPLPUSH RPUSH RPUSHX SADD
        SDIFFSTORE SET SETBIT SETEX SETNX SETRANGE SINTERSTORE SMOVE SPOP SPUBLISH SREM SUNIONSTORE SWAPDB UNLINK XACK
        XACKDEL XADD XAUTOCLAIM XCLAIM XDEL XDELEX XGROUP XREADGROUP XSETID XTRIM ZADD ZDIFFSTORE ZINCRBY ZINTERSTORE
        ZMPOP ZPOPMAX ZPOPMIN ZRANGESTORE ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE ZUNIONSTORE
        JSON.ARRAPPEND JSON.ARRINSERT JSON.ARRPOP JSON.ARRTRIM JSON.CLEAR JSON.DEL JSON.FORGET JSON.MERGE JSON.MSET
        JSON.NUMINCRBY JSON.NUMMULTBY JSON.SET JSON.STRAPPEND JSON.TOGGLE TS.ADD TS.DECRBY TS.DEL TS.INCRBY TS.MADD
        BF.ADD BF.INSERT BF.MADD CF.ADD CF.ADDNX CF.DEL CF.INSERT CMS.INCRBY TOPK.ADD VADD VREM VSETATTR
    """,
    StatementKind.TRANSACTION: "MULTI EXEC DISCARD WATCH UNWATCH",
    StatementKind.DDL: """
        FT.ALTER FT.CREATE FT.DROPINDEX FT.ALIASADD FT.ALIASDEL FT.ALIASUPDATE TS.ALTER TS.CREATE TS.CREATERULE
        TS.DELETERULE BF.RESERVE CF.RESERVE CMS.INITBYDIM CMS.INITBYPROB TOPK.RESERVE
    """,
    StatementKind.META: """
        ACL ASKING AUTH BGREWRITEAOF BGSAVE CLIENT CLUSTER COMMAND CONFIG DEBUG ECHO FAILOVER FUNCTION HELLO INFO
        LASTSAVE LATENCY LOLWUT MEMORY MODULE MONITOR PING PSUBSCRIBE PSYNC PUBSUB PUNSUBSCRIBE QUIT READONLY READWRITE
        REPLICAOF RESET ROLE SAVE SCRIPT SELECT SENTINEL SHUTDOWN SLAVEOF SLOWLOG SSUBSCRIBE SUBSCRIBE SUNSUBSCRIBE
        SYNC TIME UNSUBSCRIBE WAIT WAITAOF
    """,
}
_BY_NAME = {name: kind for kind, names in _KINDS.items() for name in names.split()}


def _of_each(*lists: tuple[int, str]) -> dict[str, int]:
    return {name: number for number, names in lists for name in names.split()}


_CONTAINERS = frozenset(
    {
        "ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DEBUG", "FUNCTION", "LATENCY", "MEMORY", "MODULE", "OBJECT",
        "PUBSUB", "SCRIPT", "SENTINEL", "SLOWLOG", "XGROUP", "XINFO",
    }
)  # fmt: skip
"""Commands whose first argument says what they do."""

_KEYLESS = frozenset(
    name for name, kind in _BY_NAME.items() if kind in (StatementKind.META, StatementKind.TRANSACTION)
) | {"DBSIZE", "FLUSHALL", "FLUSHDB", "KEYS", "RANDOMKEY", "SCAN", "SWAPDB"}
"""Commands of whose arguments nothing is kept: passwords and scripts, or no keys."""

_CHANNELS = frozenset({"PUBLISH", "SPUBLISH"})

_KEY_AT = _of_each(
    (2, "BITOP LMPOP MEMORY MSETEX OBJECT SINTERCARD XGROUP XINFO ZDIFF ZINTER ZINTERCARD ZMPOP ZUNION"),
    (3, "BLMPOP BZMPOP EVAL EVALSHA EVALSHA_RO EVAL_RO FCALL FCALL_RO MIGRATE"),
)
"""Where the first key stands, if not right after the name."""

_SCRIPTS = frozenset({"EVAL", "EVALSHA", "EVALSHA_RO", "EVAL_RO", "FCALL", "FCALL_RO"})
"""Commands that say how many keys they have."""

_AFTER_STREAMS = frozenset({"XREAD", "XREADGROUP"})

_SEVERAL = _of_each(
    (3, "DEL EXISTS MGET PFCOUNT SDIFF SINTER SUNION TOUCH UNLINK"),
    (4, "HDEL HMGET LPUSH LPUSHX PFADD RPUSH RPUSHX SADD SMISMEMBER SREM XDEL ZMSCORE ZREM BF.MADD JSON.MGET TOPK.ADD"),
    (5, "MSET MSETNX XACK"),
    (6, "HMSET HSET ZADD"),
    (7, "JSON.MSET TS.MADD"),
)
"""How many parts a command has at least, its name included, that asks for several things at once."""

_WORD = re.compile(r"([A-Za-z_][A-Za-z_-]{0,30}):")
_NAME = re.compile(r"[A-Z][A-Z0-9._]{0,30}")


def shape_of(arguments: Sequence[object]) -> Shape:
    """Return the shape of a command: its name, and of its first key what stands before the first colon, if a word.

    A key may hold names, tokens and addresses: "session:?" is kept of session:8f2a, and "?" of anything else.
    """
    name, rest = _name(arguments)
    base, _, sub = name.partition(" ")
    kind = _BY_NAME.get(base, StatementKind.READ)
    if name == "MEMORY USAGE":
        kind = StatementKind.READ
    elif base in _KEYLESS:
        return Shape(name, kind)
    elif base == "SORT" and any(_text(part).upper() == "STORE" for part in rest):
        kind = StatementKind.WRITE
    batch = base in _SEVERAL and len(arguments) >= _SEVERAL[base]
    key = _key(base, bool(sub), rest)
    if key is None:
        return Shape(name, kind, batch=batch)
    word = _WORD.match(_text(key))
    if word is None:
        return Shape(f"{name} ?", kind, batch=batch)
    return Shape(f"{name} {word[1]}:?", kind, () if base in _CHANNELS else (word[1],), batch)


def _name(arguments: Sequence[object]) -> tuple[str, Sequence[object]]:
    if not arguments:
        return "?", ()
    words = _text(arguments[0]).upper().split()
    rest = arguments[1:]
    if len(words) == 1 and words[0] in _CONTAINERS and rest:
        words.append(_text(rest[0]).upper())
        rest = rest[1:]
    if not words or not all(map(_NAME.fullmatch, words)):
        return "?", ()
    return " ".join(words[:2]), rest


def _key(base: str, has_sub: bool, rest: Sequence[object]) -> object:
    """Return the first key; None where there is none."""
    if base in _AFTER_STREAMS:
        names = [_text(part).upper() for part in rest]
        place = names.index("STREAMS") + 1 if "STREAMS" in names else len(rest)
    else:
        place = _KEY_AT.get(base, 1) - 1 - has_sub
        if base in _SCRIPTS and _text(rest[1] if len(rest) > 1 else "0") == "0":
            return None
    return rest[place] if len(rest) > place else None


def _text(part: object) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, (bytes, bytearray)):
        return bytes(part[:200]).decode("utf-8", "replace")
    return str(part) if isinstance(part, int) else ""


def unpack(packed: object) -> list[list[bytes]]:
    """Return the commands in what is about to be sent, in Redis' own protocol; nothing of what cannot be read."""
    pieces: Any = packed if isinstance(packed, (list, tuple)) else [packed]
    data = b"".join(piece.encode() if isinstance(piece, str) else bytes(piece) for piece in pieces)
    commands: list[list[bytes]] = []
    at = 0
    while data[at : at + 1] == b"*":
        end = data.index(b"\r\n", at)
        count, at = int(data[at + 1 : end]), end + 2
        command: list[bytes] = []
        for _ in range(count):
            end = data.index(b"\r\n", at)
            size, at = int(data[at + 1 : end]), end + 2
            command.append(data[at : at + size])
            at += size + 2
        commands.append(command)
    return commands
