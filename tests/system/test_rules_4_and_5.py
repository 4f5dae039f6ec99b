"""Section 2 of the contract, rules 4 and 5: activity, and choosing."""

from __future__ import annotations

import pytest

from tests.support.site import Site
from tests.support.timing import NOTICE_S, SLACK_S, UNIT, now_ms


async def test_rule_4_activity_on_any_connection_counts(site: Site) -> None:
    """Two tabs on two workers, one of them idle: the user is active as long as the other is."""
    await site.admin().set_idle_timeout(1)
    maria = await site.connect("maria")
    await site.connect("juan", on=0)
    working = await site.connect("juan", on=1)
    async with maria.typing():
        async with working.typing():
            await maria.sees("juan", "online")
            await maria.quiet_for(3, about="juan")
        await maria.sees("juan", "offline", reason="idle", within_s=1 + NOTICE_S + SLACK_S)


async def test_rule_4_the_newest_input_wins_in_whatever_order_it_is_told(site: Site) -> None:
    """An older input that is told later, by another worker, takes nothing back."""
    first = await site.connect("juan", on=0)
    second = await site.connect("juan", on=1, idle_ms=40_000)
    await first.choose("busy")  # Activity that is in Redis once acknowledged.
    newest = (await site.api("juan").user("juan"))["last_active"]
    await second.beat(30_000)
    await site.connect("juan", on=1, idle_ms=20_000)
    await second.quiet_for(4 * UNIT)
    # Clocks are set to each other with an error of a few milliseconds.
    assert abs((await site.api("juan").user("juan"))["last_active"] - newest) < 1_000


async def test_rule_4_last_active_is_the_latest_input(site: Site) -> None:
    """`idle_ms` says how long ago the latest input was; last_active is that instant."""
    await site.connect("juan", idle_ms=120_000)
    detail = await site.api("juan").user("juan")
    assert now_ms() - 125_000 * UNIT < detail["last_active"] <= now_ms() - 120_000


async def test_rule_4_connecting_is_not_activity(site: Site) -> None:
    """A connection whose last input is older than the timeout shows nobody online."""
    await site.admin().set_idle_timeout(60)
    maria = await site.connect("maria")
    juan = await site.connect("juan", on=1, idle_ms=61_000)
    assert juan.view().chosen == "online"
    assert juan.view().statuses() == {"maria": "online"}
    await maria.quiet_for(1, about="juan")
    await juan.beat(0)
    await maria.sees_soon("juan", "online", reason="active")


async def test_rule_4_connecting_again_does_not_extend_the_idle_deadline(site: Site) -> None:
    """A second connection without newer input leaves the deadline where it was."""
    await site.admin().set_idle_timeout(2)
    maria = await site.connect("maria")
    async with maria.typing():
        juan = await site.connect("juan")
        signed_in = await maria.sees("juan", "online")
        await maria.quiet_for(1, about="juan")
        await site.connect("juan", on=1, idle_ms=1_000 + int(200 * UNIT))
        told = await maria.sees("juan", "offline", reason="idle", within_s=1 + NOTICE_S + SLACK_S)
        assert signed_in.since is not None
        assert told.since is not None
        assert told.since - signed_in.since < 2_000 + (NOTICE_S + SLACK_S) * 1_000
    assert juan.close_code is None


async def test_rule_4_input_on_an_idle_connection_is_shown_at_once(site: Site) -> None:
    """The first input after idling shows within a second, on every worker."""
    await site.admin().set_idle_timeout(1)
    juan = await site.connect("juan")
    maria = await site.connect("maria", on=1)
    async with maria.typing():
        await maria.sees("juan", "offline", reason="idle")
        await juan.beat(0)
        await maria.sees_soon("juan", "online", reason="active")


@pytest.mark.parametrize("over", ["websocket", "http"])
async def test_rule_5_choosing_is_activity(site: Site, over: str) -> None:
    """An idle user who chooses is back at once, with his choice and the reason chosen."""
    await site.admin().set_idle_timeout(1)
    maria = await site.connect("maria")
    juan = await site.connect("juan", on=1)
    async with maria.typing():
        await maria.sees("juan", "offline", reason="idle")
        if over == "http":
            await site.api("juan").choose("juan", "busy")
        else:
            await juan.choose("busy")
        await maria.sees_soon("juan", "busy", reason="chosen")
    assert now_ms() - (await site.api("juan").user("juan"))["last_active"] < 10_000 * UNIT


async def test_rule_5_choosing_what_is_chosen_is_activity_too(site: Site) -> None:
    """An idle user who chooses his present choice again is back at once."""
    await site.admin().set_idle_timeout(1)
    maria = await site.connect("maria")
    juan = await site.connect("juan", on=1)
    async with maria.typing():
        await maria.sees("juan", "offline", reason="idle")
        await juan.choose("online")
        await maria.sees_soon("juan", "online")


async def test_rule_5_choosing_holds_for_all_tabs(site: Site) -> None:
    """Every tab, on whatever worker, is told by self and by the view."""
    tabs = [await site.connect("juan", on=0), await site.connect("juan", on=0), await site.connect("juan", on=1)]
    await tabs[0].choose("busy")
    for tab in tabs:
        await tab.expect("self", team=site.team, chosen="busy")
        await tab.sees_soon("juan", "busy", reason="chosen")
    await tabs[2].choose("online")
    for tab in tabs:
        await tab.expect("self", team=site.team, chosen="online")
        await tab.sees_soon("juan", "online", reason="chosen")


async def test_rule_5_an_administrator_choosing_is_not_activity(site: Site) -> None:
    """An idle user for whom an administrator chooses stays offline; his own first input then shows the choice."""
    await site.admin().set_idle_timeout(1)
    maria = await site.connect("maria")
    juan = await site.connect("juan", on=1)
    async with maria.typing():
        await maria.sees("juan", "offline", reason="idle")
        active = (await site.admin().user("juan"))["last_active"]
        await site.admin().choose("juan", "busy")
        await juan.expect("self", chosen="busy")
        await maria.quiet_for(0.5, about="juan")
        assert (await site.admin().user("juan"))["last_active"] == active
        await juan.beat(0)
        await maria.sees_soon("juan", "busy", reason="active")


async def test_rule_5_an_administrator_choosing_for_an_active_user_shows_as_forced(site: Site) -> None:
    """The user is shown as the administrator chose, with the reason forced, and knows it by self."""
    maria = await site.connect("maria")
    juan = await site.connect("juan", on=1)
    active = (await site.admin().user("juan"))["last_active"]
    await site.admin().choose("juan", "busy")
    await juan.expect("self", chosen="busy")
    await maria.sees_soon("juan", "busy", reason="forced")
    assert (await site.admin().user("juan"))["last_active"] == active
    await juan.choose("online")
    await maria.sees_soon("juan", "online", reason="chosen")
