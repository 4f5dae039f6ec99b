"""Two workers behind the balancer that is shipped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from presence_server.settings import load
from tests.conftest import NewSite
from tests.support.balancer import Balancer, HaProxy, Nginx
from tests.support.client import Client
from tests.support.site import Site
from tests.support.timing import GRACE_S, NOTICE_S, SOON_S, UNIT


@pytest.fixture(params=[HaProxy, Nginx])
async def balanced(
    request: pytest.FixtureRequest, new_site: NewSite, tmp_path: Path
) -> AsyncIterator[tuple[Site, Balancer]]:
    """Two workers and a running balancer in front of them."""
    site = await new_site(workers=2, trusted_proxies="127.0.0.1")
    balancer: Balancer = request.param(site.workers, tmp_path)
    try:
        await asyncio.to_thread(balancer.start)
        yield site, balancer
    finally:
        balancer.close()


async def test_people_see_each_other_through_the_balancer(balanced: tuple[Site, Balancer]) -> None:
    """`leastconn` spreads connections over both workers; views and reads are the same through either."""
    site, balancer = balanced
    people = [await site.connect(f"user{number}", on=balancer.ws_url) for number in range(8)]
    everyone = {f"user{number}": "online" for number in range(8)}
    for person in people:
        await person.sees_all(everyone)
    await people[0].choose("busy")
    for person in people:
        await person.sees_soon("user0", "busy")
    api = site.api("user0", on=balancer.http_url)
    for _ in range(4):
        assert await api.statuses() == everyone | {"user0": "busy"}
    site.workers[0].terminate()
    closed = asyncio.gather(*(_closed(person) for person in people))
    assert await site.workers[0].wait() == 0
    closed.cancel()
    await asyncio.gather(closed, return_exceptions=True)
    codes = [person.close_code for person in people]
    assert codes.count(4001) == 4, f"Expected half of them on each worker, got {codes}"
    assert codes.count(None) == 4


async def _closed(person: Client) -> int:
    return await person.closed(within_s=SOON_S)


async def test_a_deploy_behind_the_balancer_shows_nothing(balanced: tuple[Site, Balancer]) -> None:
    """A worker drains; its clients come back through the balancer, which never sends them to it; no view changes."""
    site, balancer = balanced
    people = {f"user{number}": await site.connect(f"user{number}", on=balancer.ws_url) for number in range(8)}
    for client in people.values():
        await client.sees_all(dict.fromkeys(people, "online"))
    site.workers[1].terminate()

    async def live(user: str) -> None:
        client = people[user]
        try:
            await client.closed(4001, within_s=3 * UNIT)
        except AssertionError:
            return  # On the other worker.
        people[user] = await site.connect(user, on=balancer.ws_url, resume_from=client, replaces=client.id)

    await asyncio.gather(*(live(user) for user in list(people)))
    assert await site.workers[1].wait() == 0
    await asyncio.gather(*(client.quiet_for(GRACE_S + NOTICE_S) for client in people.values()))
    for client in people.values():
        assert client.view().statuses() == dict.fromkeys(people, "online")


async def test_a_killed_worker_behind_the_balancer(balanced: tuple[Site, Balancer]) -> None:
    """kill -9: everyone is back through the balancer within the lease, and nobody was shown offline."""
    site, balancer = balanced
    people = {f"user{number}": await site.connect(f"user{number}", on=balancer.ws_url) for number in range(6)}
    for client in people.values():
        await client.sees_all(dict.fromkeys(people, "online"))
    site.workers[0].kill()
    lost = {user: client for user, client in people.items() if await _is_lost(client)}
    assert len(lost) == 3
    for user, client in lost.items():
        people[user] = await site.connect(user, on=balancer.ws_url, resume_from=client)
    await asyncio.gather(*(client.quiet_for(2 * GRACE_S + NOTICE_S) for client in people.values()))
    for client in people.values():
        for user in people:
            client.never_saw(user, "offline")


async def _is_lost(client: Client) -> bool:
    try:
        await client.closed(within_s=0.5 * UNIT)
    except AssertionError:
        return False
    return True


async def test_what_is_for_the_inside_stays_there(balanced: tuple[Site, Balancer]) -> None:
    """However it is written."""
    _, balancer = balanced
    for path in ("/metrics", "/%6detrics", "//metrics", "/v1/../metrics", "/v1/%2e%2e/metrics", "/"):
        reader, writer = await asyncio.open_connection("127.0.0.1", balancer.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), SOON_S)
        assert answer.startswith(b"HTTP/1.1 404 "), path
        writer.close()
    configured_s = {"haproxy": 5, "nginx": 60}
    assert configured_s[balancer.name] < load({}, {}).keep_alive_s, "idle connections are the balancer's to close"


async def test_a_proxy_that_drops_the_upgrade_is_told_what_to_set(new_site: NewSite, tmp_path: Path) -> None:
    """As nginx does by itself."""
    site = await new_site(workers=2)
    words = ["proxy_http_version", "Upgrade $http_upgrade", "$connection_upgrade;"]
    balancer = Nginx(site.workers, tmp_path, without=words)
    try:
        await asyncio.to_thread(balancer.start)
        url = f"{balancer.http_url}/v1/ws"
        headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.get(url, headers=headers | {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="})
        assert (answer.status_code, answer.json()["code"]) == (426, "upgrade_required")
        assert "proxy_http_version 1.1" in answer.json()["detail"]
    finally:
        balancer.close()
