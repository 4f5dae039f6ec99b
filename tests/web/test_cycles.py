"""Nothing of a connection waits for the garbage collector, which the server has told to leave it in peace for long."""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from presence_server.core.codes import CloseCode
from presence_server.core.connection import HELLO_TIMEOUT_S
from tests.web.peer import HEAD, Serving, close, frame, on_both_loops, serving, text, until

OURS = ("presence_server.", "uvicorn.", "websockets.", "httptools.")


def _ours() -> Counter[str]:
    names = (f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())
    return Counter(name for name in names if name.startswith(OURS))


async def hangs_up(server: Serving) -> None:
    peer, _ = await server.connected()
    peer.send(text(b"{}"))
    await peer.hang_up()


async def closes(server: Serving) -> None:
    peer, _ = await server.connected()
    peer.send(close(1000))
    assert (await peer.told()).code == 1000


async def sends_what_it_may_not(server: Serving) -> None:
    peer, _ = await server.connected()
    peer.send(frame(3))
    assert (await peer.told()).code == 1002


async def is_refused(server: Serving) -> None:
    peer, connection = await server.connected()
    server.presence.end(connection, CloseCode.TOKEN_REFUSED, "no")
    assert (await peer.told()).code == 4501
    peer.send(close(4501))


async def is_cut_off(server: Serving) -> None:
    _, connection = await server.connected()
    connection.socket.abort()


async def sends_fragments(server: Serving) -> None:
    peer, _ = await server.connected()
    peer.send(frame(1, b"{", fin=False), frame(0, b"}"), frame(9, b"ping"))
    assert (await peer.told()).opcode == 10


async def shakes_hands_in_two_pieces(server: Serving) -> None:
    peer = await server.connect()
    peer.send(HEAD[:20].encode())
    await asyncio.sleep(0)
    peer.send(HEAD[20:].encode() + b"\r\n")
    await peer.reader.readuntil(b"\r\n\r\n")


async def asks_for_a_page(server: Serving) -> None:
    peer = await server.connect()
    assert (await peer.request("GET /nowhere HTTP/1.1\r\nHost: 127.0.0.1\r\n")).startswith(b"HTTP/1.1 404")


async def says_half_of_something(server: Serving) -> None:
    peer = await server.connect()
    peer.send(b"GET / HTTP/1.1\r\nHo")


async def speaks_no_http(server: Serving) -> None:
    peer = await server.connect()
    peer.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n")


WAYS = [
    hangs_up,
    closes,
    sends_what_it_may_not,
    is_refused,
    is_cut_off,
    sends_fragments,
    shakes_hands_in_two_pieces,
    asks_for_a_page,
    says_half_of_something,
    speaks_no_http,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@on_both_loops
async def test_nothing_of_it_is_left_to_the_garbage_collector(way: Callable[[Serving], Awaitable[None]]) -> None:
    async with serving() as server:

        async def live() -> None:
            await way(server)
            while server.peers:
                await server.peers.pop().hang_up()
            await until(lambda: not server.connections)
            server.presence.made.clear()
            server.presence.events.clear()

        later_s = itertools.count(time.monotonic(), 2 * HELLO_TIMEOUT_S)

        def nothing_new() -> bool:
            # What a hello was waited for with is given up when that would have been due.
            server.presence.pulse.beat(next(later_s))
            return not _ours() - before

        # The first time something is made that stays.
        await live()
        gc.collect()
        gc.disable()
        try:
            before = _ours()
            for _ in range(3):
                await live()
            await until(nothing_new)
        finally:
            gc.enable()
