"""Fixtures of the live part's tests: those of the store, and a worker without sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from presence_server.settings import Settings
from tests.live.following import Following
from tests.store.conftest import client, clock, new_party, party  # noqa: F401
from tests.store.support import IDLE_MS, Clock
from tests.support.valkey import Valkey

NewFollowing = Callable[..., Awaitable[Following]]


@pytest.fixture
async def new_following(shared_valkey: Valkey, key_prefix: str, clock: Clock) -> AsyncIterator[NewFollowing]:  # noqa: F811
    """Starts workers without sockets: ``await new_following("w2", lease_ttl_ms=3_000)``."""
    async with AsyncExitStack() as stack:

        async def start(name: str = "w1", *, url: str = shared_valkey.url, **settings: Any) -> Following:
            given: dict[str, Any] = {"redis_url": url, "key_prefix": key_prefix, "idle_timeout_ms": IDLE_MS} | settings
            following = Following(url, Settings(**given), name, clock)
            await stack.enter_async_context(following.following())
            clock.move(1_000)
            await following.beat()
            return following

        yield start


@pytest.fixture
async def following(new_following: NewFollowing) -> Following:
    """One worker without sockets."""
    return await new_following()
