"""Section 7 of the contract: `serve --workers N` shares a port, adds up, and starts again what ends."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.client import Client
from tests.support.polling import becomes
from tests.support.supervised import PATIENT, Supervised, living
from tests.support.timing import LEASE_S, NOTICE_S, SOON_S
from tests.system.conftest import Running


def sockets_of(pid: int) -> int:
    """How many sockets a process has open."""
    names = (os.path.join(f"/proc/{pid}/fd", name) for name in os.listdir(f"/proc/{pid}/fd"))
    return sum(os.path.islink(name) and os.readlink(name).startswith("socket:") for name in names)


async def some_are_lost(server: Supervised, people: Sequence[Client]) -> list[Client]:
    """Wait for the end of a process, and for the next one; returns those whose connection it took along."""

    async def open_ones() -> bool:
        found = await server.scrape()
        held = [person for person in people if person.close_code is None]
        return found["presence_workers"] == server.processes and found["presence_connections"] == len(held)

    await asyncio.to_thread(server.await_sync, lambda: "was ended by SIGKILL" in server.log())
    await becomes(open_ones, True, within_s=4 * SOON_S)
    lost = [person for person in people if person.close_code is not None]
    assert 0 < len(lost) < len(people)
    assert {person.close_code for person in lost} == {1006}
    return lost


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
        found = await server.scrape()
        assert found["presence_connections"] == 10
        assert found["presence_connections_opened_total"] == 10
        assert (found["presence_workers"], found["presence_ready"]) == (2, 2)
    before = await server.scrape()
    os.kill(server.members()[0], signal.SIGKILL)
    lost = await some_are_lost(server, people)
    after = await server.scrape()
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
    await server.scrape()
    stopped, other = server.members()
    os.kill(stopped, signal.SIGSTOP)
    begin = time.monotonic()
    found = await server.scrape()
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
    assert (await server.scrape())["presence_connections"] == 1


async def test_a_process_that_is_killed_is_started_again(running: Running) -> None:
    """By itself, within a moment; those whose connections it had come back, and are shown as before."""
    site, server = await running(processes=2, **PATIENT)
    victim, other = server.members()
    people = {f"user{number}": await site.connect(f"user{number}") for number in range(6)}
    everyone = dict.fromkeys(people, "online")
    for person in people.values():
        await person.sees_all(everyone)
    async with living(site.connect, people):
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


async def test_several_processes_share_one_embedded_valkey(running: Running, tmp_path: Path) -> None:
    """The supervisor has it: a process that is replaced finds everything as it was."""
    site, server = await running(processes=2, redis_url=None, data_dir=tmp_path / "data")
    people = {name: await site.connect(name) for name in ("maria", "juan", "ana")}
    await people["juan"].choose("busy")
    for person in people.values():
        await person.sees_all({"maria": "online", "juan": "busy", "ana": "online"})
    async with living(site.connect, people):
        server.hang_up()
        await asyncio.to_thread(server.await_sync, lambda: "All workers are restarted" in server.log())
        assert await site.admin().statuses() == {"maria": "online", "juan": "busy", "ana": "online"}
    server.terminate()
    assert await server.wait() == 0
