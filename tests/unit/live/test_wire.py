from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from pytest_perfguard.errors import PerfguardError
from pytest_perfguard.live import wire
from pytest_perfguard.live.wire import Channel, ClosedError, SilentError


@pytest.fixture
def ends():
    """Two ends of a connection on loopback: a channel, and the bare socket of whoever speaks with it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    channel = Channel(near)
    yield channel, far
    channel.close()
    far.close()


def test_an_answer_comes_to_whoever_asked(ends):
    channel, far = ends
    other = Channel(far)
    other.send({"at": "ran", "why": "Grüße\nand a second line", "times": {"": 1.5}})
    assert channel.ask({"do": "run"}) == {"at": "ran", "why": "Grüße\nand a second line", "times": {"": 1.5}}
    assert other.receive() == {"do": "run"}


def test_a_message_in_pieces_is_one_and_two_in_one_piece_are_two(ends):
    channel, far = ends
    far.sendall(b'{"a":')
    with pytest.raises(SilentError, match=r"no answer in 0\.01 s"):
        channel.receive(0.01)
    far.sendall(b'1}\n{"b":2}\n{"c"')
    assert channel.receive(1) == {"a": 1}
    assert channel.receive(0) == {"b": 2}
    far.sendall(b":3}\n")
    assert channel.receive(1) == {"c": 3}


def test_long_messages_come_whole(ends):
    channel, far = ends
    text = "x" * 3_000_000
    sender = threading.Thread(target=Channel(far).send, args=({"text": text},))
    sender.start()
    assert channel.receive(10)["text"] == text
    sender.join()


def test_whoever_is_gone_is_noticed_by_both_ways(ends):
    channel, far = ends
    far.sendall(b'{"half":')
    far.close()
    with pytest.raises(ClosedError, match="the connection was"):
        channel.receive(1)
    text = "x" * 10_000_000  # more than fits into what waits on the way
    with pytest.raises(ClosedError, match="the connection was lost"):
        channel.send({"text": text})


def test_the_last_words_before_the_end_are_heard(ends):
    channel, far = ends
    far.sendall(b'{"at":"end"}\n')
    far.close()
    assert channel.receive(1) == {"at": "end"}
    with pytest.raises(ClosedError):
        channel.receive(1)


def test_what_a_test_closed_under_our_feet_is_an_end_too(ends):
    channel, _ = ends
    channel.close()
    with pytest.raises(ClosedError):
        channel.send({})
    for timeout in (None, 0.1):
        with pytest.raises(ClosedError):
            channel.receive(timeout)


def test_errors_are_perfguards_own():
    assert issubclass(ClosedError, PerfguardError)
    assert issubclass(SilentError, PerfguardError)


def test_a_forked_child_that_goes_on_ends_before_it_speaks(ends, monkeypatch):
    channel, far = ends
    statuses = []

    def leave(status):
        statuses.append(status)
        raise SystemExit

    child = os.getpid() + 1
    monkeypatch.setattr(wire.os, "getpid", lambda: child)
    monkeypatch.setattr(wire.os, "_exit", leave)
    for speak in (lambda: channel.send({"do": "run"}), lambda: channel.receive(0)):
        with pytest.raises(SystemExit):
            speak()
    far.setblocking(False)
    with pytest.raises(BlockingIOError):
        far.recv(1)
    assert statuses == [1, 1]


@pytest.mark.parametrize("garbage", [b"not json\n", b"\xff\xfe\n", b"\n"])
def test_what_is_no_message_is_not_taken_for_one(ends, garbage):
    channel, far = ends
    far.sendall(garbage)
    with pytest.raises((ClosedError, ValueError)):
        channel.receive(1)


def test_what_is_no_json_is_sent_as_its_text(ends):
    channel, far = ends
    channel.send({"reports": [{"user_properties": [["place", Path("/x")], ["kinds", {1}]]}]})
    assert Channel(far).receive(1) == {"reports": [{"user_properties": [["place", "/x"], ["kinds", "{1}"]]}]}
