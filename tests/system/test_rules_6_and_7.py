"""Section 2 of the contract, rules 6 and 7: losing a connection, and signing out."""

from __future__ import annotations

import asyncio

import pytest

from tests.conftest import NewSite
from tests.support.site import Site
from tests.support.timing import GRACE_S, LEASE_S, NOTICE_S, SLACK_S


@pytest.mark.parametrize("how", ["closed", "lost"])
@pytest.mark.parametrize("back_on", [0, 1])
async def test_rule_6_a_reload_shows_teammates_nothing(site: Site, how: str, back_on: int) -> None:
    """Gone and back within the grace, on the same worker or another: nobody is told anything."""
    watchers = [await site.connect("maria", on=0), await site.connect("ana", on=1)]
    juan = await site.connect("juan", on=0)
    for watcher in watchers:
        await watcher.sees("juan", "online")
    await (juan.leave() if how == "closed" else juan.drop())
    await watchers[0].quiet_for(GRACE_S / 3, about="juan")
    await site.connect("juan", on=back_on)
    await asyncio.gather(*(watcher.quiet_for(GRACE_S + NOTICE_S, about="juan") for watcher in watchers))


@pytest.mark.parametrize("how", ["closed", "lost"])
async def test_rule_6_who_stays_away_is_offline_after_the_grace(site: Site, how: str) -> None:
    """Not before the grace ends, within 1.5 s of it, with the reason disconnected, on every worker."""
    watchers = [await site.connect("maria", on=0), await site.connect("ana", on=1)]
    juan = await site.connect("juan", on=0)
    for watcher in watchers:
        await watcher.sees("juan", "online")
    server_time = (await site.connect("clock")).welcome["server_time"]
    await (juan.leave() if how == "closed" else juan.drop())
    for watcher in watchers:
        told = await watcher.sees("juan", "offline", reason="disconnected", within_s=GRACE_S + NOTICE_S + SLACK_S)
        assert told.since is not None
        assert told.since >= server_time + GRACE_S * 1_000, "Expected the grace to have been given in full"


async def test_rule_6_another_open_connection_outlasts_the_grace(site: Site) -> None:
    """One tab of two closed: the grace's end tells nothing."""
    maria = await site.connect("maria")
    closing = await site.connect("juan", on=0)
    await site.connect("juan", on=1)
    await maria.sees("juan", "online")
    await closing.leave()
    await maria.quiet_for(GRACE_S + NOTICE_S, about="juan")


async def test_rule_6_a_forgiven_connection_is_not_an_open_one(site: Site) -> None:
    """`connections` counts the open ones; the forgiven one still shows its user online."""
    juan = await site.connect("juan")
    await juan.leave()
    detail = await site.api("juan").user("juan")
    assert (detail["status"], detail["connections"]) == ("online", 0)


async def test_rule_6_what_is_left_of_a_dead_workers_lease_is_the_grace(new_site: NewSite) -> None:
    """A worker is killed: its users are offline within the lease and 1.5 s, but not before the grace is over."""
    site = await new_site(workers=2)
    maria = await site.connect("maria", on=0)
    await site.connect("juan", on=1)
    await maria.sees("juan", "online")
    before = (await site.connect("clock")).welcome["server_time"]
    site.workers[1].kill()
    told = await maria.sees("juan", "offline", reason="disconnected", within_s=LEASE_S + NOTICE_S + SLACK_S)
    assert told.since is not None
    # Renewed every third: at least two thirds of the lease are left.
    assert told.since >= before + LEASE_S * 1_000 * 0.6


async def test_rule_7_logout_is_at_once(site: Site) -> None:
    """Offline at once, without any grace, with the reason signed_out; the connection is closed with 4506."""
    watchers = [await site.connect("maria", on=0), await site.connect("ana", on=1)]
    juan = await site.connect("juan")
    for watcher in watchers:
        await watcher.sees("juan", "online")
    assert await juan.logout() == 4506
    for watcher in watchers:
        await watcher.sees_soon("juan", "offline", reason="signed_out")


async def test_rule_7_logout_ends_every_connection_of_the_session(site: Site) -> None:
    """All tabs of one sign-in, on every worker, are closed with 4506 and none is forgiven."""
    sid = site.unique("laptop")
    maria = await site.connect("maria")
    tabs = [await site.connect("juan", on=number % 2, sid=sid) for number in range(4)]
    await maria.sees("juan", "online")
    await tabs[0].send("logout")
    for tab in tabs:
        await tab.closed(4506)
    await maria.sees_soon("juan", "offline", reason="signed_out")
    assert (await site.admin().user("juan"))["connections"] == 0


async def test_rule_7_logout_is_for_good(site: Site) -> None:
    """A token of the session is refused with 4506 from then on, on every worker; a new session is welcome."""
    sid = site.unique("laptop")
    juan = await site.connect("juan", sid=sid)
    await juan.logout()
    await site.refused(4506, sid=sid, on=0)
    await site.refused(4506, sid=sid, on=1)
    await site.connect("juan", sid=site.unique("phone"))


async def test_rule_7_another_session_keeps_the_user(site: Site) -> None:
    """Signed out on the laptop, still open on the phone: teammates see nothing."""
    maria = await site.connect("maria")
    laptop = await site.connect("juan", sid=site.unique("laptop"), on=0)
    phone = await site.connect("juan", sid=site.unique("phone"), on=1)
    await maria.sees("juan", "online")
    await laptop.logout()
    await maria.quiet_for(GRACE_S + NOTICE_S, about="juan")
    assert phone.close_code is None
    await phone.logout()
    await maria.sees_soon("juan", "offline", reason="signed_out")


async def test_rule_7_logout_ends_every_forgiven_connection(site: Site) -> None:
    """A forgiven connection of another session does not keep the user once he signs out."""
    maria = await site.connect("maria")
    phone = await site.connect("juan", sid=site.unique("phone"), on=1)
    laptop = await site.connect("juan", sid=site.unique("laptop"), on=0)
    await maria.sees("juan", "online")
    await phone.drop()
    signed_out_at = (await site.connect("clock")).welcome["server_time"]
    await laptop.logout()
    told = await maria.sees_soon("juan", "offline", reason="signed_out")
    assert told.since is not None
    assert told.since < signed_out_at + (GRACE_S + SLACK_S) * 1_000


async def test_rule_7_without_sid_each_connection_is_its_own_session(site: Site) -> None:
    """Two tabs without a sid: signing out of one leaves the other."""
    maria = await site.connect("maria")
    tabs = [await site.connect("juan", on=0), await site.connect("juan", on=1)]
    await maria.sees("juan", "online")
    await tabs[0].logout()
    await maria.quiet_for(GRACE_S + NOTICE_S, about="juan")
    assert tabs[1].close_code is None


async def test_rule_7_a_session_is_of_its_user(site: Site) -> None:
    """Two users whose applications call both sessions the same: signing out of one leaves the other alone."""
    sid = site.unique("session")
    maria = await site.connect("maria", sid=sid)
    juan = await site.connect("juan", sid=sid, on=1)
    await maria.sees("juan", "online")
    await juan.logout()
    await maria.sees_soon("juan", "offline", reason="signed_out")
    assert maria.close_code is None
    await site.connect("maria", sid=sid, on=1)


async def test_rule_7_logout_holds_in_every_team(site: Site) -> None:
    """A session is one sign-in: it ends in all teams of the token."""
    teams = [site.team, site.unique("other")]
    maria = await site.connect("maria", teams=teams)
    juan = await site.connect("juan", teams=teams, on=1)
    for team in teams:
        await maria.sees("juan", "online", team=team)
    await juan.logout()
    for team in teams:
        await maria.sees_soon("juan", "offline", reason="signed_out", team=team)


async def test_rule_7_logout_ends_connections_of_the_session_in_other_teams(site: Site) -> None:
    """Tabs of one session with different teams: all are closed, and no team keeps the user."""
    sid, other = site.unique("laptop"), site.unique("other")
    maria = await site.connect("maria", teams=[site.team, other])
    here = await site.connect("juan", sid=sid)
    there = await site.connect("juan", sid=sid, teams=[other], on=1)
    await maria.sees("juan", "online", team=other)
    await here.logout()
    await there.closed(4506)
    for team in (site.team, other):
        await maria.sees_soon("juan", "offline", reason="signed_out", team=team)


async def test_rule_7_a_logout_that_crosses_a_loss_still_signs_out(site: Site) -> None:
    """The tab is closed in the moment after logout was sent: signed out, not forgiven."""
    maria = await site.connect("maria")
    juan = await site.connect("juan", on=1)
    await maria.sees("juan", "online")
    await juan.send("logout")
    await juan.drop()
    await maria.sees_soon("juan", "offline", reason="signed_out")
