"""The sweeper: it works on claims one after another, and what it cannot do is claimed again by somebody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis

from presence_server.live.sweeper import Sweeper
from presence_server.store import tasks
from presence_server.store.link import OutOfReach
from presence_server.store.operations.claim import AT_ONCE
from presence_server.store.scripts import CLAIM_MS
from presence_server.store.types import Claim
from tests.store.support import GRACE_MS, IDLE_MS, TEAM, Clock, Party, becomes_true, pass_time


@pytest.fixture
async def sweeping(party: Party) -> AsyncIterator[Sweeper]:
    """A sweeper at work."""
    running = asyncio.create_task(party.sweeper.run())
    yield party.sweeper
    await tasks.end([running])


async def due(party: Party, clock: Clock) -> Claim:
    """A claim of a team in which somebody fell idle."""
    await party.join()
    await pass_time(clock, IDLE_MS, party)
    return await party.beat(teams=AT_ONCE)


async def swept(party: Party, client: redis.Redis, key_prefix: str) -> None:
    """Wait until the index has been told."""
    await becomes_true(lambda: not client.exists(f"{key_prefix}:{{due}}:claimed"))


async def test_what_is_claimed_is_swept(
    party: Party, sweeping: Sweeper, clock: Clock, client: redis.Redis, key_prefix: str
) -> None:
    sweeping.take(await due(party, clock))
    await swept(party, client, key_prefix)
    assert await party.status() == ("offline", "idle")
    assert sum(party.counters.sweep_lag.counts) == 1


async def test_no_more_is_claimed_than_can_be_worked_on(party: Party, clock: Clock) -> None:
    claim = await party.beat()
    rooms = []
    for _ in range(3):
        rooms.append(party.sweeper.room())
        party.sweeper.take(claim)
    assert rooms == [AT_ONCE, AT_ONCE, 0]


async def test_where_nothing_changed_no_lag_is_counted(
    party: Party, sweeping: Sweeper, clock: Clock, client: redis.Redis, key_prefix: str
) -> None:
    await party.join(session="s1")
    await party.join(session="s2")
    await party.lost_for_good(session="s2")
    await pass_time(clock, GRACE_MS, party)
    sweeping.take(await party.beat(teams=AT_ONCE))
    await swept(party, client, key_prefix)
    assert sum(party.counters.sweep_lag.counts) == 0


async def test_what_redis_was_away_for_is_claimed_again(
    party: Party,
    sweeping: Sweeper,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    client: redis.Redis,
    key_prefix: str,
) -> None:
    claim = await due(party, clock)

    async def nobody(commands: object) -> list[object]:
        raise OutOfReach("a test")

    with monkeypatch.context() as broken:
        broken.setattr(party.store.link, "execute_each", nobody)
        sweeping.take(claim)
        await becomes_true(lambda: party.downs == ["a test"])
    party.store.resume()
    clock.move(CLAIM_MS)
    sweeping.take(await party.beat(teams=AT_ONCE))
    await swept(party, client, key_prefix)
    assert await party.status() == ("offline", "idle")


async def test_what_waited_is_not_swept_by_who_is_cut_off(
    party: Party, sweeping: Sweeper, clock: Clock, client: redis.Redis, key_prefix: str
) -> None:
    """What others have told meanwhile he cannot have heard, nor can he tell what he knows."""
    claim = await due(party, clock)
    party.store.down("a test")
    sweeping.take(claim)
    await becomes_true(lambda: sweeping._claims.empty())
    party.store.resume()
    assert (await party.detail()).status == "online"
    clock.move(CLAIM_MS)
    sweeping.take(await party.beat(teams=AT_ONCE))
    await swept(party, client, key_prefix)
    assert await party.status() == ("offline", "idle")


async def test_what_follows_a_sweep_may_be_refused(
    party: Party,
    sweeping: Sweeper,
    clock: Clock,
    client: redis.Redis,
    key_prefix: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    claim = await due(party, clock)
    key = f"{key_prefix}:{{due}}:claimed"
    client.rename(key, f"{key}-kept")
    client.set(key, "not a sorted set")
    sweeping.take(claim)
    await becomes_true(lambda: "Redis refused what follows a sweep" in caplog.text)
    assert await party.status() == ("offline", "idle")
    # The claim stands: what it brought is looked at again.
    client.rename(f"{key}-kept", key)
    clock.move(CLAIM_MS)
    claim = await party.beat(teams=AT_ONCE)
    assert [due.team for due in claim.due] == [TEAM]
    sweeping.take(claim)
    await swept(party, client, key_prefix)
