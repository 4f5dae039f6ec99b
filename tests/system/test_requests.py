"""Section 5 of the contract: set_status, watch, and what ack and self promise."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.site import Site


async def test_set_status_without_team_holds_for_every_team(site: Site) -> None:
    """One message, one ack; each team has a self and a change."""
    teams = [site.team, site.unique("other"), site.unique("third")]
    maria = await site.connect("maria", teams=teams, on=1)
    juan = await site.connect("juan", teams=teams)
    await juan.choose("busy")
    for team in teams:
        await juan.expect("self", team=team, chosen="busy")
        await maria.sees_soon("juan", "busy", team=team)
    assert len(juan.of_type("ack")) == 1


async def test_set_status_with_team_holds_for_that_team(site: Site) -> None:
    """The other team keeps its choice."""
    other = site.unique("other")
    maria = await site.connect("maria", teams=[site.team, other], on=1)
    juan = await site.connect("juan", teams=[site.team, other])
    await maria.sees("juan", "online", team=other)
    await juan.choose("busy", team=site.team)
    await maria.sees_soon("juan", "busy", team=site.team)
    await maria.quiet_for(0.5, team=other, about="juan")
    assert juan.view(other).chosen == "online"


async def test_errors_of_set_status(site: Site) -> None:
    """Unknown status, a foreign team, wrong types: the documented code with the id, and no change."""
    foreign = site.unique("foreign")
    maria = await site.connect("maria", on=1)
    juan = await site.connect("juan")
    await maria.sees("juan", "online")
    await juan.fails("unknown_status", "set_status", status="away")
    await juan.fails("unknown_status", "set_status", status="BUSY")
    await juan.fails("status_not_selectable", "set_status", status="offline")
    await juan.fails("not_a_member", "set_status", status="busy", team=foreign)
    await juan.fails("bad_message", "set_status")
    for wrong in (None, 1, ["busy"], {"a": 1}):
        await juan.fails("bad_message", "set_status", status=wrong)
    await juan.fails("bad_message", "set_status", status="busy", team=7)
    await maria.quiet_for(0.5, about="juan")
    assert (await site.api("juan").user("juan"))["chosen"] == "online"


async def test_a_message_without_id_is_carried_out_too(site: Site) -> None:
    """`id` is the client's wish for an answer: without it set_status still counts."""
    maria = await site.connect("maria", on=1)
    juan = await site.connect("juan")
    await juan.send("set_status", status="busy")
    await maria.sees("juan", "busy", reason="chosen")


async def test_after_ack_every_read_and_every_new_connection_sees_it(site: Site) -> None:
    """Acknowledged on one worker: an HTTP read and a hello on the other contain it, again and again."""
    juan = await site.connect("juan", on=0)
    await site.connect("watcher", on=1)
    for turn in range(15):
        status = "online" if turn % 2 else "busy"
        await juan.choose(status)
        read, connection = await asyncio.gather(site.api("maria", on=1).user("juan"), site.connect("maria", on=1))
        assert read["status"] == status
        assert connection.view().statuses()["juan"] == status
        assert (await site.api("maria", on=1).statuses())["juan"] == status
        await connection.leave()


async def test_after_an_http_write_every_new_connection_sees_it(site: Site) -> None:
    """A choice over HTTP on one worker is in the first snapshot on the other."""
    await site.connect("juan", on=0)
    await site.connect("watcher", on=1)
    for turn in range(10):
        status = "online" if turn % 2 else "busy"
        await site.api("juan", on=0).choose("juan", status)
        connection = await site.connect("maria", on=1)
        assert connection.view().statuses()["juan"] == status
        await connection.leave()


async def test_acks_come_in_the_order_of_their_messages(site: Site) -> None:
    """Twenty choices in a row are acknowledged in order, and the last one counts."""
    juan = await site.connect("juan")
    for number in range(20):
        await juan.send("set_status", id=number, status="busy" if number % 2 else "online")
    for number in range(20):
        assert (await juan.answer(number))["type"] == "ack"
    answered = [message["id"] for message in juan.of_type("ack")]
    assert answered == sorted(answered)
    await juan.sees("juan", "busy", reason="chosen")


async def test_self_is_sent_whoever_changed_it(site: Site) -> None:
    """By oneself, over HTTP, by an administrator, and when the timeout changes: self, on every tab of the user."""
    tabs = [await site.connect("juan", on=0), await site.connect("juan", on=1)]
    maria = await site.connect("maria", on=1)
    mine = len(maria.of_type("self"))
    await tabs[0].choose("busy")
    await asyncio.gather(*(tab.expect("self", chosen="busy") for tab in tabs))
    await site.api("juan").choose("juan", "online")
    await asyncio.gather(*(tab.expect("self", chosen="online") for tab in tabs))
    await site.admin(on=1).choose("juan", "busy")
    await asyncio.gather(*(tab.expect("self", chosen="busy") for tab in tabs))
    assert len(maria.of_type("self")) == mine
    await site.admin().set_idle_timeout(120)
    for client in (*tabs, maria):
        await client.expect("self", team=site.team, idle_timeout_ms=120_000)


async def test_self_for_an_offline_choice(site: Site) -> None:
    """What an administrator chose while the user was away is what his next connection is told."""
    await site.admin().choose("juan", "busy")
    juan = await site.connect("juan", on=1)
    assert juan.view().chosen == "busy"
    assert juan.view().statuses()["juan"] == "busy"


async def test_watch_narrows_and_widens(site: Site) -> None:
    """Ack, then a snapshot of those users and himself; later changes of these alone; "all" brings everyone back."""
    people = {name: await site.connect(name, on=1) for name in ("juan", "ana", "luz")}
    maria = await site.connect("maria")
    await maria.sees_all({"maria": "online", "juan": "online", "ana": "online", "luz": "online"})
    answer = await maria.request("watch", team=site.team, users=["juan", "nobody"])
    assert answer["type"] == "ack"
    await maria.sees_all({"maria": "online", "juan": "online"})
    types = [message["type"] for message in maria.messages]
    assert types[-1] == "snapshot"
    assert types[types.index("ack") :] == ["ack", "snapshot"]
    await people["ana"].choose("busy")
    await maria.quiet_for(0.5)
    await people["juan"].choose("busy")
    await maria.sees_soon("juan", "busy")
    await maria.choose("busy")
    await maria.sees_soon("maria", "busy")
    answer = await maria.request("watch", team=site.team, users="all")
    assert answer["type"] == "ack"
    await maria.sees_all({"maria": "busy", "juan": "busy", "ana": "busy", "luz": "online"})
    await people["luz"].choose("busy")
    await maria.sees_soon("luz", "busy")


async def test_watch_in_hello(site: Site) -> None:
    """A connection may begin narrowed; who is watched and comes later is told, others are not."""
    maria = await site.connect("maria", watch={site.team: ["juan", "ana"]})
    luz = await site.connect("luz", on=1)
    juan = await site.connect("juan", on=1)
    await maria.sees_soon("juan", "online")
    assert maria.view().statuses() == {"maria": "online", "juan": "online"}
    await luz.choose("busy")
    await juan.logout()
    await maria.sees_soon("juan", "offline", reason="signed_out")
    await maria.quiet_for(0.5)


async def test_watch_of_nobody_leaves_oneself(site: Site) -> None:
    """An empty list is a list: only the user himself remains."""
    await site.connect("juan", on=1)
    maria = await site.connect("maria", watch={site.team: []})
    assert maria.view().statuses() == {"maria": "online"}
    await maria.choose("busy")
    await maria.sees_soon("maria", "busy")


async def test_watch_in_one_team_leaves_the_others_alone(site: Site) -> None:
    """The list is of a team."""
    other = site.unique("other")
    juan = await site.connect("juan", teams=[site.team, other], on=1)
    maria = await site.connect("maria", teams=[site.team, other], watch={site.team: []})
    await maria.sees("juan", "online", team=other)
    await juan.choose("busy")
    await maria.sees_soon("juan", "busy", team=other)
    maria.never_saw("juan", "online", "busy", team=site.team)


async def test_errors_of_watch(site: Site) -> None:
    """More than a thousand users, foreign teams, wrong types: the documented code, and the view stays as it was."""
    maria = await site.connect("maria")
    thousand = [f"user{number}" for number in range(1_000)]
    assert (await maria.request("watch", team=site.team, users=thousand))["type"] == "ack"
    await maria.fails("too_many_users", "watch", team=site.team, users=[*thousand, "one-more"])
    assert (await maria.request("watch", team=site.team, users="all"))["type"] == "ack"
    await maria.fails("not_a_member", "watch", team=site.unique("foreign"), users="all")
    for wrong in ("juan", 7, None, [7], {"juan": True}):
        await maria.fails("bad_message", "watch", team=site.team, users=wrong)
    await maria.fails("bad_message", "watch", users="all")
    await site.connect("juan", on=1)
    await maria.sees_soon("juan", "online")


@pytest.mark.parametrize("number", ["text-id", 0, -5, 2**31])
async def test_any_id_is_answered_as_it_is(site: Site, number: object) -> None:
    """The id belongs to the client and comes back unchanged."""
    juan = await site.connect("juan")
    await juan.send("set_status", id=number, status="busy")
    assert (await juan.answer(number))["type"] == "ack"


async def test_a_heartbeat_with_an_id_is_answered(site: Site) -> None:
    """A page cannot see pings: an answered heartbeat is how it learns that the link is alive."""
    juan = await site.connect("juan")
    for number in (7, "text-id"):
        await juan.send("heartbeat", id=number, idle_ms=0)
        assert (await juan.answer(number))["type"] == "ack"
    await juan.fails("bad_message", "heartbeat", idle_ms=-1)
    before = len(juan.of_type("ack"))
    await juan.beat(0)
    await juan.quiet_for(0.3)
    assert len(juan.of_type("ack")) == before


async def test_a_page_is_explained_its_own_user(site: Site) -> None:
    """Explain tells what HTTP tells a user of himself: his other device counts, whichever worker it is on."""
    phone = await site.connect("juan", on=0)
    page = await site.connect("juan", on=1, idle_ms=60_000)
    await phone.choose("busy")
    await page.send("explain", id="why", team=site.team)
    told = await page.expect("explanation", id="why", team=site.team)
    assert told == {"type": "explanation", "id": "why", "team": site.team} | {
        field: value for field, value in (await site.api("juan", on=1).user("juan")).items() if field != "user"
    }
    assert (told["status"], told["chosen"], told["connections"], told["next_change"]) == ("busy", "busy", 2, "offline")
    # The phone's choice was input just now, which is what puts off the end, not the page that nobody touched.
    assert told["next_change_at"] > page.welcome["server_time"]
    assert told["next_change_at"] - told["last_active"] == page.view().idle_timeout_ms


async def test_errors_of_explain(site: Site) -> None:
    """A foreign team and one that is none: the documented code, and the connection stays."""
    juan = await site.connect("juan")
    await juan.fails("not_a_member", "explain", team=site.unique("foreign"))
    await juan.fails("bad_message", "explain")
    await juan.fails("bad_message", "explain", team=7)
    await juan.send("explain", team=site.team)
    assert "id" not in await juan.expect("explanation", team=site.team)
