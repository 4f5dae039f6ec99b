"""Redis restarted with and without its data, gone for a while, and standing still, with two workers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.conftest import NewSite
from tests.support.client import Client
from tests.support.polling import becomes
from tests.support.site import Site
from tests.support.timing import GRACE_S, LEASE_S, NOTICE_S, SLACK_S, UNIT
from tests.support.valkey import Valkey

AGAIN_S = 3 * UNIT
"""How long after the end of an outage every view may take to be right."""


async def _people(site: Site) -> dict[str, Client]:
    """Six people on two workers, half of them busy, who all see each other."""
    people = {f"user{number}": await site.connect(f"user{number}", on=number % 2) for number in range(6)}
    for number, client in enumerate(people.values()):
        if number < 3:
            await client.choose("busy")
    for client in people.values():
        await client.sees_all(EXPECTED)
    return people


EXPECTED = {f"user{number}": "busy" if number < 3 else "online" for number in range(6)}


async def _feed(people: dict[str, Client], live: bool, within_s: float) -> None:
    await asyncio.gather(*(client.expect("feed", live=live, within_s=within_s) for client in people.values()))


def _nobody_saw_anybody_offline(people: dict[str, Client]) -> None:
    for client in people.values():
        for user in people:
            client.never_saw(user, "offline")
        assert client.close_code is None


async def _keep_copy(site: Site, people: dict[str, Client], valkey: Valkey) -> None:
    """Keep what Redis has now, to go back to, and let all be well again."""
    await asyncio.to_thread(valkey.stop)
    valkey.keep_copy()
    await asyncio.to_thread(valkey.start)
    await _feed(people, True, within_s=AGAIN_S + SLACK_S)
    await site.converges(within_s=AGAIN_S)


async def _outage(
    site: Site, people: dict[str, Client], begin: Callable[[], None], seconds: float, end: Callable[[], Awaitable[None]]
) -> None:
    """Redis is away for `seconds`; everyone is told so, nobody is shown offline, and all is right soon after."""
    begin()
    await _feed(people, False, within_s=LEASE_S + 2 * SLACK_S)
    await asyncio.sleep(seconds)
    for client in people.values():
        assert client.of_type("feed")[-1]["live"] is False
    await end()
    await _feed(people, True, within_s=AGAIN_S + SLACK_S)
    await site.converges(within_s=AGAIN_S)
    for client in people.values():
        assert client.view().statuses() == EXPECTED
    await asyncio.gather(*(client.quiet_for(LEASE_S + NOTICE_S) for client in people.values()))
    _nobody_saw_anybody_offline(people)


@pytest.mark.parametrize("data", ["with data", "without data"])
async def test_redis_restarts(new_site: NewSite, new_valkey: Callable[..., Valkey], data: str) -> None:
    """Killed and back at the same address, with its data or as a fresh instance: no false offline, each view right."""
    valkey = new_valkey(persistent=True)
    site = await new_site(workers=2, valkey=valkey)
    people = await _people(site)

    async def restart() -> None:
        if data == "without data":
            valkey.forget()
        await asyncio.to_thread(valkey.start)

    await _outage(site, people, valkey.kill, 0.5, restart)
    await people["user5"].choose("busy")
    await people["user0"].sees_soon("user5", "busy")
    assert people["user0"].view().chosen == "busy"
    await people["user4"].logout()
    await people["user1"].sees_soon("user4", "offline", reason="signed_out")


async def test_redis_comes_back_without_its_latest_writes(new_site: NewSite, new_valkey: Callable[..., Valkey]) -> None:
    """A failover to a replica that was behind: versions repeat with other changes; every view is right again."""
    valkey = new_valkey(persistent=True)
    site = await new_site(workers=2, valkey=valkey)
    people = await _people(site)
    await _keep_copy(site, people, valkey)
    await people["user5"].choose("busy")
    juan = people["juan"] = await site.connect("juan", on=1)
    for client in people.values():
        await client.sees_all(EXPECTED | {"user5": "busy", "juan": "online"})
    valkey.kill()
    valkey.restore_copy()
    await asyncio.to_thread(valkey.start)
    await _feed(people, True, within_s=AGAIN_S + SLACK_S)
    await site.converges(within_s=AGAIN_S)
    await asyncio.gather(*(client.quiet_for(LEASE_S + NOTICE_S) for client in people.values()))
    assert set(juan.view().statuses()) == set(people)
    await site.converges()
    # Of the choice whose write was lost, all must be of one opinion.
    assert juan.view().statuses()["user5"] == people["user5"].view().chosen
    _nobody_saw_anybody_offline(people)


async def test_what_was_lost_may_have_been_overtaken(new_site: NewSite, new_valkey: Callable[..., Valkey]) -> None:
    """Who knew of it stands still meanwhile, and comes back when its number is another change's."""
    valkey = new_valkey(persistent=True)
    site = await new_site(workers=2, valkey=valkey)
    people = await _people(site)
    await _keep_copy(site, people, valkey)
    maria = people["user0"]
    juan = await site.connect("juan", on=1)
    await maria.sees("juan", "online")
    site.workers[0].pause()
    site.workers[1].kill()
    valkey.kill()
    valkey.restore_copy()
    await asyncio.to_thread(valkey.start)
    await asyncio.to_thread(site.workers[1].start)
    await juan.closed(1006)
    await site.connect("ana", on=1)
    eva = await site.connect("eva", on=1)
    await eva.sees("ana", "online")
    site.workers[0].resume()
    # Those of the worker that was killed do not come back.
    there = {"user0": "busy", "user2": "busy", "user4": "online", "ana": "online", "eva": "online"}
    await maria.sees_all(there, within_s=LEASE_S + NOTICE_S + AGAIN_S + SLACK_S)
    await eva.sees_all(there)


async def test_redis_is_away_for_longer_than_the_lease(new_site: NewSite, new_valkey: Callable[..., Valkey]) -> None:
    """Gone for two leases and a grace: an outage is never a mass sign-out."""
    valkey = new_valkey(persistent=True)
    site = await new_site(workers=2, valkey=valkey)
    people = await _people(site)

    async def restart() -> None:
        await asyncio.to_thread(valkey.start)

    await _outage(site, people, valkey.kill, 2 * LEASE_S + GRACE_S, restart)


@pytest.mark.long
async def test_redis_is_away_for_twenty_seconds(new_site: NewSite, new_valkey: Callable[..., Valkey]) -> None:
    """A real one, under the settings of the contract's defaults for lease and grace, and without its data after it."""
    valkey = new_valkey()
    site = await new_site(workers=2, valkey=valkey, lease_ttl=30, disconnect_grace=20)
    people = await _people(site)
    valkey.kill()
    await _feed(people, False, within_s=10 + SLACK_S)
    await asyncio.sleep(20)
    await asyncio.to_thread(valkey.start)
    await _feed(people, True, within_s=AGAIN_S + SLACK_S)
    await site.converges(within_s=AGAIN_S)
    await asyncio.gather(*(client.quiet_for(NOTICE_S) for client in people.values()))
    _nobody_saw_anybody_offline(people)
    assert people["user0"].view().statuses() == EXPECTED


async def test_redis_stands_still(new_site: NewSite, new_valkey: Callable[..., Valkey]) -> None:
    """SIGSTOP for longer than the lease: connections stay, nothing answers; the same promises hold."""
    valkey = new_valkey()
    site = await new_site(workers=2, valkey=valkey)
    people = await _people(site)

    async def wake() -> None:
        valkey.resume()

    await _outage(site, people, valkey.pause, LEASE_S + 1 * UNIT, wake)


async def test_flushall_while_everyone_is_connected(new_site: NewSite, new_valkey: Callable[..., Valkey]) -> None:
    """Somebody empties Redis without any outage: the roster is written back and nobody flashes."""
    valkey = new_valkey()
    site = await new_site(workers=2, valkey=valkey)
    people = await _people(site)
    with valkey.client() as redis:
        redis.flushall()
    await site.converges(within_s=LEASE_S + AGAIN_S)
    seconds = LEASE_S + NOTICE_S
    await asyncio.gather(*(client.quiet_for(seconds, about=user) for client in people.values() for user in people))
    for client in people.values():
        assert client.view().statuses() == EXPECTED
    _nobody_saw_anybody_offline(people)


async def test_who_leaves_during_an_outage_is_offline_after_it(
    new_site: NewSite, new_valkey: Callable[..., Valkey]
) -> None:
    """Lost while Redis was away: nobody is told in between, and he is offline within lease and notice after it."""
    valkey = new_valkey(persistent=True)
    site = await new_site(workers=2, valkey=valkey)
    people = await _people(site)
    valkey.kill()
    await _feed(people, False, within_s=LEASE_S + 2 * SLACK_S)
    await people.pop("user4").drop()
    await asyncio.sleep(GRACE_S)
    await asyncio.to_thread(valkey.start)
    for client in people.values():
        told = await client.sees("user4", "offline", within_s=LEASE_S + NOTICE_S + AGAIN_S)
        assert told.reason == "disconnected"
    _nobody_saw_anybody_offline(people)


async def test_logout_during_an_outage_closes_at_once_and_is_carried_out_after_it(
    new_site: NewSite, new_valkey: Callable[..., Valkey]
) -> None:
    """4506 at once; teammates see it, and the session is over for good, when Redis is back."""
    valkey = new_valkey(persistent=True)
    site = await new_site(workers=2, valkey=valkey)
    people = await _people(site)
    sid = site.unique("laptop")
    juan = await site.connect("juan", sid=sid)
    elsewhere = await site.connect("juan", sid=sid, on=1)
    await people["user1"].sees("juan", "online")
    valkey.kill()
    await _feed(people, False, within_s=LEASE_S + 2 * SLACK_S)
    assert await juan.logout() == 4506
    await asyncio.to_thread(valkey.start)
    await elsewhere.closed(4506)
    for client in people.values():
        await client.sees("juan", "offline", reason="signed_out")
    await site.refused(4506, sid=sid)
    _nobody_saw_anybody_offline(people)


async def test_requests_wait_during_a_short_outage(new_site: NewSite, new_valkey: Callable[..., Valkey]) -> None:
    """Choices made meanwhile are acknowledged afterwards, the newest counts; a hello and an HTTP write wait as well."""
    valkey = new_valkey(persistent=True)
    site = await new_site(workers=2, valkey=valkey)
    people = await _people(site)
    valkey.kill()
    await _feed(people, False, within_s=LEASE_S + 2 * SLACK_S)
    chooser = people["user5"]
    for number, status in enumerate(["busy", "online", "busy"]):
        await chooser.send("set_status", id=f"wait-{number}", status=status)
    newcomer = await site.connect("juan", settled=False)
    writing = asyncio.create_task(site.api("user4").choose("user4", "busy"))
    problem = await site.api("user4", on=1).refused(503, "GET", "/v1/teams/{team}/presence")
    assert problem["code"] == "unavailable"
    await chooser.quiet_for(1)
    assert [message for message in chooser.of_type("ack") if str(message["id"]).startswith("wait")] == []
    await asyncio.to_thread(valkey.start)
    for number in range(3):
        assert (await chooser.answer(f"wait-{number}"))["type"] == "ack"
    await writing
    await newcomer.settled()
    await people["user0"].sees("user5", "busy", reason="chosen")
    await people["user0"].sees("user4", "busy", reason="chosen")
    await people["user0"].sees("juan", "online", reason="signed_in")
    await site.converges(within_s=AGAIN_S)
    _nobody_saw_anybody_offline(people)


async def test_after_ten_seconds_requests_are_unavailable_and_dropped(
    new_site: NewSite, new_valkey: Callable[..., Valkey]
) -> None:
    """An error for set_status, 503 with Retry-After for a write, 1013 for hello; none of them is carried out later."""
    valkey = new_valkey(persistent=True)
    site = await new_site(workers=2, valkey=valkey)
    people = await _people(site)
    valkey.kill()
    await _feed(people, False, within_s=LEASE_S + 2 * SLACK_S)
    await people["user5"].send("set_status", id="late", status="busy")
    newcomer = await site.connect("juan", settled=False, on=1)
    api = site.api("user4", on=1)
    writing = asyncio.create_task(api.request("PUT", "/v1/teams/{team}/presence/user4", json={"status": "busy"}))
    with pytest.raises(AssertionError, match="within"):
        await people["user5"].answer("late", within_s=8)
    answer = await people["user5"].answer("late", within_s=2 + 2 * SLACK_S)
    assert (answer["type"], answer["code"]) == ("error", "unavailable")
    await newcomer.closed(1013, within_s=2 * SLACK_S)
    response = await writing
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    await asyncio.to_thread(valkey.start)
    await _feed(people, True, within_s=AGAIN_S + SLACK_S)
    await asyncio.gather(*(client.quiet_for(LEASE_S + NOTICE_S) for client in people.values()))
    assert people["user0"].view().statuses() == EXPECTED
    assert (await site.admin().user("user4"))["chosen"] == "online"


async def test_readyz_and_reads_during_an_outage(new_site: NewSite, new_valkey: Callable[..., Valkey]) -> None:
    """503 with Retry-After while Redis is out of reach, 200 again after it; healthz never minds."""
    valkey = new_valkey(persistent=True)
    site = await new_site(workers=2, valkey=valkey)
    maria = await site.connect("maria")
    valkey.kill()

    async def ready() -> object:
        return await asyncio.to_thread(site.workers[0].readyz)

    await becomes(ready, 503)
    for path in ("/v1/teams/{team}/presence", "/v1/teams/{team}/presence/maria", "/v1/teams/{team}/settings"):
        response = await site.api("maria").request("GET", path)
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) >= 1
    assert (await site.api(None).request("GET", "/healthz")).status_code == 200
    await asyncio.to_thread(valkey.start)
    await becomes(ready, 200, within_s=AGAIN_S + SLACK_S)
    assert (await site.api("maria").statuses()) == {"maria": "online"}
    assert maria.close_code is None


async def test_idling_during_an_outage_is_told_after_it(new_site: NewSite, new_valkey: Callable[..., Valkey]) -> None:
    """The idle deadline passes while Redis is away; input told meanwhile counts, silence too."""
    valkey = new_valkey(persistent=True)
    site = await new_site(workers=2, valkey=valkey)
    await site.admin().set_idle_timeout(5)
    maria = await site.connect("maria", on=0)
    juan = await site.connect("juan", on=1)
    ana = await site.connect("ana", on=1)
    await maria.sees_all({"maria": "online", "juan": "online", "ana": "online"})
    async with maria.typing(1), ana.typing(1):
        valkey.kill()
        await juan.expect("feed", live=False, within_s=LEASE_S + 2 * SLACK_S)
        await asyncio.sleep(4 * UNIT)
        await asyncio.to_thread(valkey.start)
        await maria.sees("juan", "offline", reason="idle", within_s=AGAIN_S + 2 * LEASE_S + NOTICE_S)
        await maria.quiet_for(LEASE_S)
    maria.never_saw("ana", "offline")
    maria.never_saw("maria", "offline")


async def test_a_heartbeat_is_answered_while_redis_is_away(
    new_site: NewSite, new_valkey: Callable[..., Valkey]
) -> None:
    """That a link is alive says the worker by itself; what only Redis knows, an explanation, is unavailable."""
    valkey = new_valkey(persistent=True)
    site = await new_site(workers=1, valkey=valkey)
    juan = await site.connect("juan")
    valkey.kill()
    await juan.expect("feed", live=False, within_s=LEASE_S + 2 * SLACK_S)
    assert (await juan.request("heartbeat", idle_ms=0))["type"] == "ack"
    await juan.fails("unavailable", "explain", team=site.team)
