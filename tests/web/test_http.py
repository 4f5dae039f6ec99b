"""HTTP on real transports: as clients and proxies really speak it, and as strangers do, bounded in bytes and time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from websockets.frames import Opcode

from presence_server.core.codes import CloseCode
from presence_server.settings import Settings
from presence_server.web import socket as socket_module
from presence_server.web import strangers
from tests.support import tokens
from tests.support.timing import SOON_S
from tests.web.peer import HEAD, Peer, Serving, frame, on_both_loops, serving, text, until

SETTINGS = Settings(jwt_secret=tokens.SECRET, handshake_timeout_s=0.4, keep_alive_s=1.0)


async def echo(request: Request) -> Response:
    """Tell what has arrived."""
    body = await request.body()
    headers = [name for name, _ in request.headers.items()]
    return JSONResponse({"method": request.method, "body": body.decode(), "headers": headers})


@asynccontextmanager
async def echoing(settings: Settings = SETTINGS, **options: Any) -> AsyncIterator[Serving]:
    routes = [Route("/echo", echo, methods=["GET", "PUT"]), socket_module.route]
    async with serving(settings=settings, routes=routes, **options) as server:
        yield server


async def asked(peer: Peer, *data: bytes) -> tuple[int, dict[str, Any]]:
    """The status and the JSON of the answer to a request."""
    peer.send(*data)
    return await answer(peer)


async def answer(peer: Peer) -> tuple[int, dict[str, Any]]:
    async with asyncio.timeout(SOON_S):
        head = await peer.reader.readuntil(b"\r\n\r\n")
        lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        body = await peer.reader.readexactly(int(lines[b"content-length"]))
    return int(head.split(b" ")[1]), json.loads(body)


GET = b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"
PUT = b"PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"


# --- as clients and proxies really speak it ---------------------------------------------------------------------------


OFFERS = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    "websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "TLS": b"Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
}


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS.keys())
@on_both_loops
async def test_an_offer_to_upgrade_is_ignored_and_the_body_kept(offer: bytes) -> None:
    """Java's client offers h2c with every request."""
    async with echoing() as server:
        peer = await server.connect()
        status, told = await asked(peer, PUT + offer + b"\r\n", b"hello")
        assert (status, told["method"], told["body"]) == (200, "PUT", "hello")
        assert "upgrade" not in told["headers"]
        assert (await asked(peer, GET))[0] == 200, "the connection goes on"


@on_both_loops
async def test_a_body_in_many_segments_and_in_chunks() -> None:
    async with echoing() as server:
        peer = await server.connect()
        for piece in (PUT[:7], PUT[7:], b"\r\nhel"):
            peer.send(piece)
            await asyncio.sleep(0.01)
        assert (await asked(peer, b"lo"))[1]["body"] == "hello"
        head = b"PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        _, told = await asked(peer, head, b"3\r\nhel\r\n2\r\nlo\r\n0\r\nX-Trailer: y\r\n\r\n")
        assert told["body"] == "hello"
        assert "x-trailer" not in told["headers"]


@on_both_loops
async def test_requests_in_one_segment_are_answered_in_their_order() -> None:
    async with echoing() as server:
        peer = await server.connect()
        peer.send((GET + PUT + b"\r\nhello") * 100)
        for _ in range(100):
            assert (await answer(peer))[1]["method"] == "GET"
            assert (await answer(peer))[1]["body"] == "hello"


@on_both_loops
async def test_a_handshake_on_a_connection_that_was_used_before() -> None:
    """Balancers keep connections."""
    async with echoing() as server:
        peer = await server.connect()
        assert (await asked(peer, GET))[0] == 200
        await peer.shake_hands()
        peer.send(text(b"hello"))
        await until(lambda: server.presence.texts)


@pytest.mark.parametrize(
    "head",
    [HEAD.replace("HTTP/1.1", "HTTP/1.0"), HEAD.replace("Upgrade: websocket\r\n", "")],
    ids=["HTTP/1.0", "no upgrade"],
)
@on_both_loops
async def test_a_handshake_that_a_proxy_has_spoilt_says_what_to_set(head: str) -> None:
    async with echoing() as server:
        peer = await server.connect()
        status, told = await asked(peer, head.encode() + b"\r\n")
        assert (status, told["code"]) == (426, "upgrade_required")
        assert "proxy_http_version" in told["detail"]
        assert server.presence.made == []


@on_both_loops
async def test_an_idle_connection_is_kept_and_then_closed() -> None:
    async with echoing(Settings(jwt_secret=tokens.SECRET, handshake_timeout_s=0.1, keep_alive_s=0.5)) as server:
        peer = await server.connect()
        await asked(peer, GET)
        await asyncio.sleep(0.3)
        assert (await asked(peer, GET))[0] == 200
        assert await asyncio.wait_for(peer.reader.read(), SOON_S) == b""


def test_it_is_kept_longer_than_balancers_do() -> None:
    assert Settings().keep_alive_s > 60


# --- as strangers do --------------------------------------------------------------------------------------------------


JUNK = {
    "not HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a bad length": b"PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: five\r\n\r\n",
    "two lengths": b"PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "a length and chunks": b"PUT /echo HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "bare line feeds": b"GET /echo HTTP/1.1\nHost: a\n\n",
    "a proxy": b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("data", JUNK.values(), ids=JUNK.keys())
@on_both_loops
async def test_junk_is_refused_at_once(data: bytes) -> None:
    async with echoing() as server:
        peer = await server.connect()
        status, told = await asked(peer, data)
        assert (status, told["code"]) == (400, "bad_message")
        assert await asyncio.wait_for(peer.reader.read(), SOON_S) == b""
        await until(lambda: not server.connections)


async def test_strangers_do_not_write_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """One line a minute, and all are counted."""
    async with echoing() as server:
        for _ in range(20):
            for data in (JUNK["TLS"], JUNK["a bad length"]):
                await asked(await server.connect(), data)
        assert strangers.strangers_of(server.app).kinds == {"tls": 20, "bad_http": 20}
        assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1


FLOODS = {
    "a head that never ends": (b"GET /echo HTTP/1.1\r\nHost: a\r\nX: ", b"y" * 65_536, 431),
    "headers without end": (b"GET /echo HTTP/1.1\r\nHost: a\r\n", b"X: y\r\n" * 10_000, 431),
    "a target that never ends": (b"GET /", b"x" * 65_536, 431),
    "trailers without end": (
        b"PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
        b"X: y\r\n" * 10_000,
        413,
    ),
    "one trailer without end": (
        b"PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX: ",
        b"y" * 65_536,
        413,
    ),
}


@pytest.mark.parametrize(("head", "flood", "status"), FLOODS.values(), ids=FLOODS.keys())
@on_both_loops
async def test_what_never_ends_is_ended(head: bytes, flood: bytes, status: int) -> None:
    async with echoing(Settings(jwt_secret=tokens.SECRET)) as server:
        peer = await server.connect()
        peer.send(head)
        for _ in range(24):
            peer.send(flood)
        assert (await peer.reader.readline()).startswith(b"HTTP/1.1 %d " % status)
        await until(lambda: not server.connections)


@pytest.mark.parametrize("large", [2_000_000, 100_000_000], ids=["2 MB", "100 MB"])
@on_both_loops
async def test_who_sends_too_much_can_read_why(large: int) -> None:
    """Not cut off while he is still sending, unless it never ends."""
    async with echoing() as server:
        peer = await server.connect()
        peer.send(b"PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % large)
        with contextlib.suppress(ConnectionError):
            for _ in range(large // 500_000):
                peer.send(bytes(500_000))
                await peer.writer.drain()
        if large < 10_000_000:
            assert (await answer(peer))[0] == 413
        await until(lambda: not server.connections)


@on_both_loops
async def test_empty_lines_without_end_are_ended() -> None:
    async with echoing() as server:
        peer = await server.connect()
        assert (await asked(peer, b"\r\n" * 1_000))[0] == 400
        await until(lambda: not server.connections)


SLOW = {
    "nothing": b"",
    "a part of a head": b"GET /echo HTTP/1.1\r\nHost: a\r\n",
    "an empty line": b"\r\n",
    "a part of a body": PUT + b"\r\nhe",
    "a part of chunks": b"PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n",
}


@pytest.mark.parametrize("before", [b"", GET], ids=["at first", "on a connection that was used"])
@pytest.mark.parametrize("data", SLOW.values(), ids=SLOW.keys())
@on_both_loops
async def test_who_is_not_done_in_time_is_not_waited_for(data: bytes, before: bytes) -> None:
    """However slowly it drips."""
    async with echoing() as server:
        peer = await server.connect()
        if before:
            await asked(peer, before)
        peer.send(data)
        deadline_s = asyncio.get_running_loop().time() + (SETTINGS.keep_alive_s if before else 0) + 3.0

        async def drip() -> None:
            while True:
                peer.send(b"\r" if data in (b"", b"\r\n") else b"")
                await asyncio.sleep(0.1)

        dripping = asyncio.create_task(drip())
        async with asyncio.timeout(SOON_S):
            await peer.reader.read()
        dripping.cancel()
        assert asyncio.get_running_loop().time() < deadline_s
        await until(lambda: not server.connections)


@on_both_loops
async def test_one_deadline_from_accepting_to_the_hello_that_nothing_puts_off() -> None:
    async with echoing() as server:
        peer, connection = await server.connected()
        ended = asyncio.get_running_loop().time() + 2 * SETTINGS.handshake_timeout_s + 0.5
        while connection.state.name != "CLOSED":
            assert asyncio.get_running_loop().time() < ended
            peer.send(frame(Opcode.PONG))
            await asyncio.sleep(0.02)
        assert (await peer.closed()).code == CloseCode.NO_HELLO


# --- beside uvicorn's own ---------------------------------------------------------------------------------------------

ORDINARY = {
    "get": GET,
    "put": PUT + b"\r\nhello",
    "head": GET.replace(b"GET", b"HEAD"),
    "another method": GET.replace(b"GET", b"DELETE"),
    "another path": GET.replace(b"/echo", b"/other"),
    "percent": GET.replace(b"/echo", b"/%65cho"),
    "whole URL": GET.replace(b"/echo", b"http://a/echo"),
    "HTTP/1.0": GET.replace(b"1.1", b"1.0"),
    "no host": b"GET /echo HTTP/1.1\r\n\r\n",
    "close": GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
    "expect": PUT + b"Expect: 100-continue\r\n\r\nhello",
    "empty value": GET.replace(b"\r\n\r\n", b"\r\nX:\r\n\r\n"),
    "not ASCII": GET.replace(b"\r\n\r\n", b"\r\nX: \xc3\xa9\r\n\r\n"),
    "not ASCII in the path": GET.replace(b"/echo", b"/\xc3\xa9"),
    "control": GET.replace(b"\r\n\r\n", b"\r\nX: \x01\r\n\r\n"),
    "folded": GET.replace(b"\r\n\r\n", b"\r\nX: a\r\n b\r\n\r\n"),
    "a space before the colon": GET.replace(b"\r\n\r\n", b"\r\nX : a\r\n\r\n"),
    "lower case": GET.replace(b"GET", b"get"),
    "an unknown method": GET.replace(b"GET", b"FETCH"),
    "options": GET.replace(b"GET /echo", b"OPTIONS *"),
}


@pytest.mark.parametrize("data", ORDINARY.values(), ids=ORDINARY.keys())
async def test_what_uvicorn_would_answer_is_answered(data: bytes) -> None:
    async def first_line(server: Serving) -> bytes:
        peer = await server.connect()
        peer.send(data)
        line = await asyncio.wait_for(peer.reader.readline(), SOON_S)
        return b" ".join(line.split(b" ")[:2])

    async with echoing() as ours:
        mine = await first_line(ours)
    async with echoing(ws="none") as stock:
        assert isinstance(stock.config, uvicorn.Config)
        assert mine == await first_line(stock)
