"""The store's operations on a real Valkey: what each does, and what travels together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis

from presence_server.core.roster import Mark
from presence_server.core.status import UserDetail
from presence_server.store.direct import PAGE, SWEPT_AT_ONCE
from presence_server.store.queue import BULK
from tests.store.support import GRACE_MS, IDLE_MS, TEAM, Clock, Ear, NewParty, detail, join


async def test_a_join_tells_the_choice_and_where_the_team_stands(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    reply, chosen = await party.store.join(TEAM, "maria", "s1", 1, clock.ago_s(), 0.0)
    assert chosen == "online"
    assert (reply.mark.version, reply.idle_timeout_ms, reply.now_ms) == (1, IDLE_MS, clock.now_ms)
    assert party.replies == [(TEAM, reply, Mark("", 0, ""))]
    assert party.store.changes_published == 1


@pytest.mark.parametrize("user", ["__proto__", "constructor", "a:b@c+d-e.f", "_", "x" * 128, "lease:w1:s1", "0"])
async def test_ids_of_every_allowed_character(new_party: NewParty, clock: Clock, user: str) -> None:
    """They are never part of a script, and no field or key can be forged with them."""
    party = await new_party()
    team, session = user, user
    await party.store.join(team, user, session, 1, clock.ago_s(), 0.0)
    await party.store.choose(team, user, "busy", by_admin=False)
    assert await party.store.renew(team, user, session, 1, None) is None
    page = await party.store.changes(team, 0)
    assert [(change.user, change.status) for change in page.changes] == [(user, "busy")]
    await party.store.sign_out(team, user, session, refuse_ms=1_000)
    assert await party.store.renew(team, user, session, 1, None) == "signed_out"
    _, _, details = await party.store.details(team, [user])
    assert (details[user].status, details[user].reason, details[user].connections) == ("offline", "signed_out", 0)


async def test_who_was_never_seen_is_offline_and_the_rest_is_null(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    assert await detail(party, "juan") == UserDetail("juan", "offline")
    await party.store.sign_out(TEAM, "juan", "", refuse_ms=1_000, by_admin=True)
    assert await detail(party, "juan") == UserDetail("juan", "offline")


async def test_details_tell_why_and_what_comes_next(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    await join(party, clock, "maria", idle_ms=1_000)
    since, active = clock.now_ms, clock.now_ms - 1_000
    expected = ("maria", "online", since, "signed_in", "online", active)
    assert await detail(party, "maria") == UserDetail(*expected, 1, "idle", active + IDLE_MS)
    await party.store.leave(TEAM, "maria", "s1", 0)
    assert await detail(party, "maria") == UserDetail(*expected, 0, "disconnected", clock.now_ms + GRACE_MS)


async def test_details_of_many_come_in_bearable_parts(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    users = [f"u{number}" for number in range(2 * BULK + 1)]
    await asyncio.gather(*[join(party, clock, user) for user in users])
    mark, idle_timeout_ms, details = await party.store.details(TEAM, users)
    assert (mark.version, idle_timeout_ms) == (len(users), IDLE_MS)
    assert [details[user].status for user in users] == ["online"] * len(users)


async def test_details_of_nobody_still_tell_where_the_team_stands(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    await join(party, clock, "maria")
    mark, idle_timeout_ms, details = await party.store.details(TEAM, [])
    assert (mark.version, idle_timeout_ms, details) == (1, IDLE_MS, {})


async def test_changes_come_in_pages_in_the_order_of_versions(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    users = [f"u{number}" for number in range(PAGE + 1)]
    await asyncio.gather(*[join(party, clock, user) for user in users])
    first = await party.store.changes(TEAM, 0)
    second = await party.store.changes(TEAM, first.changes[-1].version)
    assert (len(first.changes), first.more, len(second.changes), second.more) == (PAGE, True, 1, False)
    versions = [change.version for change in first.changes + second.changes]
    assert versions == list(range(1, PAGE + 2))
    assert (await party.store.changes(TEAM, PAGE + 1)).changes == []


async def test_a_team_nobody_has_used_has_no_epoch(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    page = await party.store.changes(TEAM, 0)
    assert (page.mark, page.changes, page.floor, page.more) == (Mark("", 0, ""), [], 0, False)
    await party.store.leave(TEAM, "maria", "s1", 0)
    assert await party.store.settle(TEAM, 0) is None
    assert (await party.store.sweep(TEAM)).deadline_ms is None
    assert (await party.store.changes(TEAM, 0)).mark.epoch == ""


@pytest.mark.parametrize("operation", ["renew", "configure", "sign_out", "choose"])
async def test_whatever_comes_first_begins_the_epoch(new_party: NewParty, clock: Clock, operation: str) -> None:
    party = await new_party()
    cases: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
        "renew": (("maria", "s1", 1, None), {}),
        "configure": ((60_000,), {}),
        "sign_out": (("maria", ""), {"refuse_ms": 1}),
        "choose": (("maria", "busy"), {"by_admin": False}),
    }
    arguments, options = cases[operation]
    await getattr(party.store, operation)(TEAM, *arguments, **options)
    assert (await party.store.changes(TEAM, 0)).mark.epoch != ""


async def test_a_lease_that_was_never_there_is_not_created_by_renewing_it(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    assert await party.store.renew(TEAM, "maria", "s1", 1, clock.ago_s()) == "expired"
    assert await detail(party, "maria") == UserDetail("maria", "offline")


async def test_one_of_several_connections_lost_changes_only_their_number(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    await party.store.join(TEAM, "maria", "s1", 2, clock.ago_s(), 0.0)
    await party.store.leave(TEAM, "maria", "s1", 1)
    assert (await detail(party, "maria")).connections == 1
    clock.move(GRACE_MS)
    await party.store.sweep(TEAM)
    assert (await detail(party, "maria")).status == "online"


async def test_a_connection_lost_twice_is_forgiven_once(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    await join(party, clock, "maria")
    await party.store.leave(TEAM, "maria", "s1", 0)
    clock.move(1_000)
    await party.store.leave(TEAM, "maria", "s1", 0)
    assert (await detail(party, "maria")).next_change_at == clock.now_ms - 1_000 + GRACE_MS


async def test_who_comes_in_idle_is_offline_since_then_and_found_by_new_settings(
    new_party: NewParty, clock: Clock
) -> None:
    party = await new_party()
    await join(party, clock, "maria", idle_ms=IDLE_MS)
    found = await detail(party, "maria")
    assert (found.status, found.reason, found.since) == ("offline", "idle", clock.now_ms)
    clock.move(1_000)
    await party.store.configure(TEAM, 2 * IDLE_MS)
    assert await party.store.settle(TEAM, 0) is None
    found = await detail(party, "maria")
    assert (found.status, found.reason, found.since) == ("online", "settings", clock.now_ms)


async def test_settings_reach_everybody_in_parts(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    users = [f"u{number}" for number in range(SWEPT_AT_ONCE + 1)]
    await asyncio.gather(*[join(party, clock, user) for user in users])
    clock.move(2_000)
    reply = await party.store.configure(TEAM, 1_000)
    assert reply.idle_timeout_ms == 1_000
    parts, cursor = 0, await party.store.settle(TEAM, 0)
    while cursor is not None:
        parts, cursor = parts + 1, await party.store.settle(TEAM, cursor)
    assert parts > 1
    page = await party.store.changes(TEAM, 0)
    assert {(change.status, change.reason) for change in page.changes} == {("offline", "settings")}
    assert page.idle_timeout_ms == 1_000


async def test_a_token_from_before_a_forced_sign_out_is_refused(new_party: NewParty, clock: Clock) -> None:
    """Section 4: within the same second it passes."""
    party = await new_party()
    await join(party, clock, "maria")
    await party.store.sign_out(TEAM, "maria", "", refuse_ms=1_000, by_admin=True)
    now_s = clock.now_ms // 1000
    outcomes = []
    for session, issued_at_s in [("a", 0), ("b", now_s - 1), ("c", now_s)]:
        _, chosen = await party.store.join(TEAM, "maria", session, 1, clock.ago_s(), issued_at_s)
        outcomes.append(chosen)
    assert outcomes == [None, None, "online"]


async def test_a_session_is_refused_until_its_time(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    await join(party, clock, "maria")
    await party.store.sign_out(TEAM, "maria", "s1", refuse_ms=1_000)
    assert await join(party, clock, "maria") is None
    clock.move(1_000)
    assert await join(party, clock, "maria") == "online"


async def test_a_session_that_signs_out_again_after_that_is_refused_again(new_party: NewParty, clock: Clock) -> None:
    """The old refusal, cleared away because its time is over, must not take the new one with it."""
    party = await new_party()
    for _ in range(2):
        await party.store.sign_out(TEAM, "maria", "s1", refuse_ms=1_000)
        clock.move(875)
        _, chosen = await party.store.join(TEAM, "maria", "s1", 1, clock.ago_s(), 0.0)
        assert chosen is None
        clock.move(125)


async def test_sessions_signed_out_for_good_are_known_everywhere(new_party: NewParty, clock: Clock) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    assert await second.store.is_signed_out("maria", "s1") == 0
    await first.store.refuse_session("maria", "s1")
    assert await second.store.is_signed_out("maria", "s1") == 1
    assert await second.store.is_signed_out("maria", "s2") == 0


async def test_workers_are_told_on_their_channel(
    new_party: NewParty, clock: Clock, client: redis.Redis, key_prefix: str
) -> None:
    party = await new_party()
    ear = Ear(client, f"{key_prefix}:control")
    await party.store.tell_workers({"replaced": ["maria", "c9f"]})
    assert ear.heard() == [{"replaced": ["maria", "c9f"]}]
    ear.close()


# --- what travels together --------------------------------------------------------------------------------------------


async def test_joins_of_one_turn_share_script_calls(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    await join(party, clock, "first")
    before = party.link.calls
    await asyncio.gather(*[join(party, clock, f"u{number}") for number in range(BULK)])
    # The script, and a line to the index.
    assert party.link.calls - before <= 2
    before = party.link.calls
    renewals = [party.store.renew(TEAM, f"u{number}", "s1", 1, None) for number in range(BULK)]
    assert await asyncio.gather(*renewals) == [None] * BULK
    assert party.link.calls - before <= 2


async def test_a_message_tells_all_changes_of_a_call(new_party: NewParty, clock: Clock, ear: Ear) -> None:
    party = await new_party()
    await asyncio.gather(*[join(party, clock, user) for user in ("maria", "juan")])
    (message,) = ear.heard()
    assert (message["previous"], message["version"]) == (0, 2)
    assert message["changes"] == [
        ["maria", 1, "online", clock.now_ms, "signed_in", "online"],
        ["juan", 2, "online", clock.now_ms, "signed_in", "online"],
    ]
    await party.store.choose(TEAM, "maria", "online", by_admin=False)
    assert ear.heard() == []
