"""Hostile input: each message gets the documented error or close code; others on the worker notice nothing."""

from __future__ import annotations

import contextlib
import json

import pytest
from websockets.frames import Opcode

from tests.support.client import Client
from tests.support.site import Site
from tests.support.tokens import mint

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
