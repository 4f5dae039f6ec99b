"""Corners of the rule that chance seldom finds: deadlines that have passed and that nobody has swept yet, and ties."""

from __future__ import annotations

import pytest
import redis

from presence_server.core.status import UserDetail
from tests.store.support import GRACE_MS, IDLE_MS, LEASE_MS, TEAM, Clock, NewParty, Party, pass_time


async def join(party: Party, clock: Clock, session: str = "s1", connections: int = 1, idle_ms: int = 0) -> None:
    await party.store.join(TEAM, "maria", session, connections, clock.ago_s(idle_ms), 0.0)


async def maria(party: Party) -> UserDetail:
    _, _, details = await party.store.details(TEAM, ["maria"])
    return details["maria"]


@pytest.mark.parametrize("forced", [False, True])
async def test_a_sign_out_that_comes_too_late_is_not_the_reason(
    new_party: NewParty, clock: Clock, forced: bool
) -> None:
    party = await new_party()
    await join(party, clock)
    await party.store.leave(TEAM, "maria", "s1", 0)
    await pass_time(party, clock, GRACE_MS)
    await party.store.sign_out(TEAM, "maria", "", refuse_ms=1_000, by_admin=forced)
    assert (await maria(party)).reason == "disconnected"


async def test_nor_is_a_choice(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    await join(party, clock)
    await party.store.leave(TEAM, "maria", "s1", 0)
    await pass_time(party, clock, GRACE_MS)
    await party.store.choose(TEAM, "maria", "busy", by_admin=True)
    found = await maria(party)
    assert (found.status, found.reason, found.chosen) == ("offline", "disconnected", "busy")


async def test_a_sign_out_is_the_reason_though_a_dead_workers_lease_is_still_there(
    new_party: NewParty, clock: Clock
) -> None:
    dead, alive = await new_party("w1"), await new_party("w2")
    await join(dead, clock, "s1")
    await pass_time(alive, clock, 10_000)
    await join(alive, clock, "s2")
    await pass_time(alive, clock, 20_000)
    await alive.store.sign_out(TEAM, "maria", "s2", refuse_ms=1_000)
    assert (await maria(alive)).reason == "signed_out"


async def test_logout_ends_what_was_forgiven_whichever_session_it_was(new_party: NewParty, clock: Clock) -> None:
    """Rule 7."""
    party = await new_party()
    await join(party, clock, "s1")
    await join(party, clock, "s2")
    await party.store.leave(TEAM, "maria", "s1", 0)
    await party.store.sign_out(TEAM, "maria", "s2", refuse_ms=1_000)
    found = await maria(party)
    assert (found.status, found.reason) == ("offline", "signed_out")


async def test_logout_leaves_an_open_connection_of_another_session(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    await join(party, clock, "s1")
    await join(party, clock, "s2")
    await party.store.sign_out(TEAM, "maria", "s1", refuse_ms=1_000)
    found = await maria(party)
    assert (found.status, found.connections) == ("online", 1)


async def test_a_lease_that_has_run_out_is_not_renewed(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    await join(party, clock)
    await pass_time(party, clock, LEASE_MS)
    assert await party.store.renew(TEAM, "maria", "s1", 1, clock.ago_s()) == "expired"
    await party.store.sweep(TEAM)
    assert (await maria(party)).reason == "disconnected"


@pytest.mark.parametrize("left", [0, 1])
async def test_a_lease_that_has_run_out_is_not_revived_by_learning_how_it_ended(
    new_party: NewParty, clock: Clock, left: int
) -> None:
    party = await new_party()
    await join(party, clock, connections=2)
    await pass_time(party, clock, LEASE_MS)
    await party.store.leave(TEAM, "maria", "s1", left)
    await party.store.sweep(TEAM)
    found = await maria(party)
    assert (found.status, found.connections) == ("offline", 0)


async def test_the_newest_input_wins_in_whatever_order_it_is_told(new_party: NewParty, clock: Clock) -> None:
    """Rule 4; two devices that fight flip each other every 50 ms (synapse#15879)."""
    first, second = await new_party("w1"), await new_party("w2")
    await join(first, clock, idle_ms=1_000)
    await join(second, clock, "s2", idle_ms=IDLE_MS)
    for party, session, ago_ms in [(second, "s2", 5_000), (first, "s1", 500), (second, "s2", 250), (first, "s1", 750)]:
        assert await party.store.renew(TEAM, "maria", session, 1, clock.ago_s(ago_ms)) is None
    found = await maria(first)
    assert (found.status, found.last_active) == ("online", clock.now_ms - 250)


async def test_idle_at_the_very_end_of_the_grace_is_idle(new_party: NewParty, clock: Clock) -> None:
    """Rule 1: the earlier deadline gives the reason; of two at once, the one that lies with him."""
    party = await new_party()
    await join(party, clock, idle_ms=IDLE_MS - GRACE_MS)
    await party.store.leave(TEAM, "maria", "s1", 0)
    await pass_time(party, clock, GRACE_MS)
    await party.store.sweep(TEAM)
    assert (await maria(party)).reason == "idle"


async def test_connections_restated_after_an_outage_are_not_new_ones(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    await join(party, clock, idle_ms=IDLE_MS)
    clock.move(1_000)
    assert await party.store.rejoin(TEAM, [("maria", "s1", 1, clock.ago_s(), 0)]) == [2]
    assert (await maria(party)).reason == "active"


async def test_one_more_connection_is_a_new_one(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    await join(party, clock, idle_ms=IDLE_MS)
    clock.move(1_000)
    await join(party, clock, connections=2)
    assert (await maria(party)).reason == "signed_in"


async def test_a_choice_before_ever_being_there_is_nobodys_news_and_is_kept(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    await party.store.choose(TEAM, "maria", "busy", by_admin=True)
    await party.store.sweep(TEAM)
    found = await maria(party)
    assert (found.status, found.since, found.reason, found.chosen) == ("offline", None, None, "busy")
    _, chosen = await party.store.join(TEAM, "maria", "s1", 1, clock.ago_s(), 0.0)
    assert chosen == "busy"


async def test_an_index_that_redis_refuses_to_write_holds_nobody_up(
    new_party: NewParty, clock: Clock, client: redis.Redis, key_prefix: str
) -> None:
    party = await new_party()
    client.set(f"{key_prefix}:{{due}}:teams", "not a sorted set")
    await join(party, clock)
    await party.store.flush()
    assert (await maria(party)).status == "online"
    assert party.downs == []
