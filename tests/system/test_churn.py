"""People come and go all day: afterwards a worker, and Redis, are as they were."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.conftest import NewSite
from tests.support.budget import LONG
from tests.support.polling import becomes
from tests.support.timing import SOON_S, UNIT
from tests.support.tokens import mint
from tests.support.valkey import Valkey
from tests.web.peer import HEAD, close, text

NewValkey = Callable[..., Valkey]

# What a first round leaves is what it takes to serve so many; nothing comes on top of it.
USERS, ROUND, ROUNDS = (5_000, 10_000, 10) if LONG else (500, 1_000, 3)
AT_ONCE = 100
MORE_KB = 4_096


class Visitor(asyncio.Protocol):
    """Comes, and ends as soon as it has a snapshot: by a close frame, or cut off.

    Attributes:
        gone: done when it is; whether it was shown its team.
    """

    def __init__(self, token: str, *, cut_off: bool) -> None:
        self._hello = text(json.dumps({"type": "hello", "token": token}).encode())
        self._cut_off = cut_off
        self._shown = False
        self._received = b""
        self.gone: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(f"{HEAD}\r\n".encode() + self._hello)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._shown and b'"snapshot"' in self._received:
            self._shown = True
            if self._cut_off:
                self._transport.abort()
            else:
                self._transport.write(close(1001))

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set_result(self._shown)


@pytest.mark.timeout(1_200)
async def test_nothing_is_left_of_who_came_and_went(new_valkey: NewValkey, new_site: NewSite) -> None:
    valkey = new_valkey()
    site = await new_site(redis_url=valkey.url)
    worker = site.workers[0]
    tokens = [mint(f"u{number}", [f"t{number // 10}"], sid=f"s{number}") for number in range(USERS)]
    turns = asyncio.Semaphore(AT_ONCE)

    async def visit(number: int) -> bool:
        async with turns, asyncio.timeout(SOON_S):
            make = asyncio.get_running_loop().create_connection
            _, visitor = await make(
                lambda: Visitor(tokens[number % USERS], cut_off=number % 2 == 0), "127.0.0.1", worker.port
            )
            return await visitor.gone

    with closing(valkey.client()) as client:

        async def held() -> int:
            return sum(1 for _ in client.scan_iter("*:held:*", count=10_000))

        sizes_kb, keys = [], []
        for first in range(0, ROUND * ROUNDS, ROUND):
            assert all(await asyncio.gather(*[visit(number) for number in range(first, first + ROUND)]))
            await becomes(held, 0, within_s=SOON_S + 10 * UNIT)
            sizes_kb.append(worker.resident_kb)
            keys.append(client.dbsize())
    # What the last of a round have left that expires is there or not, by how busy the machine is.
    assert max(keys) < 1.05 * keys[0], f"Expected no more keys after every round, got {keys}"
    assert max(sizes_kb) - sizes_kb[0] < MORE_KB, f"Expected no more memory, got {sizes_kb} kB"
    assert math.isclose(keys[0], USERS, rel_tol=0.5), "a user's choice and little else"
