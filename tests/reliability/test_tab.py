"""Simulated tabs: what a person does to one while the last thing is still going on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.server import ServerConnection, serve

from reliability.oracle.bounds import Bounds
from reliability.oracle.record import End
from reliability.people import People, Session
from reliability.tab import Tab
from tests.store.support import becomes_true


async def _welcome(connection: ServerConnection) -> None:
    """Say welcome, and read nothing more: so a close goes unanswered."""
    await connection.recv()
    await connection.send(json.dumps({"type": "welcome", "connection": "c1", "heartbeat_ms": 2_000}))
    connection.transport.pause_reading()
    await connection.wait_closed()


@pytest.fixture
async def people() -> AsyncIterator[People]:
    async with serve(_welcome, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield People(f"ws://127.0.0.1:{port}", Bounds())
        for connection in server.connections:
            connection.transport.abort()


async def _welcomed(people: People, count: int) -> None:
    await becomes_true(lambda: sum(each.welcome is not None for each in people.transcripts) == count)


async def test_a_tab_that_is_opened_while_it_closes_can_be_closed_again(people: People) -> None:
    """Otherwise its connection would stay in the record for ever, showing what nobody tells it any more."""
    tab = Tab(people, Session("maria", ("acme",), "b0"), "b0-t0", seed=1)
    tab.open()
    await _welcomed(people, 1)
    closing = asyncio.create_task(tab.close())
    while tab.is_open:  # noqa: ASYNC110
        await asyncio.sleep(0)
    tab.open()
    await _welcomed(people, 2)
    assert not closing.done()
    await closing
    await tab.close()
    assert [each.end for each in people.transcripts] == [End.LEFT, End.LEFT]
