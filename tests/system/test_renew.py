"""Section 5 of the contract: renewing a token, and its expiry."""

from __future__ import annotations

import time

from tests.support.site import Site
from tests.support.timing import GRACE_S, NOTICE_S, SLACK_S


async def test_renew_goes_on_past_the_first_tokens_expiry(site: Site) -> None:
    """Renewed in time: the connection outlives the old token, and teammates see nothing."""
    maria = await site.connect("maria", on=1)
    juan = await site.connect("juan", ttl_s=3)
    await maria.sees("juan", "online")
    assert (await juan.request("renew", token=site.token("juan", ttl_s=600)))["type"] == "ack"
    await maria.quiet_for(5, about="juan")
    assert juan.close_code is None


async def test_an_expired_token_ends_the_connection_with_4004(site: Site) -> None:
    """Not renewed: 4004 at the expiry, at most a second or so later; the connection is forgiven like any other."""
    maria = await site.connect("maria", on=1)
    expires = int(time.time()) + 3
    juan = await site.connect("juan", token=site.token("juan", exp=expires))
    await maria.sees("juan", "online")
    await juan.closed(4004, within_s=4 + 2 * SLACK_S)
    assert time.time() >= expires
    await site.connect("juan", token=site.token("juan"))
    await maria.quiet_for(GRACE_S + NOTICE_S, about="juan")


async def test_a_shorter_token_ends_the_connection_earlier(site: Site) -> None:
    """The new token counts, also where it expires before the old one did."""
    juan = await site.connect("juan", ttl_s=600)
    expires = int(time.time()) + 3
    assert (await juan.request("renew", token=site.token("juan", exp=expires)))["type"] == "ack"
    await juan.closed(4004, within_s=4 + 2 * SLACK_S)
    assert time.time() >= expires


async def test_renew_joins_and_leaves_teams(site: Site) -> None:
    """A team added brings self and snapshot and shows the user there; a team gone shows him offline, and is silent."""
    first, second, third = site.team, site.unique("second"), site.unique("third")
    maria = await site.connect("maria", teams=[first, second, third], on=1)
    juan = await site.connect("juan", teams=[first, second])
    await maria.sees("juan", "online", team=first)
    assert (await juan.request("renew", token=site.token("juan", teams=[second, third])))["type"] == "ack"
    await juan.expect("self", team=third)
    await juan.sees("maria", "online", team=third)
    await maria.sees("juan", "online", team=third, reason="signed_in")
    await maria.sees("juan", "offline", team=first, within_s=GRACE_S + NOTICE_S + SLACK_S)
    known = len(juan.view(first).told)
    await maria.choose("busy")
    await juan.sees("maria", "busy", team=third)
    await juan.sees("maria", "busy", team=second)
    await juan.fails("not_a_member", "set_status", status="busy", team=first)
    assert len(juan.view(first).told) == known
    maria.never_saw("juan", "offline", team=second)


async def test_a_refused_renewal_keeps_the_old_token(site: Site) -> None:
    """Another user, another session, a bad signature, an expired one, no text: bad_token, and all stays as it was."""
    sid = site.unique("laptop")
    juan = await site.connect("juan", sid=sid)
    for token in (
        site.token("maria", sid=sid),
        site.token("juan", sid=site.unique("phone")),
        site.token("juan"),
        site.token("juan", sid=sid, secret="another-secret-that-is-long-enough-for-hs256-01234"),
        site.token("juan", sid=sid, ttl_s=-10),
        "no-token",
    ):
        await juan.fails("bad_token", "renew", token=token)
    await juan.choose("busy")
    assert juan.view().statuses() == {"juan": "busy"} or await juan.sees("juan", "busy")
    assert (await juan.request("renew", token=site.token("juan", sid=sid)))["type"] == "ack"


async def test_renewing_without_sid_keeps_a_session_of_its_own(site: Site) -> None:
    """Neither token has a sid: that is the same sid."""
    juan = await site.connect("juan")
    assert (await juan.request("renew", token=site.token("juan", ttl_s=900)))["type"] == "ack"
    await juan.fails("bad_token", "renew", token=site.token("juan", sid=site.unique("phone")))


async def test_renew_is_no_activity(site: Site) -> None:
    """A page renews by itself: who idles stays idle."""
    await site.admin().set_idle_timeout(1)
    maria = await site.connect("maria", on=1)
    juan = await site.connect("juan")
    async with maria.typing():
        await maria.sees("juan", "offline", reason="idle")
        assert (await juan.request("renew", token=site.token("juan")))["type"] == "ack"
        await maria.quiet_for(0.7, about="juan")


async def test_a_renewal_that_leaves_no_team_is_refused(site: Site) -> None:
    """A token without any team has nothing to be connected for: refused, and the old one stays."""
    juan = await site.connect("juan")
    await juan.fails("bad_token", "renew", token=site.token("juan", teams=[]))
    await juan.choose("busy")
