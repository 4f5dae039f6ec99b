"""Section 7 of the contract: `serve --workers N`, and a worker of which a part has failed."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.balancer import HaProxy
from tests.support.client import Client
from tests.support.polling import becomes
from tests.support.site import Site
from tests.support.supervised import Supervised
from tests.support.timing import GRACE_S, LEASE_S, NOTICE_S, SOON_S, UNIT
from tests.support.valkey import Valkey
from tests.support.worker import FAST, get_status

# Long enough for a hundred clients of one busy test to come back in; real ones have 20 s.
PATIENT = {"lease_ttl": 4 * LEASE_S, "disconnect_grace": 4 * GRACE_S}

Running = Callable[..., Awaitable[tuple[Site, Supervised]]]


@pytest.fixture
async def running(shared_valkey: Valkey, key_prefix: str, tmp_path: Path) -> AsyncIterator[Running]:
    """Starts one server of several processes: ``site, server = await running(processes=2, drain_timeout=3)``."""
    sites: list[Site] = []

    async def start(*, processes: int, **settings: object) -> tuple[Site, Supervised]:
        given = FAST | {"redis_url": shared_valkey.url, "key_prefix": key_prefix} | settings
        server = Supervised("server", tmp_path, given, processes=processes)
        sites.append(Site([server]))
        await asyncio.to_thread(server.start)
        return sites[0], server

    yield start
    try:
        for site in sites:
            await site.close()
    finally:
        for site in sites:
            await asyncio.to_thread(site.workers[0].close)


def sockets_of(pid: int) -> int:
    """How many sockets a process has open."""
    names = (os.path.join(f"/proc/{pid}/fd", name) for name in os.listdir(f"/proc/{pid}/fd"))
    return sum(os.path.islink(name) and os.readlink(name).startswith("socket:") for name in names)


async def some_are_lost(server: Supervised, people: Sequence[Client]) -> list[Client]:
    """Wait for the end of a process, and for the next one; returns those whose connection it took along."""

    async def open_ones() -> bool:
        found = await scrape(server)
        held = [person for person in people if person.close_code is None]
        return found["presence_workers"] == server.processes and found["presence_connections"] == len(held)

    await asyncio.to_thread(server.await_sync, lambda: "was ended by SIGKILL" in server.log())
    await becomes(open_ones, True, within_s=4 * SOON_S)
    lost = [person for person in people if person.close_code is not None]
    assert 0 < len(lost) < len(people)
    assert {person.close_code for person in lost} == {1006}
    return lost


async def scrape(server: Supervised) -> dict[str, float]:
    """The metrics, from whichever process takes a new connection."""
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
        answer = await http.get(server.http_url + "/metrics")
    assert answer.status_code == 200, answer.text
    return {name: float(value) for name, value in re.findall(r"^([a-z]\S*) (\S+)$", answer.text, re.MULTILINE)}


@asynccontextmanager
async def living(site: Site, people: dict[str, Client]) -> AsyncIterator[dict[str, Client]]:
    """While this lasts, whoever is told to reconnect or cut off does so, and resumes, as a browser does."""

    async def live(user: str) -> None:
        while True:
            await people[user].closed(4001, 1006, within_s=60)
            people[user] = await site.connect(user, resume_from=people[user])

    tasks = [asyncio.create_task(live(user)) for user in people]
    try:
        yield people
        assert [task for task in tasks if task.done()] == []
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [result for result in results if not isinstance(result, asyncio.CancelledError)] == []


async def test_connections_spread_over_processes_that_share_a_port(running: Running) -> None:
    """One after another or all at once: each process gets its part, and people see each other across them."""
    site, server = await running(processes=3)
    idle = [sockets_of(pid) for pid in server.members()]
    people = [await site.connect(f"user{number}") for number in range(15)]
    people += await asyncio.gather(*(site.connect(f"user{number}") for number in range(15, 30)))
    everyone = {f"user{number}": "online" for number in range(30)}
    for person in people:
        await person.sees_all(everyone)
    counts = [sockets_of(pid) - before for pid, before in zip(server.members(), idle, strict=True)]
    # Beside those of people there are some to Redis.
    assert sum(counts) >= 30
    assert min(counts) >= 5, f"Expected a fair share for each process, got {counts}"
    await people[0].choose("busy")
    for person in people:
        await person.sees_soon("user0", "busy")
    for _ in range(3):
        assert await site.admin().statuses() == everyone | {"user0": "busy"}


async def test_metrics_add_up_whichever_process_is_asked(running: Running) -> None:
    """Sums of all, at once; what ends takes its gauges along, and leaves its counts."""
    site, server = await running(processes=2)
    people = [await site.connect(f"user{number}") for number in range(10)]
    for _ in range(6):
        found = await scrape(server)
        assert found["presence_connections"] == 10
        assert found["presence_connections_opened_total"] == 10
        assert (found["presence_workers"], found["presence_ready"]) == (2, 2)
    before = await scrape(server)
    os.kill(server.members()[0], signal.SIGKILL)
    lost = await some_are_lost(server, people)
    after = await scrape(server)
    assert after["presence_connections"] == 10 - len(lost)
    assert after["presence_worker_restarts_total"] == 1
    fallen = {
        name: (before[name], after[name]) for name in before if name.endswith("_total") and after[name] < before[name]
    }
    assert fallen == {}


async def test_a_process_that_stands_still_holds_up_no_scrape_and_is_replaced(running: Running) -> None:
    """What it said last is added meanwhile; after its lease, and ten seconds, it is killed and another started."""
    site, server = await running(processes=2)
    people = [await site.connect(f"user{number}") for number in range(4)]
    await scrape(server)
    stopped, other = server.members()
    os.kill(stopped, signal.SIGSTOP)
    begin = time.monotonic()
    found = await scrape(server)
    assert time.monotonic() - begin < 2
    assert found["presence_connections"] == 4
    for person in people[:2]:
        # Whoever connects meanwhile is taken by the one that runs.
        await site.connect(person.name.partition("@")[0])
    await asyncio.to_thread(server.await_sync, lambda: server.gone(stopped), 40)
    await asyncio.to_thread(server.await_sync, lambda: len(server.members()) == 2)
    assert other in server.members()


async def test_a_scrape_is_refused_rather_than_wrong_while_the_supervisor_stands_still(running: Running) -> None:
    """One process's own counts would look like all of them having fallen; everything else goes on."""
    site, server = await running(processes=2)
    server.pause()
    try:
        await site.api(None).refused(503, "GET", "/metrics")
        maria = await site.connect("maria")
        await maria.choose("busy")
    finally:
        server.resume()
    assert (await scrape(server))["presence_connections"] == 1


async def test_a_process_that_is_killed_is_started_again(running: Running) -> None:
    """By itself, within a moment; those whose connections it had come back, and are shown as before."""
    site, server = await running(processes=2, **PATIENT)
    victim, other = server.members()
    people = {f"user{number}": await site.connect(f"user{number}") for number in range(6)}
    everyone = dict.fromkeys(people, "online")
    for person in people.values():
        await person.sees_all(everyone)
    async with living(site, people):
        os.kill(victim, signal.SIGKILL)
        await asyncio.to_thread(server.await_sync, lambda: "was ended by SIGKILL" in server.log())
        await asyncio.to_thread(server.await_sync, lambda: len(server.members()) == 2)
        assert other in server.members()
        await asyncio.sleep(4 * LEASE_S + NOTICE_S)
        assert await site.admin().statuses() == everyone
    assert f"(process {victim}) was ended by SIGKILL" in server.log()
    assert {client.close_code for client in site.clients} == {None, 1006}
    for client in site.clients:
        assert [told for told in client.view().told if told.status == "offline"] == []


async def test_a_restart_on_hangup_shows_nothing_to_a_hundred(running: Running) -> None:
    """Every process is another afterwards; nobody saw a change, no call failed, and no connection was refused."""
    site, server = await running(processes=2, drain_timeout=2 * UNIT, **PATIENT)
    maria = await site.connect("maria", teams=[site.team])
    people = {f"user{number}": await site.connect(f"user{number}") for number in range(99)}
    everyone = dict.fromkeys(["maria", *people], "online")
    for person in (maria, *people.values()):
        await person.sees_all(everyone)
    before = server.members()
    shown = {client: len(client.view().told) for client in site.clients}
    async with living(site, people | {"maria": maria}):
        server.hang_up()
        refused = 0
        while "All workers are restarted" not in server.log():
            async with httpx.AsyncClient(trust_env=False) as http:
                refused += (await http.get(server.http_url + "/readyz")).status_code != 200
            assert server.alive
        await asyncio.sleep(4 * GRACE_S + NOTICE_S)
        assert await site.admin().statuses() == everyone
    assert refused == 0
    after = server.members()
    assert len(after) == 2
    assert not set(before) & set(after)
    assert server.gone(*before)
    for client in site.clients:
        told = client.view().told[shown.get(client, 0) :]
        assert told == [], f"Expected {client} to see nothing"


async def test_a_restart_behind_the_balancer_fails_no_call(running: Running, tmp_path: Path) -> None:
    """Its checks and its kept connections go to whichever process is there."""
    site, server = await running(processes=2, trusted_proxies="127.0.0.1")
    balancer = HaProxy([server, server], tmp_path)
    try:
        await asyncio.to_thread(balancer.start)
        api = site.api("maria", on=balancer.http_url)
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


async def test_a_process_of_which_a_part_has_failed_drains_and_is_replaced(running: Running) -> None:
    """It says so and ends with status 70; its people go to the others, and their teammates see nothing."""
    site, server = await running(processes=2, drain_timeout=2 * UNIT, **PATIENT)
    people = {f"user{number}": await site.connect(f"user{number}") for number in range(8)}
    everyone = dict.fromkeys(people, "online")
    for person in people.values():
        await person.sees_all(everyone)
    shown = {client: len(client.view().told) for client in site.clients}
    broken, other = server.members()
    async with living(site, people):
        server.break_part(broken)
        await asyncio.to_thread(server.await_sync, lambda: server.gone(broken))
        await asyncio.to_thread(server.await_sync, lambda: len(server.members()) == 2)
        await asyncio.sleep(4 * GRACE_S + NOTICE_S)
        assert await site.admin().statuses() == everyone
    assert "RuntimeError: broken by a test" in server.log()
    assert f"(process {broken}) drains by itself; starting another" in server.log()
    assert f"(process {broken}) ended with status 70" in server.log()
    assert other in server.members()
    assert (await scrape(server))["presence_worker_restarts_total"] == 1
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
    async with living(site, {"maria": maria}):
        for pid in server.members():
            server.break_part(pid)
        await juan.closed(4001, within_s=2 * SOON_S)
        ana = await site.connect("ana", open_timeout=4 * SOON_S)
        await ana.sees("juan", "offline", reason="disconnected", within_s=GRACE_S + NOTICE_S + SOON_S)


async def test_a_hangup_drains_a_server_alone(running: Running) -> None:
    """There is nobody to replace it; whoever watches it starts it again."""
    site, server = await running(processes=1)
    maria = await site.connect("maria")
    server.hang_up()
    await maria.closed(4001)
    assert await server.wait() == 0


async def test_several_processes_share_one_embedded_valkey(running: Running, tmp_path: Path) -> None:
    """The supervisor has it: a process that is replaced finds everything as it was."""
    site, server = await running(processes=2, redis_url=None, data_dir=tmp_path / "data")
    people = {name: await site.connect(name) for name in ("maria", "juan", "ana")}
    await people["juan"].choose("busy")
    for person in people.values():
        await person.sees_all({"maria": "online", "juan": "busy", "ana": "online"})
    async with living(site, people):
        server.hang_up()
        await asyncio.to_thread(server.await_sync, lambda: "All workers are restarted" in server.log())
        assert await site.admin().statuses() == {"maria": "online", "juan": "busy", "ana": "online"}
    server.terminate()
    assert await server.wait() == 0


def _async(read: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    async def ask() -> object:
        return await asyncio.to_thread(read)

    return ask
