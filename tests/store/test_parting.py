"""Leaving teams, and outages: what a store does when it has nothing to do in a team, and when it cannot do it."""

from __future__ import annotations

import asyncio

import pytest
import redis

from presence_server.core.roster import Mark
from presence_server.store.link import OutOfReach
from tests.store.support import LEASE_MS, TEAM, Clock, NewParty, Party, becomes_true, pass_time


async def was_there(party: Party, team: str = TEAM) -> None:
    """Somebody came and went."""
    await party.join(team=team)
    await party.log_out(team=team)
    await party.flush()


async def test_nobody_of_it_is_there_any_more(party: Party, client: redis.Redis, key_prefix: str, clock: Clock) -> None:
    for team in (TEAM, "bell"):
        await was_there(party, team)
    assert party.store.teams() == {TEAM, "bell"}
    assert sorted(await party.store.leave([TEAM, "bell"])) == [TEAM, "bell"]
    assert party.store.teams() == set()
    assert (await party.standing()).fences["w1"].left_ms == clock.now_ms
    assert not client.exists(f"{key_prefix}:{{due}}:of:w1")


async def test_it_may_come_back_with_a_higher_number(party: Party) -> None:
    await was_there(party)
    await party.store.leave([TEAM])
    assert await party.join(session="s2") == "online"
    assert (await party.standing()).fences["w1"].left_ms == 0
    assert party.downs == []


async def test_a_team_that_was_never_written_to_is_left_without_a_word(party: Party) -> None:
    hold = party.connect()
    party.lose()
    party.store.let_go(hold)
    party.store._requests.lane(TEAM)
    await party.flush()
    assert sorted(await party.store.leave([TEAM, "never used"])) == [TEAM, "never used"]
    assert party.store.teams() == set()


async def test_one_that_has_something_to_do_is_not_left(party: Party) -> None:
    await was_there(party)
    told = party.store.tell(party.connect("juan"))
    assert await party.store.leave([TEAM]) == []
    await told
    assert party.store.teams() == {TEAM}


async def test_one_that_stands_elsewhere_than_was_known_is_told_anew(party: Party) -> None:
    """Its last message may have been lost: it is not left before that has come to light."""
    await was_there(party)
    party.known_marks[TEAM] = (await party.standing()).mark._replace(version=1)
    assert await party.store.leave([TEAM]) == []
    party.known_marks[TEAM] = (await party.standing()).mark
    await party.flush()
    assert await party.store.leave([TEAM]) == [TEAM]


async def test_one_whose_writes_were_lost_is_told_anew(party: Party, client: redis.Redis, key_prefix: str) -> None:
    key = f"{key_prefix}:{{{TEAM}}}:mark"
    await party.join()
    before = str(client.get(key))
    await party.log_out()
    await party.flush()
    client.set(key, before)
    assert await party.store.leave([TEAM]) == []
    await party.flush()
    assert await party.store.leave([TEAM]) == [TEAM]


async def test_what_the_team_has_forgotten_already_is_left(party: Party, client: redis.Redis, key_prefix: str) -> None:
    await was_there(party)
    for key in client.scan_iter(f"{key_prefix}:{{{TEAM}}}:*"):
        client.delete(key)
    assert await party.store.leave([TEAM]) == [TEAM]


async def test_asked_for_meanwhile_it_stays(party: Party) -> None:
    await was_there(party)
    leaving = asyncio.ensure_future(party.store.leave([TEAM]))
    await asyncio.sleep(0)
    told = party.store.tell(party.connect("juan"))
    await leaving
    _, chosen = await asyncio.wait_for(told, 5.0)
    assert chosen == "online"
    await party.flush()
    assert (await party.detail("juan")).connections == 1


async def test_a_lease_that_is_over_says_nothing(new_party: NewParty, clock: Clock) -> None:
    party, other = await new_party("w1"), await new_party("w2")
    await was_there(party)
    await pass_time(clock, LEASE_MS, other)
    assert await party.store.leave([TEAM]) == []
    # What is said too late is not heard.
    party.store._caller._ahead_ms -= LEASE_MS
    party.store.lease.until_ms = clock.now_ms
    assert await party.store.leave([TEAM]) == []
    await party.beat()
    await party.beat()
    await party.flush()
    assert await party.store.leave([TEAM]) == [TEAM]


async def test_what_redis_refuses_is_tried_again_later(party: Party, client: redis.Redis, key_prefix: str) -> None:
    await was_there(party)
    key = f"{key_prefix}:{{{TEAM}}}:mark"
    before = str(client.get(key))
    client.delete(key)
    client.rpush(key, "not a string")
    assert await party.store.leave([TEAM]) == []
    client.delete(key)
    client.set(key, before)
    await party.flush()
    assert await party.store.leave([TEAM]) == [TEAM]


async def test_renamed_meanwhile_it_is_in_none(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    await was_there(party)

    async def renamed(teams: object) -> bool:
        party.store.lease.rename()
        return True

    monkeypatch.setattr(party.store._record, "remove", renamed)
    assert await party.store.leave([TEAM]) == []
    assert party.store.teams() == {TEAM}


# --- outages ----------------------------------------------------------------------------------------------------------


async def test_requests_wait_while_the_store_is_down(party: Party) -> None:
    party.store.down("a test")
    party.store.down("told once")
    assert party.downs == ["a test"]
    assert not party.store.open
    choice = party.store.choose(TEAM, "maria", "busy", "maria")
    known = party.store.is_signed_out("maria", "s1")
    await asyncio.sleep(0)
    assert not choice.done()
    party.store.resume()
    assert (await choice).mark.version == 1
    assert await known == 0


async def test_the_impatient_are_answered_after_ten_seconds(party: Party, clock: Clock) -> None:
    party.store.down("a test")
    settings = party.store.configure(TEAM, 60_000, -2)
    ended = party.store.sign_out(TEAM, "maria", "s1", refuse_ms=1)
    party.store.is_signed_out("maria", "s1").cancel()
    await pass_time(clock, 10_000, party)
    party.store.housekeep()
    with pytest.raises(Exception, match="got no answer in 10 s"):
        await settings
    assert not ended.done()
    party.store.resume()
    await ended


async def test_given_up_questions_are_no_trouble(party: Party) -> None:
    party.store.is_signed_out("maria", "s1").cancel()
    assert await party.store.is_signed_out("maria", "s1") == 0


async def test_a_worker_whose_lease_is_over_writes_nothing_before_it_has_beaten(party: Party, clock: Clock) -> None:
    await party.join()
    clock.move(LEASE_MS)
    choice = party.store.choose(TEAM, "maria", "busy", "maria")
    known = party.store.is_signed_out("maria", "s1")
    assert await asyncio.wait_for(known, 5.0) == 0
    assert not choice.done()
    # That was a gap, so it lives on.
    assert (await party.beat()).alive
    assert (await asyncio.wait_for(choice, 5.0)).changed == 1


async def test_a_team_that_redis_does_not_know_has_no_input(party: Party, clock: Clock) -> None:
    """Redis lost it, and nobody has noticed yet: whoever has a roster begins it, not input."""
    await party.store.repairs.touch(TEAM, [("maria", clock.now_s())])
    assert (await party.standing()).mark == Mark("", 0, "")
    assert party.store.acknowledged(TEAM) == 0


async def test_out_of_reach_is_told_by_reads_too(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody(commands: object) -> list[object]:
        raise OutOfReach("a test")

    monkeypatch.setattr(party.store.link, "execute_each", nobody)
    for reading in (party.page, party.detail, party.standing):
        with pytest.raises(OutOfReach):
            await reading()
    told = party.store.tell(party.connect())
    await becomes_true(lambda: party.downs)
    monkeypatch.undo()
    party.store.resume()
    assert (await told)[0] != Mark("", 0, "")
