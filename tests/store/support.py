"""A store for tests: on a real Valkey, by a clock of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha1
from types import SimpleNamespace
from typing import Any, Final

import orjson
import pytest
import redis

from presence_server.core.roster import NO_MARK, Mark
from presence_server.core.status import UserDetail
from presence_server.settings import Settings
from presence_server.store import direct, queue, scripts
from presence_server.store import store as store_module
from presence_server.store.connect import open_client
from presence_server.store.link import Link
from presence_server.store.store import Store
from presence_server.store.types import Reply

TEAM: Final = "acme"

# The contract's defaults, which stores have unless told otherwise.
LEASE_MS: Final = 30_000
GRACE_MS: Final = 20_000
IDLE_MS: Final = 600_000

CLOCK_KEY: Final = "clock-of-the-test"

_TIME: Final = "local clock = redis.call('TIME')"
_TEST_TIME: Final = (
    f"local clock = redis.call('GET', '{CLOCK_KEY}'); clock = {{ math.floor(clock / 1000), clock % 1000 * 1000 }}"
)


class Clock:
    """The time for Redis and for the store alike; stands still unless moved.

    It moves by eighths of a second, which floats hold exactly.
    """

    STEP_MS: Final = 125
    KEY: Final = CLOCK_KEY

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.now_ms = 1_763_800_000_000
        self.move(0)

    def move(self, ms: int) -> None:
        """Let time pass."""
        assert ms % self.STEP_MS == 0
        self.now_ms += ms
        self._client.set(CLOCK_KEY, self.now_ms)

    def ago_s(self, ms: int = 0) -> float:
        """The instant so long ago, as the monotonic clock has it."""
        return (self.now_ms - ms) / 1000

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make the scripts and the store live by this clock, and pipelines go at once."""
        for script in scripts.ALL:
            assert script.source.count(_TIME) <= 1
            source = script.source.replace(_TIME, _TEST_TIME)
            monkeypatch.setattr(script, "source", source)
            monkeypatch.setattr(script, "sha", sha1(source.encode()).hexdigest())
        assert [script for script in scripts.ALL if _TEST_TIME not in script.source] == [scripts.RESCHEDULE]
        for module in (direct, store_module):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=self.ago_s))
        monkeypatch.setattr(queue, "AT_ONCE", math.inf)


@dataclass
class Party:
    """One worker's store, with everything that goes in and comes out beside the operations.

    Attributes:
        known: the marks it is told that its worker knows, by team.
        replies: every reply it has observed, with the team and the mark known when the call was sent.
        downs: why it went down, each time.
    """

    worker: str
    link: Link
    known: dict[str, Mark] = field(default_factory=dict)
    replies: list[tuple[str, Reply, Mark]] = field(default_factory=list)
    downs: list[str] = field(default_factory=list)
    store: Store = field(init=False)

    @classmethod
    def of(cls, url: str, settings: Settings, worker: str = "w1") -> Party:
        party = cls(worker, Link(open_client(url)))
        party.store = Store(
            party.link,
            settings,
            worker,
            known=lambda team: party.known.get(team, NO_MARK),
            observe=lambda team, reply, known: party.replies.append((team, reply, known)),
            on_down=party.downs.append,
        )
        return party

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Store]:
        """Run it; it is open, as after a recovery."""
        task = asyncio.create_task(self.store.run())
        self.store.resume()
        try:
            yield self.store
        finally:
            # Before Python 3.12, wait_for, which redis-py writes with, may swallow a cancellation.
            while not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=0.1)
            await self.link.close()


NewParty = Callable[..., Awaitable[Party]]


class Ear:
    """Hears what is published on the channel of a team."""

    def __init__(self, client: redis.Redis, channel: str) -> None:
        self._client = client
        self._channel = channel
        self._pubsub = client.pubsub()  # type: ignore[no-untyped-call]
        self._pubsub.subscribe(channel)
        assert self._pubsub.get_message(timeout=5.0)["type"] == "subscribe"

    def heard(self) -> list[dict[str, Any]]:
        """What was published since last asked."""
        self._client.publish(self._channel, "end")
        found = []
        while (message := self._pubsub.get_message(timeout=5.0))["data"] != "end":
            found.append(orjson.loads(message["data"]))
        return found

    def close(self) -> None:
        self._pubsub.close()


# --- what tests do all the time ---------------------------------------------------------------------------------------


async def join(party: Party, clock: Clock, user: str, session: str = "s1", idle_ms: int = 0) -> str | None:
    """One connection comes in."""
    _, chosen = await party.store.join(TEAM, user, session, 1, clock.ago_s(idle_ms), 0.0)
    return chosen


async def detail(party: Party, user: str) -> UserDetail:
    _, _, details = await party.store.details(TEAM, [user])
    return details[user]


async def pass_time(party: Party, clock: Clock, ms: int) -> None:
    """Let time pass in which others have nothing to sweep, but would: no gap."""
    for _ in range(ms // 1_000):
        clock.move(1_000)
        await party.store.claim(teams=0)
    clock.move(ms % 1_000)
