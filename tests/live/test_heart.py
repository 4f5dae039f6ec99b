"""The beat: said twice a second whatever else there is to do, and what a worker learns from its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import redis

from presence_server.live.heart import JUMP_MS, Heart, Rhythm
from presence_server.store import tasks
from presence_server.store.link import OutOfReach, Refused
from presence_server.store.types import Claim
from tests.store.support import IDLE_MS, LEASE_MS, TEAM, Clock, NewParty, Party, becomes_true, pass_time


class Chest:
    """A heart, and what it tells.

    Attributes:
        room: how many teams can be taken.
        due: the claims that brought something.
        told: what else, in order.
        said: what is for the log.
    """

    def __init__(self, party: Party) -> None:
        self.room = 10
        self.due: list[Claim] = []
        self.told: list[str] = []
        self.said: list[str] = []
        self.heart = Heart(
            party.store,
            room=lambda: self.room,
            on_due=self.due.append,
            on_jump=self._tell("jump"),
            on_other_data=self._tell("other data"),
            on_look=self._tell("look"),
            rhythm=Rhythm(),
            say=lambda level, text: self.said.append(text),
        )

    def _tell(self, what: str) -> Callable[[], None]:
        return lambda: self.told.append(what)


@pytest.fixture
def chest(party: Party) -> Chest:
    return Chest(party)


async def test_what_is_due_is_passed_on(party: Party, chest: Chest, clock: Clock) -> None:
    await party.join()
    assert not await chest.heart.beat()
    assert chest.due == []
    await pass_time(clock, IDLE_MS, party)
    assert not await chest.heart.beat()
    assert [due.team for claim in chest.due for due in claim.due] == [TEAM]
    assert chest.told == []


async def test_where_there_is_more_and_room_it_goes_on_at_once(party: Party, chest: Chest, clock: Clock) -> None:
    for number in range(3):
        await party.join(team=f"t{number}")
    await pass_time(clock, IDLE_MS, party)
    chest.room = 2
    assert await chest.heart.beat()
    chest.room = 0
    assert not await chest.heart.beat()
    chest.room = 2
    assert not await chest.heart.beat()
    assert [len(claim.due) for claim in chest.due] == [2, 1]


@pytest.mark.parametrize("why", ["restoring", "down"])
async def test_who_has_other_things_to_do_claims_nothing_and_lives(
    party: Party, chest: Chest, clock: Clock, why: str
) -> None:
    await party.join()
    await pass_time(clock, IDLE_MS, party)
    if why == "down":
        party.store.down("a test")
    else:
        chest.heart.restoring = True
    await chest.heart.beat()
    assert chest.due == []
    assert party.store.lease.until_ms == clock.now_ms + LEASE_MS
    assert (await party.beat(restoring=chest.heart.restoring)).restoring == int(why == "restoring")


@pytest.mark.parametrize("why", ["restoring", "down"])
async def test_what_comes_due_while_nobody_can_see_to_it_is_put_off(
    party: Party, chest: Chest, clock: Clock, why: str
) -> None:
    await party.beat()
    began = clock.now_ms
    if why == "down":
        party.store.down("a test")
    chest.heart.restoring = why == "restoring"
    for _ in range(10):
        clock.move(500)
        await chest.heart.beat()
    party.store.resume()
    chest.heart.restoring = False
    await chest.heart.beat()
    assert (await party.beat()).gaps[-1] == (began, clock.now_ms)


async def test_one_whose_lease_ended_goes_on_under_another_name_at_once(new_party: NewParty, clock: Clock) -> None:
    party, other = await new_party("w1"), await new_party("w2")
    chest = Chest(party)
    await pass_time(clock, LEASE_MS, other)
    assert await chest.heart.beat()
    assert chest.told == ["look"]
    assert party.name != "w1"
    assert not await chest.heart.beat()
    assert (await party.beat()).workers == {party.name, "w2"}
    assert chest.said == ["The lease had ended: going on under another name"]


async def test_a_clock_that_jumped_is_told_once_the_data_was_accepted(party: Party, chest: Chest, clock: Clock) -> None:
    clock.set_back(JUMP_MS + 125)
    await chest.heart.beat()
    assert chest.told == []
    chest.heart.born = (await party.beat()).born
    clock.move(0)
    await chest.heart.beat()
    assert chest.told == ["jump"]
    clock.set_back(JUMP_MS)
    await chest.heart.beat()
    assert chest.told == ["jump"]


async def test_a_redis_that_lost_its_data_is_another(
    party: Party, chest: Chest, client: redis.Redis, key_prefix: str
) -> None:
    chest.heart.born = (await party.beat()).born
    await chest.heart.beat()
    assert chest.told == []
    client.delete(f"{key_prefix}:{{due}}:clock")
    await chest.heart.beat()
    assert chest.told == ["other data"]


async def test_an_index_that_lost_the_newest_is_told_where_this_worker_is(
    party: Party, chest: Chest, client: redis.Redis, key_prefix: str
) -> None:
    await party.join()
    base = f"{key_prefix}:{{due}}"
    client.delete(f"{base}:of:w1", f"{base}:numbers")
    await chest.heart.beat()
    assert chest.told == ["look"]
    assert client.smembers(f"{base}:of:w1") == {TEAM}
    await chest.heart.beat()
    assert chest.told == ["look"]


async def test_the_next_answer_can_be_waited_for(party: Party, chest: Chest) -> None:
    waiting = [asyncio.create_task(chest.heart.next()) for _ in range(2)]
    await asyncio.sleep(0)
    await chest.heart.beat()
    claims = await asyncio.wait_for(asyncio.gather(*waiting), 5.0)
    assert claims[0] is claims[1]
    assert claims[0].alive


async def test_one_who_gives_up_waiting_takes_it_from_nobody(party: Party, chest: Chest) -> None:
    given_up, waiting = (asyncio.create_task(chest.heart.next()) for _ in range(2))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.sleep(0)
    await chest.heart.beat()
    assert (await asyncio.wait_for(waiting, 5.0)).alive


async def test_it_beats_until_it_is_ended(party: Party, chest: Chest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("presence_server.live.heart.INTERVAL_S", 0.01)
    beating = asyncio.create_task(chest.heart.run())
    for _ in range(3):
        await asyncio.wait_for(chest.heart.next(), 5.0)
    await tasks.end([beating])
    assert party.downs == []


@pytest.mark.parametrize("failure", [OutOfReach("gone"), Refused("no permission")])
async def test_one_that_fails_means_that_redis_is_out_of_reach_and_is_tried_again(
    party: Party, chest: Chest, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    monkeypatch.setattr("presence_server.live.heart.INTERVAL_S", 0.01)
    tried = 0

    async def execute(commands: object) -> list[object]:
        nonlocal tried
        tried += 1
        raise failure

    with monkeypatch.context() as broken:
        broken.setattr(party.store.link, "execute", execute)
        beating = asyncio.create_task(chest.heart.run())
        await becomes_true(lambda: tried >= 3)
    await asyncio.wait_for(chest.heart.next(), 5.0)
    await tasks.end([beating])
    assert len(party.downs) == 1
    # A refusal is told once, not with every beat.
    assert len(chest.said) == isinstance(failure, Refused)
