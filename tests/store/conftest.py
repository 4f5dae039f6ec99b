"""Fixtures of the store's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, closing
from typing import Any

import pytest
import redis

from presence_server.settings import Settings
from tests.store.support import TEAM, Clock, Ear, NewParty, Party
from tests.support.valkey import Valkey


@pytest.fixture
def client(shared_valkey: Valkey) -> Iterator[redis.Redis]:
    """Looks at what is stored."""
    with closing(shared_valkey.client()) as client:
        yield client


@pytest.fixture
def clock(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that stands still unless moved, for Redis and stores alike."""
    clock = Clock(client)
    clock.install(monkeypatch)
    return clock


@pytest.fixture
async def new_party(shared_valkey: Valkey, key_prefix: str) -> AsyncIterator[NewParty]:
    """Starts stores: ``await new_party("w2", lease_ttl_ms=3_000)``; each is a worker's."""
    async with AsyncExitStack() as stack:

        async def start(worker: str = "w1", *, url: str = shared_valkey.url, **settings: Any) -> Party:
            party = Party.of(url, Settings(redis_url=url, key_prefix=key_prefix, **settings), worker)
            await stack.enter_async_context(party.running())
            return party

        yield start


@pytest.fixture
def ear(client: redis.Redis, key_prefix: str) -> Iterator[Ear]:
    """Hears what is published on the test's team."""
    with ExitStack() as stack:
        ear = Ear(client, f"{key_prefix}:{{{TEAM}}}:feed")
        stack.callback(ear.close)
        yield ear


@pytest.fixture
def keys_of(client: redis.Redis, key_prefix: str) -> Callable[[], dict[str, str]]:
    """Lists the keys of this test, without their prefix, with their types."""

    def read() -> dict[str, str]:
        found = client.scan_iter(f"{key_prefix}:*", count=1000)
        return {key.removeprefix(f"{key_prefix}:"): str(client.type(key)) for key in found}

    return read
