"""Peers that do not answer, or do not read: what they cost is bounded, and they cannot stay for ever."""

from __future__ import annotations

import asyncio
import math
import sys

import pytest
from websockets.frames import Opcode

from presence_server.core.codes import CloseCode
from presence_server.core.connection import State
from presence_server.live.connection import STUCK_S
from presence_server.live.pulse import Pulse
from presence_server.web import protocol
from tests.web.peer import MESSAGE, Peer, close, frame, on_both_loops, serving, stuff, text, until


@on_both_loops
async def test_a_half_open_connection_is_cut_by_the_ping() -> None:
    """No FIN ever comes: only the missing pong tells. Who answers stays."""
    async with serving() as server:
        pulse = Pulse(0.1, 0.5, server.presence.end)
        server.presence.beat_by(pulse)
        (lively, other), (silent, _) = await server.connected(), await server.connected()
        for connection in server.presence.made:
            connection.opened(())
            connection.expires_s = math.inf
        beating = asyncio.create_task(pulse.run())
        answering = asyncio.create_task(_answer_pings(lively))
        *pings, last = await silent.rest()
        assert {(ping.opcode, ping.data) for ping in pings} == {(Opcode.PING, b"")}
        assert (last.opcode, last.code) == (Opcode.CLOSE, 1011)
        assert other.state is State.OPEN
        assert not answering.done()
        assert server.presence.worker.counters.connections_closed == {1011: 1}
        answering.cancel()
        beating.cancel()


async def _answer_pings(peer: Peer) -> None:
    while True:
        ping = await peer.told()
        assert ping.opcode is Opcode.PING
        peer.send(frame(Opcode.PONG, ping.data))


@on_both_loops
async def test_a_slow_reader_is_paused_and_resumed() -> None:
    """While it does not read, nothing that it asks for is read either; then all goes on where it was."""
    async with serving() as server:
        peer, connection = await server.connected(narrow=True)
        count = await stuff(connection)
        assert server.presence.events == [("paused", None)]
        peer.send(text(b"more"))
        # The loop has had every chance to read it.
        for _ in range(20):
            await asyncio.sleep(0.002)
        assert server.presence.texts == []
        for _ in range(count):
            assert len((await peer.told()).data) == 8_000
        await until(lambda: server.presence.texts)
        assert server.presence.events == [("paused", None), ("resumed", None), ("received", b"more")]
        assert not connection.blocked_s
        peer.send(close(1000))
        assert (await peer.closed()).code == 1000


@on_both_loops
async def test_a_flood_of_pings_from_who_does_not_read_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pongs pile up only as far as the buffer reaches."""
    monkeypatch.setattr(protocol, "CLOSE_TIMEOUT_S", 0.5)
    async with serving() as server:
        peer, connection = await server.connected(narrow=True)
        (socket,) = server.connections
        peer.send(frame(Opcode.PING, bytes(125)) * 50_000)
        await until(lambda: connection.state is State.CLOSED)
        # One read more may have been on its way.
        assert socket._transport.get_write_buffer_size() < 1_000_000
        await until(lambda: not server.connections)


@pytest.mark.parametrize("code", [4001, 4504])
@on_both_loops
async def test_a_stuck_peer_cannot_keep_its_socket(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in the buffer when a connection is closed is given up after a while."""
    monkeypatch.setattr(protocol, "CLOSE_TIMEOUT_S", 0.1)
    async with serving() as server:
        _, connection = await server.connected(narrow=True)
        await stuff(connection)
        server.presence.end(connection, CloseCode(code), "why")
        await until(lambda: not server.connections)


@pytest.mark.parametrize("end", ["close", "fin"])
@on_both_loops
async def test_a_peer_that_ends_but_does_not_read_cannot_keep_its_socket(
    end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks for the end while something for it lies in the buffer, not enough to be called slow."""
    monkeypatch.setattr(protocol, "CLOSE_TIMEOUT_S", 0.1)
    async with serving() as server:
        peer, connection = await server.connected(narrow=True)
        (socket,) = server.connections
        while socket._transport.get_write_buffer_size() < 20_000:
            connection.socket.write(MESSAGE)
            await asyncio.sleep(0)
        assert not connection.blocked_s
        if end == "close":
            peer.send(close(1000))
        else:
            peer.writer.write_eof()
        await until(lambda: server.presence.events)
        assert server.presence.events == [("lost", 1000 if end == "close" else 1006)]
        await until(lambda: not server.connections)


@on_both_loops
async def test_who_is_stuck_is_cut_off() -> None:
    """By the pulse, after ten seconds; what lies in the buffer is given up soon after."""
    async with serving() as server:
        _, connection = await server.connected(narrow=True)
        connection.opened(())
        connection.expires_s = math.inf
        await stuff(connection)
        server.presence.pulse.beat(connection.blocked_s + STUCK_S - 0.01)
        assert connection.state is State.OPEN
        server.presence.pulse.beat(connection.blocked_s + STUCK_S)
        assert server.presence.worker.counters.connections_closed == {4003: 1}
        await until(lambda: not server.connections)


@on_both_loops
async def test_what_the_system_holds_counts_as_not_taken() -> None:
    """Or a slow line, whose peer takes minutes for what the system takes at once, would look like a dead one."""
    async with serving() as server:
        peer, connection = await server.connected(narrow=True)
        await stuff(connection)
        (socket,) = server.connections
        before, taken = socket.pending(), socket.taken()
        assert before > socket._transport.get_write_buffer_size()
        await peer.reader.readexactly(40_000)
        await until(lambda: socket.pending() < before and socket.taken() > taken)
        assert connection.blocked_s
        if sys.platform == "linux":
            assert socket.silent_s() < 60
