"""A roster kept right by the feed, and read again wherever it may not be."""

from __future__ import annotations

import asyncio
import logging

import orjson
import pytest
import redis

from presence_server.core.roster import Mark
from presence_server.live import replica as replica_module
from presence_server.live.counters import ResyncCause
from presence_server.live.team import Team
from presence_server.store.link import OutOfReach, Refused
from presence_server.store.operations import changes
from tests.live.following import Following
from tests.store.support import TEAM, NewParty, Party, Replica, becomes_true


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What did not come by the feed is read sooner."""
    monkeypatch.setattr(replica_module, "OVERTAKEN_S", 0.02)
    monkeypatch.setattr(replica_module, "BROKEN_S", 0.02)


@pytest.fixture
async def team(following: Following) -> Team:
    return await following.follow()


@pytest.fixture
async def other(new_party: NewParty) -> Party:
    """A worker that changes things."""
    return await new_party("w2")


async def is_current(team: Team, other: Party) -> None:
    """Wait until the roster is exactly what Redis has."""
    wanted = (await other.standing()).mark
    await becomes_true(lambda: team.replica.live and team.mark == wanted)


async def test_what_is_published_is_applied_in_order(team: Team, other: Party) -> None:
    await other.join("maria")
    await other.choose("maria", "busy")
    await other.log_out("maria")
    await other.join("juan", "s2")
    await is_current(team, other)
    assert [(user, team.status_of(user)) for user in ("maria", "juan")] == [("maria", "offline"), ("juan", "online")]
    assert team.replica.resyncs == {}


async def test_a_hole_is_read_again(
    team: Team, other: Party, following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    await other.join("ana")
    await is_current(team, other)
    with monkeypatch.context() as deaf:
        deaf.setattr(following.teams, "hear", lambda name, raw: None)
        await other.join("maria")
        await following.feed.probe()
    await other.join("juan")
    await is_current(team, other)
    assert (team.status_of("maria"), team.replica.resyncs) == ("online", {"hole": 1})


async def test_what_came_twice_or_late_is_nothing_new(team: Team, other: Party) -> None:
    await other.join("maria")
    await is_current(team, other)
    mark = team.mark
    message = {"epoch": mark.epoch, "version": 1, "tip": mark.tip, "previous": 0, "previous_tip": "x"}
    team.replica.hear(orjson.dumps(message))
    assert (team.mark, team.replica.live) == (mark, True)


async def test_a_fork_under_the_same_number_becomes_a_new_epoch(team: Team, other: Party) -> None:
    """Even after it was overtaken: the tip before it is another."""
    await other.join("maria")
    await is_current(team, other)
    mark = team.mark
    message = {
        "epoch": mark.epoch,
        "version": mark.version + 1,
        "tip": "t",
        "previous": mark.version,
        "previous_tip": "another",
    }
    team.replica.hear(orjson.dumps(message))
    await becomes_true(lambda: team.replica.live and team.mark.epoch != mark.epoch)
    await is_current(team, other)
    assert team.status_of("maria") == "online"


async def test_another_server_that_stands_further_has_lost_nothing(team: Team, other: Party) -> None:
    await other.join("maria")
    await is_current(team, other)
    epoch = team.mark.epoch
    team.replica.pause()
    team.replica.doubt()
    await other.join("juan")
    await other.choose("maria", "busy")
    await team.replica.read()
    await is_current(team, other)
    assert (team.status_of("maria"), team.status_of("juan"), team.mark.epoch) == ("busy", "online", epoch)


async def test_another_server_that_stands_further_has_lost_what_was_told(
    team: Team, other: Party, client: redis.Redis, key_prefix: str
) -> None:
    """What had the lost number is somebody else's change by now, and nobody would be told of it."""
    await other.join("maria")
    await is_current(team, other)
    mark = await _overtaken(team, other, Replica(client, f"{key_prefix}:{{{TEAM}}}"))
    team.replica.doubt()
    await team.replica.read()
    await is_current(team, other)
    assert team.mark.epoch != mark.epoch
    assert [team.status_of(user) for user in ("maria", "ana", "eva")] == ["online"] * 3


async def test_a_sign_out_that_was_missed_is_found_where_nobody_sees_a_difference_of_it(
    team: Team, other: Party, following: Following
) -> None:
    """He is there by another session still."""
    await other.join("maria", "s2")
    connection = await following.come(team, "maria", "s1")
    await is_current(team, other)
    team.replica.pause()
    following.teams.hear = lambda name, raw: None  # type: ignore[method-assign]
    await other.log_out("maria", "s1")
    await following.feed.probe()
    await team.replica.read()
    await becomes_true(lambda: not connection.is_open)
    assert team.status_of("maria") == "online"


async def test_so_may_one_that_a_team_has_gone_to_without_an_outage(
    team: Team, other: Party, following: Following, client: redis.Redis, key_prefix: str
) -> None:
    """A failover of a cluster may be noticed by the subscription alone."""
    await other.join("maria")
    await is_current(team, other)
    mark = await _overtaken(team, other, Replica(client, f"{key_prefix}:{{{TEAM}}}"))
    following.teams.lost(TEAM)
    await becomes_true(lambda: team.replica.live)
    await is_current(team, other)
    assert team.mark.epoch != mark.epoch
    assert [team.status_of(user) for user in ("maria", "ana", "eva")] == ["online"] * 3


async def _overtaken(team: Team, other: Party, replica: Replica) -> Mark:
    """Redis loses a change that was told, and has others by the same numbers; returns what was known."""
    await other.join("juan")
    await is_current(team, other)
    known = team.mark
    team.replica.pause()
    replica.fail_over()
    other.holds.clear()
    await other.join("ana")
    await other.join("eva")
    return known


async def test_another_epoch_is_read_whole(team: Team, other: Party) -> None:
    await other.join("maria")
    await is_current(team, other)
    before = team.mark
    await other.store.repairs.new_epoch(TEAM, before.epoch, 100)
    await is_current(team, other)
    assert team.mark.version == 101
    assert team.replica.roster.continues(team.mark.epoch, 101)


async def test_a_team_larger_than_a_page(other: Party, following: Following, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "AT_ONCE", 3)
    await asyncio.gather(*[other.join(f"u{number}") for number in range(8)])
    team = await following.follow()
    await is_current(team, other)
    assert len(team.replica.roster) == 8
    # What changed since comes in pages, too.
    team.replica.pause()
    await asyncio.gather(*[other.choose(f"u{number}", "busy") for number in range(7)])
    await team.replica.read()
    await is_current(team, other)
    assert {team.status_of(f"u{number}") for number in range(7)} == {"busy"}


async def test_what_was_missed_for_longer_than_it_is_kept_is_read_whole(
    team: Team, other: Party, client: redis.Redis, key_prefix: str
) -> None:
    await other.join("maria")
    await is_current(team, other)
    team.replica.pause()
    await other.join("juan")
    key = f"{key_prefix}:{{{TEAM}}}:mark"
    mark = orjson.loads(str(client.get(key)))
    mark[3] = mark[1]
    client.set(key, orjson.dumps(mark))
    await team.replica.read()
    assert (len(team.replica.roster), team.replica.roster.floor) == (2, 2)


async def test_what_is_published_while_it_reads_is_applied_afterwards(
    team: Team, other: Party, monkeypatch: pytest.MonkeyPatch, following: Following
) -> None:
    team.replica.pause()
    await other.join("maria")
    await other.join("juan")
    await following.feed.probe()
    assert len(team.replica._buffer) == 2
    team.replica.go_on()
    await is_current(team, other)
    assert team.replica.resyncs == {}


async def test_more_than_can_be_kept_is_read_again(
    team: Team, other: Party, monkeypatch: pytest.MonkeyPatch, following: Following
) -> None:
    monkeypatch.setattr(replica_module, "_BUFFERED", 1)
    await other.join("first")
    await is_current(team, other)
    team.replica.pause()
    for user in ("maria", "juan", "ana"):
        await other.join(user)
    await following.feed.probe()
    assert len(team.replica._buffer) == 1
    team.replica.go_on()
    assert team.status_of("maria") == "online"
    await other.join("leo")
    await is_current(team, other)
    assert team.replica.resyncs == {"hole": 1}


# --- waiting for it ---------------------------------------------------------------------------------------------------


async def test_what_was_answered_is_waited_for(team: Team, other: Party) -> None:
    reply = await other.choose("maria", "busy", by="ana")
    await asyncio.wait_for(team.replica.caught_up(reply.mark), 5.0)
    assert team.mark.version >= reply.mark.version
    await asyncio.wait_for(team.replica.caught_up(reply.mark), 5.0)


async def test_what_never_comes_by_the_feed_is_read(
    team: Team, other: Party, following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following.teams, "hear", lambda name, raw: None)
    marks = [(await other.choose("maria", status, by="ana")).mark for status in ("busy", "online", "busy")]
    await asyncio.wait_for(asyncio.gather(*map(team.replica.caught_up, marks)), 5.0)
    assert team.mark == marks[-1]


async def test_another_epoch_than_the_one_waited_for_is_newer(team: Team, other: Party) -> None:
    await other.join("maria")
    await is_current(team, other)
    mark = team.mark
    waiting = asyncio.create_task(team.replica.caught_up(mark._replace(version=mark.version + 5)))
    await asyncio.sleep(0)
    await other.store.repairs.new_epoch(TEAM, mark.epoch, mark.version)
    await asyncio.wait_for(waiting, 5.0)
    assert team.mark.epoch != mark.epoch


async def test_closed_nobody_waits_any_more(team: Team) -> None:
    waiting = asyncio.create_task(team.replica.caught_up(Mark("k1", 5, "t")))
    await asyncio.sleep(0)
    team.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_reply_to_ones_own_call_reveals_a_lost_last_message(
    team: Team, other: Party, following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following.teams, "hear", lambda name, raw: None)
    await following.choose("maria", "busy", by="ana")
    await becomes_true(lambda: team.replica.resyncs == {"unheard": 1})
    await is_current(team, other)


# --- trouble ----------------------------------------------------------------------------------------------------------


async def test_one_that_cannot_be_read_is_tried_again_and_said_to_be_stale(
    following: Following, client: redis.Redis, key_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = f"{key_prefix}:{{{TEAM}}}:mark"
    client.rpush(key, "not a string")
    team = following.teams.use(TEAM)
    await becomes_true(lambda: team.replica.broken)
    await becomes_true(lambda: team.stale)
    client.delete(key)
    await becomes_true(lambda: team.replica.live)
    assert not team.replica.broken
    assert not team.stale
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_where_redis_is_out_of_reach_a_resync_says_so(
    team: Team, following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody(name: str, since: int) -> object:
        raise OutOfReach("a test")

    monkeypatch.setattr(following.store.reads, "changes", nobody)
    team.replica.resync(ResyncCause.LOST)
    team.replica.resync(ResyncCause.LOST)
    await becomes_true(lambda: following.downs == ["a test"])
    assert (team.replica.resyncs, team.replica.live) == ({"lost": 1}, False)


async def test_an_epoch_that_changes_while_it_is_read_is_read_again(
    other: Party, following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "AT_ONCE", 2)
    await asyncio.gather(*[other.join(f"u{number}") for number in range(5)])
    read = following.store.reads.changes
    pages = 0

    async def changing(name: str, since: int) -> object:
        nonlocal pages
        pages += 1
        if pages == 3:
            await other.store.repairs.new_epoch(TEAM, (await other.standing()).mark.epoch, 0)
        return await read(name, since)

    monkeypatch.setattr(following.store.reads, "changes", changing)
    team = await following.follow()
    await is_current(team, other)
    assert len(team.replica.roster) == 5


async def test_once_it_is_read_it_is_broken_no_more_whoever_read_it(
    team: Team, following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recovery reads what somebody else could not."""

    async def refuse() -> bool:
        raise Refused("a test")

    with monkeypatch.context() as broken:
        broken.setattr(team.replica._reader, "read_once", refuse)
        team.replica.resync(ResyncCause.HOLE)
        await becomes_true(lambda: team.replica.broken)
        assert team.stale
        team.replica.pause()
    await team.replica.read()
    assert (team.replica.live, team.replica.broken, team.stale) == (True, False, False)
