"""Corners of the rule that chance seldom finds: deadlines that have passed and that nobody has swept yet, and ties."""

from __future__ import annotations

import pytest

from presence_server.store.operations.configure import KEEP_GRACE, KEEP_IDLE
from tests.store.support import GRACE_MS, IDLE_MS, TEAM, Clock, NewParty, Party, pass_time


async def forgotten_at_the_end_of_the_grace(party: Party, clock: Clock) -> None:
    """Maria's grace is over, and nobody has looked."""
    await party.join()
    await party.lost_for_good()
    await pass_time(clock, GRACE_MS, party)


async def test_a_choice_does_not_take_offline_who_a_sweep_has_to(party: Party, clock: Clock) -> None:
    """Others do not know what there still is to tell: an interval in which nobody swept, newer input elsewhere."""
    await forgotten_at_the_end_of_the_grace(party, clock)
    await party.choose("maria", "busy", by="ana")
    assert await party.status() == ("busy", "forced")
    await party.sweep()
    found = await party.detail()
    assert (found.status, found.reason, found.chosen) == ("offline", "disconnected", "busy")


async def test_nor_does_a_join_of_another_session(party: Party, clock: Clock) -> None:
    await forgotten_at_the_end_of_the_grace(party, clock)
    await party.join(session="s2")
    await party.sweep()
    assert await party.status() == ("online", "signed_in")


async def test_idle_for_long_he_is_not_taken_offline_by_a_choice_for_him(party: Party, clock: Clock) -> None:
    await party.join()
    await pass_time(clock, IDLE_MS, party)
    await party.choose("maria", "busy", by="ana")
    assert await party.status() == ("busy", "forced")
    await party.sweep()
    assert await party.status() == ("offline", "idle")


async def test_the_newest_input_wins_in_whatever_order_it_is_told(new_party: NewParty, clock: Clock) -> None:
    """Rule 4; two devices that fight flip each other every 50 ms (synapse#15879)."""
    first, second = await new_party("w1"), await new_party("w2")
    await first.join(idle_ms=1_000)
    await second.join(session="s2", idle_ms=IDLE_MS)
    for party, ago_ms in [(second, 5_000), (first, 500), (second, 250), (first, 750)]:
        await party.store.repairs.tell_input([(TEAM, [("maria", clock.ago_s(ago_ms))])])
    found = await first.detail()
    assert (found.status, found.last_active) == ("online", clock.now_ms - 250)


async def test_idle_at_the_very_end_of_the_grace_is_idle(party: Party, clock: Clock) -> None:
    """Rule 1: the earlier deadline gives the reason; of two at once, the one that lies with him."""
    await party.join(idle_ms=IDLE_MS - GRACE_MS)
    await party.lost_for_good()
    await pass_time(clock, GRACE_MS, party)
    await party.sweep()
    assert await party.status() == ("offline", "idle")


@pytest.mark.parametrize(("idle_ms", "reason"), [(IDLE_MS - GRACE_MS + 1_000, "idle"), (0, "disconnected")])
async def test_when_both_have_passed_the_earlier_gives_the_reason(
    party: Party, clock: Clock, idle_ms: int, reason: str
) -> None:
    await party.store.configure(TEAM, IDLE_MS, GRACE_MS)
    await party.join(idle_ms=idle_ms)
    await party.lost_for_good()
    await pass_time(clock, IDLE_MS, party)
    await party.sweep()
    assert await party.status() == ("offline", reason)


async def test_he_who_is_idle_and_held_stays_idle_until_there_is_input(party: Party, clock: Clock) -> None:
    await party.join(idle_ms=IDLE_MS - 1_000)
    await pass_time(clock, 2_000, party)
    await party.sweep()
    await party.choose("maria", "busy", by="ana")
    assert await party.status() == ("offline", "idle")
    await party.store.repairs.touch(TEAM, [("maria", clock.ago_s(500))])
    found = await party.detail()
    assert (found.status, found.reason, found.last_active) == ("busy", "active", clock.now_ms - 500)


async def test_logging_out_while_idle_is_no_change_and_he_stays_away(party: Party, clock: Clock) -> None:
    await party.join(idle_ms=IDLE_MS)
    await party.log_out()
    assert await party.status() == ("offline", "idle")
    await party.store.repairs.touch(TEAM, [("maria", clock.now_s())])
    assert await party.status() == ("offline", "idle")


async def test_input_of_who_was_never_seen_is_nobodys(party: Party, clock: Clock) -> None:
    await party.join("juan")
    await party.store.repairs.touch(TEAM, [("maria", clock.now_s())])
    assert (await party.page()).standing.mark.version == 1


async def test_older_input_brings_nobody_back(party: Party, clock: Clock) -> None:
    await pass_time(clock, 20_000, party)
    await party.join(idle_ms=IDLE_MS)
    await party.store.repairs.touch(TEAM, [("maria", clock.ago_s(IDLE_MS + 1_000))])
    found = await party.detail()
    assert (found.status, found.last_active) == ("offline", clock.now_ms - IDLE_MS)


async def test_plain_input_tells_in_which_teams_the_script_is_needed(party: Party, clock: Clock) -> None:
    await party.join(idle_ms=10_000)
    await party.join("juan", idle_ms=IDLE_MS)
    await party.join("juan", team="bell", idle_ms=IDLE_MS)
    tell = party.store.repairs.tell_input
    assert await tell([]) == []
    assert await tell([(TEAM, [("maria", clock.ago_s(5_000))])]) == []
    # Not newer; not visible; and broken.
    assert await tell([(TEAM, [("maria", clock.ago_s(6_000))])]) == [TEAM]
    assert await tell([(TEAM, [("maria", clock.now_s())]), ("bell", [("juan", clock.now_s())])]) == ["bell"]
    assert (await party.detail()).last_active == clock.now_ms
    assert (await party.detail("juan", "bell")).status == "offline"


async def test_without_grace_a_reload_shows_only_if_a_sweep_comes_between(party: Party, clock: Clock) -> None:
    await party.store.configure(TEAM, KEEP_IDLE, 0)
    await party.join()
    await party.lost_for_good()
    await party.join()
    clock.move(1_000)
    await party.sweep()
    assert (await party.page()).changes[0].version == 2


async def test_a_grace_that_ends_while_another_session_holds_is_over(party: Party, clock: Clock) -> None:
    await party.join(session="s1")
    await party.join(session="s2")
    await party.lost_for_good(session="s1")
    await pass_time(clock, GRACE_MS, party)
    await party.sweep()
    await party.log_out(session="s2")
    assert await party.status() == ("offline", "signed_out")


async def test_a_longer_timeout_does_not_bring_back_who_is_not_held(party: Party, clock: Clock) -> None:
    await party.join()
    await pass_time(clock, IDLE_MS, party)
    await party.sweep()
    await party.lost_for_good()
    await pass_time(clock, GRACE_MS, party)
    await party.sweep()
    await party.store.configure(TEAM, 10 * IDLE_MS, KEEP_GRACE)
    await party.store.repairs.realign(TEAM, 0)
    assert (await party.detail()).status == "offline"
