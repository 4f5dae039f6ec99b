"""A master with replicas and Sentinels: killed, standing still, replaced on command, and left by its replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import NewSite
from tests.support.client import Client
from tests.support.polling import becomes
from tests.support.sentinels import SERVICE, Replicated, Sentinel, subscribers, url_of
from tests.support.site import Site
from tests.support.timing import GRACE_S, NOTICE_S, SOON_S
from tests.support.valkey import Valkey

FAILOVER_S = 2 * SOON_S
"""How long it may take from the loss of a master until statuses are fresh; never waited out when all is well."""


@pytest.fixture
def replicated() -> Iterator[Replicated]:
    """A master that refuses writes without a replica, two of them, and three Sentinels."""
    servers = Replicated(settings=("--min-replicas-to-write", "1", "--min-replicas-max-lag", "10"))
    try:
        servers.start()
        yield servers
    finally:
        servers.close()


async def _two_people(site: Site, replicated: Replicated) -> tuple[Client, Client]:
    """Maria, who is busy, and Juan on another worker; the replicas know it."""
    maria, juan = await site.connect("maria", on=0), await site.connect("juan", on=1)
    await maria.choose("busy")
    await juan.sees("maria", "busy")
    await becomes(lambda: asyncio.to_thread(replicated.in_step), True)
    return maria, juan


async def _all_is_well(site: Site, maria: Client, juan: Client) -> None:
    """After a failover: nothing was lost, nobody was shown offline, and changes come through."""
    for client in (maria, juan):
        await client.expect("feed", live=True, within_s=FAILOVER_S)
    await site.converges(within_s=SOON_S)
    await juan.sees("maria", "busy")
    await juan.choose("busy")
    await maria.sees("juan", "busy")
    await juan.choose("online")
    await maria.sees("juan", "online")
    for client in (maria, juan):
        client.never_saw("maria", "offline")
        client.never_saw("juan", "offline")
        assert client.close_code is None


async def test_a_master_is_killed(replicated: Replicated, new_site: NewSite) -> None:
    """Everything that replicas had holds; the old master comes back as a replica, and nobody notices."""
    site = await new_site(workers=2, redis_urls=[replicated.url] * 2)
    maria, juan = await _two_people(site, replicated)
    old = replicated.valkeys[0]
    old.kill()
    for client in (maria, juan):
        await client.expect("feed", live=False)
    await _all_is_well(site, maria, juan)
    assert replicated.master() is not old
    old.start()
    await becomes(lambda: asyncio.to_thread(replicated.is_replica, old), True, within_s=FAILOVER_S)
    await asyncio.gather(*(client.quiet_for(GRACE_S + NOTICE_S) for client in (maria, juan)))
    assert juan.of_type("feed")[-1]["live"] is True


async def test_a_master_stands_still_and_comes_back(replicated: Replicated, new_site: NewSite) -> None:
    """When it wakes up it believes that it is the master still; nobody stays there, and nothing is lost."""
    site = await new_site(workers=2, redis_urls=[replicated.url] * 2)
    maria, juan = await _two_people(site, replicated)
    old = replicated.valkeys[0]
    old.pause()
    try:
        for client in (maria, juan):
            await client.expect("feed", live=False)
        await _all_is_well(site, maria, juan)
    finally:
        old.resume()
    assert replicated.master() is not old
    await juan.choose("busy")
    await maria.sees("juan", "busy")
    await becomes(lambda: asyncio.to_thread(replicated.is_replica, old), True, within_s=FAILOVER_S)
    await juan.choose("online")
    await maria.sees("juan", "online")
    await site.converges(within_s=SOON_S)
    maria.never_saw("juan", "offline")


async def test_a_master_is_replaced_on_command(replicated: Replicated, new_site: NewSite) -> None:
    """It lives, as a replica: no connection and no subscription stays with it."""
    site = await new_site(workers=2, redis_urls=[replicated.url] * 2)
    maria, juan = await _two_people(site, replicated)
    old = replicated.valkeys[0]
    assert replicated.sentinels[0].says("SENTINEL", "FAILOVER", SERVICE) == "OK"
    await _all_is_well(site, maria, juan)
    await becomes(lambda: asyncio.to_thread(replicated.is_replica, old), True, within_s=FAILOVER_S)
    assert replicated.master() is not old
    await becomes(lambda: asyncio.to_thread(subscribers, old), 0)


async def test_nobody_stays_with_a_former_master(
    new_valkey: Callable[..., Valkey], tmp_path: Path, new_site: NewSite
) -> None:
    """It never noticed that it was replaced, and cuts nobody off: to read, write and probe there works on."""
    former, present = new_valkey(), new_valkey()
    sentinels = [Sentinel(tmp_path, former) for _ in range(3)]
    try:
        for sentinel in sentinels:
            sentinel.start()
        site = await new_site(workers=2, redis_urls=[url_of(sentinels)] * 2)
        maria, juan = await site.connect("maria", on=0), await site.connect("juan", on=1)
        await maria.choose("busy")
        await juan.sees("maria", "busy")
        for sentinel in sentinels:
            sentinel.watch(present.tcp_port)
        for client in (maria, juan):
            await client.expect("feed", live=False, within_s=2 * SOON_S)
        await _all_is_well(site, maria, juan)
        await becomes(lambda: asyncio.to_thread(subscribers, former), 0)
        assert await asyncio.to_thread(subscribers, present) == 2
        await site.close()
        await site.stop_workers()
    finally:
        for sentinel in sentinels:
            sentinel.close()


async def test_a_master_without_replicas_is_out_of_reach(replicated: Replicated, new_site: NewSite) -> None:
    """It refuses to write, so that it loses nothing; browsers are told, and all is well when a replica is back."""
    site = await new_site(workers=2, redis_urls=[replicated.url] * 2)
    maria, juan = await _two_people(site, replicated)
    _, *replicas = replicated.valkeys
    for replica in replicas:
        replica.kill()
    for client in (maria, juan):
        await client.expect("feed", live=False)
    replicas[0].start()
    await _all_is_well(site, maria, juan)
