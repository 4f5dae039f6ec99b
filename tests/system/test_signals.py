"""Section 7 of the contract: what signals do to a server of several processes."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.support.balancer import HaProxy
from tests.support.polling import becomes
from tests.support.timing import SOON_S
from tests.support.worker import get_status
from tests.system.conftest import Running


def _async(read: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    async def ask() -> object:
        return await asyncio.to_thread(read)

    return ask


async def test_a_restart_behind_the_balancer_fails_no_call(running: Running, tmp_path: Path) -> None:
    """Its checks and its kept connections go to whichever process is there."""
    site, server = await running(processes=2, trusted_proxies="127.0.0.1")
    balancer = HaProxy([server, server], tmp_path)
    try:
        await asyncio.to_thread(balancer.start)
        # An administrator: nobody else may write so often.
        api = site.api(site.unique("boss"), on=balancer.http_url, admin=True)
        server.hang_up()
        while "All workers are restarted" not in server.log():
            assert await api.statuses() == {}
            await api.choose("maria", "busy")
        assert not re.search(r"Server workers/\S+ is DOWN", balancer.log())
    finally:
        await asyncio.to_thread(balancer.close)


async def test_sigterm_drains_all(running: Running) -> None:
    """The port stays open and says 503, everybody gets 4001 over the timeout, status 0, and nothing is left."""
    site, server = await running(processes=2, drain_timeout=3)
    members = server.members()
    people = [await site.connect(f"user{number}") for number in range(10)]
    server.terminate()

    async def ready() -> object:
        return await asyncio.to_thread(server.readyz)

    await becomes(ready, 503)
    for _ in range(4):
        assert await ready() == 503
        assert await site.handshake_status() == 503
        assert get_status(server.port, "/healthz") == 200
    for person in people:
        await person.closed(4001, within_s=2 * SOON_S)
    assert await server.wait() == 0
    assert server.gone(*members)
    assert server.log().splitlines()[-1].endswith("Ended")


async def test_ctrl_c_drains_in_no_time(running: Running) -> None:
    site, server = await running(processes=2, drain_timeout=60)
    people = [await site.connect(f"user{number}") for number in range(4)]
    server.interrupt()
    for person in people:
        await person.closed(4001)
    assert await server.wait(within_s=10) == 0


async def test_sigterm_in_the_middle_of_a_restart_drains_all(running: Running) -> None:
    """The one that drains already, the one that was just started, and the ones that it was not yet the turn of."""
    site, server = await running(processes=2, drain_timeout=4)
    people = [await site.connect(f"user{number}") for number in range(10)]
    server.hang_up()
    await asyncio.to_thread(server.await_sync, lambda: "Draining" in server.log())
    members = server.members()
    assert len(members) == 3
    server.terminate()
    for person in people:
        await person.closed(4001, within_s=2 * SOON_S)
    assert await server.wait() == 0
    assert server.gone(*members)


async def test_a_second_signal_ends_all_at_once(running: Running) -> None:
    site, server = await running(processes=2, drain_timeout=60)
    members = server.members()
    await asyncio.gather(*(site.connect(f"user{number}") for number in range(4)))
    server.terminate()
    await asyncio.to_thread(server.await_sync, lambda: server.log().count("Draining") == 2)
    server.terminate()
    assert await server.wait(within_s=5) == 128 + signal.SIGTERM
    await becomes(_async(lambda: server.gone(*members)), True)


async def test_processes_whose_supervisor_was_killed_drain_and_end(running: Running) -> None:
    """Nobody is left behind that holds the port and that nobody watches."""
    site, server = await running(processes=2)
    members = server.members()
    people = [await site.connect(f"user{number}") for number in range(4)]
    server.kill()
    for person in people:
        await person.closed(4001)
    await becomes(_async(lambda: server.gone(*members)), True, within_s=2 * SOON_S)


async def test_a_hangup_drains_a_server_alone(running: Running) -> None:
    """There is nobody to replace it; whoever watches it starts it again."""
    site, server = await running(processes=1)
    maria = await site.connect("maria")
    server.hang_up()
    await maria.closed(4001)
    assert await server.wait() == 0
