"""The opening handshake on real transports: who gets in, and what the others are answered."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.frames import Opcode

from presence_server.settings import Settings
from tests.support.timing import SOON_S
from tests.web.peer import HEAD, close, on_both_loops, serving, text, until


@on_both_loops
async def test_a_handshake_is_answered_as_the_rfc_has_it() -> None:
    """The accept header of the RFC's own example."""
    async with serving() as server:
        peer = await server.connect()
        head = HEAD.replace("AAAAAAAAAAAAAAAAAAAAAA==", "dGhlIHNhbXBsZSBub25jZQ==")
        lines = (await peer.request(head)).decode().split("\r\n")
        assert lines[0] == "HTTP/1.1 101 Switching Protocols"
        assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in lines
        assert not [line for line in lines if line.startswith("Sec-WebSocket-Extensions")]


REFUSED = {
    "another path": (HEAD.replace("/v1/ws", "/v2/ws"), b"404 "),
    "an old version": (HEAD.replace("Version: 13", "Version: 8"), b"426 "),
    "two versions": (HEAD + "Sec-WebSocket-Version: 13\r\n", b"426 "),
    "no host": (HEAD.replace("Host: server.example\r\n", ""), b"400 "),
    "two hosts": (HEAD + "Host: server.example\r\n", b"400 "),
    "two keys": (HEAD + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", b"400 "),
    "no key": (HEAD.replace("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", ""), b"400 "),
    "a short key": (HEAD.replace("AAAAAAAAAAAAAAAAAAAAAA==", "AAAA"), b"400 "),
    "a body": (HEAD + "Content-Length: 5\r\n", b"400 "),
    "a long path": (HEAD.replace("/v1/ws", "/v1/ws?" + "x" * 33_000), b"431 "),
    "many headers": (HEAD + "".join(f"X-{n}: y\r\n" for n in range(200)), b"431 "),
}


@pytest.mark.parametrize(("head", "status"), REFUSED.values(), ids=REFUSED.keys())
@on_both_loops
async def test_a_handshake_that_is_none_gets_an_http_answer(head: str, status: bytes) -> None:
    async with serving() as server:
        peer = await server.connect()
        assert (await peer.request(head)).startswith(b"HTTP/1.1 " + status)
        explanation = await asyncio.wait_for(peer.reader.read(), SOON_S)
        assert json.loads(explanation)["detail"].startswith("Expected ")
        await until(lambda: not server.connections)
        assert server.presence.made == []


ACCEPTED = {
    "10 KB of cookies": HEAD + f"Cookie: session={'x' * 10_000}\r\n",
    "31 KB of cookies": HEAD + f"Cookie: session={'x' * 31_000}\r\n",
    "a query": HEAD.replace("/v1/ws", "/v1/ws?route=" + "x" * 9_000),
    "two lines of one list": HEAD.replace("Connection: Upgrade", "Connection: keep-alive\r\nConnection: Upgrade"),
    "several upgrades": HEAD.replace("Upgrade: websocket", "Upgrade: h2c, WebSocket"),
    "a list in one line": HEAD.replace("Connection: Upgrade", "Connection: Keep-Alive,upgrade , x"),
    "a whole URL": HEAD.replace("GET /v1/ws", "GET http://server.example/v1/ws"),
    "an empty line first": "\r\n" + HEAD,
}


@pytest.mark.parametrize("head", ACCEPTED.values(), ids=ACCEPTED.keys())
@on_both_loops
async def test_a_handshake_as_proxies_write_it_is_taken(head: str) -> None:
    async with serving() as server:
        peer = await server.connect()
        assert (await peer.request(head)).startswith(b"HTTP/1.1 101 "), peer.response
        peer.send(text(b"hello"))
        await until(lambda: server.presence.texts)


@on_both_loops
async def test_while_draining_a_handshake_gets_503() -> None:
    async with serving() as server:
        server.presence.worker.draining = True
        peer = await server.connect()
        response = await peer.request(HEAD)
        assert response.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in response
        assert server.presence.made == []


@pytest.mark.parametrize(
    ("origin", "passes"), [("http://server.example", True), ("https://evil.example", False), ("null", False)]
)
@on_both_loops
async def test_a_foreign_page_is_let_in_only_to_be_told_why_not(origin: str, passes: bool) -> None:
    """A browser shows a close code, and never an HTTP status, to the page."""
    async with serving() as server:
        peer = await server.connect()
        await peer.shake_hands(headers=f"Origin: {origin}\r\n")
        if passes:
            peer.send(text(b"hello"))
            await until(lambda: server.presence.texts)
        else:
            told = await peer.told()
            assert (told.opcode, told.code) == (Opcode.CLOSE, 4503)
            assert "PRESENCE_ALLOWED_ORIGINS" in told.reason
            peer.send(text(b"hello"), close(4503))
            assert await peer.rest() == []
            assert server.presence.texts == []
            assert server.presence.worker.counters.refusals == {"4503": 1}


@on_both_loops
async def test_listed_origins_pass() -> None:
    settings = Settings(allowed_origins=("https://app.example",))
    async with serving(settings=settings) as server:
        peer = await server.connect()
        await peer.shake_hands(headers="Origin: https://app.example\r\n")
        peer.send(text(b"hello"))
        await until(lambda: server.presence.texts)


@on_both_loops
async def test_what_comes_before_the_answer_is_not_lost() -> None:
    """Against the RFC; but a client in a hurry is no enemy."""
    async with serving() as server:
        peer = await server.connect()
        peer.send(HEAD.encode(), b"\r\n", text(b"early"))
        assert (await peer.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        peer.send(text(b"late"))
        await until(lambda: len(server.presence.texts) == 2)
        assert server.presence.texts == [b"early", b"late"]


@on_both_loops
async def test_who_hangs_up_right_after_asking_leaves_nothing_behind() -> None:
    async with serving() as server:
        for _ in range(20):
            peer = await server.connect()
            peer.send(HEAD.encode(), b"\r\n")
            peer.writer.write_eof()
            assert (await peer.reader.read()).startswith(b"HTTP/1.1 101 ")
        await until(lambda: not server.connections)
        assert len(server.presence) == 0
