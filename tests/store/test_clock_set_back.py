"""Redis's clock was set back: nothing that it wrote ahead of itself lasts longer than it was meant to."""

from __future__ import annotations

import asyncio

from tests.store.support import GRACE_MS, IDLE_MS, LEASE_MS, TEAM, Clock, NewParty, Party, pass_time

BACK_MS = 3_600_000


async def set_back(clock: Clock, *parties: Party) -> None:
    """The clock is set back, for this machine and Redis alike; all beat, and sweep."""
    clock.move(-BACK_MS)
    for party in parties:
        await party.beat()
    for party in parties:
        await party.sweep()


async def test_the_others_are_told_for_a_lease(new_party: NewParty, clock: Clock) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    assert not (await first.beat()).set_back
    clock.move(-BACK_MS)
    assert (await first.beat()).set_back
    assert (await second.beat()).set_back
    await pass_time(clock, LEASE_MS - 1_000, first, second)
    assert (await second.beat()).set_back
    await pass_time(clock, 1_000, first, second)
    assert not (await second.beat()).set_back


async def test_a_worker_knows_the_time_again_at_once(party: Party, clock: Clock) -> None:
    clock.set_back(BACK_MS)
    _, jump_ms = await party.store.vigil.beat(teams=0)
    assert jump_ms == -BACK_MS
    assert party.store.now_ms() == clock.now_ms - BACK_MS
    assert party.store.lease.until_ms == party.store.now_ms() + LEASE_MS
    clock.move(0)
    _, jump_ms = await party.store.vigil.beat(teams=0)
    assert jump_ms == BACK_MS


async def test_a_dead_workers_lease_ends_in_time(new_party: NewParty, clock: Clock) -> None:
    dead, alive = await new_party("w1"), await new_party("w2")
    await dead.join()
    await set_back(clock, alive)
    await pass_time(clock, LEASE_MS, alive)
    await alive.sweep()
    await pass_time(clock, GRACE_MS, alive)
    await alive.sweep()
    assert await alive.status() == ("offline", "disconnected")


async def test_a_grace_ends_in_time(party: Party, clock: Clock) -> None:
    await party.join()
    await party.lost_for_good()
    await set_back(clock, party)
    await pass_time(clock, LEASE_MS, party)
    await party.sweep()
    assert await party.status() == ("offline", "disconnected")


async def test_input_from_the_future_is_input_now(party: Party, clock: Clock) -> None:
    await party.join()
    await set_back(clock, party)
    found = await party.detail()
    assert (found.last_active, found.next_change_at) == (clock.now_ms, clock.now_ms + IDLE_MS)
    assert found.since is not None
    assert found.since <= clock.now_ms
    await pass_time(clock, IDLE_MS, party)
    await party.sweep()
    assert await party.status() == ("offline", "idle")


async def test_every_team_is_looked_at_however_many_there_are(party: Party, clock: Clock) -> None:
    teams = [f"t{number}" for number in range(30)]
    await asyncio.gather(*[party.join(team=team) for team in teams])
    clock.move(-BACK_MS)
    assert sorted(set(await party.sweep())) == sorted(teams)


async def test_claims_of_the_future_are_taken_over(new_party: NewParty, clock: Clock) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    await first.join()
    await pass_time(clock, IDLE_MS, first, second)
    assert [due.team for due in (await first.beat(teams=10)).due] == [TEAM]
    clock.move(-BACK_MS)
    assert [due.team for due in (await second.beat(teams=10)).due] == [TEAM]


async def test_gaps_do_not_cover_the_present(party: Party, clock: Clock) -> None:
    """Otherwise nobody would go offline for as long as the clock was set back."""
    clock.move(10_000)
    claim = await party.beat()
    assert claim.gaps[-1][1] == clock.now_ms
    clock.move(-BACK_MS)
    claim = await party.beat()
    assert all(end <= clock.now_ms for _, end in claim.gaps)


async def test_burials_ordered_before_are_carried_out_in_time(new_party: NewParty, clock: Clock) -> None:
    dead, alive = await new_party("w1"), await new_party("w2")
    await dead.join()
    await pass_time(clock, LEASE_MS, alive)
    await alive.beat(teams=0)
    clock.move(-BACK_MS)
    await alive.sweep()
    await pass_time(clock, LEASE_MS, alive)
    await alive.sweep()
    await pass_time(clock, GRACE_MS, alive)
    await alive.sweep()
    assert await alive.status() == ("offline", "disconnected")


async def test_who_could_not_sweep_for_a_lease_is_still_told(party: Party, clock: Clock) -> None:
    """Until everything that the later clock has written is bounded, whoever sweeps must know."""
    await party.join()
    clock.set_back(BACK_MS)
    await party.store.vigil.beat(teams=0, sweeps=False)
    for _ in range(LEASE_MS // 1_000 + 5):
        clock.now_ms += 1_000
        clock.set_back(BACK_MS)
        await party.store.vigil.beat(teams=0, sweeps=False)
    claim, _ = await party.store.vigil.beat(teams=0)
    assert claim.set_back


async def test_one_that_goes_back_by_less_than_nobody_swept_is_noticed(new_party: NewParty, clock: Clock) -> None:
    party, other = await new_party("w1"), await new_party("w2")
    for _ in range(20):
        clock.move(1_000)
        for each in (party, other):
            await each.beat(sweeps=False)
    clock.set_back(15_000)
    claim, _ = await party.store.vigil.beat(teams=0)
    assert claim.set_back
