"""What is asked of a store while Redis is out of reach, refuses, or has lost its data."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
import redis
from presence_server.store.queue import PATIENCE_S

from presence_server import errors
from presence_server.core.roster import Mark
from presence_server.settings import Settings
from presence_server.store.link import OutOfReach
from presence_server.store.types import Lost
from tests.store.support import TEAM, Clock, NewParty, Party, detail, join
from tests.support.valkey import Valkey


async def test_requests_wait_while_the_store_is_down(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    party.store.down("a test")
    party.store.down("told once")
    assert party.downs == ["a test"]
    choice = party.store.choose(TEAM, "maria", "busy", by_admin=False)
    known = party.store.is_signed_out("maria", "s1")
    await asyncio.sleep(0)
    assert not choice.done()
    party.store.resume()
    assert (await choice).mark.version == 1
    assert await known == 0


async def test_the_impatient_are_answered_after_ten_seconds(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    party.store.down("a test")
    choice, leave = party.store.choose(TEAM, "maria", "busy", by_admin=False), party.store.leave(TEAM, "maria", "s1", 0)
    given_up = party.store.is_signed_out("maria", "s1")
    given_up.cancel()
    clock.move(int(PATIENCE_S * 1000))
    party.store.housekeep()
    with pytest.raises(errors.Unavailable):
        await choice
    assert not leave.done()
    party.store.resume()
    await leave


async def test_given_up_questions_are_no_trouble(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    given_up = party.store.is_signed_out("maria", "s1")
    given_up.cancel()
    assert await party.store.is_signed_out("maria", "s1") == 0


async def test_what_redis_refuses_fails_alone(
    new_party: NewParty, clock: Clock, client: redis.Redis, key_prefix: str
) -> None:
    party = await new_party()
    client.set(f"{key_prefix}:{{broken}}:meta", "not a hash")
    broken = party.store.choose("broken", "maria", "busy", by_admin=False)
    healthy = party.store.choose(TEAM, "maria", "busy", by_admin=False)
    with pytest.raises(errors.Unavailable, match="got a refusal; see the server's log"):
        await broken
    assert (await healthy).mark.version == 1
    assert party.downs == []


async def test_out_of_reach_everything_waits_but_renewals(
    clock: Clock, client: redis.Redis, new_valkey: Callable[..., Valkey]
) -> None:
    server = new_valkey(tcp=False)
    party = Party.of(server.url, Settings())
    async with party.running() as store:
        copy_clock(client, server)
        await store.join(TEAM, "maria", "s1", 1, clock.ago_s(), 0.0)
        server.stop()
        choice = store.choose(TEAM, "maria", "busy", by_admin=False)
        renewal = store.renew(TEAM, "maria", "s1", 1, None)
        await becomes_down(party)
        assert renewal.cancelled()
        assert not choice.done()
        assert store.renew(TEAM, "maria", "s1", 1, None).cancelled()
        with pytest.raises(OutOfReach):
            await store.changes(TEAM, 0)
        server.start()
        copy_clock(client, server)
        await asyncio.wait_for(store.reconnect(), 5.0)
        store.resume()
        reply = await asyncio.wait_for(choice, 5.0)
        assert (reply.mark.version, len(party.downs)) == (1, 1)


def copy_clock(client: redis.Redis, server: Valkey) -> None:
    with closing(server.client()) as other:
        other.set(Clock.KEY, client.get(Clock.KEY) or b"")


async def test_a_team_that_redis_has_lost_is_not_begun_anew(new_party: NewParty, clock: Clock) -> None:
    """Whoever has a roster of it writes that back first."""
    party = await new_party()
    party.known[TEAM] = Mark("k3", 7, "tip")
    choice = party.store.choose(TEAM, "maria", "busy", by_admin=False)
    with pytest.raises(Lost):
        await party.store.settle(TEAM, 0)
    with pytest.raises(Lost):
        await party.store.rejoin(TEAM, [("maria", "s1", 1, clock.ago_s(), 0)])
    await becomes_down(party)
    assert party.downs == ["Redis has lost data"]
    assert not choice.done()
    party.known.clear()
    party.store.resume()
    assert (await choice).mark.version == 1


@pytest.mark.parametrize("operation", ["join", "leave", "renew", "sign_out", "configure", "choose"])
async def test_nothing_begins_a_lost_team(new_party: NewParty, clock: Clock, operation: str) -> None:
    party = await new_party()
    party.known[TEAM] = Mark("k3", 7, "tip")
    store = party.store
    requests: dict[str, Callable[[], asyncio.Future[Any]]] = {
        "join": lambda: store.join(TEAM, "maria", "s1", 1, clock.ago_s(), 0.0),
        "leave": lambda: store.leave(TEAM, "maria", "s1", 0),
        "renew": lambda: store.renew(TEAM, "maria", "s1", 1, None),
        "sign_out": lambda: store.sign_out(TEAM, "maria", "", refuse_ms=1),
        "configure": lambda: store.configure(TEAM, 60_000),
        "choose": lambda: store.choose(TEAM, "maria", "busy", by_admin=True),
    }
    future = requests[operation]()
    await becomes_down(party)
    assert (await store.changes(TEAM, 0)).mark.epoch == ""
    assert future.cancelled() == (operation == "renew")
    assert not future.done() or future.cancelled()


async def becomes_down(party: Party) -> None:
    async with asyncio.timeout(5.0):
        while not party.downs:  # noqa: ASYNC110 - there is nothing to be woken by
            await asyncio.sleep(0.01)


async def test_flushing_waits_for_what_is_under_way(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    leave = party.store.leave(TEAM, "maria", "s1", 0)
    assert not leave.done()
    await party.store.flush()
    assert leave.done()


async def test_rejoining_restates_leases_at_once(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    await join(party, clock, "juan", "s2")
    await party.store.sign_out(TEAM, "juan", "s2", refuse_ms=60_000)
    entries = [("maria", "s1", 2, clock.ago_s(5_000), 0), ("juan", "s2", 1, clock.ago_s(), 0)]
    versions = await party.store.rejoin(TEAM, entries)
    assert versions == [3, None]
    found = await detail(party, "maria")
    assert (found.connections, found.last_active) == (2, clock.now_ms - 5_000)


async def test_what_a_store_remembers_of_a_team_can_be_forgotten(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    await join(party, clock, "maria")
    party.store.forget(TEAM)
    party.store.forget("never used")
    assert await join(party, clock, "juan") == "online"
