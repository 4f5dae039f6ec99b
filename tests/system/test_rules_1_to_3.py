"""Section 2 of the contract, rules 1 to 3: what teammates see, and what is remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.conftest import NewSite
from tests.support.polling import becomes
from tests.support.site import Site
from tests.support.timing import GRACE_S, NOTICE_S, SLACK_S, UNIT
from tests.support.valkey import Valkey


async def test_rule_1_offline_without_a_connection(site: Site) -> None:
    """Who holds no connection in the team is offline: absent from snapshots, offline in reads."""
    maria = await site.connect("maria")
    await maria.sees_all({"maria": "online"})
    assert await site.api("maria").statuses() == {"maria": "online"}
    assert (await site.api("maria").user("juan"))["status"] == "offline"


async def test_rule_1_a_connection_in_one_team_is_none_in_another(site: Site) -> None:
    """Status is kept per team: a connection counts for the teams of its token alone."""
    other = site.unique("other")
    maria = await site.connect("maria", teams=[site.team, other])
    juan = await site.connect("juan", teams=[other], on=1)
    await maria.sees("juan", "online", team=other)
    assert maria.view(site.team).statuses() == {"maria": "online"}
    assert set(juan.views) == {other}


async def test_rule_1_connected_and_active_is_the_chosen_status(site: Site) -> None:
    """First sign-in is online; a choice is what everyone on every worker sees, oneself included."""
    maria = await site.connect("maria")
    juan = await site.connect("juan", on=1)
    told = await maria.sees_soon("juan", "online", reason="signed_in")
    await juan.choose("busy")
    busy = await maria.sees_soon("juan", "busy", reason="chosen")
    assert busy.version > told.version
    await juan.sees_soon("juan", "busy", reason="chosen")


async def test_rule_1_offline_at_the_idle_timeout(site: Site) -> None:
    """Connected but without input for the idle timeout: offline, with the reason idle."""
    await site.admin().set_idle_timeout(1)
    maria = await site.connect("maria")
    juan = await site.connect("juan", on=1)
    async with maria.typing():
        await maria.sees("juan", "online")
        await maria.sees("juan", "offline", reason="idle", within_s=1 + NOTICE_S + SLACK_S)
    assert juan.close_code is None, "Expected silence to be idling, not the end of a connection"


async def test_rule_1_idle_before_the_grace_ends_gives_the_reason_idle(site: Site) -> None:
    """Lost, and idle before the grace ends: the earlier deadline gives the reason, and the later one tells nothing."""
    await site.admin().set_idle_timeout(1)
    maria = await site.connect("maria", idle_ms=0)
    juan = await site.connect("juan")
    async with maria.typing():
        await maria.sees("juan", "online")
        await juan.drop()
        told = await maria.sees("juan", "offline", within_s=1 + NOTICE_S + SLACK_S)
        assert told.reason == "idle"
        await maria.quiet_for(GRACE_S + NOTICE_S, about="juan")


async def test_rule_1_the_grace_before_the_idle_deadline_gives_the_reason_disconnected(site: Site) -> None:
    """Lost, and idle only after the grace: the reason is disconnected, and the idle deadline tells nothing."""
    await site.admin().set_idle_timeout(int(GRACE_S) + 2)
    maria = await site.connect("maria")
    juan = await site.connect("juan")
    async with maria.typing():
        await maria.sees("juan", "online")
        await juan.drop()
        await maria.sees("juan", "offline", reason="disconnected", within_s=GRACE_S + NOTICE_S + SLACK_S)
        await maria.quiet_for(1 + NOTICE_S, about="juan")


async def test_rule_1_losing_the_connection_while_idle_changes_nothing(site: Site) -> None:
    """Offline is offline: who is idle and then disconnects is not told of again."""
    await site.admin().set_idle_timeout(1)
    maria = await site.connect("maria")
    juan = await site.connect("juan", on=1)
    async with maria.typing():
        await maria.sees("juan", "online")
        idle = await maria.sees("juan", "offline", reason="idle")
        await juan.leave()
        await maria.quiet_for(GRACE_S + NOTICE_S, about="juan")
    detail = await site.api("maria").user("juan")
    assert (detail["status"], detail["reason"], detail["since"]) == ("offline", "idle", idle.since)


async def test_rule_2_offline_cannot_be_chosen(site: Site) -> None:
    """Asking for offline is the error status_not_selectable, over WebSocket and over HTTP; nobody is told anything."""
    maria = await site.connect("maria")
    juan = await site.connect("juan", on=1)
    await maria.sees("juan", "online")
    await juan.fails("status_not_selectable", "set_status", status="offline")
    await juan.fails("status_not_selectable", "set_status", status="offline", team=site.team)
    path = "/v1/teams/{team}/presence/juan"
    for api in (site.api("juan"), site.admin()):
        problem = await api.refused(422, "PUT", path, json={"status": "offline"})
        assert problem["code"] == "status_not_selectable"
    await maria.quiet_for(0.5, about="juan")
    await juan.choose("busy")


async def test_rule_3_the_choice_survives_signing_out(site: Site) -> None:
    """Busy, signed out, signed in again elsewhere: busy by itself, for teammates and in self."""
    maria = await site.connect("maria")
    juan = await site.connect("juan")
    await juan.choose("busy")
    await maria.sees("juan", "busy", reason="chosen")
    await juan.logout()
    await maria.sees("juan", "offline", reason="signed_out")
    again = await site.connect("juan", on=1)
    assert again.view().chosen == "busy"
    assert again.view().statuses()["juan"] == "busy"
    await maria.sees_soon("juan", "busy", reason="signed_in")
    assert maria.view().history("juan")[-3:] == ["busy", "offline", "busy"]


async def test_rule_3_the_choice_survives_closing_the_browser(site: Site) -> None:
    """Busy, gone for longer than the grace, and back: busy by itself."""
    maria = await site.connect("maria")
    juan = await site.connect("juan")
    await juan.choose("busy")
    await juan.leave()
    await maria.sees("juan", "offline", reason="disconnected")
    await site.connect("juan", on=1)
    await maria.sees_soon("juan", "busy", reason="signed_in")
    assert "online" not in maria.view().history("juan")[-2:]


async def test_rule_3_the_choice_is_back_on_the_first_input_after_idling(site: Site) -> None:
    """Busy and idle: offline; the first input brings busy back, with the reason active."""
    await site.admin().set_idle_timeout(1)
    maria = await site.connect("maria")
    juan = await site.connect("juan", on=1)
    async with maria.typing():
        await juan.choose("busy")
        await maria.sees("juan", "busy")
        await maria.sees("juan", "offline", reason="idle")
        assert juan.view().chosen == "busy"
        await juan.beat(0)
        await maria.sees_soon("juan", "busy", reason="active")


async def test_rule_3_the_choice_survives_restarting_every_server(
    new_site: NewSite, new_valkey: Callable[..., Valkey]
) -> None:
    """Every worker and Redis itself restarted, with its data: the choice is still there."""
    valkey = new_valkey(persistent=True)
    site = await new_site(workers=2, valkey=valkey)
    juan = await site.connect("juan")
    await juan.choose("busy")
    await site.stop_workers()
    valkey.stop()
    await asyncio.to_thread(valkey.start)
    await site.start_workers()
    again = await site.connect("juan", on=1)
    assert again.view().chosen == "busy"
    assert again.view().statuses() == {"juan": "busy"}


async def test_rule_3_the_choice_of_an_absent_user_is_kept_for_remember(new_site: NewSite) -> None:
    """PRESENCE_REMEMBER: once absent for longer, the next sign-in is like the first; before, and while present, not."""
    site = await new_site(remember=3 * UNIT)
    juan = await site.connect("juan")
    await juan.choose("busy")
    async with juan.typing():
        await juan.quiet_for(4 * UNIT, about="juan")
    detail = await site.api("juan").user("juan")
    assert (detail["status"], detail["chosen"]) == ("busy", "busy")
    await juan.logout()
    again = await site.connect("juan")
    assert again.view().chosen == "busy"
    await again.logout()

    async def chosen() -> object:
        return (await site.api("juan").user("juan"))["chosen"]

    await becomes(chosen, "online", None, within_s=15 * UNIT)
    assert (await site.connect("juan")).view().statuses() == {"juan": "online"}
