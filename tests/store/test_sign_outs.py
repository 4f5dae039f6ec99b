"""Signing out: of a session, of everything by force, and who may come back (rule 7, section 4)."""

from __future__ import annotations

import asyncio

import pytest
import redis

from presence_server.core.status import UserDetail
from tests.store.listening import Ear
from tests.store.support import GRACE_MS, IDLE_MS, TEAM, Clock, NewParty, Party, pass_time


async def force(party: Party, user: str = "maria", by: str = "ana") -> None:
    """Sign a user out of the team, everywhere."""
    await party.store.sign_out(TEAM, user, "", refuse_ms=60_000, by=by, patient=False)


async def test_the_last_session_takes_him_offline_at_once(party: Party, clock: Clock) -> None:
    await party.join()
    await party.log_out()
    found = await party.detail()
    assert (found.status, found.reason, found.since, found.connections) == ("offline", "signed_out", clock.now_ms, 0)


async def test_an_open_connection_of_another_session_keeps_him(party: Party, clock: Clock) -> None:
    await party.join(session="s1")
    await party.join(session="s2")
    await party.log_out(session="s1")
    found = await party.detail()
    assert (found.status, found.connections) == ("online", 1)


async def test_every_forgiven_connection_ends_with_it(party: Party, clock: Clock) -> None:
    await party.join(session="s1")
    await party.join(session="s2")
    await party.lost_for_good(session="s1")
    await party.log_out(session="s2")
    assert await party.status() == ("offline", "signed_out")


async def test_a_session_ends_on_every_worker(new_party: NewParty, clock: Clock, ear: Ear) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    await first.join()
    await second.join()
    ear.heard()
    await first.log_out()
    assert await first.status() == ("offline", "signed_out")
    messages = ear.heard()
    # Whoever lets a hold go tells the team himself, and so does the sign-out: one of them changed something.
    assert [message["signed_out"] for message in messages if "signed_out" in message] == [["maria", "s1"]]
    assert [change[5] for message in messages for change in message.get("changes", ())] == ["signed_out"]


async def test_input_that_was_not_owed_yet_is_told_with_the_sign_out(party: Party, clock: Clock) -> None:
    """It is his, whichever of his connections told it: another one must not idle too early (rules 1 and 4)."""
    await party.join(session="s1")
    await party.join(session="s2", idle_ms=1_000)
    await pass_time(clock, IDLE_MS - 2_000, party)
    party.holds[TEAM, "maria", "s1"].active_s = clock.now_s()
    await party.log_out(session="s1")
    await pass_time(clock, 2_000, party)
    await party.sweep()
    assert await party.status() == ("online", "signed_in")
    assert (await party.detail()).next_change_at == clock.now_ms - 2_000 + IDLE_MS


async def test_so_is_input_on_another_worker_which_hears_of_the_sign_out(new_party: NewParty, clock: Clock) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    await first.join(session="s1")
    await first.join(session="s2")
    await second.join(session="s1")
    await pass_time(clock, IDLE_MS, first, second)
    await first.sweep()
    assert await first.status() == ("offline", "idle")
    hold = second.holds[TEAM, "maria", "s1"]
    hold.active_s = clock.now_s()
    await first.log_out(session="s1")
    hold.ended = True
    second.store.let_go(hold)
    await second.flush()
    assert await first.status() == ("online", "active")


async def test_by_force_it_is_forced_unless_he_did_it_himself(party: Party, clock: Clock) -> None:
    for by, reason in [("ana", "forced"), ("", "forced"), ("maria", "signed_out")]:
        await party.join(session="s1", issued_at_s=clock.now_ms / 1000)
        await party.join(session="s2", issued_at_s=clock.now_ms / 1000)
        await force(party, by=by)
        assert await party.status() == ("offline", reason)
        party.holds.clear()
        await party.store.link.execute(
            [("DEL", *[f"{party.store.keys.team(TEAM)}:out:maria:{s}" for s in ("s1", "s2")])]
        )


async def test_who_was_never_seen_can_be_signed_out(party: Party) -> None:
    await force(party, "juan")
    assert await party.detail("juan") == UserDetail("juan", "offline")


@pytest.mark.parametrize("late", [True, False])
async def test_a_sign_out_that_comes_too_late_is_the_reason_only_before_a_sweep_says_so(
    party: Party, clock: Clock, late: bool
) -> None:
    """Only a sweep takes somebody offline by a deadline."""
    await party.join()
    await party.lost_for_good()
    await pass_time(clock, GRACE_MS, party)
    if late:
        await party.sweep()
    await force(party)
    assert await party.status() == ("offline", "disconnected" if late else "forced")


# --- who may come back ------------------------------------------------------------------------------------------------


async def test_a_session_that_signed_out_of_a_team_is_refused_there_for_a_while(
    party: Party, client: redis.Redis, key_prefix: str
) -> None:
    await party.join()
    await party.store.sign_out(TEAM, "maria", "s1", refuse_ms=60_000)
    key = f"{key_prefix}:{{{TEAM}}}:out:maria:s1"
    assert 50_000 < client.pttl(key) <= 60_000
    hold = party.connect()
    assert await party.store.tell(hold) == (party.replies[-1][1].mark, None)
    assert party.refusals == [hold]
    # Its time over.
    client.delete(key)
    assert await party.join() == "online"


async def test_by_force_every_session_that_was_there_is(party: Party, client: redis.Redis, key_prefix: str) -> None:
    for session in ("s1", "s2", "~c1"):
        await party.join(session=session)
    await force(party)
    assert sorted(client.scan_iter(f"{key_prefix}:*:out:*")) == [
        f"{key_prefix}:{{{TEAM}}}:out:maria:{session}" for session in ("s1", "s2")
    ]


@pytest.mark.parametrize("by_force", [True, False])
async def test_of_a_connection_without_a_session_nothing_is_remembered(
    party: Party, client: redis.Redis, key_prefix: str, by_force: bool
) -> None:
    """It can never come back under that name."""
    await party.join(session="~c1")
    await party.store.sign_out(TEAM, "maria", "" if by_force else "~c1", refuse_ms=60_000, by="ana")
    assert list(client.scan_iter(f"{key_prefix}:*:out:*")) == []


async def test_a_token_from_before_a_forced_sign_out_is_refused(party: Party, clock: Clock) -> None:
    """Section 4: none counts as 0, and within the same second passes."""
    await party.join()
    await force(party)
    now_s = clock.now_ms // 1000
    outcomes = [
        await party.join(session=session, issued_at_s=issued_at_s)
        for session, issued_at_s in [("a", 0), ("b", now_s - 1), ("c", now_s)]
    ]
    assert outcomes == [None, None, "online"]


async def test_signing_oneself_out_of_everything_refuses_no_new_session(party: Party) -> None:
    await party.join()
    await force(party, by="maria")
    assert await party.join(session="s2") == "online"


async def test_a_hold_joined_before_may_not_be_told_anew(new_party: NewParty, clock: Clock) -> None:
    """By a worker that has not heard of the sign-out: however old its word is, nobody comes back."""
    first, second = await new_party("w1"), await new_party("w2")
    await first.join(session="~c1")
    clock.move(1_000)
    await force(second, by="maria")
    hold = first.holds[TEAM, "maria", "~c1"]
    hold.is_new = False
    mark, chosen = await first.store.tell(hold)
    assert (chosen, first.refusals) == (None, [hold])
    assert mark.version == 2
    assert await first.status() == ("offline", "signed_out")


async def test_a_join_under_way_when_the_sign_out_came_is_void(party: Party) -> None:
    """Its answer is older than what the feed has told meanwhile."""
    hold = party.connect()
    hold.refused_at = 7
    await party.store.tell(hold)
    assert party.refusals == [hold]
    await party.flush()
    assert (await party.detail()).connections == 0


# --- for good ---------------------------------------------------------------------------------------------------------


async def test_sessions_signed_out_for_good_are_known_everywhere(
    new_party: NewParty, client: redis.Redis, key_prefix: str
) -> None:
    first, second = await new_party("w1", remember_ms=90_000), await new_party("w2")
    assert await second.store.is_signed_out("maria", "s1") == 0
    assert await second.store.reads.signed_out([]) == []
    await first.store.refuse_session("maria", "s1")
    assert await second.store.is_signed_out("maria", "s1") == 1
    assert await second.store.reads.signed_out([("maria", "s1"), ("maria", "s2")]) == [True, False]
    assert 80_000 < client.pttl(f"{key_prefix}:{{maria}}:signed-out:s1") <= 90_000


async def test_workers_are_told_on_their_channel(party: Party, client: redis.Redis, key_prefix: str) -> None:
    ear = Ear(client, f"{key_prefix}:control:0")
    await party.store.tell_workers({"replaced": ["maria", "c9f"]})
    assert ear.heard() == [{"replaced": ["maria", "c9f"]}]
    ear.close()


async def test_sign_outs_and_joins_of_one_turn_keep_their_order(party: Party) -> None:
    await party.join(session="s1")
    out = asyncio.ensure_future(party.log_out(session="s1"))
    await asyncio.sleep(0)
    assert await party.join(session="s2") == "online"
    await out
    page = await party.page()
    assert [(change.status, change.reason) for change in page.changes] == [("online", "signed_in")]
