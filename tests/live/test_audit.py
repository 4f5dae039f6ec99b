"""The audit: what no error tells is found by a plain read of each team's mark, within a third of a lease."""

from __future__ import annotations

import asyncio

import pytest
import redis

from presence_server.live.audit import Audit
from presence_server.store import tasks
from presence_server.store.link import OutOfReach, Refused
from presence_server.store.operations.doubt import Doubt
from tests.live.conftest import NewFollowing
from tests.live.following import Following
from tests.store.support import TEAM, Clock, NewParty, becomes_true


@pytest.fixture
def base(key_prefix: str) -> str:
    return f"{key_prefix}:{{{TEAM}}}"


async def test_where_all_is_well_it_is_one_plain_command(following: Following) -> None:
    for name in (TEAM, "bell"):
        await following.come(await following.follow(name))
    calls = following.backend.calls
    await following.audit.look(following.teams.followed())
    await following.flush()
    assert following.backend.calls == calls + 1
    assert following.counters.resyncs == {}
    assert all(following.audit.is_current(team) for team in following.teams)


async def test_a_last_message_that_was_lost_is_noticed(
    following: Following, new_party: NewParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 9: nothing comes after it that would reveal the hole."""
    team = await following.follow()
    await following.come(team)
    monkeypatch.setattr("presence_server.live.replica.OVERTAKEN_S", 0.01)
    monkeypatch.setattr(following.teams, "hear", lambda name, raw: None)
    other = await new_party("w2")
    await other.choose("maria", "busy", by="ana")
    await following.audit.look([team])
    assert not following.audit.is_current(team)
    await becomes_true(lambda: team.status_of("maria") == "busy")
    assert team.replica.resyncs == {"unheard": 1}
    await following.audit.look([team])
    assert following.audit.is_current(team)


async def test_a_channel_that_is_not_heard_any_more_is_followed_anew(
    following: Following, new_party: NewParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However that came about: one look later its changes come by the feed again."""
    team = await following.follow()
    await following.come(team)
    monkeypatch.setattr("presence_server.live.replica.OVERTAKEN_S", 0.01)
    other = await new_party("w2")
    await following.feed.unsubscribe(team.name)
    await other.choose("maria", "busy", by="ana")
    await following.audit.look([team])
    await becomes_true(lambda: team.status_of("maria") == "busy")
    await other.choose("maria", "online", by="ana")
    await becomes_true(lambda: team.status_of("maria") == "online")
    assert team.replica.resyncs == {"unheard": 1}


async def test_a_fork_is_read_again_before_anything_is_written(
    following: Following, client: redis.Redis, base: str
) -> None:
    """A failover took the newest change: a rejoin would hide it, so it is compared before."""
    team = await following.follow()
    await following.come(team)
    before = client.get(f"{base}:mark")
    await following.choose("maria", "busy")
    await becomes_true(lambda: team.status_of("maria") == "busy")
    client.set(f"{base}:mark", str(before))
    epoch = team.mark.epoch
    await following.audit.look([team])
    await becomes_true(lambda: team.replica.live and team.mark.epoch != epoch)
    await following.flush()
    assert team.mark.version > 2
    assert (await following.detail()).connections == 1


async def test_a_team_that_is_gone_is_written_back(following: Following, client: redis.Redis, base: str) -> None:
    team = await following.follow()
    await following.come(team)
    client.delete(*client.scan_iter(f"{base}:*"))
    await following.audit.look([team])
    await becomes_true(lambda: team.replica.live)
    await following.flush()
    assert (await following.detail()).connections == 1
    assert team.status_of("maria") == "online"


async def test_a_number_below_what_was_acknowledged_is_told_anew(
    following: Following, client: redis.Redis, base: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The mark may look right, and what this worker said be gone all the same."""
    team = await following.follow()
    await following.come(team)
    number = following.store.acknowledged(TEAM)
    raw = str(client.get(f"{base}:mark"))
    assert f'"w1",{number},0]' in raw
    client.set(f"{base}:mark", raw.replace(f'"w1",{number},0]', f'"w1",{number - 1},0]'))
    await following.audit.look([team])
    await following.flush()
    assert "telling it anew" in caplog.text
    assert following.store.acknowledged(TEAM) > number
    assert (await following.standing()).fences["w1"].last == following.store.acknowledged(TEAM)


async def test_workers_that_nobody_vouches_for_are_doubted(
    following: Following, client: redis.Redis, base: str
) -> None:
    team = await following.follow()
    await following.come(team)
    raw = str(client.get(f"{base}:mark"))
    client.set(f"{base}:mark", raw.removesuffix("]") + ',"ghost",7,0]')
    await following.audit.look([team])
    assert following.store.vigil.take_doubts() == [Doubt("ghost", TEAM, 7)]


async def test_a_team_of_which_nothing_is_there_on_either_side_is_well(following: Following) -> None:
    team = await following.follow()
    await following.audit.look([team])
    assert team.replica.resyncs == {}
    assert not following.audit.is_current(team)


async def test_while_a_roster_is_being_read_it_is_not_compared(following: Following, base: str) -> None:
    team = await following.follow()
    await following.come(team)
    team.replica.pause()
    await following.audit.look([team])
    assert team.replica.resyncs == {}
    team.replica.go_on()


async def test_it_looks_every_so_often_and_when_asked(
    new_following: NewFollowing, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    following = await new_following()
    audit = Audit(following.store, following.teams, 0.01)
    looks = 0

    async def look(teams: object) -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise Refused("no permission")
        if looks == 3:
            raise OutOfReach("gone")

    monkeypatch.setattr(audit, "look", look)
    running = asyncio.create_task(audit.run())
    await becomes_true(lambda: looks >= 3)
    await becomes_true(lambda: following.downs == ["gone"])
    await asyncio.sleep(0)
    assert looks == 3
    following.store.resume()
    audit._interval_s = 3_600.0
    await becomes_true(lambda: looks >= 4)
    seen = looks
    audit.soon()
    await becomes_true(lambda: looks > seen)
    await tasks.end([running])


async def test_a_team_that_could_not_be_looked_at_was_not_seen_to_be_current(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recovery must not go on with a roster that it has not compared."""
    team = await following.follow()
    await following.come(team)
    await following.audit.look([team])
    assert following.audit.is_current(team)

    async def marks(teams: list[str]) -> list[object]:
        return [Refused("a test") for _ in teams]

    monkeypatch.setattr(following.store.reads, "marks", marks)
    await following.audit.look([team])
    assert not following.audit.is_current(team)
