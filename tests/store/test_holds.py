"""Holds: connections that come, are lost and come back (rules 3, 4 and 6)."""

from __future__ import annotations

import asyncio

import pytest

from presence_server.core.roster import Mark
from presence_server.core.status import UserDetail
from presence_server.store.calls import BULK
from tests.store.support import GRACE_MS, IDLE_MS, TEAM, Clock, NewParty, Party, pass_time


async def test_a_join_tells_the_choice_and_where_the_team_stands(party: Party, clock: Clock) -> None:
    hold = party.connect()
    mark, chosen = await party.store.tell(hold)
    assert (chosen, mark.version, hold.version) == ("online", 1, 1)
    [(team, reply, known)] = party.replies
    assert (team, reply.mark, known) == (TEAM, mark, Mark("", 0, ""))
    assert (reply.idle_timeout_ms, reply.grace_ms, reply.now_ms, reply.changed) == (IDLE_MS, GRACE_MS, clock.now_ms, 1)
    assert party.store.changes_published == 1
    assert party.store.now_ms() == clock.now_ms


@pytest.mark.parametrize("user", ["__proto__", "constructor", "a:b@c+d-e.f", "_", "x" * 128, "mark", "0"])
async def test_ids_of_every_allowed_character(party: Party, user: str) -> None:
    """They are never part of a script, and no key can be forged with them."""
    assert await party.join(user, user, team=user) == "online"
    await party.choose(user, "busy", team=user)
    page = await party.page(team=user)
    assert [(change.user, change.status) for change in page.changes] == [(user, "busy")]
    assert page.held == {(user, user)}
    await party.log_out(user, user, team=user)
    found = await party.detail(user, user)
    assert (found.status, found.reason, found.connections) == ("offline", "signed_out", 0)


async def test_a_lost_connection_is_forgiven_for_the_grace(party: Party, clock: Clock) -> None:
    await party.join(idle_ms=1_000)
    since, active = clock.now_ms, clock.now_ms - 1_000
    shown = ("maria", "online", since, "signed_in", "online", active)
    assert await party.detail() == UserDetail(*shown, 1, "offline", active + IDLE_MS)
    await party.lost_for_good()
    assert await party.detail() == UserDetail(*shown, 0, "offline", clock.now_ms + GRACE_MS)
    await pass_time(clock, GRACE_MS - 125, party)
    await party.sweep()
    assert await party.status() == ("online", "signed_in")
    clock.move(125)
    await party.sweep()
    assert await party.detail() == UserDetail("maria", "offline", clock.now_ms, "disconnected", "online", active, 0)


async def test_who_is_back_within_the_grace_was_never_gone(party: Party, clock: Clock) -> None:
    """Reconnect storms broadcast to all elsewhere (synapse#3971, Rocket.Chat#21182)."""
    await party.join()
    for _ in range(3):
        await party.lost_for_good()
        await pass_time(clock, GRACE_MS - 1_000, party)
        await party.join()
    await pass_time(clock, GRACE_MS, party)
    await party.sweep()
    page = await party.page()
    assert [(change.version, change.status) for change in page.changes] == [(1, "online")]
    assert page.standing.mark.version == 1


async def test_input_that_was_not_owed_yet_is_told_with_the_loss(party: Party, clock: Clock) -> None:
    """Nobody is left to tell it later, and another connection of his must not idle too early (rules 4 and 10)."""
    await party.join()
    await party.join(session="s2", idle_ms=1_000)
    await pass_time(clock, IDLE_MS - 2_000, party)
    party.holds[TEAM, "maria", "s1"].active_s = clock.now_s()
    await party.lost_for_good()
    await pass_time(clock, 2_000, party)
    await party.sweep()
    assert await party.status() == ("online", "signed_in")
    assert (await party.detail()).next_change_at == clock.now_ms - 2_000 + IDLE_MS


async def test_input_just_before_the_loss_brings_back_who_was_idle(party: Party, clock: Clock) -> None:
    await party.join(idle_ms=IDLE_MS)
    assert await party.status() == ("offline", "idle")
    party.holds[TEAM, "maria", "s1"].active_s = clock.now_s()
    await party.lost_for_good()
    assert await party.status() == ("online", "active")


async def test_one_of_several_connections_lost_changes_only_their_number(party: Party, clock: Clock) -> None:
    await party.join()
    await party.join()
    await party.lost_for_good()
    assert (await party.detail()).connections == 1
    await pass_time(clock, GRACE_MS, party)
    await party.sweep()
    assert (await party.detail()).status == "online"


async def test_what_is_told_again_is_forgiven_once(party: Party, clock: Clock) -> None:
    """A hold that is gone can be told of again: by a worker that is not sure."""
    await party.join()
    hold = party.holds[TEAM, "maria", "s1"]
    await party.lost_for_good()
    clock.move(1_000)
    party.store.let_go(hold)
    await party.flush()
    assert (await party.detail()).next_change_at == clock.now_ms - 1_000 + GRACE_MS


async def test_lost_sessions_are_forgiven_together_until_the_last_graces_end(party: Party, clock: Clock) -> None:
    for session in ("s1", "s2"):
        await party.join(session=session)
    await party.lost_for_good(session="s1")
    clock.move(5_000)
    await party.lost_for_good(session="s2")
    assert (await party.detail()).next_change_at == clock.now_ms + GRACE_MS


async def test_sessions_on_several_workers_hold_together(new_party: NewParty, clock: Clock) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    await first.join()
    await second.join()
    assert (await first.detail()).connections == 2
    await first.lost_for_good()
    await pass_time(clock, GRACE_MS, first, second)
    await second.sweep()
    assert (await second.detail()).connections == 1
    assert await second.status() == ("online", "signed_in")


async def test_holds_of_a_user_are_bounded_by_those_that_are_open(party: Party, clock: Clock) -> None:
    """Each connection without `sid` is a session of its own: what they leave behind must not pile up."""
    await party.join()
    for number in range(30):
        await party.join(session=f"~{number}")
        party.lose(session=f"~{number}")
    await party.flush()
    [raw] = await party.store.link.execute([("GET", f"{party.store.keys.team(TEAM)}:user:maria")])
    assert raw.count(b'"s1"') == 1
    assert b"~" not in raw
    assert (await party.detail()).connections == 1


async def test_who_comes_in_idle_is_offline_since_then(party: Party, clock: Clock) -> None:
    assert await party.join(idle_ms=IDLE_MS) == "online"
    found = await party.detail()
    assert (found.status, found.reason, found.since) == ("offline", "idle", clock.now_ms)
    assert (found.connections, found.next_change) == (1, None)


async def test_connecting_is_not_activity(party: Party, clock: Clock) -> None:
    """The balancer recycles sockets, and everyone is green in the morning (Rocket.Chat.Electron#3490)."""
    await party.join(idle_ms=IDLE_MS - 1_000)
    await pass_time(clock, 1_000, party)
    await party.sweep()
    assert await party.status() == ("offline", "idle")
    await party.join(idle_ms=IDLE_MS)
    assert await party.status() == ("offline", "idle")


@pytest.mark.parametrize(("is_new", "reason"), [(True, "signed_in"), (False, "active")])
async def test_a_new_connection_with_input_brings_him_back_as_signed_in(
    party: Party, clock: Clock, is_new: bool, reason: str
) -> None:
    await party.join(idle_ms=IDLE_MS)
    hold = party.connect()
    hold.is_new = is_new
    await party.store.tell(hold)
    assert await party.status() == ("online", reason)


async def test_input_in_the_future_is_input_now(party: Party, clock: Clock) -> None:
    await party.join(idle_ms=-60_000)
    assert (await party.detail()).last_active == clock.now_ms


async def test_the_choice_outlives_signing_out_and_coming_back(party: Party, clock: Clock) -> None:
    """Rule 3."""
    await party.join()
    await party.choose("maria", "busy")
    await party.log_out()
    assert await party.join(session="s2") == "busy"
    assert await party.status() == ("busy", "signed_in")


async def test_what_was_never_sent_and_is_gone_is_not_told(party: Party) -> None:
    hold = party.connect()
    party.lose()
    await party.flush()
    assert party.store.teams() == set()
    assert (hold.sent, party.replies) == (False, [])


async def test_joins_of_one_turn_share_a_call(party: Party) -> None:
    await party.join("first")
    calls = party.backend.calls
    await asyncio.gather(*[party.join(f"u{number}") for number in range(BULK)])
    # The script, and a line to the index.
    assert party.backend.calls - calls <= 2
    assert len((await party.page()).changes) == BULK + 1
