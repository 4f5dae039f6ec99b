"""Hostile input: each gets the documented error or close code, and others on the same worker notice nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from websockets.frames import Opcode

from tests.conftest import NewSite
from tests.support.client import Client
from tests.support.site import Site
from tests.support.timing import GRACE_S, NOTICE_S, SLACK_S, SOON_S, UNIT
from tests.support.tokens import mint
from tests.support.worker import get_status


@pytest.fixture
async def bystanders(site: Site) -> AsyncIterator[Client]:
    """Two people on the worker under attack who must notice nothing: their views stay quiet, their requests work."""
    maria, ana = await site.connect("maria"), await site.connect("ana")
    await maria.sees_all({"maria": "online", "ana": "online"})
    yield maria
    maria.check()
    await ana.choose("busy")
    await maria.sees_soon("ana", "busy")
    assert (maria.close_code, ana.close_code) == (None, None)
    assert maria.view().history("ana")[-2:] == ["online", "busy"]
    maria.never_saw("ana", "offline")


NOT_JSON = ["", " ", "hello", "{", '{"type":"heartbeat"', "{'type':'heartbeat'}", '{"type":NaN}', "\x00", "{}{}"]


@pytest.mark.parametrize("text", NOT_JSON)
@pytest.mark.parametrize("when", ["first", "later"])
async def test_what_is_not_json_is_4505(site: Site, bystanders: Client, text: str, when: str) -> None:
    """As the first message and later."""
    client = await (site.open() if when == "first" else site.connect("juan"))
    await client.send_text(text)
    await client.closed(4505)


@pytest.mark.parametrize("text", ["[]", "7", '"hello"', "null", "true", '[{"type":"logout"}]'])
async def test_json_that_is_no_object_is_refused(site: Site, bystanders: Client, text: str) -> None:
    """One JSON object each: anything else is a bad message or ends the connection, and does nothing."""
    juan = await site.connect("juan")
    await juan.send_text(text)
    await juan.send("set_status", id="after", status="busy")
    try:
        await juan.expect("error", code="bad_message")
        assert (await juan.answer("after"))["type"] == "ack"
    except AssertionError:
        await juan.closed(4505)


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": None},
        {"type": 7},
        {"type": ["heartbeat"]},
        {"type": {"heartbeat": 1}},
        {"type": ""},
        {"type": "__proto__"},
        {"type": "hello"},
        {"type": "watch", "team": ["a"], "users": "all"},
        {"type": "watch", "team": {"a": 1}, "users": "all"},
        {"type": "set_status", "status": {"toString": 1}},
        {"type": "set_status", "status": "busy", "team": "}{"},
        {"type": "set_status", "status": "busy", "team": "a\nb"},
        {"type": "renew"},
        {"type": "renew", "token": 7},
        {"type": "renew", "token": None},
    ],
    ids=json.dumps,
)
async def test_wrong_types_are_errors_and_the_connection_stays(
    site: Site, bystanders: Client, message: dict[str, object]
) -> None:
    """A documented error code, and the next message works."""
    juan = await site.connect("juan")
    await juan.send_text(json.dumps(message | {"id": "wrong"}))
    answer = await juan.answer("wrong")
    assert answer["type"] == "error"
    assert answer["code"] in {"bad_message", "unknown_type", "not_a_member", "bad_token", "unknown_status"}
    await juan.choose("busy")


@pytest.mark.parametrize("number", [[1], {"a": 1}, True, 1.5, "x" * 10_000])
async def test_an_odd_id_is_echoed_or_refused(site: Site, bystanders: Client, number: object) -> None:
    """An id of another type than text or integer: some answer, and the connection stays."""
    juan = await site.connect("juan")
    await juan.send("set_status", id=number, status="busy")
    await juan.expect_any("ack", "error")
    await juan.choose("online")


async def test_deeply_nested_values_do_no_harm(site: Site, bystanders: Client) -> None:
    """Thirty thousand brackets within the size limit: an error or 4505."""
    for text in ("[" * 30_000 + "]" * 30_000, '{"type":"heartbeat","a":' + '{"a":' * 8_000 + "1" + "}" * 8_000 + "}"):
        juan = await site.connect("juan")
        await juan.send_text(text)
        with contextlib.suppress(AssertionError):
            await juan.closed(4505, within_s=1)
        if juan.close_code is None:
            await juan.choose("busy")
        assert juan.close_code in (None, 4505)


@pytest.mark.parametrize("when", ["first", "later"])
async def test_a_message_that_is_too_large_is_4505(site: Site, bystanders: Client, when: str) -> None:
    """Beyond 16 KiB for the first, beyond 64 KiB for a later one; within, it is taken."""
    if when == "first":
        client = await site.open()
        await client.send_text(" " * 16_385)
    else:
        client = await site.connect("juan")
        await client.send("heartbeat", idle_ms=0, filler="x" * 60_000)
        await client.choose("busy")
        await client.send("heartbeat", idle_ms=0, filler="x" * 66_000)
    await client.closed(4505)


async def test_megabytes_are_not_even_read(site: Site, bystanders: Client) -> None:
    """One frame that announces sixteen megabytes is refused by its length."""
    juan = await site.connect("juan")
    await juan.send_text("x" * 16_000_000)
    await juan.closed(4505, 1006)


@pytest.mark.parametrize("when", ["first", "later"])
async def test_binary_frames_are_4505(site: Site, bystanders: Client, when: str) -> None:
    """Text frames only, whatever is in them."""
    client = await (site.open() if when == "first" else site.connect("juan"))
    message = {"type": "hello", "token": site.token("juan")} if when == "first" else {"type": "heartbeat", "idle_ms": 0}
    await client.send_bytes(json.dumps(message).encode())
    await client.closed(4505)


@pytest.mark.parametrize("when", ["first", "later"])
async def test_invalid_utf8_is_an_end(site: Site, bystanders: Client, when: str) -> None:
    """A text frame that is not UTF-8: 4505, or 1007 as RFC 6455 has it."""
    client = await (site.open() if when == "first" else site.connect("juan"))
    client.send_frame(Opcode.TEXT, b'{"type":"heartbeat","idle_ms":\xff\xfe}')
    await client.closed(4505, 1007)


async def test_lone_surrogates_do_no_harm(site: Site, bystanders: Client) -> None:
    """JSON can name half a character; it must not reach anyone."""
    juan = await site.connect("juan")
    await juan.send_text(r'{"type":"set_status","id":"odd","status":"\ud800"}')
    await juan.send_text(r'{"type":"watch","id":"odd2","team":"\udfff","users":"all"}')
    with contextlib.suppress(AssertionError):
        await juan.closed(4505, within_s=0.5)
    assert juan.close_code in (None, 4505)


async def test_fragmented_messages_are_put_together(site: Site, bystanders: Client) -> None:
    """A message in many frames is one message; one that never ends stays within the size limit."""
    juan = await site.connect("juan")
    text = json.dumps({"type": "set_status", "id": "pieces", "status": "busy"}).encode()
    for position in range(len(text)):
        opcode = Opcode.CONT if position else Opcode.TEXT
        juan.send_frame(opcode, text[position : position + 1], fin=position == len(text) - 1)
    assert (await juan.answer("pieces"))["type"] == "ack"
    juan.send_frame(Opcode.TEXT, b"x" * 30_000, fin=False)
    for _ in range(3):
        juan.send_frame(Opcode.CONT, b"x" * 30_000, fin=False)
    await juan.closed(4505)


async def test_a_fragmented_hello_is_taken(site: Site, bystanders: Client) -> None:
    """Also the first message may come in pieces."""
    client = await site.open()
    text = json.dumps({"type": "hello", "token": site.token("juan")}).encode()
    client.send_frame(Opcode.TEXT, text[:20], fin=False)
    client.send_frame(Opcode.PING, b"between")
    client.send_frame(Opcode.CONT, text[20:])
    await client.settled()


@pytest.mark.parametrize(("opcode", "data"), [(Opcode.CONT, b"x"), (Opcode.PING, b"x" * 200), (Opcode.CLOSE, b"\x00")])
async def test_frames_against_the_protocol_are_an_end(
    site: Site, bystanders: Client, opcode: Opcode, data: bytes
) -> None:
    """A continuation of nothing, an overlong ping, a close of one byte: closed by RFC 6455, and forgiven."""
    juan = await site.connect("juan")
    juan.connection.transport.write(bytes([0x80 | opcode, 0x80 | min(len(data), 126)]) + _rest_of_frame(data))
    await juan.closed(1002, 1006, 4505)


def _rest_of_frame(data: bytes) -> bytes:
    extended = len(data).to_bytes(2, "big") if len(data) > 125 else b""
    return extended + bytes(4) + data


async def test_proto_is_a_user_like_any_other(site: Site) -> None:
    """`__proto__`, `constructor` and the like are well-formed ids: users, teams, sessions."""
    names = ["__proto__", "constructor", "toString", "hasOwnProperty", "__class__", "None", "null", "0"]
    teams = [site.unique("__proto__"), site.unique("constructor")]
    people = [await site.connect(name, teams=teams, on=n % 2, sid=site.unique(name)) for n, name in enumerate(names)]
    for person in people:
        for team in teams:
            await person.sees_all(dict.fromkeys(names, "online"), team=team)
    await people[0].choose("busy")
    await people[1].sees("__proto__", "busy", team=teams[0])
    assert (await people[1].request("watch", team=teams[1], users=["__proto__"]))["type"] == "ack"
    await people[1].sees_all({"__proto__": "busy", "constructor": "online"}, team=teams[1])
    await people[0].logout()
    await people[1].sees("__proto__", "offline", team=teams[0], reason="signed_out")


NO_IDS = ["a}b", "{acme}", "a\nb", "a\r\nSET x y", "a b", "ä", "a/b", "../x", "", ".", "-a", "a\x00b", "a*"]


@pytest.mark.parametrize("name", NO_IDS, ids=ascii)
async def test_ids_that_are_none_are_refused_everywhere(site: Site, bystanders: Client, name: str) -> None:
    """As user or team of a token, in watch and set_status."""
    await site.refused(4501, token=mint(name, [site.team]))
    await site.refused(4501, token=mint("juan", [site.team, name]))
    juan = await site.connect("juan")
    for answer in (
        await juan.request("set_status", status="busy", team=name),
        await juan.request("watch", team=name, users="all"),
        await juan.request("watch", team=site.team, users=[name]),
    ):
        assert answer["type"] == "error"
        assert answer["code"] in ("bad_message", "not_a_member")
    await juan.choose("busy")


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
    await maria.quiet_for(0.5)
    assert [message for message in spy.messages if message.get("team") == secret_team] == []
    assert maria.view().statuses() == {"maria": "busy"}
