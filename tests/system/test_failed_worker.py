"""Section 7 of the contract: a worker of which a part has failed is never alive and useless."""

from __future__ import annotations

import asyncio

from tests.support.polling import becomes
from tests.support.supervised import PATIENT, living
from tests.support.timing import GRACE_S, NOTICE_S, SOON_S, UNIT
from tests.support.worker import get_status
from tests.system.conftest import Running


async def test_a_process_of_which_a_part_has_failed_drains_and_is_replaced(running: Running) -> None:
    """It says so and ends with status 70; its people go to the others, and their teammates see nothing."""
    site, server = await running(processes=2, drain_timeout=2 * UNIT, **PATIENT)
    people = {f"user{number}": await site.connect(f"user{number}") for number in range(8)}
    everyone = dict.fromkeys(people, "online")
    for person in people.values():
        await person.sees_all(everyone)
    shown = {client: len(client.view().told) for client in site.clients}
    broken, other = server.members()
    async with living(site.connect, people):
        server.break_part(broken)
        await asyncio.to_thread(server.await_sync, lambda: server.gone(broken))
        await asyncio.to_thread(server.await_sync, lambda: len(server.members()) == 2)
        await asyncio.sleep(4 * GRACE_S + NOTICE_S)
        assert await site.admin().statuses() == everyone
    assert "RuntimeError: broken by a test" in server.log()
    assert f"(process {broken}) drains by itself; starting another" in server.log()
    assert f"(process {broken}) ended with status 70" in server.log()
    assert other in server.members()
    assert (await server.scrape())["presence_worker_restarts_total"] == 1
    for client in site.clients:
        assert client.view().told[shown.get(client, 0) :] == []


async def test_a_server_alone_of_which_a_part_has_failed_ends_with_status_70(running: Running) -> None:
    """Unhealthy from then on, it answers for as long as it drains, so that a balancer and an operator see why."""
    site, server = await running(processes=1, drain_timeout=3)
    people = [await site.connect(f"user{number}") for number in range(6)]
    assert get_status(server.port, "/healthz") == 200
    server.break_part(server.pid)

    async def healthy() -> object:
        return await asyncio.to_thread(get_status, server.port, "/healthz")

    await becomes(healthy, 503)
    assert await asyncio.to_thread(server.readyz) == 503
    assert await site.handshake_status() == 503
    for person in people:
        await person.closed(4001, within_s=2 * SOON_S)
    assert await server.wait() == 70
    assert "drains, and ends with status 70" in server.log()


async def test_the_people_of_a_failed_server_are_forgiven_like_others(running: Running) -> None:
    """It has told Redis of them before it ended. All processes failing at once, others are there in a moment."""
    site, server = await running(processes=2)
    maria = await site.connect("maria")
    juan = await site.connect("juan")
    await maria.sees("juan", "online")
    async with living(site.connect, {"maria": maria}):
        for pid in server.members():
            server.break_part(pid)
        await juan.closed(4001, within_s=2 * SOON_S)
        ana = await site.connect("ana", open_timeout=4 * SOON_S)
        await ana.sees("juan", "offline", reason="disconnected", within_s=GRACE_S + NOTICE_S + SOON_S)
