"""Anything at all, for as long as one likes: no traceback, no connection left, no answer outside the contract.

Runs for ``PRESENCE_TEST_FUZZ_S`` seconds each: 3 by default, a minute with ``scripts/test --long``. Prints its seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import time
from collections.abc import Callable

import pytest
from websockets.frames import Close, Opcode

from presence_server.core.codes import CloseCode
from tests.attack.attacker import line
from tests.conftest import NewSite
from tests.support.polling import becomes
from tests.support.site import Site
from tests.support.timing import SOON_S
from tests.web.peer import HEAD, frame, text

FUZZ_S = float(os.environ.get("PRESENCE_TEST_FUZZ_S", "3"))

_UPGRADE = HEAD.encode() + b"\r\n"
_STATUSES = {101, 200, 204, 304, 400, 401, 403, 404, 405, 408, 413, 415, 422, 426, 429, 431, 503}

Fuzz = Callable[[random.Random, str], bytes]


def mutated(chance: random.Random, data: bytes) -> bytes:
    """Data with a few bytes taken out, put in, or changed."""
    for _ in range(chance.randrange(4)):
        at, cut = chance.randrange(len(data) + 1), chance.choice([0, 0, 1, 2, 8])
        data = data[:at] + chance.randbytes(chance.choice([0, 1, 2, 8])) + data[at + cut :]
    return data


def any_json(chance: random.Random, depth: int = 3) -> object:
    plain = [None, True, 0, -1, 2**53, 1e308, "", "acme", "\ud83d", "__proto__", "x" * 200, "offline", "all"]
    if depth == 0 or chance.random() < 0.5:
        return chance.choice(plain)
    if chance.random() < 0.5:
        return [any_json(chance, depth - 1) for _ in range(chance.randrange(4))]
    return {str(chance.choice(plain)): any_json(chance, depth - 1) for _ in range(chance.randrange(4))}


def message(chance: random.Random, token: str) -> bytes:
    kinds = ["hello", "heartbeat", "set_status", "watch", "renew", "explain", "logout", "x"]
    fields = ["id", "token", "idle_ms", "resume", "watch", "replaces", "status", "team", "users"]
    made = {"type": chance.choice(kinds)} | {name: any_json(chance) for name in chance.sample(fields, 3)}
    if chance.random() < 0.7:
        made["token"] = token
    return mutated(chance, json.dumps(made).encode()) if chance.random() < 0.3 else json.dumps(made).encode()


def frames(chance: random.Random, token: str) -> bytes:
    """A handshake, mostly a hello, and then frames that are right, nearly right, or nothing like it."""
    hello = text(json.dumps({"type": "hello", "token": token}).encode())
    made = [hello] if chance.random() < 0.8 else []
    for _ in range(chance.randrange(8)):
        opcode = chance.choice([*Opcode, 3, 11])
        payload = chance.choice([b"", b"x", b"\xff", message(chance, token), Close(1000, "x").serialize()])
        wrong = chance.random() < 0.2
        made.append(frame(opcode, payload, fin=chance.random() < 0.8, mask=not wrong, rsv=4 * wrong))
    return _UPGRADE + mutated(chance, b"".join(made))


def messages(chance: random.Random, token: str) -> bytes:
    hello = text(json.dumps({"type": "hello", "token": token}).encode())
    return _UPGRADE + hello + b"".join(text(message(chance, token)) for _ in range(chance.randrange(8)))


def heads(chance: random.Random, token: str) -> bytes:
    """Requests and handshakes with something wrong about them."""
    path = chance.choice(["/v1/ws", "/v1/teams/acme/presence", "/v1/teams/acme/presence/fuzz", "/metrics", "/%2e", "*"])
    method = chance.choice(["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PRI"])
    body = message(chance, token) if method == "PUT" else b""
    extra = chance.sample(["Upgrade: h2c", "Connection: Upgrade", "Transfer-Encoding: chunked", "Host: b", "X: y"], 2)
    rows = [f"{method} {path} HTTP/1.1", "Host: a", f"Authorization: Bearer {token}", f"Content-Length: {len(body)}"]
    plain = "\r\n".join([*rows, "Content-Type: application/json", *extra, "", ""]).encode() + body
    return mutated(chance, chance.choice([plain, _UPGRADE]))


def tokens(chance: random.Random, token: str) -> bytes:
    spoilt = mutated(chance, token.encode()).decode("latin-1")
    return _UPGRADE + text(json.dumps({"type": "hello", "token": spoilt}).encode())


def objections(answer: bytes) -> str | None:
    """What is wrong about the bytes that somebody was answered."""
    if not answer:
        return None
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    if found is None or int(found[1]) not in _STATUSES:
        return f"Expected an answer of HTTP, got {answer[:80]!r}"
    rest = answer.partition(b"\r\n\r\n")[2] if found[1] == b"101" else b""
    while len(rest) >= 2:
        opcode, size, start = rest[0] & 15, rest[1], 2
        if size == 126:
            size, start = int.from_bytes(rest[2:4], "big"), 4
        payload, rest = rest[start : start + size], rest[start + size :]
        if opcode == Opcode.CLOSE and len(payload) >= 2:
            code = int.from_bytes(payload[:2], "big")
            # A client's own code is told back to it (RFC 6455, section 5.5.1).
            if code not in set(CloseCode) and not 1000 <= code < 5000:
                return f"Expected a close code of the contract, got {code}"
    return None


async def throw(port: int, data: bytes) -> bytes:
    """Send it, perhaps in two pieces, and say no more; returns what was answered."""
    answer = b""
    async with line(port) as (reader, writer):
        writer.write(data[: len(data) // 2])
        await writer.drain()
        writer.write(data[len(data) // 2 :])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                while piece := await reader.read(65_536):
                    answer += piece
    return answer


@pytest.fixture
async def fuzzed(new_site: NewSite) -> Site:
    return await new_site(handshake_timeout=2)


@pytest.mark.parametrize("fuzz", [frames, messages, heads, tokens], ids=lambda fuzz: fuzz.__name__)
async def test_nothing_breaks_it(fuzz: Fuzz, fuzzed: Site) -> None:
    seed = int(os.environ.get("PRESENCE_TEST_SEED", time.time_ns() % 2**32))
    print(f"PRESENCE_TEST_SEED={seed}")
    chance = random.Random(seed)
    maria, juan = await fuzzed.connect("maria"), await fuzzed.connect("juan")
    await maria.sees_all({"maria": "online", "juan": "online"})
    port = fuzzed.workers[0].port

    async def throw_on(number: int) -> None:
        until_s = time.monotonic() + FUZZ_S
        while time.monotonic() < until_s:
            token = fuzzed.token(f"fuzz-{number}-{chance.randrange(1_000)}", teams=["fuzzed"])
            data = fuzz(chance, token)
            assert objections(await throw(port, data)) is None, data

    await asyncio.gather(*(throw_on(number) for number in range(8)))
    await juan.choose("busy")
    await maria.sees("juan", "busy", within_s=SOON_S)
    maria.never_saw("juan", "offline")

    async def open_connections() -> str:
        exposed = (await fuzzed.api(None).request("GET", "/metrics")).text
        (count,) = re.findall(r"^presence_connections (\S+)", exposed, re.MULTILINE)
        return str(count)

    await becomes(open_connections, "2.0", within_s=2 * SOON_S)
    log = fuzzed.workers[0].log()
    assert "Traceback" not in log
    assert "ERROR" not in log
