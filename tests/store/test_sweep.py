"""Sweeps: who is due is found in time, whatever was asked of the index meanwhile (rule 10)."""

from __future__ import annotations

import asyncio

import redis

from presence_server.store.direct import RETAIN_MS, SWEPT_AT_ONCE
from presence_server.store.store import Store
from presence_server.store.types import Swept
from tests.store.support import GRACE_MS, LEASE_MS, TEAM, Clock, NewParty, Party, detail, join, pass_time


async def sweep_all(party: Party) -> list[Swept]:
    """What a sweeper does, once."""
    claim = await party.store.claim()
    found = []
    for team in claim.teams:
        swept = await party.store.sweep(team)
        await party.store.reschedule(team, claim.claimed_until, swept.deadline_ms)
        found.append(swept)
    return found


async def test_a_sweep_finds_who_is_due_and_no_one_earlier(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    await join(party, clock, "maria")
    await party.store.leave(TEAM, "maria", "s1", 0)
    clock.move(GRACE_MS - 125)
    assert [swept.changed for swept in await sweep_all(party)] in ([], [0])
    clock.move(250)
    (swept,) = await sweep_all(party)
    assert (swept.changed, swept.seen, swept.lag_ms, swept.more) == (1, 1, 125, False)
    assert swept.deadline_ms == clock.now_ms + RETAIN_MS
    assert (await detail(party, "maria")).reason == "disconnected"


async def test_of_two_sweepers_one_claims_a_team(new_party: NewParty, clock: Clock) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    await join(first, clock, "maria")
    clock.move(LEASE_MS)
    claims = [await party.store.claim() for party in (first, second)]
    assert [claim.teams for claim in claims] == [(TEAM,), ()]


async def test_what_is_asked_of_a_claimed_team_is_not_lost(new_party: NewParty, clock: Clock) -> None:
    """Between claim and reschedule somebody leaves: the team must be looked at when his grace ends."""
    party = await new_party()
    await join(party, clock, "juan")
    await join(party, clock, "maria")
    claim = await party.store.claim()
    swept = await party.store.sweep(TEAM)
    assert swept.deadline_ms == clock.now_ms + LEASE_MS
    await party.store.leave(TEAM, "maria", "s1", 0)
    await party.store.reschedule(TEAM, claim.claimed_until, swept.deadline_ms)
    await pass_time(party, clock, GRACE_MS)
    assert (await sweep_all(party))[0].changed == 1


async def test_a_look_that_a_sweep_has_put_off_is_asked_for_again(new_party: NewParty, clock: Clock) -> None:
    """A worker's memory of the index is not the index: a sweep may have come in between."""
    party = await new_party()
    for user in ("maria", "juan"):
        await join(party, clock, user)
    await sweep_all(party)
    await pass_time(party, clock, 10_000)
    assert await party.store.renew(TEAM, "maria", "s1", 1, None) is None
    await pass_time(party, clock, 19_875)
    for user in ("maria", "juan"):
        assert await party.store.renew(TEAM, user, "s1", 1, None) is None
    clock.move(125)
    await sweep_all(party)
    clock.move(125)
    await party.store.leave(TEAM, "juan", "s1", 0)
    await party.store.flush()
    await pass_time(party, clock, GRACE_MS)
    await sweep_all(party)
    assert (await detail(party, "juan")).status == "offline"


async def test_many_that_are_due_take_several_sweeps(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    await asyncio.gather(*[join(party, clock, f"u{number}") for number in range(SWEPT_AT_ONCE + 1)])
    clock.move(LEASE_MS)
    first, second = await party.store.sweep(TEAM), await party.store.sweep(TEAM)
    assert (first.changed, first.more, second.changed, second.more) == (SWEPT_AT_ONCE, True, 1, False)


async def test_who_has_been_offline_for_an_hour_is_forgotten_but_not_his_choice(
    new_party: NewParty, clock: Clock
) -> None:
    party = await new_party()
    await join(party, clock, "maria")
    await party.store.choose(TEAM, "maria", "busy", by_admin=False)
    await party.store.sign_out(TEAM, "maria", "s1", refuse_ms=1_000)
    await party.store.claim(teams=0)
    clock.move(RETAIN_MS)
    await party.store.sweep(TEAM)
    page = await party.store.changes(TEAM, 0)
    assert (page.changes, page.floor, page.mark.version) == ([], 3, 3)
    assert (await detail(party, "maria")).chosen == "busy"
    assert await join(party, clock, "maria") == "busy"
    assert [change.user for change in (await party.store.changes(TEAM, 3)).changes] == ["maria"]


# --- the real clock ---------------------------------------------------------------------------------------------------


async def test_time_is_rediss(new_party: NewParty, client: redis.Redis) -> None:
    """Without the clock of the other tests: a short lease runs out, and a sweep finds it."""
    party = await new_party(lease_ttl_ms=300, disconnect_grace_ms=200)
    store = party.store
    await store.claim()
    seconds, microseconds = client.time()
    assert abs(store.now_ms() - (seconds * 1000 + microseconds // 1000)) < 1_000
    assert await store.uptime_s() >= 0
    reply, _ = await store.join(TEAM, "maria", "s1", 1, 0.0, 0.0)
    await store.choose(TEAM, "maria", "busy", by_admin=False)
    changed = await swept_at_last(store)
    page = await store.changes(TEAM, 0)
    (change,) = page.changes
    assert (changed, change.status, change.reason) == (1, "offline", "disconnected")
    assert change.since >= reply.now_ms + 300


async def swept_at_last(store: Store) -> int:
    async with asyncio.timeout(10.0):
        while True:
            for _ in (await store.claim()).teams:
                swept = await store.sweep(TEAM)
                if swept.changed:
                    return swept.changed
            await asyncio.sleep(0.05)
