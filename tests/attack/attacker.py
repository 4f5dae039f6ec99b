"""Attacks on a port of this machine, each from a process of its own: ``python -m tests.attack.attacker NAME PORT S``.

Bounded: every attack ends after so many seconds, and goes to 127.0.0.1 alone. With a token, it comes as the third
argument's follower: what an ordinary user can do who has one.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final

from websockets.frames import Opcode

from tests.web.peer import HEAD, frame, text

Attack = Callable[[int, float, str], Coroutine[Any, Any, None]]

STRANGERS: Final = 12

_UPGRADE: Final = HEAD.encode() + b"\r\n"


@contextlib.asynccontextmanager
async def line(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A TCP connection, for which whatever happens to it is fine."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            yield reader, writer
    finally:
        writer.transport.abort()


def flooding(*first: bytes, flood: bytes) -> Attack:
    """Twelve strangers who send megabytes, and come back when they are thrown out."""

    async def stranger(port: int, until_s: float) -> None:
        data = flood * (65_536 // len(flood))
        while time.monotonic() < until_s:
            async with line(port) as (_, writer):
                for each in first:
                    writer.write(each)
                for _ in range(100):
                    if writer.transport.is_closing() or time.monotonic() >= until_s:
                        break
                    writer.write(data)
                    async with asyncio.timeout(1):
                        await writer.drain()
            await asyncio.sleep(0.05)

    async def attack(port: int, seconds: float, _token: str) -> None:
        until_s = time.monotonic() + seconds
        await asyncio.gather(*(stranger(port, until_s) for _ in range(STRANGERS)), return_exceptions=True)

    return attack


async def say_nothing(port: int, seconds: float, _token: str) -> None:
    """Three hundred TCP connections that say nothing, or half a request."""
    async with contextlib.AsyncExitStack() as stack:
        for number in range(300):
            _, writer = await stack.enter_async_context(line(port))
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n" if number % 2 else b"")
        await asyncio.sleep(seconds)


async def come_and_go(port: int, seconds: float, _token: str) -> None:
    """Strangers who shake hands and hang up, as fast as they can."""
    until_s = time.monotonic() + seconds

    async def stranger() -> None:
        while time.monotonic() < until_s:
            async with line(port) as (reader, writer):
                writer.write(_UPGRADE)
                await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2)

    await asyncio.gather(*(stranger() for _ in range(STRANGERS)), return_exceptions=True)


async def connect_and_sign_out(port: int, seconds: float, token: str) -> None:
    """One user without a session, who connects and signs out again and again."""
    hello = text(json.dumps({"type": "hello", "token": token}).encode())
    until_s = time.monotonic() + seconds

    async def tab() -> None:
        while time.monotonic() < until_s:
            async with line(port) as (reader, writer):
                writer.write(_UPGRADE + hello + text(b'{"type":"logout"}'))
                async with asyncio.timeout(2):
                    await reader.read()
            await asyncio.sleep(0.02)

    await asyncio.gather(*(tab() for _ in range(8)), return_exceptions=True)


async def sign_out_over_http(port: int, seconds: float, token: str) -> None:
    """One user who signs himself out over HTTP, as fast as he is answered."""

    def work() -> None:
        until_s = time.monotonic() + seconds
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        while time.monotonic() < until_s:
            with contextlib.suppress(OSError, http.client.HTTPException):
                path = "/v1/teams/attackers/presence/mallory"
                connection.request("DELETE", path, headers={"Authorization": f"Bearer {token}"})
                connection.getresponse().read()

    await asyncio.gather(*(asyncio.to_thread(work) for _ in range(4)))


ATTACKS: Final[dict[str, Attack]] = {
    "pings": flooding(_UPGRADE, flood=frame(Opcode.PING)),
    "pongs": flooding(_UPGRADE, flood=frame(Opcode.PONG)),
    "fragments": flooding(_UPGRADE, frame(Opcode.TEXT, b"x", fin=False), flood=frame(Opcode.CONT, fin=False)),
    "arrays": flooding(_UPGRADE, flood=text(b"[]")),
    "large messages": flooding(_UPGRADE, flood=text(b'{"type":"x","y":"' + b"y" * 30_000 + b'"}')),
    "headers": flooding(b"GET / HTTP/1.1\r\n", flood=b"X: y\r\n"),
    "requests": flooding(flood=b"GET /v1/teams/acme/presence HTTP/1.1\r\nHost: a\r\n\r\n"),
    "empty lines": flooding(flood=b"\r\n"),
    "chunks": flooding(
        b"PUT /v1/teams/a/presence/b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", flood=b"1\r\nx\r\n"
    ),
    "TLS": flooding(flood=b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "silence": say_nothing,
    "handshakes": come_and_go,
    "connects": connect_and_sign_out,
    "sign-outs": sign_out_over_http,
}


if __name__ == "__main__":
    asyncio.run(ATTACKS[sys.argv[1]](int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]))
