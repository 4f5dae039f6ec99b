"""Workers that died: their leases end, and what they held is taken away, in time and never too early (rule 6)."""

from __future__ import annotations

import asyncio

import pytest
import redis

from presence_server.store.operations import claim, sweep
from presence_server.store.operations.configure import KEEP_GRACE, KEEP_IDLE
from presence_server.store.scripts import GAP_MS
from presence_server.store.types import Burial, Due
from tests.store.support import GRACE_MS, IDLE_MS, LEASE_MS, TEAM, Clock, NewParty, Party, pass_time


async def two(new_party: NewParty) -> tuple[Party, Party]:
    """One that will die, and one that sweeps."""
    return await new_party("w1"), await new_party("w2")


async def test_grace_counts_from_the_last_beat_and_ends_no_sooner_than_the_lease(
    new_party: NewParty, clock: Clock
) -> None:
    dead, alive = await two(new_party)
    await dead.beat()
    await dead.join()
    await pass_time(clock, LEASE_MS - 125, alive)
    await alive.sweep()
    assert (await alive.detail()).connections == 1
    clock.move(125)
    await alive.sweep()
    found = await alive.detail()
    assert (found.status, found.reason, found.connections) == ("offline", "disconnected", 0)


@pytest.mark.parametrize(("before_ms", "reason"), [(94, "idle"), (0, "idle"), (-1, "disconnected")])
async def test_the_earlier_deadline_gives_the_reason(
    new_party: NewParty, clock: Clock, before_ms: int, reason: str
) -> None:
    """Who had gone idle before the worker's lease ended, and whom both find together, has idled (rule 1)."""
    dead, alive = await two(new_party)
    await dead.beat()
    await dead.store.configure(TEAM, LEASE_MS - before_ms, KEEP_GRACE)
    await dead.join()
    await pass_time(clock, LEASE_MS - 125, alive)
    clock.move(250)
    await alive.sweep()
    assert await alive.status() == ("offline", reason)


async def test_a_grace_longer_than_the_lease_is_given_whole(new_party: NewParty, clock: Clock) -> None:
    dead, alive = await two(new_party)
    await dead.beat()
    await dead.store.configure(TEAM, KEEP_IDLE, LEASE_MS + 10_000)
    await dead.join()
    ends_ms = clock.now_ms + LEASE_MS + 10_000
    await pass_time(clock, LEASE_MS, alive)
    await alive.sweep()
    found = await alive.detail()
    assert (found.connections, found.next_change, found.next_change_at) == (0, "offline", ends_ms)
    await pass_time(clock, 10_000, alive)
    await alive.sweep()
    assert await alive.status() == ("offline", "disconnected")


async def test_what_was_forgiven_before_has_an_end_of_its_own(new_party: NewParty, clock: Clock) -> None:
    dead, alive = await two(new_party)
    await dead.join()
    await pass_time(clock, LEASE_MS - 10_000, dead, alive)
    await dead.lost_for_good()
    ends_ms = clock.now_ms + GRACE_MS
    await pass_time(clock, GRACE_MS - 125, alive)
    await alive.sweep()
    assert (await alive.detail()).next_change_at == ends_ms
    clock.move(125)
    await alive.sweep()
    assert await alive.status() == ("offline", "disconnected")


async def test_who_is_held_by_another_worker_too_stays(new_party: NewParty, clock: Clock) -> None:
    dead, alive = await two(new_party)
    await dead.join()
    await alive.join()
    await pass_time(clock, LEASE_MS, alive)
    await alive.sweep()
    found = await alive.detail()
    assert (found.status, found.connections) == ("online", 1)
    assert (await alive.standing()).fences.keys() == {"w2"}


async def test_a_worker_that_beats_is_not_buried(new_party: NewParty, clock: Clock) -> None:
    beating, alive = await two(new_party)
    await beating.join()
    for _ in range(4):
        await pass_time(clock, LEASE_MS - 10_000, alive)
        claimed = await beating.beat()
        assert claimed.alive
        assert claimed.workers == {"w1", "w2"}
    await alive.sweep()
    assert (await alive.detail()).connections == 1


async def test_one_that_was_away_for_too_long_takes_another_name_and_tells_everything_anew(
    new_party: NewParty, clock: Clock
) -> None:
    away, alive = await two(new_party)
    await away.join()
    await away.join("juan", team="bell")
    await pass_time(clock, LEASE_MS, alive)
    await alive.sweep()
    claimed = await away.beat()
    assert (claimed.alive, away.store.lease.lapses) == (False, 1)
    assert away.name != "w1"
    assert away.store.lease.is_new
    assert (await away.beat()).alive
    await away.flush()
    for team, user in [(TEAM, "maria"), ("bell", "juan")]:
        assert (await alive.detail(user, team)).connections == 1
        assert away.name in (await alive.standing(team)).fences
        assert away.store.acknowledged(team) > 0
    await pass_time(clock, LEASE_MS, away, alive)
    await alive.sweep()
    assert (await alive.detail()).connections == 1


async def test_nothing_of_it_arrives_after_its_burial(new_party: NewParty, clock: Clock) -> None:
    """It wrote before its lease ended, and the packet took its time."""
    dead, alive = await two(new_party)
    await dead.join()
    until_ms = dead.store.lease.until_ms
    await pass_time(clock, LEASE_MS, alive)
    await alive.sweep()
    await pass_time(clock, GRACE_MS, alive)
    await alive.sweep()
    word = ("w1", until_ms, 1, 1, 5, 0, "word", "maria", "s1", 1, until_ms, 0, 0, 1)
    script = dead.store._caller.command("hold", TEAM, word)
    assert await alive.store.link.execute([script]) == [[b"late", 0]]
    assert (await alive.detail()).connections == 0


async def test_many_users_are_taken_away_in_parts(new_party: NewParty, clock: Clock) -> None:
    dead, alive = await two(new_party)
    users = [f"u{number}" for number in range(sweep.AT_ONCE + 1)]
    await asyncio.gather(*[dead.join(user) for user in users])
    end_ms = dead.store.lease.until_ms
    await pass_time(clock, LEASE_MS, alive)
    due = Due(TEAM, 0, (Burial("w1", -1, end_ms),))
    first = await alive.store.sweeps.sweep(due, set_back=False)
    assert (first.changed, first.more) == (sweep.AT_ONCE, True)
    # Not before the last of it is gone.
    assert "w1" in (await alive.standing()).fences
    second = await alive.store.sweeps.sweep(due, set_back=False)
    assert (second.changed, second.more) == (1, False)
    assert "w1" not in (await alive.standing()).fences


async def test_only_what_was_written_up_to_a_number(new_party: NewParty, clock: Clock) -> None:
    """What it has written since is of this history."""
    dead, alive = await two(new_party)
    await dead.join("maria", "s1")
    await dead.join("juan")
    number = dead.store.acknowledged(TEAM)
    await dead.join("maria", "s2")
    due = Due(TEAM, 0, (Burial("w1", number, clock.now_ms),))
    await alive.store.sweeps.sweep(due, set_back=False)
    found = {user: (await alive.detail(user)).connections for user in ("maria", "juan")}
    assert found == {"maria": 1, "juan": 0}
    due = Due(TEAM, 0, (Burial("w1", -1, clock.now_ms),))
    await alive.store.sweeps.sweep(due, set_back=False)
    assert (await alive.detail()).connections == 0


async def test_one_that_comes_too_early_waits(new_party: NewParty, clock: Clock) -> None:
    """The team's own clock must have passed the end of the lease."""
    dead, alive = await two(new_party)
    await dead.join()
    orders = (Burial("w1", -1, clock.now_ms + 1_000), Burial("w9", -1, clock.now_ms + 2_000))
    found = await alive.store.sweeps.sweep(Due(TEAM, 0, orders), set_back=False)
    assert (found.early, found.changed) == (True, 0)
    assert (await alive.detail()).connections == 1
    next_ = await alive.sweeper._sweep(Due(TEAM, 7, orders), await alive.beat())
    # Not struck off the list.
    assert (next_.stamp, next_.next_ms) == (0, clock.now_ms + 1_000)


async def test_its_teams_are_seen_to_in_parts(
    new_party: NewParty, clock: Clock, monkeypatch: pytest.MonkeyPatch, client: redis.Redis, key_prefix: str
) -> None:
    monkeypatch.setattr(claim, "BURIALS_AT_ONCE", 2)
    dead, alive = await two(new_party)
    teams = [f"t{number}" for number in range(5)]
    await asyncio.gather(*[dead.join(team=team) for team in teams])
    await pass_time(clock, LEASE_MS, alive)
    found = await alive.beat(teams=100)
    assert found.more
    assert len(found.due) == 2
    assert found.workers == {"w2"}
    assert client.scard(f"{key_prefix}:{{due}}:of:w1") == 3
    await alive.sweep()
    await alive.sweeper.sweep(found)
    for team in teams:
        assert await alive.status(team=team) == ("offline", "disconnected")
    base = f"{key_prefix}:{{due}}"
    assert not client.exists(f"{base}:of:w1", f"{base}:dead", f"{base}:burials")


async def test_who_can_take_no_teams_orders_no_burials(
    new_party: NewParty, clock: Clock, client: redis.Redis, key_prefix: str
) -> None:
    dead, alive = await two(new_party)
    await dead.join()
    await pass_time(clock, LEASE_MS, alive)
    assert client.zscore(f"{key_prefix}:{{due}}:dead", "w1") is not None
    assert client.hlen(f"{key_prefix}:{{due}}:burials") == 0
    await alive.sweep()
    assert await alive.status() == ("offline", "disconnected")


async def test_a_lease_that_ran_out_while_nobody_swept_is_given_one_more_once(
    new_party: NewParty, clock: Clock
) -> None:
    dead, alive = await two(new_party)
    await dead.join()
    clock.move(LEASE_MS + 60_000)
    await alive.sweep()
    assert (await alive.detail()).connections == 1
    # Another gap before that one is over does not lift it again.
    await pass_time(clock, LEASE_MS - 10_000, alive)
    clock.move(10_000)
    await alive.sweep()
    assert (await alive.detail()).connections == 0


async def test_a_worker_that_comes_back_after_a_gap_is_who_it_was(new_party: NewParty, clock: Clock) -> None:
    first, second = await two(new_party)
    await first.join()
    clock.move(LEASE_MS + 60_000)
    await second.beat()
    clock.move(1_000)
    assert (await first.beat()).alive
    assert first.store.lease.lapses == 0
    await pass_time(clock, LEASE_MS, first, second)
    await second.sweep()
    assert (await second.detail()).connections == 1


async def test_an_outage_is_no_mass_sign_out(new_party: NewParty, clock: Clock) -> None:
    """Rule 10: and no chain of short ones."""
    parties = [await new_party(f"w{number}") for number in range(3)]
    for party in parties:
        await party.join(party.name)
        party.connect(party.name)
    for length_ms in (GAP_MS + 125, LEASE_MS, IDLE_MS - 60_000):
        await asyncio.gather(*[party.beat() for party in parties])
        clock.move(length_ms)
        for party in parties:
            await party.sweep()
    for party in parties:
        assert (await party.detail(party.name)).status == "online"
