"""The index: who looks at which team, and that no deadline is lost whatever happens in between."""

from __future__ import annotations

import asyncio

import pytest
import redis

from presence_server.store.operations.doubt import Doubt
from presence_server.store.operations.swept import Next
from presence_server.store.scripts import CLAIM_MS, GAP_MS, RETAIN_MS
from presence_server.store.types import Claim
from tests.store.support import GRACE_MS, IDLE_MS, LEASE_MS, TEAM, Clock, NewParty, Party, pass_time


def teams_of(claim: Claim) -> list[str]:
    return sorted(due.team for due in claim.due)


@pytest.fixture
async def due(party: Party, clock: Clock) -> Party:
    """A party with one team that is due."""
    await party.join()
    await pass_time(clock, IDLE_MS, party)
    return party


async def test_of_several_one_claims_a_team(due: Party, new_party: NewParty) -> None:
    second = await new_party("w2")
    assert [teams_of(await party.beat(teams=10)) for party in (due, second)] == [[TEAM], []]


async def test_no_more_than_can_be_looked_at(party: Party, clock: Clock) -> None:
    teams = sorted(f"t{number}" for number in range(5))
    await asyncio.gather(*[party.join(team=team) for team in teams])
    await pass_time(clock, IDLE_MS, party)
    claims = [await party.beat(teams=number) for number in (0, 2, 2, 2)]
    assert [(len(claim.due), claim.more) for claim in claims] == [(0, False), (2, True), (2, True), (1, False)]
    assert sorted(team for claim in claims for team in teams_of(claim)) == teams


async def test_what_a_dead_sweeper_had_claimed_is_claimed_again(due: Party, clock: Clock) -> None:
    assert teams_of(await due.beat(teams=10)) == [TEAM]
    clock.move(CLAIM_MS - 125)
    assert teams_of(await due.beat(teams=10)) == []
    clock.move(125)
    assert teams_of(await due.beat(teams=10)) == [TEAM]


async def test_a_sweeper_that_took_too_long_does_not_end_the_next_ones_claim(
    due: Party, clock: Clock, client: redis.Redis, key_prefix: str
) -> None:
    slow = await due.beat(teams=10)
    clock.move(CLAIM_MS)
    quick = await due.beat(teams=10)
    assert teams_of(slow) == teams_of(quick) == [TEAM]
    await due.store.sweeps.finish(slow.claimed_until, [Next(TEAM, 0, 0)], [])
    assert client.zscore(f"{key_prefix}:{{due}}:claimed", TEAM) == quick.claimed_until
    await due.store.sweeps.finish(quick.claimed_until, [Next(TEAM, 0, 0)], [])
    assert client.zscore(f"{key_prefix}:{{due}}:claimed", TEAM) is None


async def test_a_deadline_that_comes_up_between_claim_and_swept_is_not_lost(
    party: Party, clock: Clock, client: redis.Redis, key_prefix: str
) -> None:
    """Somebody leaves meanwhile: the team must be looked at when his grace ends."""
    for user in ("maria", "juan"):
        await party.join(user)
    await pass_time(clock, IDLE_MS - 30_000, party)
    await party.store.repairs.tell_input([(TEAM, [("juan", clock.now_s())])])
    await pass_time(clock, 30_000, party)
    claim = await party.beat(teams=10)
    looks = await party.store.sweeps.look(claim)
    found = await party.store.sweeps.sweep(looks[0].due, set_back=False)
    await party.lost_for_good("juan")
    await party.store.sweeps.finish(claim.claimed_until, [Next(TEAM, 0, found.next_ms)], [])
    await pass_time(clock, GRACE_MS, party)
    assert await party.sweep() == [TEAM]
    assert await party.status("juan") == ("offline", "disconnected")


async def test_a_look_that_a_sweep_has_put_off_is_asked_for_again(party: Party, clock: Clock) -> None:
    """A worker's memory of the index is not the index: the team's script notices, and has it told once more."""
    for user in ("maria", "juan"):
        await party.join(user)
    await party.lost_for_good("juan")
    await pass_time(clock, 5_000, party)
    # A sweep by somebody else finds juan back, and puts the team off until maria idles.
    await party.join("juan")
    await pass_time(clock, GRACE_MS - 5_000, party)
    assert await party.sweep() == [TEAM]
    await pass_time(clock, 2_000, party)
    await party.lost_for_good("juan")
    await pass_time(clock, GRACE_MS, party)
    await party.sweep()
    assert await party.status("juan") == ("offline", "disconnected")


async def test_two_teams_that_are_looked_at_keep_each_their_own_next(
    party: Party, clock: Clock, client: redis.Redis, key_prefix: str
) -> None:
    for team in (TEAM, "bell", "chi"):
        await party.join(team=team)
    await pass_time(clock, IDLE_MS, party)
    claim = await party.beat(teams=10)
    assert teams_of(claim) == [TEAM, "bell", "chi"]
    nexts = [Next(TEAM, 0, clock.now_ms + 1_000), Next("bell", 0, 0), Next("chi", 0, clock.now_ms + 2_000)]
    await party.store.sweeps.finish(claim.claimed_until, nexts, [])
    scores = client.zrange(f"{key_prefix}:{{due}}:teams", 0, -1, withscores=True)
    assert scores == [(TEAM, clock.now_ms + 1_000), ("chi", clock.now_ms + 2_000)]


async def test_burials_carried_out_are_struck_off_unless_others_came_meanwhile(
    new_party: NewParty, clock: Clock, client: redis.Redis, key_prefix: str
) -> None:
    dead, alive = await new_party("w1"), await new_party("w2")
    await dead.join()
    await pass_time(clock, LEASE_MS, alive)
    claim = await alive.beat(teams=10)
    [due] = claim.due
    assert [burial.worker for burial in due.burials] == ["w1"]
    # Meanwhile somebody finds another dead worker there.
    await alive.store.sweeps.finish(0, [], [Doubt("w9", TEAM, 7)])
    await alive.store.sweeps.finish(claim.claimed_until, [Next(TEAM, due.stamp, 0)], [])
    assert client.hexists(f"{key_prefix}:{{due}}:burials", TEAM)
    claim = await alive.beat(teams=10)
    [due] = claim.due
    assert [burial.worker for burial in due.burials] == ["w1", "w9"]
    await alive.store.sweeps.finish(claim.claimed_until, [Next(TEAM, due.stamp, 0)], [])
    assert not client.exists(f"{key_prefix}:{{due}}:burials", f"{key_prefix}:{{due}}:teams")


async def test_a_stamp_of_burials_that_are_gone_is_no_trouble(due: Party) -> None:
    claim = await due.beat(teams=10)
    await due.store.sweeps.finish(claim.claimed_until, [Next(TEAM, 99, 0)], [])
    assert teams_of(await due.beat(teams=10)) == []


async def test_a_team_that_nobody_is_in_leaves_the_index(
    party: Party, clock: Clock, client: redis.Redis, key_prefix: str
) -> None:
    await party.join()
    await party.log_out()
    await party.sweep()
    clock.move(RETAIN_MS)
    # That was a gap.
    await party.sweep()
    await pass_time(clock, LEASE_MS, party)
    await party.sweep()
    assert client.exists(f"{key_prefix}:{{due}}:teams", f"{key_prefix}:{{due}}:claimed") == 0


async def test_workers_that_restore_are_counted_until_they_are_done(new_party: NewParty) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    counts = [
        (await party.beat(restoring=restoring)).restoring
        for party, restoring in [(first, True), (second, True), (first, False), (second, False)]
    ]
    assert counts == [1, 2, 1, 0]


async def test_a_worker_that_died_restoring_is_not_waited_for(new_party: NewParty, clock: Clock) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    await first.beat(restoring=True)
    clock.move(GAP_MS - clock.STEP_MS)
    assert (await second.beat()).restoring == 1
    clock.move(clock.STEP_MS)
    assert (await second.beat()).restoring == 0
