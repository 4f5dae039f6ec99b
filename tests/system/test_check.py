"""`presence-server check --deep` beside workers at work: it finds nothing while all is well, and what is wrong."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest
import redis

from tests.conftest import NewSite
from tests.support.cluster import Cluster
from tests.support.site import Site
from tests.support.timing import LEASE_S, SOON_S
from tests.support.valkey import Valkey


@pytest.fixture
def client(shared_valkey: Valkey) -> Iterator[redis.Redis]:
    """Looks at what is stored."""
    with closing(shared_valkey.client()) as client:
        yield client


async def _check(site: Site) -> tuple[int | None, list[str]]:
    """The exit status, and what failed."""
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "presence_server", "check", "--deep"),
        env=site.workers[0].environment,
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await program.communicate()
    return program.returncode, [line for line in printed.decode().splitlines() if line.startswith("failed")]


async def test_whatever_is_under_way_is_no_fault(
    shared_valkey: Valkey, client: redis.Redis, new_site: NewSite, key_prefix: str
) -> None:
    """People come, choose, idle and go; a worker is killed, and what it held is taken away."""
    site = await new_site(workers=2, valkey=shared_valkey, idle_timeout=2)

    async def come_and_go(number: int) -> None:
        for visit in range(20):
            person = await site.connect(f"user{number}", sid=f"s{visit}")
            await person.choose("busy" if visit % 2 else "online")
            if number % 3:
                await person.drop()
            else:
                await person.logout()

    def records() -> list[str]:
        """What tells in which teams a worker is."""
        return list(client.scan_iter(f"{key_prefix}:{{due}}:of:*", count=1_000))

    for number in range(6):
        await site.connect(f"idle{number}", on=number % 2)
    people = [asyncio.create_task(come_and_go(number)) for number in range(6)]
    assert await _check(site) == (0, [])
    site.workers[1].kill()
    async with asyncio.timeout(2 * LEASE_S + SOON_S):
        while len(records()) > 1:
            assert await _check(site) == (0, [])
    await asyncio.gather(*people)
    assert await _check(site) == (0, [])

    (record,) = records()
    client.srem(record, site.team)
    status, (told,) = await _check(site)
    assert status == 1
    worker = record.rpartition(":")[2]
    assert f"team {site.team}: worker {worker} writes to it, and is not on record for it" in told


async def test_a_cluster_in_good_order(new_site: NewSite) -> None:
    """The index of each team is looked for where it is."""
    with closing(Cluster(3)) as cluster:
        site = await new_site(redis_url=cluster.url)
        people = [await site.connect("maria", teams=[cluster.team_on(node)]) for node in cluster.nodes]
        assert await _check(site) == (0, [])
        for person in people:
            await person.end()
        await site.stop_workers()
