"""A deploy that nobody sees: every process is replaced, nobody's status changes, and nobody is lost."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.conftest import NewSite
from tests.support.balancer import Balancer, HaProxy
from tests.support.client import Client
from tests.support.polling import becomes
from tests.support.site import Site
from tests.support.supervised import living
from tests.support.timing import SOON_S, UNIT
from tests.support.worker import Worker
from tests.system.conftest import Running

# As many of one team as there are, one after another, keep nobody's machine from the others for long.
AT_ONCE = 50
TEAM_OF = 10
# So long that only who does not come back at all is seen to be away, however busy the machine is.
FORGIVING = {"lease_ttl": 45, "disconnect_grace": 30}

USERS = pytest.mark.parametrize("users", [200, pytest.param(1_000, marks=pytest.mark.long)])


class Office:
    """People in teams of ten, and what Redis has of each team.

    Args:
        site: where they are.
        users: how many.
        front: where they connect to.

    Attributes:
        people: the connection of each.
        turned_away: how often somebody had to try again.
    """

    def __init__(self, site: Site, users: int, front: Worker | Balancer) -> None:
        self._site = site
        self._front = front
        self._team_of = {f"user{number}": f"{site.team}-{number // TEAM_OF}" for number in range(users)}
        self.people: dict[str, Client] = {}
        self.turned_away = 0

    async def connect(self, user: str, *, resume_from: Client | None = None) -> Client:
        """Bring somebody in, or back; where nobody takes him now, he tries again, as a browser does."""
        team = self._team_of[user]
        while True:
            try:
                return await self._site.connect(
                    user, on=self._front.ws_url, teams=[team], resume_from=resume_from, open_timeout=60
                )
            except (OSError, InvalidStatus):
                self.turned_away += 1
                await asyncio.sleep(random.uniform(0.1, 0.5))

    async def fill(self) -> None:
        """Connect everybody."""
        users = list(self._team_of)
        for at in range(0, len(users), AT_ONCE):
            some = users[at : at + AT_ONCE]
            self.people |= zip(some, await asyncio.gather(*map(self.connect, some)), strict=True)

    async def away(self) -> list[str]:
        """Who is not connected."""
        return [user for user, client in self.people.items() if client.close_code is not None]

    async def versions(self) -> dict[str, int]:
        """Of each team the number of its last change; everybody of it is there."""
        teams = sorted(set(self._team_of.values()))
        api = self._site.api(self._site.unique("boss"), on=self._front.http_url, admin=True, teams=teams)
        found = {}
        for team in teams:
            answer = (await api.request("GET", f"/v1/teams/{team}/presence")).json()
            statuses = {user: entry["status"] for user, entry in answer["users"].items()}
            assert statuses == {user: "online" for user, its in self._team_of.items() if its == team}
            found[team] = answer["version"]
        return found


@contextlib.asynccontextmanager
async def nobody_notices(office: Office) -> AsyncIterator[None]:
    """While this lasts nothing changes in any team; afterwards everybody is connected, and nothing left to forgive."""
    await office.fill()
    before = await office.versions()
    async with living(office.connect, office.people):
        yield
        await becomes(office.away, [], within_s=2 * SOON_S)
        assert await office.versions() == before
        assert await office.away() == []


@USERS
async def test_of_all_processes_on_one_port(running: Running, users: int) -> None:
    """By SIGHUP; the port answers all the time."""
    site, server = await running(processes=2, drain_timeout=2 * UNIT, **FORGIVING)
    before = server.members()
    refused = 0
    office = Office(site, users, server)
    async with nobody_notices(office), httpx.AsyncClient(trust_env=False) as http:
        server.hang_up()
        while "All workers are restarted" not in server.log():
            refused += (await http.get(server.http_url + "/readyz")).status_code != 200
            assert server.alive
    assert (refused, office.turned_away) == (0, 0)
    assert len(server.members()) == 2
    assert server.gone(*before)


@USERS
async def test_of_all_servers_behind_the_balancer_of_compose(new_site: NewSite, tmp_path: Path, users: int) -> None:
    """One after another, each when the one before is back."""
    site = await new_site(workers=2, trusted_proxies="127.0.0.1", drain_timeout=2 * UNIT, **FORGIVING)
    balancer = HaProxy(site.workers, tmp_path)
    try:
        await asyncio.to_thread(balancer.start)
        async with nobody_notices(Office(site, users, balancer)):
            for worker in site.workers:
                worker.terminate()
                assert await worker.wait() == 0
                await asyncio.to_thread(worker.start)
    finally:
        await asyncio.to_thread(balancer.close)
