"""Intervals in which nobody swept: an outage is never a mass sign-out (rule 10)."""

from __future__ import annotations

import pytest
import redis

from presence_server.store.scripts import GAP_MS
from tests.store.support import GRACE_MS, IDLE_MS, LEASE_MS, TEAM, Clock, NewParty, Party, pass_time


@pytest.fixture
def base(key_prefix: str) -> str:
    return f"{key_prefix}:{{due}}:clock"


async def test_short_of_a_gap_nothing_is_put_off(party: Party, clock: Clock) -> None:
    await party.join()
    await party.lost_for_good()
    await pass_time(clock, GRACE_MS - GAP_MS, party)
    clock.move(GAP_MS)
    await party.sweep()
    assert await party.status() == ("offline", "disconnected")


async def test_a_new_index_follows_an_interval_without_a_sweep(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    claim = await party.beat()
    assert claim.gaps == ((0, clock.now_ms - 1_000),)


async def test_grace_that_ran_out_while_nobody_swept_is_given_one_more_lease(party: Party, clock: Clock) -> None:
    await party.join()
    await party.lost_for_good()
    began = clock.now_ms
    await party.beat()
    clock.move(GRACE_MS + 60_000)
    claim = await party.beat()
    assert claim.gaps[-1] == (began, clock.now_ms)
    await party.sweep()
    assert (await party.detail()).status == "online"
    await pass_time(clock, LEASE_MS - 125, party)
    await party.sweep()
    assert (await party.detail()).status == "online"
    clock.move(125)
    await party.sweep()
    found = await party.detail()
    assert (found.status, found.reason, found.since) == ("offline", "disconnected", clock.now_ms)


async def test_grace_that_was_over_before_is_not(party: Party, clock: Clock) -> None:
    await party.join()
    await party.lost_for_good()
    await pass_time(clock, GRACE_MS, party)
    clock.move(60_000)
    await party.sweep()
    assert await party.status() == ("offline", "disconnected")


async def test_who_fell_idle_meanwhile_has_a_third_of_a_lease_to_be_heard_of(party: Party, clock: Clock) -> None:
    await party.join(idle_ms=IDLE_MS - 5_000)
    await party.beat()
    clock.move(10_000)
    await party.sweep()
    assert (await party.detail()).status == "online"
    await pass_time(clock, LEASE_MS // 3 - 125, party)
    await party.sweep()
    assert (await party.detail()).status == "online"
    clock.move(125)
    await party.sweep()
    assert await party.status() == ("offline", "idle")


async def test_the_next_look_is_when_the_delay_ends(party: Party, clock: Clock) -> None:
    """It must not be looked at every half second until then."""
    await party.join(idle_ms=IDLE_MS - 5_000)
    await party.beat()
    clock.move(10_000)
    ends_ms = clock.now_ms + LEASE_MS // 3
    assert await party.sweep() == [TEAM]
    assert await party.sweep() == []
    assert party.counters.deadlines_deferred == 1
    clock.move(ends_ms - clock.now_ms - 125)
    await party.beat()
    assert await party.sweep() == []
    clock.move(125)
    assert await party.sweep() == [TEAM]
    assert party.counters.deadlines_deferred == 1


async def test_what_is_put_off_into_the_next_gap_is_put_off_again(party: Party, clock: Clock) -> None:
    """Redis comes and goes: nobody could be heard of in between."""
    await party.join()
    await party.lost_for_good()
    for _ in range(3):
        await party.beat()
        clock.move(LEASE_MS - 1_000)
        await party.sweep()
        assert (await party.detail()).status == "online"
    await pass_time(clock, LEASE_MS, party)
    await party.sweep()
    assert await party.status() == ("offline", "disconnected")


async def test_gaps_older_than_two_leases_are_forgotten(party: Party, clock: Clock) -> None:
    for _ in range(2):
        await pass_time(clock, 2 * LEASE_MS, party)
        began = clock.now_ms
        clock.move(10_000)
        claim = await party.beat()
    assert claim.gaps == ((began, clock.now_ms),)


async def test_short_outages_one_after_another_keep_nobody_for_ever(new_party: NewParty, clock: Clock) -> None:
    """Leases that were not over when it began get one more, by their own last word."""
    dead, alive = await new_party("w1"), await new_party("w2")
    await dead.join()
    for _ in range(10):
        await pass_time(clock, 5_000, alive)
        clock.move(GAP_MS + 1_000)
        await alive.sweep()
    await pass_time(clock, LEASE_MS, alive)
    await alive.sweep()
    assert await alive.status() == ("offline", "disconnected")


async def test_who_was_offline_before_is_not_brought_back_by_a_delay(party: Party, clock: Clock) -> None:
    await party.join(idle_ms=IDLE_MS - 5_000)
    await pass_time(clock, 5_000, party)
    await party.sweep()
    await party.beat()
    clock.move(10_000)
    await party.sweep()
    await party.choose("maria", "online", by="ana")
    assert await party.status() == ("offline", "idle")


async def test_an_interval_counts_for_a_worker_from_its_own_beat_on(new_party: NewParty, clock: Clock) -> None:
    """All learn of it from the index: also who was not the one to notice."""
    first, second = await new_party("w1"), await new_party("w2")
    clock.move(10_000)
    noticed, learned = await first.beat(), await second.beat()
    assert noticed.gaps == learned.gaps


async def test_realigning_heeds_gaps_too(party: Party, clock: Clock) -> None:
    await party.join(idle_ms=IDLE_MS - 5_000)
    await party.beat()
    clock.move(10_000)
    await party.beat()
    await party.store.repairs.realign(TEAM, 0)
    assert (await party.detail()).status == "online"


async def test_data_that_is_new_has_another_birth(
    new_party: NewParty, clock: Clock, client: redis.Redis, key_prefix: str
) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    claims = [await party.beat() for party in (first, second)]
    assert claims[0].born == claims[1].born
    assert claims[0].born_ms == claims[1].born_ms < clock.now_ms
    for key in client.scan_iter(f"{key_prefix}:*"):
        client.delete(key)
    claim = await first.beat()
    assert claim.born != claims[0].born
    assert claim.born_ms == clock.now_ms
    assert claim.gaps == ((0, clock.now_ms),)


async def test_who_is_cut_off_from_his_teams_does_not_sweep(
    party: Party, clock: Clock, client: redis.Redis, base: str
) -> None:
    """His beats go on, but what he knows of input cannot be told: nobody may be taken for idle meanwhile."""
    await party.join(idle_ms=IDLE_MS - 5_000)
    await party.beat()
    began, noted = clock.now_ms, client.hget(base, "gaps")
    for _ in range(20):
        clock.move(500)
        await party.beat(sweeps=False)
        assert client.hget(base, "gaps") == noted
    assert (await party.beat()).gaps[-1] == (began, clock.now_ms)
    await party.sweep()
    assert (await party.detail()).status == "online"


async def test_he_knows_of_the_interval_that_goes_on(new_party: NewParty, clock: Clock) -> None:
    """Settings that waited for the way back judge a team anew, before there was another beat."""
    party, other = await new_party("w1"), await new_party("w2")
    await other.join("ana", idle_ms=IDLE_MS - 5_000)
    await party.join("maria")
    await party.beat()
    began = clock.now_ms
    clock.move(20_000)
    assert (await party.beat(sweeps=False)).gaps[-1] == (began, clock.now_ms)
    await party.store.configure(TEAM, IDLE_MS, GRACE_MS - 1_000)
    await party.store.repairs.realign(TEAM, 0)
    assert (await party.detail("ana")).status == "online"


async def test_nor_does_he_say_whose_lease_is_over(new_party: NewParty, clock: Clock) -> None:
    """Before an interval without a sweep is noted, it is not known whose lease it lengthens."""
    cut_off, other = await new_party("w1"), await new_party("w2")
    await other.beat()
    clock.move(LEASE_MS)
    assert (await cut_off.beat(sweeps=False)).workers == {"w1", "w2"}
    assert (await cut_off.beat()).workers == {"w1", "w2"}
    await pass_time(clock, LEASE_MS, cut_off)
    assert (await cut_off.beat()).workers == {"w1"}
