"""Redis lost writes that a worker had seen, or a whole team, or refuses one: each team is mended by itself."""

from __future__ import annotations

import asyncio
import logging

import pytest
import redis

from presence_server import errors
from presence_server.core.roster import Mark
from presence_server.store.calls import BULK
from presence_server.store.link import OutOfReach
from presence_server.store.operations import drop
from presence_server.store.operations.configure import KEEP_GRACE, KEEP_IDLE
from tests.store.support import GRACE_MS, TEAM, Clock, NewParty, Party, Replica, becomes_true, pass_time


@pytest.fixture
def base(key_prefix: str) -> str:
    return f"{key_prefix}:{{{TEAM}}}"


@pytest.fixture
def raw(shared_valkey: object) -> redis.Redis:
    """A client that reads bytes."""
    return redis.Redis(unix_socket_path=str(shared_valkey.socket))  # type: ignore[attr-defined]


async def test_a_failover_that_took_writes_is_noticed_by_the_next_and_all_is_told_anew(
    party: Party, raw: redis.Redis, base: str
) -> None:
    await party.join("ana")
    replica = Replica(raw, base)
    await party.join("maria")
    await party.join("maria")
    replica.fail_over()
    assert (await party.detail()).connections is None
    reply = await party.choose("ana", "busy")
    assert reply.changed == 1
    assert (await party.detail()).connections == 2
    assert await party.detail("ana") == (await party.detail("ana"))._replace(chosen="busy", connections=1)
    raw.close()


@pytest.mark.parametrize("grace_ms", [GRACE_MS, 0])
async def test_what_it_brought_back_and_is_gone_is_forgiven(
    party: Party, raw: redis.Redis, base: str, clock: Clock, grace_ms: int
) -> None:
    """Even without a grace it is a sweep that takes them offline: nobody else knows of gaps."""
    await party.store.configure(TEAM, KEEP_IDLE, grace_ms)
    users = [f"u{number}" for number in range(drop.AT_ONCE + 1)]
    await asyncio.gather(*[party.join(user) for user in users])
    await party.join("maria")
    replica = Replica(raw, base)
    for user in users:
        party.lose(user)
    await party.flush()
    replica.fail_over()
    await party.choose("maria", "busy")
    await party.flush()
    found = [await party.detail(user) for user in users]
    assert {(each.status, each.connections) for each in found} == {("online", 0)}
    assert {each.next_change_at for each in found} == {clock.now_ms + grace_ms}
    assert (await party.detail()).connections == 1
    raw.close()


async def test_many_holds_are_told_anew_in_parts(party: Party, raw: redis.Redis, base: str) -> None:
    await party.join("maria")
    replica = Replica(raw, base)
    users = [f"u{number}" for number in range(BULK + 1)]
    await asyncio.gather(*[party.join(user) for user in users])
    replica.fail_over()
    party.store.retell(TEAM)
    await party.flush()
    assert len((await party.page()).held) == BULK + 2
    raw.close()


async def test_nobody_who_signed_out_is_brought_back(new_party: NewParty, raw: redis.Redis, base: str) -> None:
    """However long this worker was cut off."""
    party, other = await new_party("w1"), await new_party("w2")
    await party.join("maria", "s1")
    await party.join("maria", "~c1")
    await party.join("ana", "s2")
    await other.store.refuse_session("maria", "s1")
    party.store.retell(TEAM)
    await party.flush()
    assert party.ended == [("maria", "s1")]
    assert (await other.detail()).connections == 1
    assert (await other.detail("ana")).connections == 1
    raw.close()


async def test_one_that_ended_while_it_was_told_anew_stays_ended(party: Party) -> None:
    await party.join("maria")
    await party.join("ana")
    party.store.retell(TEAM)
    await asyncio.sleep(0)
    party.lose("ana")
    await party.flush()
    assert (await party.detail("ana")).connections == 0


async def test_made_stale_once_more_it_is_told_once_more(party: Party) -> None:
    await party.join("maria")
    party.store.retell(TEAM)
    lane = party.store._requests.lane(TEAM)
    while not lane.restating:  # noqa: ASYNC110 - there is nothing to be woken by
        await asyncio.sleep(0)
    party.store.retell(TEAM)
    await party.flush()
    assert (await party.detail()).connections == 1


async def test_while_redis_is_away_it_waits_to_ask_who_signed_out(
    party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    await party.join("maria")
    asked = 0
    signed_out = party.store.reads.signed_out

    async def unreachable(sessions: object) -> list[bool]:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise OutOfReach("a test")
        return await signed_out(sessions)  # type: ignore[arg-type]

    monkeypatch.setattr(party.store.reads, "signed_out", unreachable)
    party.store.retell(TEAM)
    await becomes_true(lambda: asked == 2)
    assert party.downs == ["a test"]
    party.store.resume()
    await party.flush()
    assert (await party.detail()).connections == 1


# --- a team that is gone ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["join", "lose", "sign_out", "configure", "choose"])
async def test_a_team_that_redis_has_lost_is_written_back_before_anything_is_done(
    party: Party, raw: redis.Redis, base: str, operation: str
) -> None:
    """Whoever has a roster of it writes that back first."""
    await party.join("ana")
    party.known_marks[TEAM] = (await party.page()).standing.mark
    raw.delete(*raw.scan_iter(f"{base}:*"))
    if operation == "join":
        assert await party.join("maria") == "online"
    elif operation == "lose":
        party.lose("ana")
    elif operation == "sign_out":
        await party.store.sign_out(TEAM, "maria", "", refuse_ms=1)
    elif operation == "configure":
        await party.store.configure(TEAM, 60_000, KEEP_GRACE)
    else:
        await party.choose("maria", "busy")
    await party.flush()
    assert party.lost == [TEAM]
    assert (await party.detail("ana")).connections == (None if operation == "lose" else 1)
    assert party.downs == []
    raw.close()


async def test_of_what_it_never_knew_nobody_is_sure(party: Party) -> None:
    """Another worker may have it: a mark that is known is what makes the difference."""
    party.known_marks[TEAM] = Mark("k3", 7, "tip")
    assert await party.join() == "online"
    assert party.lost == [TEAM]


async def test_where_writing_it_back_fails_redis_is_out_of_reach(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unreachable(team: str) -> None:
        party.known_marks.clear()
        raise OutOfReach("a test")

    monkeypatch.setattr(party.store._retelling, "_write_back", unreachable)
    party.known_marks[TEAM] = Mark("k3", 7, "tip")
    told = party.store.tell(party.connect())
    await becomes_true(lambda: party.downs)
    assert not told.done()
    party.store.resume()
    await asyncio.wait_for(told, 5.0)


# --- a team that Redis refuses ----------------------------------------------------------------------------------------


async def test_it_is_that_teams_trouble_alone(
    party: Party, client: redis.Redis, base: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    client.rpush(f"{base}:mark", "not a string")
    broken = party.store.choose(TEAM, "maria", "busy", "maria")
    healthy = party.store.choose("bell", "maria", "busy", "maria")
    with pytest.raises(errors.Unavailable, match="got a refusal; see the server's log"):
        await broken
    assert (await healthy).mark.version == 1
    assert party.stale == [(TEAM, True)]
    assert party.downs == []
    client.delete(f"{base}:mark")
    clock.move(1_000)
    party.store.housekeep()
    assert (await party.choose("maria", "busy")).mark.version == 1
    assert party.stale == [(TEAM, True), (TEAM, False)]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_what_is_held_there_is_told_in_the_end_but_nobody_is_kept_waiting(
    party: Party, client: redis.Redis, base: str, clock: Clock
) -> None:
    client.rpush(f"{base}:mark", "not a string")
    told = party.store.tell(party.connect())
    with pytest.raises(errors.Unavailable):
        await asyncio.wait_for(told, 5.0)
    for _ in range(2):
        clock.move(1_000)
        party.store.housekeep()
        await becomes_true(lambda: party.store._requests.lane(TEAM).broken_until_s > clock.now_s())
    client.delete(f"{base}:mark")
    clock.move(1_000)
    party.store.housekeep()
    await party.flush()
    assert (await party.detail()).connections == 1
    assert party.stale == [(TEAM, True), (TEAM, False)]


async def test_broken_while_it_is_told_anew_it_is_told_when_it_is_mended(
    party: Party, client: redis.Redis, base: str, clock: Clock
) -> None:
    await party.join()
    mark = client.get(f"{base}:mark")
    client.delete(f"{base}:mark")
    client.rpush(f"{base}:mark", "not a string")
    party.store.retell(TEAM)
    await becomes_true(lambda: party.stale)
    client.delete(f"{base}:mark")
    client.set(f"{base}:mark", str(mark))
    clock.move(1_000)
    party.store.housekeep()
    await party.flush()
    assert (await party.detail()).connections == 1


async def test_an_index_that_redis_refuses_to_write_holds_nobody_up(
    party: Party, client: redis.Redis, key_prefix: str
) -> None:
    client.set(f"{key_prefix}:{{due}}:teams", "not a sorted set")
    assert await party.join() == "online"
    await party.flush()
    assert party.downs == []


async def test_a_question_that_redis_refuses_has_no_answer(
    party: Party, client: redis.Redis, key_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = party.store._requests.send_first(("NONSENSE",))
    assert await asyncio.wait_for(answer, 5.0) is None
    assert "unknown command" in caplog.text


async def test_time_passes_for_what_is_forgiven_there(party: Party, clock: Clock) -> None:
    await party.join()
    await party.lost_for_good()
    party.store.retell(TEAM)
    await party.flush()
    await pass_time(clock, GRACE_MS, party)
    await party.sweep()
    assert await party.status() == ("offline", "disconnected")
