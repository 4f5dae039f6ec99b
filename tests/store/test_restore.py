"""Redis came back without data, or without its newest: rosters are written back, and nobody flashes."""

from __future__ import annotations

from presence_server.core.roster import Change, Entry
from tests.store.support import IDLE_MS, LEASE_MS, TEAM, Clock, Ear, NewParty, detail

SEEN = 812


def entry(user: str, status: str, chosen: str, since: int = 1_000) -> tuple[str, Entry]:
    return user, Entry(Change(user, 5, status, since, "signed_in" if status != "offline" else "idle", chosen))


async def test_a_roster_begins_the_epoch_where_it_stood(new_party: NewParty, clock: Clock, ear: Ear) -> None:
    party = await new_party()
    rows = [entry("maria", "busy", "busy"), entry("juan", "offline", "busy")]
    reply = await party.store.restore(TEAM, rows, SEEN, IDLE_MS)
    assert reply.mark.version == SEEN + 2
    (message,) = ear.heard()
    assert (message["restored"], message["previous"], message["version"]) == (True, SEEN, SEEN + 2)
    page = await party.store.changes(TEAM, SEEN)
    assert page.changes == [
        Change("maria", SEEN + 1, "busy", 1_000, "signed_in", "busy"),
        Change("juan", SEEN + 2, "offline", 1_000, "idle", "busy"),
    ]
    assert (page.floor, page.idle_timeout_ms) == (SEEN, IDLE_MS)


async def test_an_empty_roster_keeps_the_version_too(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    assert (await party.store.restore(TEAM, [], SEEN, IDLE_MS)).mark.version == SEEN + 1


async def test_who_is_written_back_stays_for_a_lease_unless_restated(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    await party.store.restore(TEAM, [entry("maria", "online", "online")], SEEN, IDLE_MS)
    found = await detail(party, "maria")
    assert (found.connections, found.next_change_at) == (0, clock.now_ms + LEASE_MS)
    clock.move(LEASE_MS - 125)
    assert (await party.store.sweep(TEAM)).changed == 0
    clock.move(125)
    assert (await party.store.sweep(TEAM)).changed == 1


async def test_nobody_is_written_back_as_active_in_the_future(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    await party.store.restore(TEAM, [entry("maria", "online", "online")], SEEN, 1_000)
    found = await detail(party, "maria")
    assert found.last_active == clock.now_ms
    assert found.next_change_at == clock.now_ms + 1_000


async def test_whom_redis_knows_is_left_alone(new_party: NewParty, clock: Clock, ear: Ear) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    await first.store.restore(TEAM, [entry("maria", "busy", "busy")], SEEN, IDLE_MS)
    await second.store.choose(TEAM, "maria", "online", by_admin=True)
    before = (await second.store.changes(TEAM, 0)).changes
    await second.store.restore(TEAM, [entry("maria", "busy", "busy")], SEEN - 100, IDLE_MS)
    assert (await second.store.changes(TEAM, 0)).changes == before


async def test_who_came_in_by_a_worker_without_a_roster_gets_his_choice_back(new_party: NewParty, clock: Clock) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    await first.store.join(TEAM, "maria", "s1", 1, clock.ago_s(), 0.0)
    await second.store.restore(TEAM, [entry("maria", "busy", "busy")], SEEN, IDLE_MS)
    found = await detail(second, "maria")
    assert (found.status, found.chosen, found.connections) == ("busy", "busy", 1)


async def test_who_came_in_as_he_was_is_no_change(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    await party.store.join(TEAM, "maria", "s1", 1, clock.ago_s(), 0.0)
    reply = await party.store.restore(TEAM, [entry("maria", "online", "online")], SEEN, IDLE_MS)
    assert reply.mark.version == 1


async def test_a_teams_timeout_is_written_back_where_there_is_none(new_party: NewParty, clock: Clock) -> None:
    party = await new_party()
    await party.store.restore(TEAM, [], SEEN, 60_000)
    assert (await party.store.changes(TEAM, 0)).idle_timeout_ms == 60_000
    await party.store.restore(TEAM, [], SEEN, 90_000)
    assert (await party.store.changes(TEAM, 0)).idle_timeout_ms == 60_000


async def test_a_history_that_has_forked_becomes_a_new_epoch(new_party: NewParty, clock: Clock, ear: Ear) -> None:
    party = await new_party()
    reply, _ = await party.store.join(TEAM, "maria", "s1", 1, clock.ago_s(), 0.0)
    ear.heard()
    begun = await party.store.new_epoch(TEAM, reply.mark.epoch, SEEN)
    assert begun.mark.epoch != reply.mark.epoch
    assert begun.mark.version == SEEN + 1
    (message,) = ear.heard()
    assert (message["begun"], message["previous"], message["epoch"]) == (True, SEEN, begun.mark.epoch)
    # Of several workers that notice, one does it.
    again = await party.store.new_epoch(TEAM, reply.mark.epoch, SEEN)
    assert again.mark == begun.mark
    assert ear.heard() == []
