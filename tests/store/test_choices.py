"""Choosing a status: by himself, by an administrator, and what counts when several do (rules 2, 3 and 5)."""

from __future__ import annotations

import pytest

from presence_server.store.calls import BULK
from tests.store.listening import Ear
from tests.store.support import GRACE_MS, IDLE_MS, TEAM, Clock, NewParty, Party, pass_time


async def test_choosing_is_activity(party: Party, clock: Clock) -> None:
    await party.join(idle_ms=IDLE_MS)
    reply = await party.choose("maria", "busy")
    assert reply.changed == 1
    found = await party.detail()
    assert (found.status, found.reason, found.last_active) == ("busy", "chosen", clock.now_ms)


async def test_an_administrator_choosing_for_someone_is_not(party: Party, clock: Clock) -> None:
    await party.join(idle_ms=5_000)
    await party.choose("maria", "busy", by="ana")
    found = await party.detail()
    assert (found.status, found.reason, found.last_active) == ("busy", "forced", clock.now_ms - 5_000)


async def test_an_administrator_choosing_for_himself_is_himself(party: Party, clock: Clock) -> None:
    await party.join(idle_ms=IDLE_MS)
    await party.choose("maria", "busy", by="maria")
    assert await party.status() == ("busy", "chosen")


async def test_a_choice_before_ever_being_there_is_nobodys_news_and_is_kept(party: Party, ear: Ear) -> None:
    await party.choose("maria", "busy", by="ana")
    found = await party.detail()
    assert (found.status, found.since, found.reason, found.chosen) == ("offline", None, None, "busy")
    [message] = ear.heard()
    assert message["changes"] == [["maria", 1, "offline", "offline", 0, "", "busy", "ana"]]
    assert await party.join() == "busy"
    assert await party.status() == ("busy", "signed_in")


@pytest.mark.parametrize("by", ["maria", "ana"])
async def test_who_holds_no_connection_stays_offline(party: Party, clock: Clock, by: str) -> None:
    await party.join()
    await party.log_out()
    await party.choose("maria", "busy", by=by)
    found = await party.detail()
    assert (found.status, found.reason, found.chosen) == ("offline", "signed_out", "busy")


async def test_a_choice_by_who_was_idle_brings_him_back(party: Party, clock: Clock) -> None:
    await party.join(idle_ms=IDLE_MS)
    clock.move(1_000)
    await party.choose("maria", "online")
    found = await party.detail()
    assert (found.status, found.reason, found.since) == ("online", "chosen", clock.now_ms)


async def test_no_change_no_message(party: Party, ear: Ear) -> None:
    """Rule 8."""
    await party.join()
    await party.choose("maria", "busy")
    assert len(ear.heard()) == 2
    reply = await party.choose("maria", "busy")
    assert (reply.changed, ear.heard()) == (0, [])


async def test_a_choice_during_the_grace_shows(party: Party, clock: Clock) -> None:
    await party.join()
    await party.lost_for_good()
    await party.choose("maria", "busy")
    assert await party.status() == ("busy", "chosen")
    await pass_time(clock, GRACE_MS, party)
    await party.sweep()
    found = await party.detail()
    assert (found.status, found.reason, found.chosen) == ("offline", "disconnected", "busy")


async def test_choices_of_one_turn_share_a_call_and_the_newest_counts(party: Party, ear: Ear) -> None:
    await party.join()
    ear.heard()
    calls = party.backend.calls
    futures = [party.store.choose(TEAM, "maria", status, "maria") for status in ("busy", "online", "busy")]
    others = [party.store.choose(TEAM, f"u{number}", "busy", f"u{number}") for number in range(BULK - 1)]
    replies = [await future for future in [*futures, *others]]
    assert len({reply.mark for reply in replies}) == 1
    assert party.backend.calls - calls <= 2
    [message] = ear.heard()
    assert [change[0] for change in message["changes"]] == ["maria", *[f"u{number}" for number in range(BULK - 1)]]


async def test_a_choice_by_another_does_not_count_for_ones_own(party: Party, ear: Ear) -> None:
    """Both are acknowledged for what they did: one of them is activity."""
    await party.join()
    ear.heard()
    futures = [
        party.store.choose(TEAM, "maria", "busy", "ana"),
        party.store.choose(TEAM, "maria", "online", "maria"),
    ]
    for future in futures:
        await future
    [message] = ear.heard()
    assert [(change[3], change[5], change[7]) for change in message["changes"]] == [
        ("busy", "forced", "ana"),
        ("online", "chosen", "maria"),
    ]


async def test_of_two_workers_the_later_choice_holds(new_party: NewParty) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    await first.join()
    await first.choose("maria", "busy")
    await second.choose("maria", "online")
    assert (await first.detail()).chosen == "online"
