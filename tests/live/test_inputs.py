"""Human input on its way to Redis: at once where he may be offline, otherwise rarely, and always in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis

from presence_server.live.inputs import MOST_S
from presence_server.store import tasks
from presence_server.store.hold import Hold
from presence_server.store.link import OutOfReach
from presence_server.store.operations.configure import KEEP_GRACE
from tests.live.following import Following
from tests.store.support import IDLE_MS, TEAM, Clock, becomes_true, pass_time

QUARTER_MS = IDLE_MS // 4


@pytest.fixture
async def maria(following: Following) -> AsyncIterator[Hold]:
    """Her hold in a team that is followed, while inputs are told."""
    telling = asyncio.create_task(following.inputs.run())
    team = await following.follow()
    connection = await following.come(team)
    yield connection.memberships[0].hold
    await tasks.end([telling])


async def told(following: Following) -> int | None:
    return (await following.detail()).last_active


async def test_input_costs_redis_nothing_until_it_could_matter(following: Following, maria: Hold, clock: Clock) -> None:
    """Heartbeats come every few seconds; Redis learns of input every quarter of the timeout."""
    joined_ms = clock.now_ms
    clock.move(QUARTER_MS - 5_000)
    await following.beat()
    following.inputs.touch(maria, clock.now_s(), clock.now_s())
    await asyncio.sleep(0)
    assert await told(following) == joined_ms
    clock.move(5_000)
    await following.beat()
    following.inputs.touch(maria, clock.now_s(), clock.now_s())
    await becomes_true(lambda: maria.told_s == clock.now_s())
    assert await told(following) == clock.now_ms


async def test_what_came_before_is_told_without_another_input(following: Following, maria: Hold, clock: Clock) -> None:
    clock.move(5_000)
    following.inputs.touch(maria, clock.now_s(), clock.now_s())
    active_ms = clock.now_ms
    clock.move(QUARTER_MS)
    await becomes_true(lambda: maria.told_s == active_ms / 1000)
    assert await told(following) == active_ms


async def test_with_a_long_timeout_it_is_told_every_minute(following: Following, maria: Hold, clock: Clock) -> None:
    await following.store.configure(TEAM, 86_400_000, KEEP_GRACE)
    await becomes_true(lambda: following.teams.idle_timeout_s(TEAM) == 86_400.0)
    clock.move(int(MOST_S) * 1_000)
    following.inputs.touch(maria, clock.now_s(), clock.now_s())
    await becomes_true(lambda: maria.told_s == clock.now_s())


async def test_older_input_is_no_news(following: Following, maria: Hold, clock: Clock) -> None:
    before_s = maria.active_s
    following.inputs.touch(maria, before_s, clock.now_s())
    following.inputs.touch(maria, before_s - 1.0, clock.now_s())
    assert (maria.active_s, following.inputs._due_s) == (before_s, {})


async def test_the_first_after_idling_brings_him_back_at_once(following: Following, maria: Hold, clock: Clock) -> None:
    """Rule 3; stuck offline while active elsewhere (Rocket.Chat#42162)."""
    await pass_time(clock, IDLE_MS, following)
    await following.sweep()
    assert await following.status() == ("offline", "idle")
    await becomes_true(lambda: following.teams.status_of(TEAM, "maria") == "offline")
    following.inputs.touch(maria, clock.now_s(), clock.now_s())
    await becomes_true(lambda: following.teams.status_of(TEAM, "maria") == "online")
    assert await following.status() == ("online", "active")


async def test_who_went_idle_and_nobody_here_has_heard_of_it_comes_back_too(
    following: Following, maria: Hold, clock: Clock
) -> None:
    """The plain command finds nobody visible: the script is asked."""
    await pass_time(clock, IDLE_MS, following)
    team = following.teams.get(TEAM)
    assert team is not None
    team.replica.pause()
    await following.sweep()
    following.inputs.touch(maria, clock.now_s(), clock.now_s())
    await becomes_true(lambda: maria.told_s == clock.now_s())
    assert await following.status() == ("online", "active")


async def test_told_that_he_is_idle_a_worker_that_knows_better_says_so(
    following: Following, maria: Hold, clock: Clock
) -> None:
    """Newer input was on its way; whoever hears that one of his own went idle contradicts at once."""
    await pass_time(clock, IDLE_MS - 10_000, following)
    maria.active_s = clock.now_s()
    await pass_time(clock, 10_000, following)
    await following.sweep()
    await becomes_true(lambda: following.replies and following.teams.status_of(TEAM, "maria") == "online")
    reasons = [change.reason for change in (await following.page()).changes]
    assert reasons == ["active"]


async def test_one_that_has_nothing_newer_does_not(following: Following, maria: Hold, clock: Clock) -> None:
    await pass_time(clock, IDLE_MS, following)
    following.inputs.contradict(TEAM, "maria")
    following.inputs.contradict(TEAM, "juan")
    assert following.inputs._due_s == {}


async def test_when_redis_s_clock_jumped_all_is_told_anew(following: Following, maria: Hold, clock: Clock) -> None:
    await following.store.link.execute([("ZADD", following.store.keys.active(TEAM), clock.now_ms - 60_000, "maria")])
    following.inputs.tell_all()
    await becomes_true(lambda: maria.told_s == maria.active_s)
    assert await told(following) == int(maria.active_s * 1000)


async def test_many_of_one_turn_go_together(following: Following, maria: Hold, clock: Clock) -> None:
    team = following.teams.get(TEAM)
    assert team is not None
    holds = [(await following.come(team, f"u{number}")).memberships[0].hold for number in range(5)]
    clock.move(QUARTER_MS)
    await following.beat()
    calls = following.backend.calls
    for hold in [*holds, maria]:
        following.inputs.touch(hold, clock.now_s(), clock.now_s())
    await becomes_true(lambda: all(hold.told_s == clock.now_s() for hold in [*holds, maria]))
    assert following.backend.calls == calls + 1


async def test_what_is_on_its_way_in_brings_its_input_along(following: Following, maria: Hold, clock: Clock) -> None:
    maria.version = 0
    clock.move(QUARTER_MS)
    following.inputs.touch(maria, clock.now_s(), clock.now_s())
    await becomes_true(lambda: not following.inputs._due_s)
    assert maria.told_s < maria.active_s


async def test_during_an_outage_nothing_is_told_and_nothing_lost(
    following: Following, maria: Hold, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody(commands: object) -> list[object]:
        raise OutOfReach("a test")

    monkeypatch.setattr(following.store.link, "execute_each", nobody)
    clock.move(QUARTER_MS)
    following.inputs.touch(maria, clock.now_s(), clock.now_s())
    await becomes_true(lambda: following.downs)
    assert following.downs == ["a test"]
    monkeypatch.undo()
    await following.beat()
    following.store.resume()
    await becomes_true(lambda: maria.told_s == clock.now_s())
    assert await told(following) == clock.now_ms


async def test_a_team_that_redis_refuses_is_that_teams_trouble(
    following: Following,
    maria: Hold,
    clock: Clock,
    client: redis.Redis,
    key_prefix: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client.delete(f"{key_prefix}:{{{TEAM}}}:active")
    client.set(f"{key_prefix}:{{{TEAM}}}:active", "not a sorted set")
    clock.move(QUARTER_MS)
    following.inputs.touch(maria, clock.now_s(), clock.now_s())
    await becomes_true(lambda: maria.told_s == clock.now_s())
    assert f"Redis refused input of team {TEAM}" in caplog.text
    assert following.downs == []
