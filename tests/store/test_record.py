"""Where a worker is on record, and doubts: whoever is in a team that nobody vouches for is buried a lease later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
import redis

from presence_server.store.link import Command, OutOfReach
from presence_server.store.operations import enlist
from presence_server.store.operations.doubt import Doubt
from presence_server.store.types import Burial, Fence
from tests.store.support import GRACE_MS, LEASE_MS, TEAM, Clock, NewParty, Party, becomes_true, pass_time

Recorded = Callable[[str], set[str]]


@pytest.fixture
def recorded(client: redis.Redis, key_prefix: str) -> Recorded:
    """The teams for which a worker is on record."""
    return lambda worker: {str(team) for team in client.smembers(f"{key_prefix}:{{due}}:of:{worker}")}


# --- on record --------------------------------------------------------------------------------------------------------


async def test_a_worker_is_before_it_writes(
    party: Party, recorded: Recorded, client: redis.Redis, key_prefix: str
) -> None:
    """Answered, not merely sent earlier in a pipeline: another slot may be another server."""
    client.set(f"{key_prefix}:{{due}}:of:w1", "not a set")
    hold = party.connect()
    told = party.store.tell(hold)
    await becomes_true(lambda: party.downs)
    assert not hold.sent
    assert not (await party.page()).standing.mark.epoch
    client.delete(f"{key_prefix}:{{due}}:of:w1")
    party.store.resume()
    await asyncio.wait_for(told, 5.0)
    assert recorded("w1") == {TEAM}


async def test_many_teams_are_a_few_calls(party: Party, recorded: Recorded) -> None:
    teams = {f"t{number}" for number in range(enlist.AT_ONCE + 1)}
    assert await party.store._record.add(sorted(teams))
    assert recorded("w1") == teams == party.store._record.teams
    assert await party.store._record.remove(["t0", "t1"])
    assert recorded("w1") == teams - {"t0", "t1"}


async def test_one_that_is_dead_is_not_recorded(new_party: NewParty, clock: Clock, recorded: Recorded) -> None:
    dead, alive = await new_party("w1"), await new_party("w2")
    clock.move(LEASE_MS - 5_000)
    # Its own word lasts, but the index has forgotten it.
    await alive.store.link.execute([("ZREM", f"{alive.store.keys.due}:workers", "w1")])
    assert not await dead.store._record.add([TEAM])
    assert recorded("w1") == set()
    assert not dead.store.lease.lasts


async def test_an_index_that_lost_something_is_told_all_of_it(party: Party, recorded: Recorded) -> None:
    await party.join(team="a")
    await party.join(team="b")
    keys = party.store.keys
    await party.store.link.execute([("HDEL", f"{keys.due}:numbers", "w1"), ("DEL", f"{keys.due}:of:w1")])
    claim = await party.beat()
    assert claim.recorded < party.store.lease.recorded
    await party.join(team="c")
    assert recorded("w1") == {"a", "b", "c"}
    assert (await party.beat()).recorded == party.store.lease.recorded


async def test_what_is_taken_off_stays_off_when_it_is_told_anew(party: Party, recorded: Recorded) -> None:
    await party.store._record.add(["a", "b"])
    await party.store.link.execute([("HSET", f"{party.store.keys.due}:numbers", "w1", 0)])
    assert await party.store._record.remove(["a"])
    assert recorded("w1") == {"b"} == party.store._record.teams


async def test_all_of_it_can_be_told_anew(party: Party, recorded: Recorded) -> None:
    teams = sorted(f"t{number}" for number in range(enlist.AT_ONCE + 1))
    await party.store._record.add(teams)
    await party.store.link.execute([("DEL", f"{party.store.keys.due}:of:w1")])
    await party.store.record_anew()
    assert recorded("w1") == set(teams)


async def test_an_old_number_is_answered_and_not_done_again(party: Party, recorded: Recorded) -> None:
    async def tell(before: int, number: int, team: str) -> object:
        change = enlist.Enlist("w1", before, number, False, [team], [])
        command = party.store._caller.index_command(enlist.NAME, enlist.encode(change))
        return (await party.store.link.execute([command]))[0]

    assert await tell(0, 5, "a") == b"ok"
    assert await tell(0, 5, "b") == b"ok"
    assert await tell(0, 4, "c") == b"behind"
    assert await tell(4, 6, "d") == b"behind"
    assert recorded("w1") == {"a"}


async def test_while_it_tells_everything_another_name_ends_it(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer that comes then is for somebody who is no more."""
    execute = party.store.link.execute

    async def renamed_meanwhile(commands: object) -> object:
        replies = await execute(commands)  # type: ignore[arg-type]
        party.store._lapse()
        return replies

    monkeypatch.setattr(party.store.link, "execute", renamed_meanwhile)
    assert not await party.store._record.add([TEAM])
    assert party.store._record.teams == set()
    monkeypatch.undo()
    await party.beat()
    await party.store._record.add(["a"])
    monkeypatch.setattr(party.store.link, "execute", renamed_meanwhile)
    await party.store.record_anew()
    assert party.store._record.teams == set()


# --- doubts -----------------------------------------------------------------------------------------------------------


async def orders(party: Party) -> tuple[Burial, ...]:
    claim = await party.beat(teams=10)
    return tuple(burial for due in claim.due for burial in due.burials)


async def report(party: Party, *doubts: Doubt) -> None:
    await party.store.sweeps.finish(0, [], doubts)


async def test_one_whom_the_index_does_not_know_is_buried_a_lease_later(party: Party, clock: Clock) -> None:
    await report(party, Doubt("ghost", TEAM, 7))
    assert await orders(party) == ()
    await pass_time(clock, LEASE_MS, party)
    assert await orders(party) == (Burial("ghost", -1, clock.now_ms),)


async def test_one_who_is_dying_at_the_end_of_its_own_lease(new_party: NewParty, clock: Clock) -> None:
    dead, alive = await new_party("w1"), await new_party("w2")
    await dead.join()
    await pass_time(clock, LEASE_MS, alive)
    ended_ms = dead.store.lease.until_ms
    await report(alive, Doubt("w1", "bell", 7))
    assert set(await orders(alive)) == {Burial("w1", -1, ended_ms)}


async def test_of_one_who_is_not_on_record_there_only_what_was_seen(new_party: NewParty, clock: Clock) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    await first.join()
    await report(second, Doubt("w1", TEAM, 3), Doubt("w1", "bell", 3))
    await pass_time(clock, LEASE_MS, first, second)
    assert await orders(second) == (Burial("w1", 3, clock.now_ms),)


async def test_unless_it_is_put_on_record_meanwhile(new_party: NewParty, clock: Clock) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    await report(second, Doubt("w1", TEAM, 3), Doubt("w9", TEAM, 3))
    await first.join()
    await pass_time(clock, LEASE_MS, first, second)
    assert [burial.worker for burial in await orders(second)] == ["w9"]


async def test_two_reports_of_one_are_one_order_and_the_earlier_end_counts(party: Party, clock: Clock) -> None:
    other = await party.beat()
    assert other.alive
    await report(party, Doubt("w1", TEAM, 3))
    first_ms = clock.now_ms + LEASE_MS
    await pass_time(clock, 2_000, party)
    await report(party, Doubt("w1", TEAM, 5))
    await report(party, Doubt("w1", TEAM, 5))
    await report(party, Doubt("w1", TEAM, 4))
    await pass_time(clock, LEASE_MS, party)
    assert await orders(party) == (Burial("w1", 5, first_ms),)


async def test_who_is_gone_altogether_is_buried_altogether(party: Party, clock: Clock) -> None:
    await report(party, Doubt("w1", TEAM, 3))
    await party.store.link.execute([("ZREM", f"{party.store.keys.due}:workers", "w1")])
    await report(party, Doubt("w1", TEAM, 3))
    await pass_time(clock, LEASE_MS, party)
    assert [burial.upto for burial in await orders(party)] == [-1]


# --- the vigil --------------------------------------------------------------------------------------------------------


async def test_a_ghost_cannot_outlive_it(new_party: NewParty, clock: Clock) -> None:
    """Ghosts stay online elsewhere until a restart (Rocket.Chat#6610, sockudo#87)."""
    first, second = await new_party("w1"), await new_party("w2")
    await first.join()
    # The index lost all it had of the first, which is never seen again.
    keys = second.store.keys
    await second.store.link.execute([("ZREM", f"{keys.due}:workers", "w1"), ("DEL", f"{keys.due}:of:w1")])
    await second.beat()
    await second.page()
    await second.sweep()
    await pass_time(clock, LEASE_MS, second)
    await second.sweep()
    await pass_time(clock, GRACE_MS, second)
    await second.sweep()
    assert await second.status() == ("offline", "disconnected")
    assert (await second.standing()).fences == {}


async def test_only_who_was_not_alive_at_the_last_beat_is_doubted(new_party: NewParty, clock: Clock) -> None:
    first, second, third = [await new_party(f"w{number}") for number in (1, 2, 3)]
    for party in (first, second, third):
        await party.join(party.name)
    await second.beat()
    vigil, standing = second.store.vigil, await second.standing()
    assert vigil.alive == {"w1", "w2", "w3"}
    vigil.look_at(TEAM, standing)
    assert vigil.take_doubts() == []
    # Of whose record nobody can be sure without asking, whoever sweeps asks.
    vigil.look_closely(TEAM, standing, but={"w3"})
    assert vigil.take_doubts() == [Doubt("w1", TEAM, standing.fences["w1"].last)]
    assert vigil.take_doubts() == []


async def test_who_said_that_nobody_of_it_is_there_is_not(party: Party, clock: Clock) -> None:
    await party.join()
    await party.log_out()
    await party.flush()
    assert await party.store.leave([TEAM]) == [TEAM]
    standing = await party.standing()
    assert standing.fences["w1"].left_ms == clock.now_ms
    party.store.lease.rename()
    party.store.vigil.look_closely(TEAM, standing)
    assert party.store.vigil.take_doubts() == []


async def test_no_more_are_reported_than_a_script_can_take(party: Party) -> None:
    standing = await party.standing()
    fences = {f"ghost-{number}": Fence(7, 0) for number in range(400)}
    party.store.vigil.look_at(TEAM, standing._replace(fences=fences))
    assert [len(party.store.vigil.take_doubts()) for _ in range(3)] == [300, 100, 0]


async def test_half_a_record_is_told_again(party: Party, recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole record goes in parts; where one gets lost, the next beat finds that the index lacks something."""
    monkeypatch.setattr(enlist, "AT_ONCE", 2)
    teams = [f"t{number}" for number in range(5)]
    await asyncio.gather(*[party.join(team=team) for team in teams])
    execute, calls = party.store.link.execute, 0

    async def break_the_second(commands: Sequence[Command]) -> list[object]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OutOfReach("cut")
        return await execute(commands)

    monkeypatch.setattr(party.store.link, "execute", break_the_second)
    with pytest.raises(OutOfReach):
        await party.store.record_anew()
    monkeypatch.undo()
    assert recorded("w1") != set(teams)
    claim = await party.beat()
    assert claim.recorded < party.store.lease.recorded
    await party.store.record_anew()
    assert recorded("w1") == set(teams)


async def test_the_beat_does_not_wait_for_itself(party: Party, recorded: Recorded) -> None:
    """It is what tells a record anew, and alone can confirm that its worker lives: the next one asks again."""
    await party.join()
    party.store.lease.doubted()
    await asyncio.wait_for(party.store.record_anew(), 5.0)
    await party.beat()
    await party.store.record_anew()
    assert recorded("w1") == {TEAM}
