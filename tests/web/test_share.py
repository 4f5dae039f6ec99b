"""Whose turn it is to accept, among processes that listen on one port."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator

import pytest

from presence_server.web import listener as listener_module
from presence_server.web.listener import Listener
from presence_server.web.share import Share, Table


@pytest.fixture
def table() -> Iterator[Table]:
    table = Table(4)
    yield table
    table.close()


def test_it_is_the_turn_of_whoever_has_the_fewest(table: Table) -> None:
    first, second = (Share(table.descriptor, table.take()) for _ in range(2))
    assert not first.served()
    assert first.in_turn(0)
    assert second.served()
    assert second.in_turn(0)
    assert not first.in_turn(1)
    assert second.in_turn(1), "as many is in turn, too: or nobody would be"
    assert first.in_turn(1)


def test_nobody_waits_for_one_that_has_left_or_ended(table: Table) -> None:
    places = [table.take() for _ in range(2)]
    first, second = (Share(table.descriptor, place) for place in places)
    second.in_turn(0)
    assert not first.in_turn(5)
    second.leave()
    assert first.in_turn(5)
    second.in_turn(0)
    table.give_back(places[1])
    assert first.in_turn(5)
    assert not second.in_turn(6), "it is the other's turn, who stayed"


def test_places_are_given_again_and_are_then_clear(table: Table) -> None:
    places = [table.take() for _ in range(4)]
    assert len(set(places)) == 4
    Share(table.descriptor, places[2]).in_turn(0)
    table.give_back(places[2])
    assert table.take() == places[2]
    other = Share(table.descriptor, places[0])
    assert other.in_turn(9)


def test_another_process_sees_it(table: Table) -> None:
    own, others = table.take(), table.take()
    if (child := os.fork()) == 0:
        Share(table.descriptor, others).in_turn(2)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    share = Share(table.descriptor, own)
    assert share.served()
    assert share.in_turn(2)
    assert not share.in_turn(3)


async def test_a_listener_leaves_the_first_go_to_the_others_and_takes_what_they_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener_module, "_PATIENCE_S", 0.2)
    loop = asyncio.get_running_loop()
    made: asyncio.Queue[float] = asyncio.Queue()

    def make() -> asyncio.Protocol:
        made.put_nowait(loop.time())
        return asyncio.Protocol()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        turn = [True]
        listener = Listener(listening, make, lambda: turn[0])
        with socket.create_connection(listening.getsockname()) as first:
            begin = loop.time()
            assert await made.get() - begin < 0.2
        turn[0] = False
        with socket.create_connection(listening.getsockname()) as second:
            begin = loop.time()
            assert await made.get() - begin >= 0.19
        turn[0] = True
        with socket.create_connection(listening.getsockname()) as third:
            begin = loop.time()
            assert await made.get() - begin < 0.2
        turn[0] = False
        with socket.create_connection(listening.getsockname()) as fourth:
            # While it waits for its turn, it is told to accept no more.
            await asyncio.sleep(0.05)
            listener.close()
            await asyncio.sleep(0.3)
            assert made.empty()
        await listener.wait_closed()
    for client in (first, second, third, fourth):
        client.close()
