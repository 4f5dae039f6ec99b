"""Faults found by attack or in production, each as it was shown first: nothing dies while the process lives."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
import redis

from tests.conftest import NewSite
from tests.support.client import Client
from tests.support.polling import becomes
from tests.support.site import Site
from tests.support.timing import GRACE_S, LEASE_S, NOTICE_S, SLACK_S, SOON_S
from tests.support.valkey import Valkey

AGAIN_S = SOON_S + SLACK_S
COALESCE_S = 0.1


@pytest.fixture
def valkey(new_valkey: Callable[..., Valkey]) -> Valkey:
    """One that these tests may break."""
    return new_valkey()


@pytest.fixture
def stored(valkey: Valkey) -> Iterator[redis.Redis]:
    with contextlib.closing(valkey.client()) as client:
        yield client


async def _ready(site: Site, on: int = 0) -> int:
    async with httpx.AsyncClient(base_url=site.workers[on].http_url, trust_env=False) as http:
        return (await http.get("/readyz")).status_code


def _key(stored: redis.Redis, ending: str) -> str:
    return next(str(key) for key in stored.scan_iter(f"*{ending}"))


async def test_a_wrong_type_in_the_index_is_trouble_that_passes(
    new_site: NewSite, valkey: Valkey, stored: redis.Redis
) -> None:
    """As long as the index refuses nobody is swept, and the worker says so; afterwards all goes on by itself."""
    site = await new_site(valkey=valkey)
    maria, juan = await site.connect("maria"), await site.connect("juan")
    await maria.sees("juan", "online")
    index = _key(stored, "{due}:clock").removesuffix(":clock")
    stored.delete(f"{index}:workers")
    stored.set(f"{index}:workers", "no sorted set")
    await maria.expect("feed", live=False, within_s=AGAIN_S)
    await becomes(lambda: _ready(site), 503, within_s=AGAIN_S)
    await juan.end()
    stored.delete(f"{index}:workers")
    await maria.expect("feed", live=True, within_s=AGAIN_S)
    assert await _ready(site) == 200
    await maria.sees("juan", "offline", reason="disconnected", within_s=2 * LEASE_S + GRACE_S + AGAIN_S)
    assert maria.close_code is None


async def test_one_team_with_broken_keys_is_that_team_s_trouble_alone(
    new_site: NewSite, valkey: Valkey, stored: redis.Redis
) -> None:
    """Its members are told that statuses may be stale; others notice nothing, and come back without it."""
    site = await new_site(valkey=valkey)
    other = site.unique("other")
    broken, well = await site.connect("maria"), await site.connect("juan", teams=[other])
    mark = _key(stored, f"{{{site.team}}}:mark")
    kept = stored.dump(mark)
    stored.delete(mark)
    stored.hset(mark, "no", "string")
    with contextlib.suppress(AssertionError):
        await broken.request("set_status", status="busy")
    await broken.expect("feed", live=False, team=site.team, within_s=AGAIN_S)
    await well.choose("busy")
    await well.sees("juan", "busy")
    # Who is in both comes into the one, and as soon as may be into the other.
    both = await site.connect("ana", teams=[site.team, other], settled=False)
    assert set((await both.expect("welcome"))["teams"]) == {site.team, other}
    await both.expect("feed", live=False, team=site.team)
    await both.expect("snapshot", team=other)
    await both.sees("juan", "busy", team=other)
    refused = await both.request("set_status", status="busy")
    assert (refused["type"], refused["code"]) == ("error", "unavailable")
    assert site.team in refused["message"]
    await well.sees("ana", "busy")
    assert await _ready(site) == 200
    stored.client_kill_filter(_type="pubsub")
    await well.expect("feed", live=False, within_s=AGAIN_S)
    await well.expect("feed", live=True, within_s=AGAIN_S)
    await well.choose("online")
    await well.sees("juan", "online")
    assert not [message for message in well.of_type("feed") if "team" in message]
    stored.delete(mark)
    stored.restore(mark, 0, kept) if isinstance(kept, bytes) else None
    await broken.expect("feed", live=True, team=site.team, within_s=2 * AGAIN_S)
    await broken.choose("online")
    await broken.sees("maria", "online")
    await both.expect("feed", live=True, team=site.team)
    assert both.view(site.team).statuses() == {"maria": "online", "ana": "online"}


async def test_who_is_back_first_after_an_outage_sweeps_nobody_away(new_site: NewSite, valkey: Valkey) -> None:
    """Redis is away for most of a lease; one worker is back at once, the other a moment later: nobody is offline."""
    site = await new_site(workers=2, valkey=valkey)
    maria = await site.connect("maria", on=0)
    await site.connect("juan", on=1)
    await maria.sees("juan", "online")
    quiet = asyncio.create_task(maria.quiet_for(3 * LEASE_S))
    valkey.pause()
    await asyncio.sleep(0.7 * LEASE_S)
    site.workers[1].pause()
    await asyncio.sleep(0.2 * LEASE_S)
    valkey.resume()
    await maria.expect("feed", live=True, within_s=AGAIN_S)
    await asyncio.sleep(LEASE_S / 4)
    site.workers[1].resume()
    await quiet


async def test_a_renewal_that_comes_too_late_leaves_nothing(new_site: NewSite, valkey: Valkey) -> None:
    """It is answered with `unavailable`, and the team it named is not joined once Redis is back."""
    site = await new_site(valkey=valkey)
    other = site.unique("other")
    maria = await site.connect("maria", sid="s1")
    valkey.pause()
    try:
        token = site.token("maria", teams=[site.team, other], sid="s1")
        await maria.send("renew", id="late", token=token)
        assert (await maria.answer("late", within_s=10.0 + AGAIN_S))["code"] == "unavailable"
    finally:
        valkey.resume()
    await maria.expect("feed", live=True, within_s=AGAIN_S)
    await maria.choose("busy")
    found = await site.api("watcher", teams=[other]).request("GET", f"/v1/teams/{other}/presence")
    assert found.json()["users"] == {}


async def test_two_renewals_at_once_hold_as_the_last(site: Site) -> None:
    """Acknowledged in the order they were sent; the last one's teams are what he is in."""
    other = site.unique("other")
    maria = await site.connect("maria", sid="s1")
    await maria.send("renew", id=1, token=site.token("maria", teams=[site.team, other], sid="s1"))
    await maria.send("renew", id=2, token=site.token("maria", sid="s1"))
    await maria.send("set_status", id=3, status="busy", team=other)
    await maria.answer(1)
    await maria.answer(2)
    assert (await maria.answer(3))["code"] == "not_a_member"
    assert [message["id"] for message in maria.of_type("ack")] == [1, 2]


async def test_people_who_keep_trying_during_an_outage_leave_nothing(
    new_site: NewSite, valkey: Valkey, stored: redis.Redis
) -> None:
    """Who gave up before Redis is back was never there, but for those who were on their way to it already."""
    site = await new_site(valkey=valkey)
    maria = await site.connect("maria")
    version = maria.view().version
    valkey.pause()
    try:
        people = [await site.connect(f"user{n}", settled=False) for n in range(60)]
        await asyncio.gather(*[person.connection.ping() for person in people])
        await asyncio.gather(*[person.end() for person in people])
    finally:
        valkey.resume()
    await maria.choose("busy")
    await maria.sees("maria", "busy")
    assert maria.view().version <= version + 6
    assert len(await site.admin().statuses()) <= 5
    assert len(list(stored.scan_iter("*:user:*"))) <= 5


async def test_many_sign_outs_reach_teammates_in_few_frames(site: Site) -> None:
    """They are coalesced like everything else; whoever was signed out is told at once."""
    maria = await site.connect("maria")
    people = [await site.connect(f"user{n}", sid=site.unique(f"s{n}")) for n in range(40)]
    await maria.sees_all({"maria": "online"} | {f"user{n}": "online" for n in range(40)})
    before = len(maria.of_type("delta"))
    begin_s = time.monotonic()
    await asyncio.gather(*[person.send("logout") for person in people])
    await asyncio.gather(*[person.closed(4506, 1000) for person in people])
    await maria.sees_all({"maria": "online"})
    windows = (time.monotonic() - begin_s) / COALESCE_S
    assert len(maria.of_type("delta")) - before <= windows + 2


async def test_a_token_that_has_signed_out_takes_nobody_s_place(new_site: NewSite) -> None:
    """It is refused before room is made for it: the user's live connections stay."""
    site = await new_site(max_connections_per_user=2)
    gone = site.token("maria", sid=site.unique("gone"))
    await (await site.connect("maria", token=gone)).logout()
    tabs = [await site.connect("maria", sid=site.unique("here")) for _ in range(2)]
    await site.refused(4506, token=gone)
    for tab in tabs:
        await tab.beat()
        await tab.choose("online")
        assert tab.close_code is None


async def test_a_user_without_sid_who_keeps_reconnecting_stays_small(site: Site, shared_valkey: Valkey) -> None:
    """Whatever he does, what a script reads of him is bounded."""
    for _ in range(30):
        client: Client = await site.connect("maria")
        await client.end()
    last = await site.connect("maria")
    await site.api("maria").request("DELETE", "/v1/teams/{team}/presence/maria")
    await last.closed(4506)
    with contextlib.closing(shared_valkey.client()) as stored:
        record = str(stored.get(_key(stored, f"{{{site.team}}}:user:maria")))
        assert len(record) < 200, record
        assert list(stored.scan_iter(f"*{{{site.team}}}:out:*")) == []


async def test_a_team_s_own_grace_holds(site: Site) -> None:
    """Rule 6: 0 for one that wants to know at once, and long for phones in the background, even beyond a lease."""
    maria, juan = await site.connect("maria"), await site.connect("juan")
    answer = await site.admin().request("PUT", "/v1/teams/{team}/settings", json={"disconnect_grace": 0})
    assert answer.json()["disconnect_grace"] == 0
    await juan.end()
    await maria.sees("juan", "offline", reason="disconnected", within_s=NOTICE_S + SLACK_S)
    await site.admin().request("PUT", "/v1/teams/{team}/settings", json={"disconnect_grace": 3600})
    again = await site.connect("juan", on=1)
    await maria.sees("juan", "online")
    await again.end()
    await maria.quiet_for(2 * LEASE_S, about="juan")
    detail = await site.admin().user("juan")
    assert (detail["status"], detail["connections"], detail["next_change"]) == ("online", 0, "offline")


async def test_a_long_grace_outlives_the_worker(new_site: NewSite) -> None:
    """The grace of a dead worker's connections counts from its last renewal, and is the team's own."""
    site = await new_site(workers=2)
    await site.admin().request("PUT", "/v1/teams/{team}/settings", json={"disconnect_grace": 3 * LEASE_S})
    maria = await site.connect("maria", on=0)
    await site.connect("juan", on=1)
    ana = await site.connect("ana", on=1)
    await maria.sees("ana", "online")
    await ana.end()
    quiet = asyncio.create_task(maria.quiet_for(2 * LEASE_S))
    site.workers[1].kill()
    await quiet
    within_s = LEASE_S + NOTICE_S + 2 * SLACK_S
    await maria.sees("juan", "offline", reason="disconnected", within_s=within_s)
    await maria.sees("ana", "offline", reason="disconnected", within_s=within_s)


async def test_a_shorter_timeout_shows_nobody_idle_who_is_not(site: Site) -> None:
    """His newest input was not owed to Redis yet by the old timeout: it is told before the new one holds."""
    maria, juan = await site.connect("maria", on=0), await site.connect("juan", on=1)
    await maria.sees("juan", "online")
    await asyncio.sleep(2.5)
    await juan.beat(0)
    await maria.beat(0)
    told = len(maria.view().told)
    await site.admin().set_idle_timeout(2)
    async with juan.typing(), maria.typing():
        await asyncio.sleep(2 * NOTICE_S)
    assert [each for each in maria.view().told[told:] if each.status == "offline"] == []


async def test_settings_wait_for_redis_no_longer_than_promised(new_site: NewSite, valkey: Valkey) -> None:
    """503 after ten seconds, and nothing is carried out for a caller who is gone."""
    site = await new_site(valkey=valkey)
    await site.connect("maria")
    valkey.pause()
    try:
        answer = await site.admin().request("PUT", "/v1/teams/{team}/settings", json={"idle_timeout": 300}, timeout=30)
        assert answer.status_code == 503
    finally:
        valkey.resume()
    await becomes(lambda: _ready(site), 200, within_s=AGAIN_S)
    assert (await site.api("maria").settings())["idle_timeout"] == 600
