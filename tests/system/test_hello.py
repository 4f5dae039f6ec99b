"""Section 5 of the contract: hello, welcome, heartbeats, and connections that replace each other."""

from __future__ import annotations

import asyncio

import pytest

from tests.conftest import NewSite
from tests.support.polling import becomes
from tests.support.site import Site
from tests.support.timing import GRACE_S, NOTICE_S, SLACK_S, SOON_S


async def test_no_hello_within_five_seconds_is_4002(site: Site) -> None:
    """Who connects and says nothing is closed with 4002, not before five seconds."""
    stranger = await site.open()
    with pytest.raises(AssertionError, match="to be closed"):
        await stranger.closed(within_s=4)
    await stranger.closed(4002, within_s=1 + 2 * SLACK_S)


async def test_anything_before_hello_has_no_effect(site: Site) -> None:
    """Hello comes first: other messages get an error or a close, and never a welcome or an ack."""

    async def begin_with(type_: str) -> None:
        stranger = await site.open()
        await stranger.send(
            type_, id=1, status="busy", team=site.team, users="all", idle_ms=0, token=site.token("juan")
        )
        await stranger.closed(within_s=6 + SLACK_S)
        assert {message["type"] for message in stranger.messages} <= {"error"}, f"Expected no effect of {type_}"

    await asyncio.gather(*(begin_with(type_) for type_ in ("heartbeat", "set_status", "watch", "renew", "logout")))
    assert await site.admin().statuses() == {}


async def test_hello_comes_once(site: Site) -> None:
    """A second hello is a bad message; the connection goes on as it was."""
    juan = await site.connect("juan")
    await juan.fails("bad_message", "hello", token=site.token("maria"))
    await juan.choose("busy")
    assert juan.view().statuses() == {"juan": "online"} or juan.view().statuses() == {"juan": "busy"}
    assert len(juan.of_type("welcome")) == 1


async def test_welcome_names_user_connection_teams_and_times(site: Site) -> None:
    """The fields of welcome; each connection has an id of its own."""
    other = site.unique("other")
    tabs = [await site.connect("maria", teams=[other, site.team], on=on) for on in (0, 0, 1)]
    welcome = tabs[0].welcome
    assert welcome["user"] == "maria"
    assert sorted(welcome["teams"]) == sorted([other, site.team])
    assert isinstance(welcome["heartbeat_ms"], int)
    assert len({tab.id for tab in tabs}) == 3
    for tab in tabs:
        assert set(tab.views) == {other, site.team}


async def test_a_large_hello_is_taken_and_a_larger_one_refused(site: Site) -> None:
    """Hello is at most 32 KiB: just below passes, above is closed with 4505."""
    for filler, taken in (("x" * 32_000, True), ("x" * 32_800, False)):
        client = await site.open()
        await client.send("hello", token=site.token("juan"), filler=filler)
        if taken:
            await client.settled()
        else:
            await client.closed(4505)


async def test_unknown_fields_are_ignored(site: Site) -> None:
    """In hello and later: a newer client may say more than this server knows."""
    stranger = await site.open()
    await stranger.send("hello", token=site.token("juan"), theme="dark", nested={"a": [1, {"b": None}]})
    await stranger.settled()
    await stranger.send("heartbeat", idle_ms=0, battery=0.7)
    answer = await stranger.request("set_status", status="busy", why=["a", "b"])
    assert answer["type"] == "ack"


async def test_an_unknown_type_is_an_error_and_the_connection_stays(site: Site) -> None:
    """`unknown_type` with the message's id."""
    juan = await site.connect("juan")
    await juan.fails("unknown_type", "dance", team=site.team)
    await juan.send("wave")
    assert (await juan.expect("error", code="unknown_type"))["code"] == "unknown_type"
    await juan.choose("busy")


@pytest.mark.parametrize("idle_ms", ["0", -1, 1.5, True, None, [0], 2**80])
async def test_a_heartbeat_with_a_wrong_idle_ms_is_a_bad_message(site: Site, idle_ms: object) -> None:
    """Expected an integer that is not negative; anything else changes nothing and the connection stays."""
    maria = await site.connect("maria", on=1)
    juan = await site.connect("juan")
    await maria.sees("juan", "online")
    if idle_ms == 2**80:
        await juan.send("heartbeat", idle_ms=idle_ms)
    else:
        await juan.fails("bad_message", "heartbeat", idle_ms=idle_ms)
    await maria.quiet_for(0.5, about="juan")
    await juan.choose("busy")


async def test_hello_without_idle_ms_means_zero(site: Site) -> None:
    """No `idle_ms` in hello: active now."""
    await site.admin().set_idle_timeout(60)
    maria = await site.connect("maria", idle_ms=0)
    await site.connect("juan", on=1)
    told = await maria.sees_soon("juan", "online", reason="signed_in")
    detail = await site.api("juan").user("juan")
    assert abs(detail["last_active"] - told.since) < SOON_S * 1_000


async def test_hello_waits_while_a_token_is_checked_and_then_all_teams_come(site: Site) -> None:
    """Many teams in one token: welcome first, then self and snapshot of each, in every connection of a rush."""
    teams = [f"{site.tag}-{number}" for number in range(30)]
    people = await asyncio.gather(*(site.connect(f"user{n}", teams=teams, on=n % 2) for n in range(10)))
    everyone = {f"user{number}": "online" for number in range(10)}
    for person in people:
        for team in teams:
            await person.sees_all(everyone, team=team)


@pytest.mark.parametrize("back_on", [0, 1])
async def test_replaces_ends_the_previous_connection_wherever_it_is(site: Site, back_on: int) -> None:
    """A half-open connection after a network switch does not linger: it ends now, and teammates see nothing."""
    maria = await site.connect("maria")
    before = await site.connect("juan", on=0)
    await maria.sees("juan", "online")
    before.freeze()
    after = await site.connect("juan", on=back_on, replaces=before.id)

    async def connections() -> object:
        return (await site.api("juan").user("juan"))["connections"]

    await becomes(connections, 1)
    before.thaw()
    await before.closed(within_s=SOON_S)
    await maria.quiet_for(GRACE_S + NOTICE_S, about="juan")
    await after.leave()
    await maria.sees("juan", "offline", reason="disconnected", within_s=GRACE_S + NOTICE_S + SLACK_S)


async def test_replaces_of_another_users_connection_does_nothing(site: Site) -> None:
    """Only one's own connection can be replaced; an unknown id is nothing to replace."""
    maria = await site.connect("maria", on=0)
    await site.connect("juan", on=0, replaces=maria.id)
    await site.connect("juan", on=1, replaces=maria.id)
    await site.connect("juan", on=1, replaces="no-such-connection")
    await maria.quiet_for(0.5, about="maria")
    assert maria.close_code is None
    await maria.choose("busy")


async def test_a_replaced_connection_is_not_held_any_more(new_site: NewSite) -> None:
    """Replaced, then the new one signs out: offline at once, although the old one was never closed by its client."""
    site = await new_site(workers=2)
    maria = await site.connect("maria", on=0)
    before = await site.connect("juan", on=0)
    await maria.sees("juan", "online")
    before.freeze()
    after = await site.connect("juan", on=1, replaces=before.id)
    await after.logout()
    await maria.sees_soon("juan", "offline", reason="signed_out")
    before.thaw()
    await before.closed(within_s=SOON_S)


WRONG_HELLOS: list[dict[str, object]] = [
    {"idle_ms": "0"},
    {"idle_ms": -1},
    {"resume": "acme"},
    {"resume": {"acme": 7}},
    {"resume": {"acme": {"epoch": 1, "version": "x"}}},
    {"watch": ["juan"]},
    {"watch": {"acme": "juan"}},
    {"replaces": 7},
    {"token": None},
    {"token": 7},
    {"token": {"a": 1}},
]


async def test_wrong_types_in_hello_get_no_welcome(site: Site) -> None:
    """A hello whose fields are of the wrong type: an error or a close, never a crash and never a welcome."""

    async def greet(wrong: dict[str, object]) -> None:
        stranger = await site.open()
        await stranger.send("hello", **({"token": site.token("juan")} | wrong))
        await stranger.closed(within_s=6 + SLACK_S)
        assert {message["type"] for message in stranger.messages} <= {"error"}, f"Expected no effect of {wrong}"
        assert stranger.close_code in (4002, 4501, 4505), f"Expected another code for {wrong}"

    await asyncio.gather(*(greet(wrong) for wrong in WRONG_HELLOS))
    assert await site.admin().statuses() == {}
