"""Accepting connections: a few at a time, through storms and without file descriptors."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from presence_server.web import listener as listener_module
from presence_server.web.listener import AT_ONCE, Listener
from tests.support.ports import free_port
from tests.support.process import Process
from tests.support.worker import environment
from tests.web.peer import on_both_loops, until


class Watched(socket.socket):
    """A listening socket that tells how often it was asked to accept, and fails when told to.

    Attributes:
        accepted: at which turn of the loop each connection was accepted.
        faults: errors to raise instead, one for each call.
        calls: how often it was asked.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bind(("127.0.0.1", 0))
        self.listen(1_024)
        self.accepted: list[int] = []
        self.faults: list[int] = []
        self.calls = 0
        self.turn = 0

    def accept(self) -> tuple[socket.socket, Any]:
        self.calls += 1
        if self.faults:
            number = self.faults.pop(0)
            raise OSError(number, errno.errorcode[number])
        accepted = super().accept()
        self.accepted.append(self.turn)
        return accepted

    def count_turns(self) -> None:
        self.turn += 1
        asyncio.get_running_loop().call_soon(self.count_turns)

    @contextlib.contextmanager
    def clients(self, count: int) -> Iterator[list[socket.socket]]:
        """Connections that wait in the backlog, or have been accepted by the end."""
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(socket.create_connection(self.getsockname())) for _ in range(count)]


class Greeter(asyncio.Protocol):
    """Says hello and hangs up."""

    def __init__(self, here: set[Greeter]) -> None:
        self._here = here

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._here.add(self)
        cast(asyncio.Transport, transport).write(b"hello")
        transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._here.discard(self)


@contextlib.asynccontextmanager
async def greeting(
    listening: socket.socket, new: Callable[[set[Greeter]], Greeter] = Greeter
) -> AsyncIterator[Listener]:
    """Accept on a socket, and at the end see all connections off."""
    here: set[Greeter] = set()
    listener = Listener(listening, lambda: new(here))
    try:
        yield listener
    finally:
        listener.close()
        await listener.wait_closed()
        await until(lambda: not here)


def _greeted(clients: list[socket.socket]) -> Callable[[], bool]:
    """Whether all of them have been greeted."""
    waiting = set(clients)
    for client in clients:
        client.setblocking(False)

    def found() -> bool:
        for client in list(waiting):
            with contextlib.suppress(BlockingIOError):
                assert client.recv(10) == b"hello"
                waiting.discard(client)
        return not waiting

    return found


@on_both_loops
async def test_a_storm_is_let_in_a_few_at_a_time() -> None:
    """What waits, waits in the kernel: others have their turn of the loop in between."""
    with Watched() as listening, listening.clients(100) as clients:
        listening.count_turns()
        async with greeting(listening):
            await until(_greeted(clients))
        by_turn = [listening.accepted.count(turn) for turn in sorted(set(listening.accepted))]
        assert sum(by_turn) == 100
        assert max(by_turn) == AT_ONCE


@on_both_loops
async def test_after_close_nothing_is_accepted() -> None:
    with Watched() as listening:
        async with greeting(listening):
            with listening.clients(1) as clients:
                await until(_greeted(clients))
        with listening.clients(1) as clients, pytest.raises(AssertionError):
            await until(_greeted(clients), within_s=0.1)
        assert len(listening.accepted) == 1


@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EINTR, errno.EAGAIN, errno.EPROTO])
@on_both_loops
async def test_what_befell_one_peer_is_nobody_elses_business(number: int, caplog: pytest.LogCaptureFixture) -> None:
    with Watched() as listening, listening.clients(3) as clients:
        listening.faults = [number]
        async with greeting(listening):
            await until(_greeted(clients))
        assert caplog.records == []


@on_both_loops
async def test_without_file_descriptors_it_waits_and_says_so(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not once a turn, which would be a busy loop that logs."""
    monkeypatch.setattr(listener_module, "_EXHAUSTED_S", 0.05)
    with Watched() as listening, listening.clients(3) as clients:
        listening.faults = [errno.EMFILE, errno.ENFILE]
        async with greeting(listening):
            await until(_greeted(clients))
        assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
        assert "raise the limit of open files" in caplog.text
        assert listening.calls <= 10


@on_both_loops
async def test_closed_while_it_waits_for_file_descriptors_it_stays_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "_EXHAUSTED_S", 0.01)
    with Watched() as listening, listening.clients(1):
        listening.faults = [errno.EMFILE]
        async with greeting(listening):
            await until(lambda: listening.calls)
        with pytest.raises(AssertionError):
            await until(lambda: listening.calls > 1, within_s=0.05)


@on_both_loops
async def test_a_connection_that_cannot_be_made_is_logged_and_others_can(caplog: pytest.LogCaptureFixture) -> None:
    makers: list[Callable[[set[Greeter]], Greeter]] = [Greeter, _broken, Greeter]
    with Watched() as listening, listening.clients(3) as clients:
        async with greeting(listening, lambda here: makers.pop(0)(here)):
            await until(_greeted([clients[0], clients[2]]))
        assert [record.message for record in caplog.records] == ["A connection could not be made: broken"]
        assert clients[1].recv(10) == b""


def _broken(here: set[Greeter]) -> Greeter:
    raise ValueError("broken")


# A server of its own, so that its file descriptors are its own.
PROGRAM = """
import asyncio, resource, socket, sys
import uvloop
from presence_server.web import logs
from presence_server.web.listener import Listener

class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(data)

async def main(port, limit):
    listening = socket.create_server(("127.0.0.1", port), backlog=4096)
    Listener(listening, Echo)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, hard), hard))
    print("listening", flush=True)
    await asyncio.Event().wait()

logs.configure("info", "text")
uvloop.run(main(*map(int, sys.argv[1:])))
"""


@contextlib.contextmanager
def running(directory: Path, limit: int) -> Iterator[tuple[Process, int]]:
    port = free_port()
    program = Process("program", [sys.executable, "-c", PROGRAM, str(port), str(limit)], environment({}), directory)
    program.spawn()
    try:
        program.await_sync(lambda: "listening" in program.log())
        yield program, port
    finally:
        program.close()


async def _echoed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"ping")
    return await reader.readexactly(4)


async def test_when_descriptors_are_free_again_those_who_waited_are_served(tmp_path: Path) -> None:
    """Out of file descriptors for real: who is in stays in, the others come in as soon as somebody leaves."""
    with running(tmp_path, limit=64) as (program, port):
        streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(100)]
        echoes = [asyncio.create_task(_echoed(*stream)) for stream in streams]
        await until(lambda: "raise the limit of open files" in program.log())
        await until(lambda: sum(echo.done() for echo in echoes) >= 50)
        assert sum(echo.done() for echo in echoes) < 64
        for echo, (_, writer) in zip(echoes, streams, strict=True):
            if echo.done():
                writer.close()
        assert await asyncio.wait_for(asyncio.gather(*echoes), 20) == [b"ping"] * 100
        # A line each time it tries, and it tries twice a second.
        assert program.log().count("raise the limit") < 20
        for _, writer in streams:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def test_two_thousand_at_once_are_all_served(tmp_path: Path) -> None:
    """Everybody comes back in the same moment: nobody is refused, nobody is forgotten."""
    with running(tmp_path, limit=4_096) as (program, port):

        async def visit() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                return await _echoed(reader, writer)
            finally:
                writer.close()
                await writer.wait_closed()

        # Each leaves when it is served, so that this process needs few descriptors of its own.
        assert await asyncio.gather(*(visit() for _ in range(2_000))) == [b"ping"] * 2_000
        assert program.alive
        assert "ERROR" not in program.log()
