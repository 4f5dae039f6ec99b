"""Intervals in which nobody swept: an outage is never a mass sign-out (rule 10)."""

from __future__ import annotations

import pytest

from presence_server.core.status import UserDetail
from presence_server.store.direct import CLAIM_MS, GAP_MS
from tests.store.support import IDLE_MS, LEASE_MS, TEAM, Clock, NewParty, Party, pass_time


async def start(new_party: NewParty, clock: Clock, idle_ms: int = 0) -> Party:
    """A worker with one user, who has just swept."""
    party = await new_party()
    await party.store.claim()
    await party.store.join(TEAM, "maria", "s1", 1, clock.ago_s(idle_ms), 0.0)
    return party


async def maria_after_a_sweep(party: Party) -> UserDetail:
    await party.store.claim(teams=0)
    await party.store.sweep(TEAM)
    _, _, details = await party.store.details(TEAM, ["maria"])
    return details["maria"]


async def test_short_of_a_gap_nothing_is_put_off(new_party: NewParty, clock: Clock) -> None:
    party = await start(new_party, clock)
    await pass_time(party, clock, LEASE_MS - GAP_MS)
    clock.move(GAP_MS)
    claim = await party.store.claim()
    assert claim.gap == (0, 0)
    assert (await maria_after_a_sweep(party)).reason == "disconnected"


async def test_a_lease_that_ran_out_while_nobody_swept_is_given_one_more(new_party: NewParty, clock: Clock) -> None:
    party = await start(new_party, clock)
    began = clock.now_ms
    clock.move(LEASE_MS + 60_000)
    claim = await party.store.claim()
    assert claim.gap == (began, clock.now_ms)
    assert (await maria_after_a_sweep(party)).status == "online"
    await pass_time(party, clock, LEASE_MS - 1_000)
    assert (await maria_after_a_sweep(party)).status == "online"
    await pass_time(party, clock, 1_000)
    found = await maria_after_a_sweep(party)
    assert (found.status, found.reason, found.since) == ("offline", "disconnected", clock.now_ms)


async def test_its_own_worker_can_renew_it_meanwhile(new_party: NewParty, clock: Clock) -> None:
    party = await start(new_party, clock)
    clock.move(LEASE_MS + 60_000)
    await party.store.claim()
    assert await party.store.renew(TEAM, "maria", "s1", 1, clock.ago_s()) is None
    await pass_time(party, clock, LEASE_MS - 1_000)
    assert (await maria_after_a_sweep(party)).status == "online"


async def test_a_lease_that_ran_out_before_the_gap_is_not_given_another(new_party: NewParty, clock: Clock) -> None:
    party = await start(new_party, clock)
    await pass_time(party, clock, LEASE_MS)
    clock.move(10_000)
    await party.store.claim()
    assert (await maria_after_a_sweep(party)).reason == "disconnected"


async def test_who_fell_idle_meanwhile_has_a_third_of_a_lease_to_be_heard_of(new_party: NewParty, clock: Clock) -> None:
    party = await start(new_party, clock, idle_ms=IDLE_MS - 5_000)
    clock.move(10_000)
    assert (await maria_after_a_sweep(party)).status == "online"
    await pass_time(party, clock, LEASE_MS // 3)
    found = await maria_after_a_sweep(party)
    assert (found.status, found.reason) == ("offline", "idle")


async def test_a_second_gap_before_the_leases_had_their_chance_is_the_same(new_party: NewParty, clock: Clock) -> None:
    """Redis comes and goes: nobody could renew in between."""
    party = await start(new_party, clock)
    began = clock.now_ms
    clock.move(LEASE_MS + 10_000)
    await party.store.claim()
    clock.move(LEASE_MS + 10_000)
    claim = await party.store.claim()
    assert claim.gap[0] in (began, began + LEASE_MS + 10_000)
    clock.move(0)


async def test_gaps_within_a_lease_are_one(new_party: NewParty, clock: Clock) -> None:
    party = await start(new_party, clock)
    began = clock.now_ms
    clock.move(LEASE_MS + 10_000)
    await party.store.claim()
    await pass_time(party, clock, 1_000)
    clock.move(10_000)
    claim = await party.store.claim()
    assert claim.gap == (began, clock.now_ms)
    assert (await maria_after_a_sweep(party)).status == "online"


async def test_gaps_that_lie_further_apart_are_two(new_party: NewParty, clock: Clock) -> None:
    party = await start(new_party, clock)
    clock.move(10_000)
    await party.store.claim()
    await pass_time(party, clock, LEASE_MS)
    second = clock.now_ms
    clock.move(10_000)
    assert (await party.store.claim()).gap == (second, clock.now_ms)


async def test_who_was_offline_before_is_not_brought_back_by_a_delay(new_party: NewParty, clock: Clock) -> None:
    """Somebody looked during the gap, before anyone knew of it."""
    party = await start(new_party, clock, idle_ms=IDLE_MS - 5_000)
    clock.move(10_000)
    await party.store.choose(TEAM, "maria", "busy", by_admin=True)
    _, _, before = await party.store.details(TEAM, ["maria"])
    assert before["maria"].reason == "idle"
    await party.store.claim()
    await party.store.choose(TEAM, "maria", "online", by_admin=True)
    assert (await maria_after_a_sweep(party)).status == "offline"


async def test_data_that_is_new_has_another_birth(new_party: NewParty, clock: Clock) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    claims = [await party.store.claim() for party in (first, second)]
    assert claims[0].born == claims[1].born
    assert {claim.born_ms for claim in claims} == {clock.now_ms}


async def test_workers_that_restore_are_counted_until_they_are_done(new_party: NewParty, clock: Clock) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    counts = []
    for party, restoring in [(first, True), (second, True), (first, False), (second, False)]:
        counts.append((await party.store.claim(teams=0, restoring=restoring)).restoring)
    assert counts == [1, 2, 1, 0]


async def test_a_worker_that_died_restoring_is_not_waited_for(new_party: NewParty, clock: Clock) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    await first.store.claim(teams=0, restoring=True)
    clock.move(5_000)
    assert (await second.store.claim(teams=0)).restoring == 0


@pytest.mark.parametrize("waited_ms", [0, CLAIM_MS - 125])
async def test_what_a_dead_sweeper_had_claimed_is_claimed_again(
    new_party: NewParty, clock: Clock, waited_ms: int
) -> None:
    party = await start(new_party, clock)
    assert (await party.store.claim()).teams == (TEAM,)
    clock.move(waited_ms)
    assert (await party.store.claim()).teams == ()
    clock.move(CLAIM_MS)
    assert (await party.store.claim()).teams == (TEAM,)


async def test_a_sweeper_that_took_too_long_does_not_end_the_next_ones_claim(new_party: NewParty, clock: Clock) -> None:
    party = await start(new_party, clock)
    slow = await party.store.claim()
    clock.move(CLAIM_MS)
    quick = await party.store.claim()
    assert slow.teams == quick.teams == (TEAM,)
    await party.store.reschedule(TEAM, slow.claimed_until, None)
    clock.move(CLAIM_MS)
    assert (await party.store.claim()).teams == (TEAM,)
