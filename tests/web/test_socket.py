"""Connections under any ASGI server: here uvicorn's stock WebSocket protocol, and none at all."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from websockets.frames import Opcode

from presence_server.core import frames
from presence_server.core.codes import CloseCode
from presence_server.core.connection import State
from presence_server.settings import Settings
from presence_server.web import socket
from presence_server.web.handshake import PATH
from presence_server.web.socket import Endpoint
from tests.support import tokens
from tests.web.peer import HEAD, Presence, close, frame, on_both_loops, serving, stuff, text, until

STOCK = "websockets-sansio"


@on_both_loops
async def test_messages_come_and_go_in_their_order() -> None:
    async with serving(ws=STOCK) as server:
        peer, connection = await server.connected()
        peer.send(text(b"one"), frame(Opcode.TEXT, b"tw", fin=False), frame(Opcode.CONT, b"o"), text(b"x" * 65_536))
        await until(lambda: len(server.presence.texts) == 3)
        assert server.presence.texts == [b"one", b"two", b"x" * 65_536]
        for size in (1, 125, 126, 65_535, 65_536):
            connection.socket.write(frames.text(b"y" * size))
            assert await peer.told() == (Opcode.TEXT, b"y" * size)


@on_both_loops
async def test_a_close_of_the_peer_is_told_with_its_code() -> None:
    async with serving(ws=STOCK) as server:
        peer, _ = await server.connected()
        peer.send(text(b"x"), close(3001))
        assert (await peer.closed()).code == 3001
        await until(lambda: len(server.presence.events) == 2)
        assert server.presence.events[1] == ("lost", 3001)


@on_both_loops
async def test_a_line_that_breaks_is_noticed() -> None:
    async with serving(ws=STOCK) as server:
        peer, connection = await server.connected()
        await peer.hang_up()
        await until(lambda: connection.state is State.CLOSED)
        assert [name for name, _ in server.presence.events] == ["lost"]


@on_both_loops
async def test_the_server_closes_with_a_code_and_a_reason_that_fits() -> None:
    async with serving(ws=STOCK) as server:
        peer, connection = await server.connected()
        server.presence.end(connection, CloseCode.TOKEN_REFUSED, "x" + "ä" * 100)
        told = await peer.told()
        assert (told.opcode, told.code, told.reason) == (Opcode.CLOSE, 4501, "x" + "ä" * 61)
        peer.send(close(4501))
        assert await peer.rest() == []


@on_both_loops
async def test_what_is_not_text_is_4505() -> None:
    async with serving(ws=STOCK) as server:
        peer, _ = await server.connected()
        peer.send(text(b"x"), frame(Opcode.BINARY, b"x"), text(b"too late"))
        assert (await peer.told()).code == 4505
        assert [name for name, _ in server.presence.events] == ["received", "garbled"]


@on_both_loops
async def test_half_a_character_does_no_harm() -> None:
    """Servers differ in whether they let it through; this one does not."""
    async with serving(ws=STOCK) as server:
        peer, connection = await server.connected()
        peer.send(text(b'"\xed\xa0\x80"'))
        assert (await peer.told()).code == 1007
        await until(lambda: connection.state is State.CLOSED)


@on_both_loops
async def test_a_slow_reader_is_paused_and_resumed() -> None:
    async with serving(ws=STOCK) as server:
        peer, connection = await server.connected(narrow=True)
        count = await stuff(connection)
        assert server.presence.events == [("paused", None)]
        for _ in range(count):
            assert len((await peer.told()).data) == 8_000
        await until(lambda: not connection.blocked_s)
        assert [name for name, _ in server.presence.events] == ["paused", "resumed"]
        peer.send(text(b"on we go"))
        await until(lambda: server.presence.texts)


@pytest.mark.parametrize("how", ["close", "abort"])
@on_both_loops
async def test_a_stuck_peer_does_not_keep_the_coroutine(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the server's own buffer is the server's; here nothing is left."""
    monkeypatch.setattr(socket, "CLOSE_TIMEOUT_S", 0.05)
    async with serving(ws=STOCK) as server:
        _, connection = await server.connected(narrow=True)
        await stuff(connection)
        tasks = len(asyncio.all_tasks())
        if how == "close":
            server.presence.end(connection, CloseCode.DRAINING, "why")
        else:
            connection.socket.abort()
        # Its reader, its writer, and the coroutine.
        await until(lambda: len(asyncio.all_tasks()) <= tasks - 3)
        assert connection.state is State.CLOSED


@on_both_loops
async def test_reading_waits_while_it_is_paused() -> None:
    async with serving(ws=STOCK) as server:
        peer, connection = await server.connected()
        connection.socket.pause_reading()
        peer.send(*(text(b"x") for _ in range(5)))
        await until(lambda: server.presence.texts)
        # The one that was being waited for has come; the others have every chance to.
        for _ in range(20):
            await asyncio.sleep(0.002)
        assert len(server.presence.texts) == 1
        connection.socket.resume_reading()
        await until(lambda: len(server.presence.texts) == 5)


@on_both_loops
async def test_pings_are_left_to_the_server() -> None:
    """It has settings for them; whoever it has not given up counts as heard."""
    async with serving(ws=STOCK) as server:
        _, connection = await server.connected()
        connection.heard_s = 0.0
        connection.socket.ping()
        assert connection.heard_s > 0


@on_both_loops
async def test_while_draining_a_handshake_gets_503() -> None:
    async with serving(ws=STOCK) as server:
        server.presence.worker.draining = True
        peer = await server.connect()
        response = await peer.request(HEAD)
        assert response.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in response.lower()
        assert b'"code":"unavailable"' in await peer.reader.read()
        assert server.presence.made == []


@on_both_loops
async def test_a_foreign_page_is_let_in_only_to_be_told_why_not() -> None:
    async with serving(ws=STOCK) as server:
        peer = await server.connect()
        await peer.shake_hands(headers="Origin: https://evil.example\r\n")
        assert (await peer.told()).code == 4503
        assert server.presence.made == []
        assert server.presence.worker.counters.refusals == {"4503": 1}


async def test_a_server_that_cannot_answer_a_handshake_refuses_in_its_own_way() -> None:
    """The extension `websocket.http.response` is not everywhere."""
    presence = Presence()
    presence.worker.draining = True
    sent = await _call(presence, [{"type": "websocket.connect"}])
    assert sent == [{"type": "websocket.close"}]


@pytest.mark.parametrize("text", ["\ud800", "ä", ""])
async def test_text_is_handed_on_as_it_is(text: str) -> None:
    """A server that lets half characters through must not make the connection fail here."""
    presence = Presence()
    received = {"type": "websocket.receive", "text": text, "bytes": None}
    sent = await _call(presence, [{"type": "websocket.connect"}, received, {"type": "websocket.disconnect"}])
    assert sent == [{"type": "websocket.accept"}]
    assert presence.events == [("received", text.encode(errors="surrogatepass")), ("lost", 1005)]


async def test_a_send_that_fails_is_the_end() -> None:
    presence = Presence()
    never: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    events = iter([{"type": "websocket.connect"}])

    async def receive() -> Any:
        return next(events, None) or await never

    async def send(event: Any) -> None:
        if event["type"] == "websocket.send":
            raise OSError("gone")

    serving = asyncio.create_task(_endpoint(presence, receive, send))
    await until(lambda: presence.made)
    presence.made[0].socket.write(frames.text(b"x"))
    await serving
    assert presence.events == [("lost", 1006)]


async def _call(presence: Presence, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Call the endpoint as the barest of servers would; returns what it sent."""
    sent: list[dict[str, Any]] = []
    coming = iter(events)

    async def receive() -> Any:
        return next(coming)

    async def send(event: Any) -> None:
        sent.append(event)

    await _endpoint(presence, receive, send)
    return sent


async def _endpoint(presence: Presence, receive: Any, send: Any) -> None:
    app = Starlette()
    app.state = SimpleNamespace(worker=presence.worker, settings=Settings(jwt_secret=tokens.SECRET))  # type: ignore[assignment]
    scope = {"type": "websocket", "path": PATH, "headers": [(b"host", b"a")], "app": app}
    await Endpoint()(scope, receive, send)
