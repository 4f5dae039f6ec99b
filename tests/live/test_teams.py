"""The teams that a worker follows: opened when somebody needs one, and left a while after nobody does."""

from __future__ import annotations

import asyncio
import gc
import weakref

import orjson
import pytest

from presence_server.core import frames
from presence_server.core.roster import NO_MARK
from presence_server.live.connection import Connection
from presence_server.live.teams import LINGER_S
from presence_server.store.link import OutOfReach
from presence_server.store.operations.configure import KEEP_GRACE
from tests.live.conftest import NewFollowing
from tests.live.following import Following, Line
from tests.store.support import GRACE_MS, IDLE_MS, LEASE_MS, TEAM, Clock, NewParty, becomes_true, pass_time

LINGER_MS = int(LINGER_S) * 1_000


def sent(connection: Connection) -> list[dict[str, object]]:
    """The messages that a connection was sent."""
    assert isinstance(connection.socket, Line)
    return [orjson.loads(frames.payload(frame)) for frame in connection.socket.frames]


async def test_a_team_is_opened_once_and_followed(following: Following, new_party: NewParty) -> None:
    team = await following.follow()
    assert following.teams.use(TEAM) is team
    assert following.teams.get(TEAM) is team
    assert following.teams.followed() == [team] == list(following.teams)
    assert (following.teams.known(TEAM), following.teams.known("bell")) == (NO_MARK, NO_MARK)
    other = await new_party("w2")
    await other.join("juan")
    await becomes_true(lambda: following.teams.status_of(TEAM, "juan") == "online")
    assert following.teams.known(TEAM) == (await other.standing()).mark
    assert following.teams.status_of("bell", "juan") == "offline"


async def test_before_a_team_is_known_the_default_timeout_holds(following: Following, new_party: NewParty) -> None:
    assert following.teams.idle_timeout_s(TEAM) == IDLE_MS / 1000
    other = await new_party("w2")
    await other.store.configure(TEAM, 60_000, KEEP_GRACE)
    await following.follow()
    assert following.teams.idle_timeout_s(TEAM) == 60.0


async def test_who_comes_is_told_of_himself_and_then_of_the_team(following: Following) -> None:
    connection = await following.come(await following.follow())
    assert [message["type"] for message in sent(connection)] == ["self", "snapshot"]
    assert connection.teams == (TEAM,)


async def test_ones_own_choice_and_timeout_are_told_at_once(following: Following, new_party: NewParty) -> None:
    connection = await following.come(await following.follow())
    other = await new_party("w2")
    await other.choose("maria", "busy", by="ana")
    await other.store.configure(TEAM, 60_000, KEEP_GRACE)
    await becomes_true(lambda: len([m for m in sent(connection) if m["type"] == "self"]) == 3)
    told = [(m["chosen"], m["idle_timeout_ms"]) for m in sent(connection) if m["type"] == "self"]
    assert told == [("online", IDLE_MS), ("busy", IDLE_MS), ("busy", 60_000)]


async def test_a_team_that_redis_refuses_is_stale_alone(following: Following) -> None:
    team = await following.follow()
    connection = await following.come(team)
    team.set_refused(True)
    team.set_refused(True)
    late = await following.come(team, "juan")
    team.set_refused(False)
    for each in (connection, late):
        feed = [message for message in sent(each) if message["type"] == "feed"]
        assert feed == [
            {"type": "feed", "live": False, "team": TEAM},
            {"type": "feed", "live": True, "team": TEAM},
        ]


async def test_signed_out_elsewhere_it_ends_here(following: Following, new_party: NewParty) -> None:
    connection = await following.come(await following.follow())
    other = await new_party("w2")
    await other.store.sign_out(TEAM, "maria", "", refuse_ms=1_000, by="ana")
    await becomes_true(lambda: not connection.is_open)
    assert isinstance(connection.socket, Line)
    assert connection.socket.closed is not None
    assert connection.socket.closed[0] == 4506


async def test_a_hold_that_redis_does_not_have_is_asked_for_anew(following: Following) -> None:
    """By a sign-out whose message was missed, or by mistake: the answer tells."""
    team = await following.follow()
    connection = await following.come(team)
    team.read_again(frozenset(), ["juan"])
    assert not following.store._requests.lane(TEAM).busy
    team.read_again(frozenset(), None)
    await following.flush()
    assert connection.is_open
    assert (await following.detail()).connections == 1


async def test_who_is_shown_offline_although_he_is_here_is_counted(
    following: Following, new_party: NewParty, clock: Clock
) -> None:
    """This worker was silent for a lease, and is buried by another: that one's own people are offline rightly."""
    team = await following.follow()
    await following.come(team)
    other = await new_party("w2")
    await other.join("juan")
    await other.lost_for_good("juan")
    await pass_time(clock, LEASE_MS + GRACE_MS, other)
    await other.sweep()
    await becomes_true(lambda: {team.status_of(user) for user in ("maria", "juan")} == {"offline"})
    assert following.counters.false_offline == 1


# --- leaving ----------------------------------------------------------------------------------------------------------


async def leave(following: Following, connection: Connection) -> None:
    """The last connection ends."""
    team = following.teams.get(TEAM)
    assert team is not None
    team.pending = 0
    following.members.end(connection, 4001, "draining")
    await following.flush()


async def test_a_team_that_nobody_needs_lingers_and_is_left(following: Following, clock: Clock) -> None:
    connection = await following.come(await following.follow())
    await following.teams.close_empty()
    await leave(following, connection)
    await following.teams.close_empty()
    clock.move(LINGER_MS - 125)
    await following.beat()
    await following.teams.close_empty()
    assert following.teams.get(TEAM) is not None
    clock.move(125)
    await following.beat()
    await following.teams.close_empty()
    assert following.teams.get(TEAM) is None
    assert following.store.teams() == set()
    assert (await following.standing()).fences["w1"].left_ms == clock.now_ms


async def test_nothing_of_it_is_left_to_the_garbage_collector(following: Following, clock: Clock) -> None:
    connection = await following.come(await following.follow())
    await leave(following, connection)
    found = following.teams.get(TEAM)
    assert found is not None
    team = weakref.ref(found)
    del found
    gc.collect()
    gc.disable()
    try:
        await following.teams.close_empty()
        clock.move(LINGER_MS)
        await following.beat()
        await following.teams.close_empty()
        assert following.teams.get(TEAM) is None
        await becomes_true(lambda: team() is None)
    finally:
        gc.enable()


async def test_who_comes_back_finds_it(following: Following, clock: Clock) -> None:
    team = await following.follow()
    await leave(following, await following.come(team))
    await following.teams.close_empty()
    await following.come(team)
    clock.move(LINGER_MS)
    await following.beat()
    await following.teams.close_empty()
    assert following.teams.get(TEAM) is team
    assert following.teams._empty_since == {}


async def test_one_that_somebody_is_on_his_way_into_stays(following: Following, clock: Clock) -> None:
    team = await following.follow()
    for _ in range(2):
        await following.teams.close_empty()
        clock.move(LINGER_MS)
        await following.beat()
    assert following.teams.get(TEAM) is team


async def test_one_that_was_only_written_to_is_left_too(following: Following, clock: Clock) -> None:
    """By HTTP, for a team this worker has nobody of."""
    await following.choose("maria", "busy")
    assert following.store.teams() == {TEAM}
    for _ in range(2):
        await following.teams.close_empty()
        clock.move(LINGER_MS)
        await following.beat()
    await following.teams.close_empty()
    assert following.store.teams() == set()
    await following.teams.close_empty()
    assert following.teams._empty_since == {}


# --- while Redis is away ----------------------------------------------------------------------------------------------


async def test_a_team_opened_meanwhile_waits_until_it_is_back(following: Following) -> None:
    following.teams.set_live(False)
    team = following.teams.use(TEAM)
    await asyncio.sleep(0.01)
    assert not team.followed
    following.teams.set_live(True)
    await becomes_true(lambda: team.replica.live)


async def test_one_that_cannot_be_subscribed_to_is_tried_again(
    new_following: NewFollowing, monkeypatch: pytest.MonkeyPatch
) -> None:
    following = await new_following()
    subscribe = following.feed.subscribe
    tried = 0

    async def unreachable(team: str) -> None:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise OutOfReach("a test")
        await subscribe(team)

    monkeypatch.setattr(following.feed, "subscribe", unreachable)
    team = following.teams.use(TEAM)
    await becomes_true(lambda: team.replica.live)
    assert (tried, following.downs) == (2, ["a test"])


async def test_what_it_does_not_follow_is_none_of_its_business(following: Following) -> None:
    following.teams.hear("bell", b"{}")
    await following.teams.write_back("bell")
    await following.choose("maria", "busy", team="bell")
    assert list(following.teams) == []
