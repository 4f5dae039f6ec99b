"""A team's own settings, and how its users are brought into line with them (rules 1 and 6, section 6)."""

from __future__ import annotations

import asyncio

import pytest
import redis

from presence_server.store.operations import realign
from presence_server.store.operations.configure import DEFAULT_GRACE, DEFAULT_IDLE, KEEP_GRACE, KEEP_IDLE
from tests.store.listening import Ear
from tests.store.support import GRACE_MS, IDLE_MS, LEASE_MS, TEAM, Clock, NewParty, Party, pass_time


async def align(party: Party) -> int:
    """Bring everybody into line; tells in how many parts."""
    parts, cursor = 1, await party.store.repairs.realign(TEAM, 0)
    while cursor:
        parts, cursor = parts + 1, await party.store.repairs.realign(TEAM, cursor)
    return parts


async def test_what_is_not_named_stays_and_the_default_can_be_had_back(party: Party) -> None:
    found = []
    for idle_ms, grace_ms in [
        (60_000, KEEP_GRACE),
        (KEEP_IDLE, 0),
        (DEFAULT_IDLE, KEEP_GRACE),
        (KEEP_IDLE, DEFAULT_GRACE),
    ]:
        reply = await party.store.configure(TEAM, idle_ms, grace_ms)
        page = await party.page()
        assert (reply.idle_timeout_ms, reply.grace_ms) == (page.idle_timeout_ms, page.grace_ms)
        found.append((page.idle_timeout_ms, page.grace_ms))
    assert found == [(60_000, GRACE_MS), (60_000, 0), (IDLE_MS, 0), (IDLE_MS, GRACE_MS)]


async def test_others_learn_of_it_on_the_feed(party: Party, ear: Ear) -> None:
    reply = await party.store.configure(TEAM, 60_000, KEEP_GRACE)
    [message] = ear.heard()
    assert (message["idle_ms"], message["version"], message["previous"]) == (60_000, reply.mark.version, 0)
    assert "changes" not in message


async def test_who_is_idle_comes_back_and_who_is_not_goes(party: Party, clock: Clock) -> None:
    await pass_time(clock, LEASE_MS, party)
    await party.join("maria", idle_ms=IDLE_MS)
    clock.move(1_000)
    await party.store.configure(TEAM, 2 * IDLE_MS, KEEP_GRACE)
    assert await align(party) == 1
    found = await party.detail("maria")
    assert (found.status, found.reason, found.since) == ("online", "settings", clock.now_ms)
    clock.move(1_000)
    await party.store.configure(TEAM, 60_000, KEEP_GRACE)
    await align(party)
    found = await party.detail("maria")
    assert (found.status, found.reason, found.since) == ("offline", "settings", clock.now_ms)


async def test_who_goes_later_by_the_new_timeout_is_idle(party: Party, clock: Clock) -> None:
    await party.join()
    await party.store.configure(TEAM, 60_000, KEEP_GRACE)
    await align(party)
    await pass_time(clock, 60_000, party)
    await party.sweep()
    assert await party.status() == ("offline", "idle")


async def test_a_sweep_does_it_too(party: Party, clock: Clock) -> None:
    """Whoever set it may be gone before he has brought everybody into line."""
    await party.join()
    await pass_time(clock, 60_000, party)
    await party.store.configure(TEAM, 60_000, KEEP_GRACE)
    assert await party.sweep() == [TEAM]
    assert await party.status() == ("offline", "settings")


async def test_it_reaches_everybody_in_parts(party: Party, clock: Clock) -> None:
    users = [f"u{number}" for number in range(realign.AT_ONCE + 1)]
    await asyncio.gather(*[party.join(user) for user in users])
    await pass_time(clock, 2_000, party)
    await party.store.configure(TEAM, 1_000, KEEP_GRACE)
    # Who was brought into line has a higher version by then, and is looked at once more.
    assert await align(party) > 1
    page = await party.page()
    assert {(change.status, change.reason) for change in page.changes} == {("offline", "settings")}
    assert len(page.changes) == len(users)


@pytest.mark.parametrize("grace_ms", [0, 60_000])
async def test_a_grace_of_its_own(party: Party, clock: Clock, grace_ms: int) -> None:
    await party.join()
    await party.store.configure(TEAM, KEEP_IDLE, grace_ms)
    await party.lost_for_good()
    await pass_time(clock, max(0, grace_ms - 125), party)
    await party.sweep()
    assert (await party.detail()).status == ("online" if grace_ms else "offline")
    await pass_time(clock, 125, party)
    await party.sweep()
    assert await party.status() == ("offline", "disconnected")


async def test_what_was_forgiven_before_keeps_its_own_end(party: Party, clock: Clock) -> None:
    await party.join()
    await party.lost_for_good()
    await party.store.configure(TEAM, KEEP_IDLE, 0)
    await align(party)
    assert (await party.detail()).next_change_at == clock.now_ms + GRACE_MS


async def test_they_outlive_the_team(party: Party, client: redis.Redis, key_prefix: str) -> None:
    """They are configuration, and have no TTL; a team that was forgotten begins with them."""
    await party.store.configure(TEAM, 60_000, 5_000)
    base = f"{key_prefix}:{{{TEAM}}}"
    client.delete(f"{base}:mark")
    assert client.ttl(f"{base}:settings") == -1
    page = await party.page()
    assert (page.standing.mark.epoch, page.idle_timeout_ms, page.grace_ms) == ("", 60_000, 5_000)


async def test_a_team_that_nobody_has_used_has_nobody_to_bring_into_line(party: Party) -> None:
    assert await party.store.repairs.realign(TEAM, 0) == 0
    assert (await party.page()).standing.mark.epoch == ""


async def test_everybody_counts_from_the_setting_not_from_when_it_was_repeated(party: Party, clock: Clock) -> None:
    """Setting the same timeout again is no change: who idles afterwards idles by himself."""
    await party.store.configure(TEAM, 60_000, KEEP_GRACE)
    await party.join()
    await pass_time(clock, 60_000, party)
    await party.store.configure(TEAM, 60_000, KEEP_GRACE)
    await align(party)
    assert await party.status() == ("offline", "idle")


async def test_settings_hold_on_every_worker(new_party: NewParty, clock: Clock) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    await first.store.configure(TEAM, 60_000, KEEP_GRACE)
    await second.join()
    assert (await first.detail()).next_change_at == clock.now_ms + 60_000
