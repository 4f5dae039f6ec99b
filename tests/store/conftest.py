"""Fixtures of the store's tests."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, closing
from typing import Any

import pytest
import redis

from presence_server.settings import Settings
from presence_server.store import pace
from tests.store.listening import Ear
from tests.store.support import IDLE_MS, TEAM, Clock, NewParty, Party
from tests.support.valkey import Valkey


@pytest.fixture
def client(shared_valkey: Valkey) -> Iterator[redis.Redis]:
    """Looks at what is stored."""
    with closing(shared_valkey.client()) as client:
        yield client


@pytest.fixture
def clock(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that stands still unless moved, for Redis and stores alike; pipelines go at once."""
    monkeypatch.setattr(pace, "AT_ONCE", math.inf)
    return Clock(client)


@pytest.fixture
async def new_party(shared_valkey: Valkey, key_prefix: str, clock: Clock) -> AsyncIterator[NewParty]:
    """Starts workers' stores: ``await new_party("w2", lease_ttl_ms=3_000)``."""
    async with AsyncExitStack() as stack:

        async def start(name: str = "w1", *, url: str = shared_valkey.url, **settings: Any) -> Party:
            given: dict[str, Any] = {"redis_url": url, "key_prefix": key_prefix, "idle_timeout_ms": IDLE_MS} | settings
            party = Party(url, Settings(**given), name, clock)
            await stack.enter_async_context(party.running())
            # Before an index is new, nobody has swept: nothing of the test lies in that gap.
            clock.move(1_000)
            await party.beat()
            return party

        yield start


@pytest.fixture
async def party(new_party: NewParty) -> Party:
    """One worker's store."""
    return await new_party()


@pytest.fixture
def ear(client: redis.Redis, key_prefix: str) -> Iterator[Ear]:
    """Hears what is published on the test's team."""
    with closing(Ear(client, f"{key_prefix}:{{{TEAM}}}:feed:0")) as ear:
        yield ear


@pytest.fixture
def keys_of(client: redis.Redis, key_prefix: str) -> Callable[[], dict[str, str]]:
    """Lists the keys of this test, without their prefix, with their types."""

    def read() -> dict[str, str]:
        found = client.scan_iter(f"{key_prefix}:*", count=1000)
        return {key.removeprefix(f"{key_prefix}:"): str(client.type(key)) for key in found}

    return read
