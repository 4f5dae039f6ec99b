"""Fixtures of the system tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.site import Site
from tests.support.supervised import Supervised
from tests.support.valkey import Valkey
from tests.support.worker import FAST

Running = Callable[..., Awaitable[tuple[Site, Supervised]]]


@pytest.fixture
async def bystanders(site: Site) -> AsyncIterator[Client]:
    """Two people on the worker under attack who must notice nothing: their views stay quiet, their requests work."""
    maria, ana = await site.connect("maria"), await site.connect("ana")
    await maria.sees_all({"maria": "online", "ana": "online"})
    yield maria
    maria.check()
    await ana.choose("busy")
    await maria.sees_soon("ana", "busy")
    assert (maria.close_code, ana.close_code) == (None, None)
    assert maria.view().history("ana")[-2:] == ["online", "busy"]
    maria.never_saw("ana", "offline")


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
