"""The line between a supervisor and a process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from presence_server.web.line import Line, Message


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Line, socket.socket]]:
    """A line, and the bare socket at its other end."""
    here, there = socket.socketpair()
    line = await Line.open(here)
    yield line, there
    there.close()
    await line.close()


async def read(line: Line) -> list[Message]:
    """Everything up to the end."""
    async with asyncio.timeout(10):
        return [message async for message in line.messages()]


async def test_messages_come_whole_and_in_order(ends: tuple[Line, socket.socket]) -> None:
    line, there = ends
    other = await Line.open(there)
    large = {"report": ["x" * 500_000]}
    for message in ({"ready": True}, large, {"sum": 7}):
        other.send(message)
    await other.close()
    assert await read(line) == [{"ready": True}, large, {"sum": 7}]


@pytest.mark.parametrize(
    "last",
    [b"", b'{"sum":', b"not JSON\n", b"x" * 1_100_000],
    ids=["at once", "half a line", "not JSON", "without end"],
)
async def test_the_end_of_the_other_process_is_the_end_of_the_line(
    last: bytes, ends: tuple[Line, socket.socket]
) -> None:
    line, there = ends
    there.setblocking(False)

    async def say() -> None:
        with contextlib.suppress(ConnectionError):
            await asyncio.get_running_loop().sock_sendall(there, b'{"ready":true}\n' + last)
        there.close()

    saying = asyncio.create_task(say())
    assert await read(line) == [{"ready": True}]
    await line.close()
    await saying


async def test_what_is_sent_to_nobody_is_lost_without_a_word(ends: tuple[Line, socket.socket]) -> None:
    line, there = ends
    # Unread data makes it a reset rather than an end.
    line.send({"report": True})
    with contextlib.closing(there):
        await asyncio.sleep(0)
    assert await read(line) == []
    for _ in range(3):
        line.send({"report": True})
        await asyncio.sleep(0)
    await line.close()
    line.send({"report": True})
