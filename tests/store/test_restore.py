"""Redis came back without data, or without its newest: rosters are written back, and nobody flashes."""

from __future__ import annotations

import pytest

from presence_server.core.roster import Change, Entry
from presence_server.store.operations.configure import KEEP_GRACE
from presence_server.store.types import Reply
from tests.store.listening import Ear
from tests.store.support import GRACE_MS, IDLE_MS, LEASE_MS, TEAM, Clock, NewParty, Party, pass_time

SEEN = 812


def entry(user: str, status: str, chosen: str, since: int = 1_000, version: int = 5) -> tuple[str, Entry]:
    return user, Entry(Change(user, version, status, since, "signed_in" if status != "offline" else "idle", chosen))


async def restore(
    party: Party, *rows: tuple[str, Entry], seen: int = SEEN, idle_ms: int = IDLE_MS, grace_ms: int = GRACE_MS
) -> Reply:
    return await party.store.repairs.restore(TEAM, rows, seen, idle_timeout_ms=idle_ms, grace_ms=grace_ms)


async def test_a_roster_begins_the_epoch_where_it_stood(party: Party, ear: Ear) -> None:
    reply = await restore(party, entry("maria", "busy", "busy"), entry("juan", "offline", "busy"))
    assert reply.mark.version == SEEN + 2
    [message] = ear.heard()
    assert (message["restored"], message["previous"], message["version"]) == (True, SEEN, SEEN + 2)
    page = await party.page(SEEN)
    assert page.changes == [
        Change("maria", SEEN + 1, "busy", 1_000, "signed_in", "busy"),
        Change("juan", SEEN + 2, "offline", 1_000, "idle", "busy"),
    ]
    assert (page.standing.floor, page.idle_timeout_ms, page.grace_ms) == (SEEN, IDLE_MS, GRACE_MS)


async def test_written_back_is_no_change(party: Party, ear: Ear) -> None:
    """Events tell of it as such: before and status are the same."""
    await restore(party, entry("maria", "busy", "busy"))
    [message] = ear.heard()
    assert [(change[2], change[3], change[7]) for change in message["changes"]] == [("busy", "busy", None)]


async def test_an_empty_roster_keeps_the_version_too(party: Party) -> None:
    assert (await restore(party)).mark.version == SEEN + 1


async def test_who_is_written_back_stays_for_a_lease_unless_told_anew(party: Party, clock: Clock) -> None:
    await restore(party, entry("maria", "online", "online"))
    found = await party.detail()
    assert (found.connections, found.next_change_at) == (0, clock.now_ms + LEASE_MS)
    await pass_time(clock, LEASE_MS - 125, party)
    await party.sweep()
    assert (await party.detail()).status == "online"
    clock.move(125)
    await party.sweep()
    assert (await party.detail()).status == "offline"


async def test_told_anew_he_was_never_gone(party: Party, clock: Clock, ear: Ear) -> None:
    await restore(party, entry("maria", "busy", "busy"))
    ear.heard()
    assert await party.join() == "busy"
    await pass_time(clock, LEASE_MS, party)
    await party.sweep()
    assert await party.status() == ("busy", "signed_in")
    assert ear.heard() == []


async def test_nobody_is_written_back_as_active_in_the_future(party: Party, clock: Clock) -> None:
    await restore(party, entry("maria", "online", "online", since=clock.now_ms + 60_000), idle_ms=1_000)
    found = await party.detail()
    assert (found.last_active, found.since) == (clock.now_ms, clock.now_ms)
    assert found.next_change_at == clock.now_ms + 1_000


async def test_whom_redis_knows_is_left_alone(new_party: NewParty) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    await restore(first, entry("maria", "busy", "busy"))
    await second.choose("maria", "online", by="ana")
    before = (await second.page()).changes
    await restore(second, entry("maria", "busy", "busy"), seen=SEEN - 100)
    assert (await second.page()).changes == before


async def test_who_came_in_by_a_worker_without_a_roster_gets_his_choice_back(new_party: NewParty) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    await first.join()
    await restore(second, entry("maria", "busy", "busy"))
    found = await second.detail()
    assert (found.status, found.chosen, found.connections) == ("busy", "busy", 1)


async def test_unless_he_has_chosen_since(new_party: NewParty) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    await first.join()
    await first.choose("maria", "online")
    await restore(second, entry("maria", "busy", "busy"))
    assert (await second.detail()).chosen == "online"


@pytest.mark.parametrize("order", [(5, 9), (9, 5)])
async def test_of_two_rosters_the_newer_one_s_choice_counts(new_party: NewParty, order: tuple[int, int]) -> None:
    """In whatever order they are written back: one worker had been cut off when he chose."""
    known = {5: entry("maria", "online", "online"), 9: entry("maria", "busy", "busy", version=9)}
    for number, version in enumerate(order):
        await restore(await new_party(f"w{number}"), known[version])
    found = await (await new_party("w3")).detail()
    assert (found.status, found.chosen) == ("busy", "busy")


async def test_who_came_in_as_he_was_is_no_change(party: Party) -> None:
    await party.join()
    assert (await restore(party, entry("maria", "online", "online"))).mark.version == 1


async def test_settings_are_written_back_where_there_are_none(party: Party) -> None:
    await restore(party, idle_ms=60_000, grace_ms=0)
    page = await party.page()
    assert (page.idle_timeout_ms, page.grace_ms) == (60_000, 0)
    await restore(party, idle_ms=90_000, grace_ms=5_000)
    page = await party.page()
    assert (page.idle_timeout_ms, page.grace_ms) == (60_000, 0)


async def test_settings_are_written_back_to_a_team_that_a_worker_without_a_roster_began(
    new_party: NewParty, ear: Ear
) -> None:
    """He was the first to come in, and everybody is told what holds: teams of others would never be idle again."""
    first, second = await new_party("w1"), await new_party("w2")
    await first.join(idle_ms=IDLE_MS)
    assert await first.status() == ("offline", "idle")
    ear.heard()
    await restore(second, entry("maria", "online", "online"), idle_ms=2 * IDLE_MS, grace_ms=0)
    assert [message.get("idle_ms") for message in ear.heard()] == [2 * IDLE_MS]
    page = await first.page()
    assert (page.idle_timeout_ms, page.grace_ms) == (2 * IDLE_MS, 0)
    assert await first.status() == ("online", "settings")


async def test_settings_that_redis_has_are_left_alone(party: Party, clock: Clock) -> None:
    """They have no TTL: a team may be forgotten and keep them."""
    await party.store.configure(TEAM, 60_000, KEEP_GRACE)
    await party.store.link.execute([("DEL", party.store.keys.mark(TEAM))])
    await restore(party, idle_ms=90_000)
    assert (await party.page()).idle_timeout_ms == 60_000


async def test_defaults_are_not_written_back_as_a_teams_own(party: Party) -> None:
    await restore(party)
    assert await party.store.link.execute([("EXISTS", f"{party.store.keys.team(TEAM)}:settings")]) == [0]


# --- a history that has forked ----------------------------------------------------------------------------------------


async def test_it_becomes_a_new_epoch(party: Party, ear: Ear) -> None:
    await party.join()
    mark = (await party.page()).standing.mark
    ear.heard()
    begun = await party.store.repairs.new_epoch(TEAM, mark.epoch, SEEN)
    assert begun.mark.epoch != mark.epoch
    assert begun.mark.version == SEEN + 1
    [message] = ear.heard()
    assert (message["begun"], message["previous"], message["epoch"]) == (True, SEEN, begun.mark.epoch)
    # Of several workers that notice, one does it.
    again = await party.store.repairs.new_epoch(TEAM, mark.epoch, SEEN)
    assert again.mark == begun.mark
    assert ear.heard() == []
    assert await party.status() == ("online", "signed_in")


async def test_its_version_is_above_all_that_anybody_has_seen(party: Party) -> None:
    for _ in range(3):
        await party.choose("maria", "busy")
        await party.choose("maria", "online")
    mark = (await party.page()).standing.mark
    begun = await party.store.repairs.new_epoch(TEAM, mark.epoch, 2)
    assert begun.mark.version == mark.version + 1


@pytest.mark.parametrize("wanting", ["", "k3"])
async def test_of_a_team_that_is_not_there_none_begins_unless_it_is_that_one(party: Party, wanting: str) -> None:
    reply = await party.store.repairs.new_epoch(TEAM, "k3", SEEN)
    assert (reply.mark.epoch, reply.changed) == ("", 0)
    await party.join()
    reply = await party.store.repairs.new_epoch(TEAM, wanting, SEEN)
    assert reply.mark == (await party.page()).standing.mark
