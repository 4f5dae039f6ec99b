"""Hostile connections: floods, half-open sockets, slow and wrong handshakes, spies; bystanders notice nothing."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.conftest import NewSite
from tests.support.client import Client
from tests.support.site import Site
from tests.support.timing import GRACE_S, NOTICE_S, SLACK_S, SOON_S, UNIT
from tests.support.worker import get_status


async def test_a_flood_of_connections_without_hello_is_let_go(site: Site, bystanders: Client) -> None:
    """Two hundred strangers who say nothing: each is closed with 4002."""
    strangers = await asyncio.gather(*(site.open() for _ in range(200)))
    await asyncio.gather(*(stranger.closed(4002, within_s=8 * UNIT) for stranger in strangers))


async def test_a_flood_of_bad_tokens_changes_nothing(site: Site, bystanders: Client) -> None:
    """A hundred refusals at once."""
    forged = site.token("maria", secret="another-secret-that-is-long-enough-for-hs256-01234")
    await asyncio.gather(*(site.refused(4501, token=forged) for _ in range(100)))


async def test_half_open_sockets_end_by_the_ping(new_site: NewSite) -> None:
    """Thirty clients whose network is gone: all are offline after ping and grace, none lingers."""
    site = await new_site(ping_interval=0.5 * UNIT, ping_timeout=0.5 * UNIT)
    maria = await site.connect("maria")
    gone = [await site.connect(f"user{number}") for number in range(30)]
    await maria.sees_all({"maria": "online"} | {f"user{number}": "online" for number in range(30)})
    for client in gone:
        client.freeze()
    await maria.sees_all({"maria": "online"}, within_s=UNIT + GRACE_S + NOTICE_S + SLACK_S)

    assert [(await site.admin().user(f"user{number}"))["connections"] for number in range(30)] == [0] * 30


async def test_a_slow_loris_handshake_holds_nobody_up(site: Site, bystanders: Client) -> None:
    """A hundred handshakes, a byte now and then: others connect, choose and read as ever."""
    writers = []
    for _ in range(100):
        _, writer = await asyncio.open_connection("127.0.0.1", site.workers[0].port)
        writer.write(b"GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n")
        writers.append(writer)
    for turn in range(5):
        for writer in writers:
            writer.write(b"X-%d: y\r\n" % turn)
        juan = await site.connect("juan")
        await juan.choose("busy" if turn % 2 else "online")
        await juan.leave()
    assert get_status(site.workers[0].port, "/healthz") == 200
    for writer in writers:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


_UPGRADE = b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
_KEY = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"

WRONG_HANDSHAKES = {
    "no upgrade": b"GET /v1/ws HTTP/1.1\r\nHost: x\r\n\r\n",
    "post": b"POST /v1/ws HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "old version": _UPGRADE + _KEY + b"Sec-WebSocket-Version: 12\r\n\r\n",
    "no key": _UPGRADE + b"Sec-WebSocket-Version: 13\r\n\r\n",
    "short key": _UPGRADE + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls to a plain port \r\n\r\n",
    "long header": b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"y" * 200_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("request_head", WRONG_HANDSHAKES.values(), ids=WRONG_HANDSHAKES.keys())
async def test_wrong_handshakes_get_an_http_error(site: Site, bystanders: Client, request_head: bytes) -> None:
    """Never 101, never a server error."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.workers[0].port)
    with contextlib.suppress(OSError):
        writer.write(request_head)
        await writer.drain()
    answer = b""
    with contextlib.suppress(OSError):
        answer = await asyncio.wait_for(reader.readline(), SOON_S)
    assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), f"Expected a client error, got {answer!r}"
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def test_who_is_hostile_in_one_team_is_not_seen_in_another(site: Site) -> None:
    """Nothing of a team reaches who is not its member: not by resume, watch, set_status or renew."""
    secret_team = site.unique("secret")
    maria = await site.connect("maria", teams=[secret_team])
    point = maria.view().resume_point()
    spy = await site.connect("spy", resume={secret_team: point}, watch={secret_team: ["maria"]}, settled=False)
    with contextlib.suppress(AssertionError):
        await spy.settled()
    if spy.close_code is None:
        await spy.fails("not_a_member", "watch", team=secret_team, users="all")
        await spy.fails("not_a_member", "set_status", team=secret_team, status="busy")
    await maria.choose("busy")
    await maria.sees("maria", "busy")
    await maria.quiet_for(0.5)
    assert [message for message in spy.messages if message.get("team") == secret_team] == []
    assert maria.view().statuses() == {"maria": "busy"}
