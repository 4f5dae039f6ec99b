"""The demo's simulated teammates (web/teammates.py), against a real worker."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from presence_server.settings import Settings
from presence_server.web import teammates
from presence_server.web.demo import PEOPLE, SEATS, TEAM
from tests.conftest import NewSite
from tests.support.polling import becomes
from tests.support.site import Site
from tests.support.tokens import SECRET


@pytest.fixture
async def site(new_site: NewSite) -> Site:
    return await new_site()


def demo(site: Site, folder: Path) -> Settings:
    address = urlsplit(site.workers[0].http_url)
    return Settings(jwt_secret=SECRET, host=str(address.hostname), port=address.port or 0, data_dir=folder)


def test_everybody_has_a_day_but_those_whom_visitors_are() -> None:
    assert {*teammates.DAYS, *SEATS} == PEOPLE.keys()


async def test_they_choose_idle_leave_and_come_back(site: Site, tmp_path: Path) -> None:
    maria = await site.connect("maria", teams=[TEAM])
    async with teammates.living(demo(site, tmp_path)):
        await maria.sees("liam", "busy", within_s=5)
        await maria.sees("noor", "busy", within_s=10)
        await maria.sees("liam", "online", within_s=15)
        # Signed out at first, and idle at first.
        await maria.sees("kenji", "online", within_s=10)
        await maria.sees("chloe", "online", within_s=10)


async def test_a_worker_takes_over_from_one_that_is_gone(site: Site, tmp_path: Path) -> None:
    maria = await site.connect("maria", teams=[TEAM])
    settings = demo(site, tmp_path)
    # This one has the lock, and gets nowhere.
    async with teammates.living(replace(settings, port=1)):
        await becomes(lambda: _exists(tmp_path / teammates.LOCK), True, within_s=5)
        waiting = asyncio.create_task(teammates.simulate(settings))
        await maria.quiet_for(1.5, about="ana")
    await maria.sees("ana", "online", within_s=10)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def _exists(path: Path) -> bool:
    return await asyncio.to_thread(path.exists)
