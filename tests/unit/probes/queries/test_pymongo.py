from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pymongo = pytest.importorskip("pymongo")

from pymongo import monitoring

from pytest_perfguard.model import StatementKind as Kind
from pytest_perfguard.probes.queries import QueryProbe
from pytest_perfguard.probes.queries.sources.pymongo_commands import shape_of
from tests.unit.probes.queries.mongo_server import MongoServer

ROOT = Path(__file__).parents[4]
HERE = Path(__file__).relative_to(ROOT).as_posix()
PROBE = QueryProbe(
    ROOT, metrics=["round_trips", "rows", "n_plus_one", "batchable", "connections_opened", "connections_leaked"]
)


@pytest.fixture
def server():
    with MongoServer() as started:
        yield started


@pytest.fixture
def client(server):
    with pymongo.MongoClient(server.url) as made:
        made.admin.command("ping")  # the connection is open
        server.taken()
        yield made


def record(call, *args):
    token = PROBE.start()
    try:
        call(*args)
    finally:
        reading = PROBE.stop(token)
    return reading


def seen(reading):
    counts = Counter()
    for group in reading.queries.statements:
        if group.kind is not Kind.CONNECTION:
            counts[group.fingerprint.split()[0]] += group.count
    return counts


def test_every_command_as_often_as_the_server_says(server, client):
    users = client.test.users

    def call():
        users.insert_one({"_id": 1, "name": "hunter2"})
        users.insert_many([{"name": "hunter2", "age": age} for age in range(2500)])
        assert users.find_one({"_id": 1}) == {"_id": 1, "name": "hunter2"}
        assert users.count_documents({"age": 3}) == 1
        assert users.estimated_document_count() == 2501
        assert users.distinct("name", {"age": 3}) == ["hunter2"]
        users.update_one({"_id": 1}, {"$set": {"name": "hunter2"}})
        users.update_many({"age": {"$lt": 3}}, {"$set": {"hunter2": 1}})
        users.replace_one({"_id": "hunter2"}, {"a": 1})
        assert users.delete_one({"age": 4}).deleted_count == 1
        assert users.find_one_and_delete({"age": 5})["age"] == 5
        users.bulk_write(
            [pymongo.InsertOne({"a": 1}), pymongo.UpdateOne({"a": 1}, {"$set": {"b": 2}}), pymongo.DeleteOne({"z": 1})]
        )
        client.bulk_write([pymongo.InsertOne({"a": n}, namespace="test.orders") for n in range(3)])
        users.create_index("age")
        with pytest.raises(pymongo.errors.OperationFailure):
            users.find_one({"$fail": 1})
        with pytest.raises(pymongo.errors.OperationFailure):
            client.test.command("unheard", "hunter2")
        client.admin.command("ping")

    reading = record(call)
    assert seen(reading) == server.taken()
    assert reading.values["reads"] == 1 + 1 + 1 + 1 + 1 + 1
    assert reading.values["writes"] == 1 + 3 + 3 + 1 + 1 + 3 + 1  # at most 1000 documents are sent together
    assert reading.values["round_trips"] == reading.values["queries"]
    assert reading.values["connections_opened"] == 0
    assert (reading.queries.dialect, reading.queries.driver) == ("mongodb", "pymongo")
    assert "hunter2" not in repr(reading).replace('{"hunter2": 1}', "")
    assert {group.line > 0 and group.slowest > 0 for group in reading.queries.statements} == {True}
    assert {group.function for group in reading.queries.statements} == {
        f"{HERE}:test_every_command_as_often_as_the_server_says.<locals>.call"
    }


def test_asking_for_more_is_a_trip_of_the_command_that_opened_the_cursor(server, client):
    client.test.users.insert_many([{"age": age} for age in range(350)])
    old = client.test.users.find()
    next(old)
    server.taken()

    def call():
        assert len(list(client.test.users.find({"age": {"$lt": 340}}))) == 340
        assert len(list(client.test.users.aggregate([{"$match": {}}], batchSize=200))) == 350
        list(old)

    reading = record(call)
    assert server.taken() == Counter(find=1, aggregate=1, getMore=3 + 1 + 3)
    assert (reading.values["queries"], reading.values["round_trips"]) == (2, 1 + 3 + 1 + 1)
    assert reading.values["rows"] == 340 + 350
    (more,) = [group for group in reading.queries.statements if group.kind is Kind.META]
    assert (more.fingerprint, more.count) == ("getMore users", 1)  # the first; those that follow are trips of it


def test_a_loop_and_its_batch(client):
    def call():
        for number in range(4):
            client.test.users.find_one({"_id": number})
        for number in range(4):
            client.test.users.insert_one({"_id": number})
        list(client.test.users.find({"_id": {"$in": [1, 2, 3]}}))
        client.test.users.insert_many([{"a": 1}, {"a": 2}])

    reading = record(call)
    assert (reading.values["n_plus_one"], reading.values["batchable"]) == (1, 1)
    loop = next(group for group in reading.queries.statements if group.fingerprint == 'find users {"_id": ?} limit ?')
    assert (loop.count, loop.looped, loop.line) == (4, 4, call.__code__.co_firstlineno + 2)


def test_transactions_are_told_apart():
    with MongoServer(msg="isdbgrid") as server, pymongo.MongoClient(server.url) as client:

        def call():
            with client.start_session() as session, session.start_transaction():
                client.test.users.insert_one({"a": 1}, session=session)

        reading = record(call)
        assert seen(reading) == server.taken()
    kinds = {group.fingerprint: group.kind for group in reading.queries.statements}
    assert kinds["commitTransaction"] is Kind.TRANSACTION
    assert reading.values["queries"] == 1


def test_greetings_and_what_watches_over_servers_do_not_count(server):
    def call():
        with pymongo.MongoClient(server.url, heartbeatFrequencyMS=500) as client:
            client.test.users.find_one()
            threading.Event().wait(1.2)

    reading = record(call)
    assert server.commands["hello"] + server.commands["ismaster"] + server.commands["isMaster"] > 3
    assert seen(reading) == server.taken() == Counter(find=1, endSessions=1)
    assert (reading.values["connections_opened"], reading.values["connections_leaked"]) == (1, 0)


class Listener(monitoring.CommandListener):
    def __init__(self):
        self.heard = Counter()

    def started(self, event):
        self.heard["started", event.command_name] += 1

    def succeeded(self, event):
        self.heard["succeeded", event.command_name] += 1

    def failed(self, event):
        self.heard["failed", event.command_name] += 1


def test_the_users_own_listeners_hear_what_they_heard(server):
    listener = Listener()
    with pymongo.MongoClient(server.url, event_listeners=[listener]) as client:

        def call():
            client.test.users.find_one()
            with pytest.raises(pymongo.errors.OperationFailure):
                client.test.users.find_one({"$fail": 1})

        call()
        alone = Counter(listener.heard)
        reading = record(call)
        assert listener.heard == alone + alone
    assert reading.values["reads"] == 2


def test_unacknowledged_writes(server, client):
    def call():
        users = client.test.get_collection("users", write_concern=pymongo.WriteConcern(w=0))
        users.insert_one({"a": 1})
        users.insert_many([{"a": 1}, {"a": 2}])
        client.admin.command("ping")

    reading = record(call)
    assert reading.values["writes"] == server.taken()["insert"] == 2


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
    from pymongo import MongoClient as Early

    client = pymongo.MongoClient(server.url) if opened == "before" else None
    find = client.test.users.find_one if client else None  # bound before anything was watched
    if client:
        client.admin.command("ping")

    def ask(number):
        if client:
            client.test.users.find_one({"_id": number})
            find({"_id": number})
            return
        with (Early if opened == "early import" else sys.modules["pymongo"].MongoClient)(server.url) as own:
            own.test.users.find_one({"_id": number})

    server.taken()
    reading = record(way, ask)
    if client:
        client.close()
    assert reading.values["reads"] == server.taken()["find"] == times * (2 if client else 1)
    assert {group.function for group in reading.queries.statements if group.kind is Kind.READ} == {
        f"{HERE}:test_threads_early_imports_and_open_clients.<locals>.ask"
    }


async def aask(client, number):
    await client.test.users.find_one({"_id": number})


@pytest.mark.parametrize("where", ["task", "thread"])
@pytest.mark.parametrize("opened", ["before", "within"])
def test_asynchronous_clients(server, where, opened):
    async def main():
        client = pymongo.AsyncMongoClient(server.url)
        if opened == "before":
            await client.admin.command("ping")
        server.taken()
        token = PROBE.start()
        await client.test.users.insert_many([{"_id": number} for number in range(150)])
        await asyncio.gather(*(asyncio.create_task(aask(client, number)) for number in range(3)))
        assert len(await client.test.users.find().to_list()) == 150
        assert len([each async for each in client.test.users.find({"_id": {"$lt": 120}})]) == 120
        assert await client.test.users.count_documents({}) == 150
        await client.test.users.update_one({"_id": 1}, {"$set": {"a": 1}})
        reading = PROBE.stop(token)
        await client.close()
        return reading

    if where == "task":
        reading = asyncio.run(main())
    else:
        with ThreadPoolExecutor(1) as executor:
            reading = executor.submit(lambda: asyncio.run(main())).result()
    truth = server.taken()
    assert truth["getMore"] == 2
    assert seen(reading) == truth - Counter(getMore=2, endSessions=1)
    assert (reading.values["reads"], reading.values["writes"]) == (3 + 2 + 1, 2)
    assert reading.values["round_trips"] == reading.values["queries"] + 2
    functions = {group.function for group in reading.queries.statements if group.kind is not Kind.CONNECTION}
    assert functions == {f"{HERE}:aask", f"{HERE}:test_asynchronous_clients.<locals>.main"}


def test_nothing_stays_patched_or_registered(client):
    names = ("monitoring", "synchronous.pool", "asynchronous.pool")
    owners = [
        owner
        for name in names
        for owner in vars(sys.modules[f"pymongo.{name}"]).values()
        if isinstance(owner, type) and owner.__module__.startswith("pymongo")
    ]
    before = [dict(vars(owner)) for owner in owners]

    def call():
        assert [dict(vars(owner)) for owner in owners] != before
        assert client._event_listeners.enabled_for_commands

    record(call)
    assert [dict(vars(owner)) for owner in owners] == before
    assert not client._event_listeners.enabled_for_commands
    assert not client._event_listeners.event_listeners()
    assert not any(monitoring._LISTENERS)


def test_motor_is_seen_with_its_callers(server):
    motor = pytest.importorskip("motor.motor_asyncio")

    async def main():
        client = motor.AsyncIOMotorClient(server.url)
        for number in range(3):
            await client.test.users.find_one({"_id": number})
        client.close()

    reading = record(lambda: asyncio.run(main()))
    assert reading.values["reads"] == server.taken()["find"] == 3
    (group,) = [group for group in reading.queries.statements if group.kind is Kind.READ]
    assert group.function == f"{HERE}:test_motor_is_seen_with_its_callers.<locals>.main"
    assert not [note for note in reading.notes if "motor" in note.message]


FILTER = {"status": "hunter2", "age": {"$gt": 18, "$in": [1, 2, 3]}, "items.0.price": 5}


@pytest.mark.parametrize(
    ("command", "text", "kind", "tables", "batch"),
    [
        ({"find": "users"}, "find users {}", Kind.READ, ("users",), False),
        (
            {"find": "users", "filter": FILTER, "sort": {"age": -1, "s": {"$meta": "x"}}, "limit": 1, "skip": 0},
            'find users {"status": ?, "age": {"$gt": ?, "$in": [?]}, "items.?.price": ?} '
            'sort {"age": -1, "s": ?} limit ?',
            Kind.READ,
            ("users",),
            True,
        ),
        (
            {"find": "users", "filter": {"$or": [{"a": 1}, {"a": 2}, {"b": None}]}, "projection": {"name": 1}},
            'find users {"$or": [{"a": ?}, {"b": ?}]} fields {"name"}',
            Kind.READ,
            ("users",),
            False,
        ),
        ({"count": "users", "query": {"a": 1}}, 'count users {"a": ?}', Kind.READ, ("users",), False),
        ({"distinct": "users", "key": "a", "query": {}}, 'distinct users "a" {}', Kind.READ, ("users",), False),
        ({"insert": "users", "documents": [{"a": 1}]}, "insert users ?", Kind.WRITE, ("users",), False),
        ({"insert": "users", "documents": [{"a": 1}, {}]}, "insert users ?", Kind.WRITE, ("users",), True),
        (
            {"update": "users", "updates": [{"q": {"_id": 1}, "u": {"$set": {"password": 1}}}]},
            'update users {"_id": ?} ?',
            Kind.WRITE,
            ("users",),
            False,
        ),
        (
            {"delete": "users", "deletes": [{"q": {"a": "$2b$x"}, "limit": 0}, {"q": {}, "limit": 0}]},
            'delete users {"a": ?}',
            Kind.WRITE,
            ("users",),
            True,
        ),
        (
            {"findAndModify": "users", "query": {"a": 1}, "sort": {"b": 1}, "remove": True},
            'findAndModify users {"a": ?} sort {"b": 1} remove',
            Kind.WRITE,
            ("users",),
            False,
        ),
        (
            {
                "aggregate": "orders",
                "pipeline": [
                    {"$match": {"state": "$ecret", "id": {"$in": [1, 2]}}},
                    {"$lookup": {"from": "users", "localField": "user", "foreignField": "_id", "as": "user",
                                 "pipeline": [{"$match": {"name": "$ecret"}}]}},
                    {"$unwind": "$user"},
                    {"$group": {"_id": "$user.name", "sum": {"$sum": "$price"}, "word": {"$literal": "$ecret"}}},
                    {"$sort": {"sum": -1}},
                    {"$limit": 5},
                ],
            },
            'aggregate orders [{"$match": {"state": ?, "id": {"$in": [?]}}}, {"$lookup": {"from": "users", '
            '"localField": "user", "foreignField": "_id", "as": "user", "pipeline": [{"$match": {"name": ?}}]}}, '
            '{"$unwind": "$user"}, {"$group": {"_id": "$user.name", "sum": {"$sum": "$price"}, "word": {"$literal": ?}}'
            '}, {"$sort": {"sum": -1}}, {"$limit": ?}]',
            Kind.READ,
            ("orders", "users"),
            True,
        ),
        (
            {"aggregate": "orders", "pipeline": [{"$project": {"from": "hunter2"}}, {"$merge": {"into": "sums"}}]},
            'aggregate orders [{"$project": {"from": ?}}, {"$merge": {"into": "sums"}}]',
            Kind.WRITE,
            ("orders", "sums"),
            False,
        ),
        ({"aggregate": "a", "pipeline": [{"$out": "b"}]}, 'aggregate a [{"$out": "b"}]', Kind.WRITE, ("a", "b"), False),
        (
            {"bulkWrite": 1, "ops": [{}, {}], "nsInfo": [{"ns": "test.a"}, {"ns": "test.b.c"}]},
            "bulkWrite a, b.c ?",
            Kind.WRITE,
            ("a", "b.c"),
            True,
        ),
        ({"getMore": 5, "collection": "users"}, "getMore users", Kind.META, ("users",), False),
        ({"createUser": "hunter2", "pwd": "hunter2"}, "createUser", Kind.DDL, (), False),
        ({"saslStart": 1, "payload": b"hunter2"}, "saslStart", Kind.META, (), False),
        ({"createIndexes": "users", "indexes": []}, "createIndexes users", Kind.DDL, ("users",), False),
        ({"unheard": "hunter2"}, "unheard", Kind.READ, (), False),
        ({}, "?", Kind.READ, (), False),
        ({"find": "a", "filter": {"a": [[]], 'b"': {}}}, 'find a {"a": [[]], "b\\"": {}}', Kind.READ, ("a",), False),
    ],
)  # fmt: skip
def test_shapes(command, text, kind, tables, batch):
    assert tuple(shape_of(command)) == (text, kind, tables, batch)


def test_a_deep_filter_ends_somewhere():
    deep = {}
    for _ in range(500):
        deep = {"a": [deep]}
    assert len(shape_of({"find": "a", "filter": deep}).fingerprint) < 200
