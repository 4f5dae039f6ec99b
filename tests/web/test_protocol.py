"""The WebSocket protocol on real transports: what it delivers, what it answers, and how connections end."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest
from websockets.frames import Opcode

from presence_server.core.codes import CloseCode
from presence_server.core.connection import State
from presence_server.web import protocol
from tests.web.peer import Peer, close, frame, on_both_loops, serving, text, until

# --- what comes in ----------------------------------------------------------------------------------------------------


@on_both_loops
async def test_frames_in_one_segment_are_all_delivered() -> None:
    async with serving() as server:
        peer, _ = await server.connected()
        messages = [b"one", b"", b"x" * 200, b"y" * 60_000]
        peer.send(*map(text, messages[:2]), frame(Opcode.PONG), *map(text, messages[2:]))
        await until(lambda: len(server.presence.texts) == 4)
        assert server.presence.texts == messages


@on_both_loops
async def test_frames_byte_by_byte_are_delivered() -> None:
    async with serving() as server:
        peer, _ = await server.connected()
        data = text(b"one") + text(b"x" * 130) + text(b"three")
        for at in range(len(data)):
            peer.send(data[at : at + 1])
            await asyncio.sleep(0)
        await until(lambda: len(server.presence.texts) == 3)
        assert server.presence.texts == [b"one", b"x" * 130, b"three"]


@on_both_loops
async def test_a_message_in_pieces_is_delivered_whole() -> None:
    async with serving() as server:
        peer, _ = await server.connected()
        peer.send(frame(Opcode.TEXT, b"one ", fin=False), frame(Opcode.PING, b"between"))
        assert await peer.told() == (Opcode.PONG, b"between")
        peer.send(frame(Opcode.CONT, b"", fin=False), frame(Opcode.CONT, b"two"), text(b"three"))
        await until(lambda: len(server.presence.texts) == 2)
        assert server.presence.texts == [b"one two", b"three"]


@on_both_loops
async def test_a_message_in_countless_pieces_takes_no_more_room_than_a_whole_one() -> None:
    """Empty fragments count nothing towards the limit of a message."""
    async with serving() as server:
        peer, connection = await server.connected()
        connection.state = State.OPEN
        peer.send(frame(Opcode.TEXT, b"begun", fin=False))
        empty = frame(Opcode.CONT, fin=False) * 12 + frame(Opcode.PING)
        peer.send(empty)
        await peer.told()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(1_000):
                peer.send(empty)
                await peer.told()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert after - before < 50_000
        peer.send(frame(Opcode.CONT, b" and ended"))
        await until(lambda: server.presence.texts)
        assert server.presence.texts == [b"begun and ended"]


FLOODS = {
    "pings": frame(Opcode.PING),
    "pongs": frame(Opcode.PONG),
    "empty fragments": frame(Opcode.CONT, fin=False),
}


@pytest.mark.parametrize("welcome", [True, False], ids=["a user", "a stranger"])
@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
@on_both_loops
async def test_a_flood_of_frames_that_say_nothing_ends_the_connection(flood: bytes, welcome: bool) -> None:
    """Seven megabytes of them, of which a few hundred frames are looked at."""
    async with serving() as server:
        peer, connection = await server.connected()
        if welcome:
            connection.state = State.OPEN
        if flood == FLOODS["empty fragments"]:
            peer.send(frame(Opcode.TEXT, b"begun", fin=False))
        peer.send(flood * 50_000)
        await until(lambda: connection.state is State.CLOSED)
        assert server.presence.worker.counters.connections_closed == {CloseCode.RATE_BROKEN: 1}
        assert len(await peer.rest()) <= (1_000 if welcome else 500)
        await until(lambda: not server.connections)


@on_both_loops
async def test_a_message_in_a_few_hundred_pieces_is_no_flood() -> None:
    async with serving() as server:
        peer, connection = await server.connected()
        connection.state = State.OPEN
        pieces = [frame(Opcode.TEXT, b"x", fin=False), *[frame(Opcode.CONT, b"x", fin=False)] * 250]
        peer.send(*pieces, frame(Opcode.CONT, b"x"))
        await until(lambda: server.presence.texts)
        assert server.presence.texts == [b"x" * 252]


@on_both_loops
async def test_what_comes_before_the_welcome_is_bounded_in_bytes() -> None:
    async with serving() as server:
        peer, connection = await server.connected()
        for _ in range(8):
            peer.send(text(b"x" * 60_000))
        assert (await peer.closed()).reason == "too much before welcome"
        assert connection.state is State.CLOSED
        assert len(server.presence.texts) == 1


@on_both_loops
async def test_a_close_between_fragments_is_one() -> None:
    """Case 7.1.5 of the Autobahn suite."""
    async with serving() as server:
        peer, _ = await server.connected()
        peer.send(frame(Opcode.TEXT, b"begun", fin=False), close(1000), frame(Opcode.CONT, b"ended"))
        assert (await peer.closed()).code == 1000
        assert server.presence.events == [("lost", 1000)]


@on_both_loops
async def test_a_ping_is_answered_with_what_it_brought() -> None:
    async with serving() as server:
        peer, _ = await server.connected()
        peer.send(frame(Opcode.PING, b"one"), text(b"message"), frame(Opcode.PING, b"x" * 125))
        assert await peer.told() == (Opcode.PONG, b"one")
        assert await peer.told() == (Opcode.PONG, b"x" * 125)
        assert server.presence.texts == [b"message"]


@on_both_loops
async def test_whatever_comes_in_is_a_sign_of_life() -> None:
    async with serving() as server:
        peer, connection = await server.connected()
        for data in (frame(Opcode.PONG, b"any"), frame(Opcode.PING), text(b"x"), b"\x81"):
            connection.heard_s = 0.0
            peer.send(data)
            await until(lambda: connection.heard_s)


# --- how it ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
@on_both_loops
async def test_a_close_is_answered_with_the_same_code(code: int) -> None:
    async with serving() as server:
        peer, _ = await server.connected()
        peer.send(text(b"last words"), close(code, "bye"), text(b"too late"))
        told = await peer.closed()
        assert (told.code, told.reason) == (code, "bye")
        assert server.presence.events == [("received", b"last words"), ("lost", code)]
        await until(lambda: not server.connections)


@on_both_loops
async def test_a_close_without_a_code_is_answered_without_one() -> None:
    async with serving() as server:
        peer, _ = await server.connected()
        peer.send(frame(Opcode.CLOSE))
        assert await peer.closed() == (Opcode.CLOSE, b"")
        assert server.presence.events == [("lost", 1005)]


@pytest.mark.parametrize("code", [1011, 1013, 4001, 4506])
@on_both_loops
async def test_the_server_closes_with_a_code_and_a_reason(code: int) -> None:
    async with serving() as server:
        peer, connection = await server.connected()
        server.presence.end(connection, CloseCode(code), "why")
        told = await peer.told()
        assert (told.opcode, told.code, told.reason) == (Opcode.CLOSE, code, "why")
        # The TCP connection stays until the peer has answered.
        peer.send(text(b"crossed it"), frame(Opcode.PING), close(code))
        assert await peer.rest() == []
        assert server.presence.events == []
        assert server.presence.worker.counters.connections_closed == {code: 1}
        await until(lambda: not server.connections)


@on_both_loops
async def test_a_long_reason_is_cut_between_characters() -> None:
    async with serving() as server:
        peer, connection = await server.connected()
        connection.socket.close(4501, "x" + "ä" * 100)
        assert (await peer.told()).reason == "x" + "ä" * 61


@on_both_loops
async def test_closes_that_cross_each_other_are_one_on_the_wire() -> None:
    """The peer's close is read together with the message that ends the connection."""
    async with serving() as server:
        peer, _ = await server.connected()
        peer.send(text(b"x"), frame(Opcode.BINARY, b"x"), close(1000), frame(Opcode.PING))
        assert (await peer.closed()).code == 4505
        assert server.presence.worker.counters.refusals == {"4505": 1}


@on_both_loops
async def test_only_the_first_close_is_told() -> None:
    async with serving() as server:
        peer, connection = await server.connected()
        for code in (4001, 4506, 1012):
            connection.socket.close(code)
        connection.socket.resume_reading()
        peer.send(close(4001))
        assert (await peer.closed()).code == 4001


@on_both_loops
async def test_a_peer_that_does_not_answer_a_close_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "CLOSE_TIMEOUT_S", 0.05)
    async with serving() as server:
        peer, connection = await server.connected()
        connection.socket.close(4001)
        assert (await peer.closed()).code == 4001
        await until(lambda: not server.connections)


@on_both_loops
async def test_a_message_that_is_too_large_is_4505_while_it_is_still_being_sent() -> None:
    """The code must get through although the peer goes on sending: no reset overtakes it."""
    async with serving() as server:
        peer, _ = await server.connected()
        sending = asyncio.create_task(_send_on(peer, text(bytes(20_000_000))))
        told = await peer.told()
        assert (told.opcode, told.code) == (Opcode.CLOSE, 4505)
        assert "64 KiB" in told.reason
        sending.cancel()
        await peer.hang_up()
        await until(lambda: not server.connections)
        assert [name for name, _ in server.presence.events] == ["garbled"]
        # Once, however much came after it.
        assert server.presence.worker.counters.refusals == {"4505": 1}


async def _send_on(peer: Peer, data: bytes) -> None:
    for at in range(0, len(data), 100_000):
        peer.send(data[at : at + 100_000])
        await peer.writer.drain()


@pytest.mark.parametrize(
    "data",
    [
        frame(Opcode.BINARY, b"{}"),
        frame(Opcode.BINARY, b"{", fin=False),
        text(bytes(65_537)),
        frame(Opcode.TEXT, bytes(40_000), fin=False) + frame(Opcode.CONT, bytes(40_000)),
        frame(Opcode.CLOSE, b"\x03\xe8\xff"),
    ],
    ids=["binary", "binary fragment", "too large", "too large in pieces", "reason that is not UTF-8"],
)
@on_both_loops
async def test_what_is_not_text_of_bearable_size_is_4505(data: bytes) -> None:
    async with serving() as server:
        peer, _ = await server.connected()
        peer.send(text(b"fine"), data, text(b"too late"))
        assert (await peer.told()).code == 4505
        peer.send(text(b"much too late"))
        await peer.hang_up()
        await until(lambda: not server.connections)
        assert [name for name, _ in server.presence.events] == ["received", "garbled"]


@on_both_loops
async def test_64_kib_are_taken() -> None:
    async with serving() as server:
        peer, _ = await server.connected()
        peer.send(text(bytes(65_536)), text(b"next"))
        await until(lambda: len(server.presence.texts) == 2)
        assert server.presence.texts == [bytes(65_536), b"next"]


AGAINST_THE_RFC = {
    "unmasked": frame(Opcode.TEXT, b"{}", mask=False),
    "reserved bit": frame(Opcode.TEXT, b"{}", rsv=4),
    "unknown opcode": frame(3),
    "continuation of nothing": frame(Opcode.CONT, b"x"),
    "message in a message": frame(Opcode.TEXT, b"x", fin=False) + text(b"y"),
    "fragmented ping": frame(Opcode.PING, b"x", fin=False),
    "long ping": frame(Opcode.PING, bytes(126)),
    "close of one byte": frame(Opcode.CLOSE, b"\x03"),
    "close with a code of no one": frame(Opcode.CLOSE, b"\x03\xed"),
}


@pytest.mark.parametrize("data", AGAINST_THE_RFC.values(), ids=AGAINST_THE_RFC.keys())
@on_both_loops
async def test_what_the_rfc_forbids_is_1002(data: bytes) -> None:
    """The code gets through although the peer is still sending."""
    async with serving() as server:
        peer, _ = await server.connected()
        peer.send(text(b"fine"), data, text(bytes(50_000)) * 20)
        told = await peer.told()
        assert (told.opcode, told.code) == (Opcode.CLOSE, 1002)
        await peer.hang_up()
        await until(lambda: not server.connections)
        assert server.presence.events == [("received", b"fine"), ("lost", 1002)]


@on_both_loops
async def test_a_line_that_breaks_is_1006() -> None:
    async with serving() as server:
        peer, _ = await server.connected()
        peer.send(text(b"x"))
        await until(lambda: server.presence.texts)
        await peer.hang_up()
        await until(lambda: not server.connections)
        assert server.presence.events[1:] == [("lost", 1006)]


@on_both_loops
async def test_a_peer_that_sends_no_more_is_gone() -> None:
    async with serving() as server:
        peer, _ = await server.connected()
        peer.send(text(b"x"))
        peer.writer.write_eof()
        assert await peer.rest() == []
        assert server.presence.events == [("received", b"x"), ("lost", 1006)]


@on_both_loops
async def test_abort_ends_without_another_word() -> None:
    async with serving() as server:
        peer, connection = await server.connected()
        connection.socket.abort()
        connection.socket.abort()
        connection.socket.close(4001)
        assert await peer.rest() == []
        await until(lambda: not server.connections)
        assert server.presence.events == [("lost", 1006)]


@on_both_loops
async def test_whoever_is_left_when_the_server_ends_is_told_so() -> None:
    async with serving() as server:
        peer, _ = await server.connected()
        await server.stop()
        assert (await peer.closed()).code == 1012
