"""The store's operations on a real Valkey: what each does, what travels together, and what happens when it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
import redis

from presence_server import errors
from presence_server.core.roster import Mark
from presence_server.core.status import UserDetail
from presence_server.settings import Settings
from presence_server.store.direct import PAGE, RETAIN_MS, SWEPT_AT_ONCE
from presence_server.store.link import OutOfReach
from presence_server.store.queue import BULK, PATIENCE_S
from presence_server.store.store import Store
from presence_server.store.types import Lost, Swept
from tests.store.support import TEAM, Clock, Ear, NewParty, Party
from tests.support.valkey import Valkey

LEASE_MS, GRACE_MS, IDLE_MS = 30_000, 20_000, 600_000
NO_REFUSAL = 0.0


async def join(party: Party, clock: Clock, user: str, session: str = "s1", idle_ms: int = 0) -> str | None:
    """One connection comes in."""
    _, chosen = await party.store.join(TEAM, user, session, 1, clock.ago_s(idle_ms), NO_REFUSAL)
    return chosen


async def detail(party: Party, user: str) -> UserDetail:
    _, _, details = await party.store.details(TEAM, [user])
    return details[user]


async def pass_time(party: Party, clock: Clock, ms: int) -> None:
    """Let time pass in which others have nothing to sweep, but would: no gap."""
    for _ in range(ms // 1_000):
        clock.move(1_000)
        await party.store.claim(teams=0)
    clock.move(ms % 1_000)


async def sweep_all(party: Party) -> list[Swept]:
    """What a sweeper does, once."""
    claim = await party.store.claim()
    found = []
    for team in claim.teams:
        swept = await party.store.sweep(team)
        await party.store.reschedule(team, claim.claimed_until, swept.deadline_ms)
        found.append(swept)
    return found


# --- one by one -------------------------------------------------------------------------------------------------------


async def test_a_join_tells_the_choice_and_where_the_team_stands(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    reply, chosen = await party.store.join(TEAM, "maria", "s1", 1, clock.ago_s(), NO_REFUSAL)
    assert chosen == "online"
    assert (reply.mark.version, reply.idle_timeout_ms, reply.now_ms) == (1, IDLE_MS, clock.now_ms)
    assert party.replies == [(TEAM, reply, Mark("", 0, ""))]
    assert party.store.changes_published == 1


@pytest.mark.parametrize("user", ["__proto__", "constructor", "a:b@c+d-e.f", "_", "x" * 128, "lease:w1:s1", "0"])
async def test_ids_of_every_allowed_character(new_party: NewParty, clock: Clock, user: str) -> None:
    """They are never part of a script, and no field or key can be forged with them."""
    party = await new_party()
    team, session = user, user
    await party.store.join(team, user, session, 1, clock.ago_s(), NO_REFUSAL)
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
    await party.store.join(TEAM, "maria", "s1", 2, clock.ago_s(), NO_REFUSAL)
    await party.store.leave(TEAM, "maria", "s1", 1)
    assert (await detail(party, "maria")).connections == 1
    clock.move(GRACE_MS)
    await sweep_all(party)
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


# --- sweeping ---------------------------------------------------------------------------------------------------------


async def test_a_sweep_finds_who_is_due_and_no_one_earlier(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    await join(party, clock, "maria")
    await party.store.leave(TEAM, "maria", "s1", 0)
    clock.move(GRACE_MS - 125)
    assert [swept.changed for swept in await sweep_all(party)] in ([], [0])
    clock.move(250)
    (swept,) = await sweep_all(party)
    assert (swept.changed, swept.seen, swept.lag_ms, swept.more) == (1, 1, 125, False)
    assert swept.deadline_ms == clock.now_ms + RETAIN_MS
    assert (await detail(party, "maria")).reason == "disconnected"


async def test_of_two_sweepers_one_claims_a_team(new_party: NewParty, clock: Clock) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    await join(first, clock, "maria")
    clock.move(LEASE_MS)
    claims = [await party.store.claim() for party in (first, second)]
    assert [claim.teams for claim in claims] == [(TEAM,), ()]


async def test_what_is_asked_of_a_claimed_team_is_not_lost(new_party: NewParty, clock: Clock) -> None:
    """Between claim and reschedule somebody leaves: the team must be looked at when his grace ends."""
    party = await new_party()
    await join(party, clock, "juan")
    await join(party, clock, "maria")
    claim = await party.store.claim()
    swept = await party.store.sweep(TEAM)
    assert swept.deadline_ms == clock.now_ms + LEASE_MS
    await party.store.leave(TEAM, "maria", "s1", 0)
    await party.store.reschedule(TEAM, claim.claimed_until, swept.deadline_ms)
    await pass_time(party, clock, GRACE_MS)
    assert (await sweep_all(party))[0].changed == 1


async def test_a_look_that_a_sweep_has_put_off_is_asked_for_again(new_party: NewParty, clock: Clock) -> None:
    """A worker's memory of the index is not the index: a sweep may have come in between."""
    party = await new_party()
    for user in ("maria", "juan"):
        await join(party, clock, user)
    await sweep_all(party)
    await pass_time(party, clock, 10_000)
    assert await party.store.renew(TEAM, "maria", "s1", 1, None) is None
    await pass_time(party, clock, 19_875)
    for user in ("maria", "juan"):
        assert await party.store.renew(TEAM, user, "s1", 1, None) is None
    clock.move(125)
    await sweep_all(party)
    clock.move(125)
    await party.store.leave(TEAM, "juan", "s1", 0)
    await party.store.flush()
    await pass_time(party, clock, GRACE_MS)
    await sweep_all(party)
    assert (await detail(party, "juan")).status == "offline"


async def test_many_that_are_due_take_several_sweeps(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    await asyncio.gather(*[join(party, clock, f"u{number}") for number in range(SWEPT_AT_ONCE + 1)])
    clock.move(LEASE_MS)
    first, second = await party.store.sweep(TEAM), await party.store.sweep(TEAM)
    assert (first.changed, first.more, second.changed, second.more) == (SWEPT_AT_ONCE, True, 1, False)


async def test_who_has_been_offline_for_an_hour_is_forgotten_but_not_his_choice(
    new_party: NewParty, clock: Clock
) -> None:
    party = await new_party()
    await join(party, clock, "maria")
    await party.store.choose(TEAM, "maria", "busy", by_admin=False)
    await party.store.sign_out(TEAM, "maria", "s1", refuse_ms=1_000)
    await party.store.claim(teams=0)
    clock.move(RETAIN_MS)
    await party.store.sweep(TEAM)
    page = await party.store.changes(TEAM, 0)
    assert (page.changes, page.floor, page.mark.version) == ([], 3, 3)
    assert (await detail(party, "maria")).chosen == "busy"
    assert await join(party, clock, "maria") == "busy"
    assert [change.user for change in (await party.store.changes(TEAM, 3)).changes] == ["maria"]


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


# --- when it cannot be done -------------------------------------------------------------------------------------------


async def test_requests_wait_while_the_store_is_down(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    party.store.down("a test")
    party.store.down("told once")
    assert party.downs == ["a test"]
    choice = party.store.choose(TEAM, "maria", "busy", by_admin=False)
    known = party.store.is_signed_out("maria", "s1")
    await asyncio.sleep(0)
    assert not choice.done()
    party.store.resume()
    assert (await choice).mark.version == 1
    assert await known == 0


async def test_the_impatient_are_answered_after_ten_seconds(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    party.store.down("a test")
    choice, leave = party.store.choose(TEAM, "maria", "busy", by_admin=False), party.store.leave(TEAM, "maria", "s1", 0)
    given_up = party.store.is_signed_out("maria", "s1")
    given_up.cancel()
    clock.move(int(PATIENCE_S * 1000))
    party.store.housekeep()
    with pytest.raises(errors.Unavailable):
        await choice
    assert not leave.done()
    party.store.resume()
    await leave


async def test_given_up_questions_are_no_trouble(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    given_up = party.store.is_signed_out("maria", "s1")
    given_up.cancel()
    assert await party.store.is_signed_out("maria", "s1") == 0


async def test_what_redis_refuses_fails_alone(
    new_party: NewParty, clock: Clock, client: redis.Redis, key_prefix: str
) -> None:
    party = await new_party()
    client.set(f"{key_prefix}:{{broken}}:meta", "not a hash")
    broken = party.store.choose("broken", "maria", "busy", by_admin=False)
    healthy = party.store.choose(TEAM, "maria", "busy", by_admin=False)
    with pytest.raises(errors.Unavailable, match="got a refusal; see the server's log"):
        await broken
    assert (await healthy).mark.version == 1
    assert party.downs == []


async def test_out_of_reach_everything_waits_but_renewals(
    clock: Clock, client: redis.Redis, new_valkey: Callable[..., Valkey]
) -> None:
    server = new_valkey(tcp=False)
    party = Party.of(server.url, Settings())
    async with party.running() as store:
        copy_clock(client, server)
        await store.join(TEAM, "maria", "s1", 1, clock.ago_s(), NO_REFUSAL)
        server.stop()
        choice = store.choose(TEAM, "maria", "busy", by_admin=False)
        renewal = store.renew(TEAM, "maria", "s1", 1, None)
        await becomes_down(party)
        assert renewal.cancelled()
        assert not choice.done()
        assert store.renew(TEAM, "maria", "s1", 1, None).cancelled()
        with pytest.raises(OutOfReach):
            await store.changes(TEAM, 0)
        server.start()
        copy_clock(client, server)
        await asyncio.wait_for(store.reconnect(), 5.0)
        store.resume()
        reply = await asyncio.wait_for(choice, 5.0)
        assert (reply.mark.version, len(party.downs)) == (1, 1)


def copy_clock(client: redis.Redis, server: Valkey) -> None:
    with closing(server.client()) as other:
        other.set(Clock.KEY, client.get(Clock.KEY) or b"")


async def test_a_team_that_redis_has_lost_is_not_begun_anew(new_party: NewParty, clock: Clock) -> None:
    """Whoever has a roster of it writes that back first."""
    party = await new_party()
    party.known[TEAM] = Mark("k3", 7, "tip")
    choice = party.store.choose(TEAM, "maria", "busy", by_admin=False)
    with pytest.raises(Lost):
        await party.store.settle(TEAM, 0)
    with pytest.raises(Lost):
        await party.store.rejoin(TEAM, [("maria", "s1", 1, clock.ago_s(), 0)])
    await becomes_down(party)
    assert party.downs == ["Redis has lost data"]
    assert not choice.done()
    party.known.clear()
    party.store.resume()
    assert (await choice).mark.version == 1


@pytest.mark.parametrize("operation", ["join", "leave", "renew", "sign_out", "configure", "choose"])
async def test_nothing_begins_a_lost_team(new_party: NewParty, clock: Clock, operation: str) -> None:
    party = await new_party()
    party.known[TEAM] = Mark("k3", 7, "tip")
    store = party.store
    requests: dict[str, Callable[[], asyncio.Future[Any]]] = {
        "join": lambda: store.join(TEAM, "maria", "s1", 1, clock.ago_s(), NO_REFUSAL),
        "leave": lambda: store.leave(TEAM, "maria", "s1", 0),
        "renew": lambda: store.renew(TEAM, "maria", "s1", 1, None),
        "sign_out": lambda: store.sign_out(TEAM, "maria", "", refuse_ms=1),
        "configure": lambda: store.configure(TEAM, 60_000),
        "choose": lambda: store.choose(TEAM, "maria", "busy", by_admin=True),
    }
    future = requests[operation]()
    await becomes_down(party)
    assert (await store.changes(TEAM, 0)).mark.epoch == ""
    assert future.cancelled() == (operation == "renew")
    assert not future.done() or future.cancelled()


async def becomes_down(party: Party) -> None:
    async with asyncio.timeout(5.0):
        while not party.downs:  # noqa: ASYNC110 - there is nothing to be woken by
            await asyncio.sleep(0.01)


async def test_flushing_waits_for_what_is_under_way(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    leave = party.store.leave(TEAM, "maria", "s1", 0)
    assert not leave.done()
    await party.store.flush()
    assert leave.done()


async def test_rejoining_restates_leases_at_once(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    await join(party, clock, "juan", "s2")
    await party.store.sign_out(TEAM, "juan", "s2", refuse_ms=60_000)
    entries = [("maria", "s1", 2, clock.ago_s(5_000), 0), ("juan", "s2", 1, clock.ago_s(), 0)]
    versions = await party.store.rejoin(TEAM, entries)
    assert versions == [3, None]
    found = await detail(party, "maria")
    assert (found.connections, found.last_active) == (2, clock.now_ms - 5_000)


async def test_what_a_store_remembers_of_a_team_can_be_forgotten(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    await join(party, clock, "maria")
    party.store.forget(TEAM)
    party.store.forget("never used")
    assert await join(party, clock, "juan") == "online"


# --- the real clock ---------------------------------------------------------------------------------------------------


async def test_time_is_rediss(new_party: NewParty, client: redis.Redis) -> None:
    """Without the clock of the other tests: a short lease runs out, and a sweep finds it."""
    party = await new_party(lease_ttl_ms=300, disconnect_grace_ms=200)
    store = party.store
    await store.claim()
    seconds, microseconds = client.time()
    assert abs(store.now_ms() - (seconds * 1000 + microseconds // 1000)) < 1_000
    assert await store.uptime_s() >= 0
    reply, _ = await store.join(TEAM, "maria", "s1", 1, 0.0, NO_REFUSAL)
    await store.choose(TEAM, "maria", "busy", by_admin=False)
    changed = await swept_at_last(store)
    page = await store.changes(TEAM, 0)
    (change,) = page.changes
    assert (changed, change.status, change.reason) == (1, "offline", "disconnected")
    assert change.since >= reply.now_ms + 300


async def swept_at_last(store: Store) -> int:
    async with asyncio.timeout(10.0):
        while True:
            for _ in (await store.claim()).teams:
                swept = await store.sweep(TEAM)
                if swept.changed:
                    return swept.changed
            await asyncio.sleep(0.05)
