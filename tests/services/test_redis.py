from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pytest_perfguard.model import StatementKind as Kind
from pytest_perfguard.probes.queries import QueryProbe

redis = pytest.importorskip("redis")
import redis.asyncio as aioredis

pytestmark = pytest.mark.service("redis")

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).relative_to(ROOT).as_posix()
PROBE = QueryProbe(ROOT, metrics=["round_trips", "n_plus_one", "batchable", "connections_opened", "connections_leaked"])
BINARY = shutil.which("redis-server")
GREETING = {"hello", "client|setinfo", "info", "select", "auth"}
ON_ITS_OWN = {"command", "cluster|slots", "cluster|shards", "cluster|myid", "ping", "config|resetstat"}
"""What clients of clusters ask by themselves."""


class Server:
    """A server that nobody else asks, or the shared one where none can be started."""

    def __init__(self, url, cluster=False):
        self.url = url
        self.cluster = cluster

    def calls(self):
        """The server's own count of the commands it was given, greetings left out."""
        with redis.Redis.from_url(self.url) as client:
            stats = client.info("commandstats")
        counts = {name.removeprefix("cmdstat_"): found["calls"] for name, found in stats.items()}
        rejected = {name.removeprefix("cmdstat_"): found["rejected_calls"] for name, found in stats.items()}
        return Counter({name: counts[name] + rejected[name] for name in counts if name not in GREETING})


def free_port():
    while True:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        if port + 10_000 < 65_536:  # where nodes of a cluster talk to one another
            return port


@contextmanager
def started(folder, *options):
    port = free_port()
    command = [BINARY, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            for _ in range(200):
                with suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    if BINARY is None:
        yield None
        return
    with started(tmp_path_factory.mktemp("redis")) as port:
        yield Server(f"redis://127.0.0.1:{port}/0")


@pytest.fixture
def server(service, own):
    return own or Server(service)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    if BINARY is None:
        pytest.skip("no redis-server to start a cluster of")
    with started(tmp_path_factory.mktemp("cluster"), "--cluster-enabled", "yes") as port:
        with redis.Redis(port=port) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                time.sleep(0.05)
        yield Server(f"redis://127.0.0.1:{port}", cluster=True)


def record(call, *args):
    token = PROBE.start()
    try:
        call(*args)
    finally:
        reading = PROBE.stop(token)
    return reading


def seen(reading):
    """Counts by the names that the server has for commands."""
    counts = Counter()
    for group in reading.queries.statements:
        if group.kind is not Kind.CONNECTION:
            name, *rest = group.fingerprint.lower().split()
            sub = f"|{rest[0]}" if name in {"script", "client", "object", "config", "xgroup"} else ""
            counts[f"{name}{sub}"] += group.count
    return counts


def compare(server, call, by_scripts=None):
    """The reading of `call`, whose counts are the server's without what scripts call there."""
    before = server.calls()
    reading = record(call)
    truth = server.calls() - before - Counter(by_scripts)
    if server.cluster:
        truth = Counter({name: count for name, count in truth.items() if name not in ON_ITS_OWN})
    assert seen(reading) == truth
    return reading


def ask_everything(client):
    client.set("session:8f2a", "hunter2")
    client.get("session:8f2a")
    client.set("hunter2", 1, ex=100)
    client.mget("user:1", "user:2", "user:3")
    client.mset({"user:1": "hunter2", "user:2": "b"})
    client.hset("basket:7", mapping={"hunter2": 1, "b": 2})
    client.hmget("basket:7", ["hunter2", "b"])
    client.lpush("queue:mail", "hunter2")
    client.blpop(["queue:mail"], timeout=1)
    client.sadd(b"tags:1", "hunter2")
    client.publish("events:hunter2", "hunter2")
    client.ping()
    client.execute_command("OBJECT", "ENCODING", "session:1")
    client.xadd("log:1", {"hunter2": "b"})
    client.xread({"log:1": 0})
    client.delete("user:1", "user:2")
    script = client.register_script("return redis.call('GET', KEYS[1])")
    client.script_flush()
    script(keys=["session:8f2a"], args=["hunter2"])
    script(keys=["session:8f2a"])
    client.eval("return ARGV[1]", 0, "hunter2")
    list(client.scan_iter("session:*"))
    with pytest.raises(redis.ResponseError):
        client.incr("session:8f2a")
    with pytest.raises(redis.DataError):
        client.set("session:1", object())
    with client.lock("guard:1"):
        pass


EVERYTHING = {
    "SET session:?": (Kind.WRITE, 1, ("session",)),
    "GET session:?": (Kind.READ, 1, ("session",)),
    "SET ?": (Kind.WRITE, 1, ()),
    "MGET user:?": (Kind.READ, 1, ("user",)),
    "MSET user:?": (Kind.WRITE, 1, ("user",)),
    "HSET basket:?": (Kind.WRITE, 1, ("basket",)),
    "HMGET basket:?": (Kind.READ, 1, ("basket",)),
    "LPUSH queue:?": (Kind.WRITE, 1, ("queue",)),
    "BLPOP queue:?": (Kind.WRITE, 1, ("queue",)),
    "SADD tags:?": (Kind.WRITE, 1, ("tags",)),
    "PUBLISH events:?": (Kind.WRITE, 1, ()),
    "PING": (Kind.META, 1, ()),
    "OBJECT ENCODING session:?": (Kind.READ, 1, ("session",)),
    "XADD log:?": (Kind.WRITE, 1, ("log",)),
    "XREAD log:?": (Kind.READ, 1, ("log",)),
    "DEL user:?": (Kind.WRITE, 1, ("user",)),
    "SCRIPT FLUSH": (Kind.META, 1, ()),
    "EVALSHA session:?": (Kind.WRITE, 3, ("session",)),
    "SCRIPT LOAD": (Kind.META, 1, ()),
    "EVAL": (Kind.WRITE, 1, ()),
    "SCAN": (Kind.READ, 1, ()),
    "INCRBY session:?": (Kind.WRITE, 1, ("session",)),
    "SET guard:?": (Kind.WRITE, 1, ("guard",)),
    "EVALSHA guard:?": (Kind.WRITE, 2, ("guard",)),
}


def test_every_command_as_often_as_the_server_says(server):
    with redis.Redis.from_url(server.url) as client:
        client.flushdb()
        # Two scripts that were found, and that of the lock.
        reading = compare(server, lambda: ask_everything(client), by_scripts={"get": 2 + 1, "del": 1})
    found = {
        group.fingerprint: (group.kind, group.count, group.tables)
        for group in reading.queries.statements
        if group.kind is not Kind.CONNECTION and not group.fingerprint.startswith("SCRIPT")
    }
    expected = {name: value for name, value in EVERYTHING.items() if not name.startswith("SCRIPT")}
    assert found == expected
    assert "hunter2" not in repr(reading)
    assert reading.values["round_trips"] == reading.values["queries"]
    assert (reading.queries.dialect, reading.queries.driver) == ("redis", "redis")
    assert {group.function.startswith(f"{HERE}:ask_everything") for group in reading.queries.statements} == {True}
    assert min(group.slowest for group in reading.queries.statements if group.kind is not Kind.CONNECTION) > 0


def test_a_pipeline_is_one_round_trip(server):
    with redis.Redis.from_url(server.url) as client:

        def call():
            pipe = client.pipeline(transaction=False)
            for number in range(5):
                pipe.get(f"user:{number}")
            pipe.ping()
            pipe.set("hunter2", "hunter2")
            assert len(pipe.execute()) == 7
            assert pipe.execute() == []

        reading = compare(server, call)
    assert (reading.values["queries"], reading.values["reads"], reading.values["writes"]) == (6, 5, 1)
    assert (reading.values["round_trips"], reading.values["n_plus_one"]) == (1, 0)
    assert {group.line for group in reading.queries.statements if group.kind is Kind.READ} == {
        call.__code__.co_firstlineno + 6
    }


def test_a_loop_is_a_potential_n_plus_one(server):
    with redis.Redis.from_url(server.url) as client:

        def call():
            for number in range(4):
                client.get(f"user:{number}")

        reading = compare(server, call)
    (group,) = [group for group in reading.queries.statements if group.kind is Kind.READ]
    assert (group.count, group.distinct, group.line) == (4, 4, call.__code__.co_firstlineno + 2)
    assert (reading.values["n_plus_one"], reading.values["round_trips"]) == (1, 4)


def test_transactions_scripts_and_what_is_watched(server):
    with redis.Redis.from_url(server.url) as client:
        script = client.register_script("return 1")

        def call():
            with client.pipeline() as pipe:
                pipe.incr("count:1").incr("count:2").execute()
            with client.pipeline() as pipe:
                pipe.watch("count:1")
                pipe.get("count:1")
                pipe.multi()
                pipe.set("count:1", 5)
                pipe.execute()
            with client.pipeline() as pipe:
                pipe.watch("count:1")
            with client.pipeline(transaction=False) as pipe:
                script(keys=["count:1"], client=pipe)
                pipe.execute()

        before = server.calls()
        reading = record(call)
        truth = server.calls() - before
    # Whether scripts are known is asked within the execution of the pipeline: trips of it, and no statements.
    assert truth - seen(reading) == Counter({"script|exists": 1, "script|load": 1})
    assert reading.values["round_trips"] == 1 + 1 + 1 + 3
    kinds = Counter()
    for group in reading.queries.statements:
        kinds[group.kind] += group.count
    assert kinds[Kind.TRANSACTION] == 2 + 3 + 2
    assert reading.values["queries"] == 2 + 2 + 1


def test_subscriptions_and_messages(server):
    with redis.Redis.from_url(server.url) as client, client.pubsub() as listener:

        def call():
            listener.subscribe("news:1", "news:2")
            client.publish("news:1", "hunter2")
            for _ in range(3):
                assert listener.get_message(timeout=1)
            listener.unsubscribe()

        reading = compare(server, call)
    assert (reading.values["queries"], reading.values["writes"]) == (1, 1)
    assert seen(reading) == Counter({"publish": 1, "subscribe": 1, "unsubscribe": 1})


def test_connections_and_their_greeting(server):
    def call():
        client = redis.Redis.from_url(server.url, client_name="hunter2", health_check_interval=1)
        client.get("a:1")
        with ThreadPoolExecutor(1) as executor:
            executor.submit(client.get, "a:2").result()
        client.connection_pool.disconnect()
        client.get("a:3")
        client.close()
        with redis.Redis.from_url(server.url, single_connection_client=True, db=1) as other:
            other.get("a:4")
        with pytest.raises(redis.ConnectionError):
            redis.Redis(port=1, retry=None).ping()

    before = server.calls()
    reading = record(call)
    truth = server.calls() - before
    assert truth["get"] == reading.values["queries"] == 4
    assert (reading.values["connections_opened"], reading.values["connections_leaked"]) == (3, 0)
    assert counts(reading, Kind.META) == 0
    assert "hunter2" not in repr(reading)


def counts(reading, *kinds):
    return sum(group.count for group in reading.queries.statements if group.kind in kinds)


def test_what_is_sent_past_clients_is_seen(server):
    with redis.Redis.from_url(server.url) as client:

        def call():
            connection = client.connection_pool.get_connection()
            connection.send_command("GET", "user:1")
            connection.read_response()
            connection.send_packed_command(connection.pack_commands([("GET", "user:2"), ("SET", "user:3", "\r\n*1")]))
            connection.read_response()
            connection.read_response()
            client.connection_pool.release(connection)

        reading = compare(server, call)
    assert (reading.values["queries"], reading.values["round_trips"]) == (3, 2)
    assert {group.fingerprint for group in reading.queries.statements} >= {"GET user:?", "SET user:?"}


def ways():
    def sync(ask):
        ask(0)

    def thread(ask):
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

    def pool(ask):
        with ThreadPoolExecutor(2) as executor:
            list(executor.map(ask, range(4)))

    return [pytest.param(way, times, id=way.__name__) for way, times in ((sync, 1), (thread, 3), (pool, 4))]


@pytest.mark.parametrize(("way", "times"), ways())
@pytest.mark.parametrize("opened", ["before", "within", "early import"])
def test_threads_early_imports_and_open_clients(server, way, times, opened):
    early = redis.Redis
    client = redis.Redis.from_url(server.url) if opened == "before" else None
    get = client.get if client else None  # bound before anything was watched
    if client:
        client.get("user:0")

    def ask(number):
        if client:
            client.get(f"user:{number}")
            get(f"user:{number}")
            return
        kind = early if opened == "early import" else sys.modules["redis"].Redis
        with kind.from_url(server.url) as own:
            own.get(f"user:{number}")

    reading = compare(server, lambda: way(ask))
    if client:
        client.close()
    assert reading.values["reads"] == times * (2 if client else 1)
    assert {group.function for group in reading.queries.statements if group.kind is Kind.READ} == {
        f"{HERE}:test_threads_early_imports_and_open_clients.<locals>.ask"
    }


def test_subclasses(server):
    class Counting(redis.Redis):
        def execute_command(self, *args, **options):
            return super().execute_command(*args, **options)

    class Prefixing(redis.Redis):
        def execute_command(self, *args, **options):
            return self._execute_command(args[0], f"mine:{args[1]}", *args[2:], **options)

    with Counting.from_url(server.url) as one, Prefixing.from_url(server.url) as two:

        def call():
            one.get("user:1")
            two.get("user:1")

        reading = compare(server, call)
    assert {group.fingerprint for group in reading.queries.statements if group.kind is Kind.READ} == {
        "GET user:?",
        "GET mine:?",
    }


def modules():
    return [
        module
        for name in ("client", "connection", "cluster", "asyncio.client", "asyncio.connection", "asyncio.cluster")
        if (module := sys.modules.get(f"redis.{name}")) is not None
    ]


def test_nothing_stays_patched(server):
    owners = [owner for module in modules() for owner in vars(module).values() if isinstance(owner, type)]
    before = [dict(vars(owner)) for owner in owners]

    def call():
        assert [dict(vars(owner)) for owner in owners] != before

    record(call)
    assert [dict(vars(owner)) for owner in owners] == before


async def aask(client, number):
    await client.get(f"user:{number}")


@pytest.mark.parametrize("where", ["task", "thread"])
@pytest.mark.parametrize("opened", ["before", "within"])
def test_asynchronous_clients(server, where, opened):
    async def main():
        client = aioredis.Redis.from_url(server.url)
        if opened == "before":
            await client.ping()
        token = PROBE.start()
        await asyncio.gather(*(asyncio.create_task(aask(client, number)) for number in range(3)))
        await client.mget("user:1", "user:2")
        pipe = client.pipeline(transaction=False)
        pipe.get("user:1").set("user:2", "hunter2")
        await pipe.execute()
        async with client.pipeline() as pipe:
            await pipe.watch("user:1")
            await pipe.get("user:1")
            pipe.multi()
            pipe.set("user:1", 5)
            await pipe.execute()
        await client.register_script("return 1")(keys=["user:1"])
        await client.blpop(["queue:1"], timeout=0.01)
        async with client.pubsub() as listener:
            await listener.subscribe("news:1")
            await client.publish("news:1", "hunter2")
            await listener.get_message(timeout=1)
        reading = PROBE.stop(token)
        await client.aclose()
        return reading

    with redis.Redis.from_url(server.url) as client:
        client.script_flush()
    before = server.calls()
    if where == "task":
        reading = asyncio.run(main())
    else:
        with ThreadPoolExecutor(1) as executor:
            reading = executor.submit(lambda: asyncio.run(main())).result()
    truth = server.calls() - before - Counter({"ping": opened == "before"})
    assert seen(reading) == truth
    assert (reading.values["reads"], reading.values["writes"]) == (3 + 1 + 1 + 1, 1 + 1 + 2 + 1 + 1)
    assert reading.values["round_trips"] == 3 + 1 + 1 + 2 + 2 + 1 + 1
    assert "hunter2" not in repr(reading)
    functions = {group.function for group in reading.queries.statements if group.kind is not Kind.CONNECTION}
    assert functions == {f"{HERE}:aask", f"{HERE}:test_asynchronous_clients.<locals>.main"}


def test_clusters(cluster):
    client = redis.RedisCluster.from_url(cluster.url)

    def call():
        client.set("user:1", "a")
        client.get("user:1")
        client.mget_nonatomic("user:1", "user:2")
        with client.pipeline() as pipe:
            pipe.get("user:1").get("user:2").set("user:3", 1)
            assert len(pipe.execute()) == 3
        with client.pipeline(transaction=True) as pipe:
            pipe.set("{user}:1", 1).get("{user}:1").execute()
        other = redis.RedisCluster.from_url(cluster.url)
        other.get("user:1")
        other.close()

    reading = compare(cluster, call)
    client.close()
    assert reading.values["queries"] == 2 + 2 + 3 + 2 + 1
    assert reading.values["round_trips"] == 2 + 1 + 1 + 1 + 1  # one node, whatever the number of keys


def test_asynchronous_clusters(cluster):
    async def main():
        async with aioredis.RedisCluster.from_url(cluster.url) as client:
            await client.get("user:0")
            token = PROBE.start()
            await client.set("user:1", "a")
            await client.get("user:1")
            async with client.pipeline() as pipe:
                pipe.get("user:1").get("user:2").set("user:3", 1)
                assert len(await pipe.execute()) == 3
            async with client.pipeline(transaction=True) as pipe:
                await pipe.set("{user}:1", 1).get("{user}:1").execute()
            return PROBE.stop(token)

    before = cluster.calls()
    reading = asyncio.run(main())
    truth = cluster.calls() - before - Counter({"get": 1})
    assert seen(reading) == Counter({name: count for name, count in truth.items() if name not in ON_ITS_OWN})
    assert reading.values["queries"] == 2 + 3 + 2
    assert reading.values["round_trips"] == 2 + 1 + 1
    assert {group.function for group in reading.queries.statements} == {
        f"{HERE}:test_asynchronous_clusters.<locals>.main"
    }
