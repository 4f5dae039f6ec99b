"""Section 7 of the contract: SIGTERM drains, and teammates see nothing."""

from __future__ import annotations

import asyncio
import itertools
import time

from tests.conftest import NewSite
from tests.support.client import Client
from tests.support.polling import becomes
from tests.support.site import Site
from tests.support.timing import GRACE_S, NOTICE_S, SLACK_S, SOON_S, UNIT


async def _keep_connected(site: Site, client: Client, user: str) -> Client:
    """What a client does whose worker drains: it comes back, on the other worker, with what it had."""
    await client.closed(4001, within_s=2 * SOON_S)
    return await site.connect(user, on=1, resume_from=client, replaces=client.id)


async def test_drain_is_a_deploy_that_teammates_do_not_see(new_site: NewSite) -> None:
    """Sockets get 4001 spread over the timeout, exit status 0, everyone is back elsewhere and nobody saw a thing."""
    site = await new_site(workers=2, drain_timeout=2 * UNIT)
    maria = await site.connect("maria", on=1)
    people = {f"user{number}": await site.connect(f"user{number}", on=0) for number in range(20)}
    await maria.sees_all({"maria": "online"} | dict.fromkeys(people, "online"))
    site.workers[0].terminate()
    quiet = asyncio.create_task(maria.quiet_for(2 * UNIT + GRACE_S + 2 * NOTICE_S))
    back = await asyncio.gather(*(_keep_connected(site, client, user) for user, client in people.items()))
    assert await site.workers[0].wait() == 0
    await quiet
    for client in back:
        assert client.of_type("snapshot") == [], "Expected everyone to resume"


async def test_drain_closes_sockets_one_after_another(new_site: NewSite) -> None:
    """Spread over the drain timeout, so that they do not all come back at once."""
    site = await new_site(drain_timeout=3)
    people = [await site.connect(f"user{number}") for number in range(30)]

    async def close_time(client: Client) -> float:
        await client.closed(4001, within_s=2 * SOON_S)
        return time.monotonic()

    begin = time.monotonic()
    site.workers[0].terminate()
    times = sorted(await asyncio.gather(*(close_time(client) for client in people)))
    assert await site.workers[0].wait() == 0
    assert times[-1] - times[0] >= 1.5, f"Expected 30 closes spread over 3 s, got {times[-1] - times[0]:.2f} s"
    assert times[-1] - begin <= 3 + 2 * SLACK_S
    largest = max(later - earlier for earlier, later in itertools.pairwise(times))
    assert largest < 1.5, "Expected them to be spread, got two bursts"


async def test_while_it_drains_readyz_and_upgrades_get_503(new_site: NewSite) -> None:
    """The listener stays open: balancers are told, and nobody new gets in; reads and the living go on."""
    site = await new_site(drain_timeout=4)
    worker = site.workers[0]
    people = [await site.connect(f"user{number}") for number in range(4)]
    worker.terminate()

    async def ready() -> object:
        return await asyncio.to_thread(worker.readyz)

    await becomes(ready, 503, within_s=2 * SLACK_S)
    assert await site.handshake_status() == 503
    assert (await site.api(None).request("GET", "/healthz")).status_code == 200
    await asyncio.gather(*(client.closed(4001, within_s=2 * SOON_S) for client in people))
    assert await worker.wait() == 0


async def test_a_drained_user_who_stays_away_is_offline_after_the_grace(new_site: NewSite) -> None:
    """Forgiven like any lost connection, not longer."""
    site = await new_site(workers=2)
    maria = await site.connect("maria", on=1)
    juan = await site.connect("juan", on=0)
    await maria.sees("juan", "online")
    site.workers[0].terminate()
    await juan.closed(4001)
    closed_at = (await site.connect("clock", on=1)).welcome["server_time"]
    told = await maria.sees("juan", "offline", reason="disconnected", within_s=GRACE_S + NOTICE_S + 2 * SLACK_S)
    assert told.since is not None
    assert told.since >= closed_at + (GRACE_S - SLACK_S) * 1_000
    assert await site.workers[0].wait() == 0


async def test_drain_without_connections_is_quick(new_site: NewSite) -> None:
    """Nobody to wait for: it ends well before the timeout, with status 0."""
    site = await new_site(drain_timeout=15)
    site.workers[0].terminate()
    assert await site.workers[0].wait(within_s=5) == 0


async def test_a_second_signal_ends_at_once(new_site: NewSite) -> None:
    """An operator in a hurry: the second signal does not wait for the drain."""
    site = await new_site(drain_timeout=30)
    people = [await site.connect(f"user{number}") for number in range(3)]
    site.workers[0].terminate()
    await asyncio.wait([asyncio.create_task(client.closed(4001, within_s=10)) for client in people[:1]], timeout=0.5)
    site.workers[0].terminate()
    await site.workers[0].wait(within_s=5)


async def test_a_rolling_restart_of_every_worker_shows_nothing(new_site: NewSite) -> None:
    """One after another is drained and started again, clients resume on the other: no view ever changes."""
    site = await new_site(workers=2)
    people = {f"user{number}": await site.connect(f"user{number}", on=number % 2) for number in range(8)}
    for client in people.values():
        await client.sees_all(dict.fromkeys(people, "online"))
    await people["user3"].choose("busy")
    for client in people.values():
        await client.sees("user3", "busy")
    before = {client: len(client.view().told) for client in site.clients}
    living = asyncio.gather(*(_live_through(site, user, client) for user, client in people.items()))
    for worker in site.workers:
        worker.terminate()
        assert await worker.wait() == 0
        await asyncio.to_thread(worker.start)
    await asyncio.sleep(GRACE_S + NOTICE_S)
    for worker in site.workers:
        assert worker.readyz() == 200
    living.cancel()
    await asyncio.gather(living, return_exceptions=True)
    expected = dict.fromkeys(people, "online") | {"user3": "busy"}
    assert await site.admin().statuses() == expected
    for client in site.clients:
        wrong = [told for told in client.view().told[before.get(client, 0) :] if told.status != expected[told.user]]
        assert wrong == []


async def _live_through(site: Site, user: str, client: Client) -> None:
    """Reconnect wherever there is a worker, for as long as the test wants."""
    while True:
        await client.closed(4001, within_s=60)
        client = await _anywhere(site, user, client)


async def _anywhere(site: Site, user: str, client: Client) -> Client:
    async with asyncio.timeout(SOON_S):
        while True:
            for on in (0, 1):
                if site.workers[on].alive and await asyncio.to_thread(site.workers[on].readyz) == 200:
                    return await site.connect(user, on=on, resume_from=client)
            await asyncio.sleep(0.05)
