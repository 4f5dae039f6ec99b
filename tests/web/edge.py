"""The HTTP edge by itself: the real application parts on a real server, with a worker that is all memory.

The worker's methods are the edge's port to everything below, so what is tested here is the edge alone: who may do what,
what is asked for, what is answered. With Redis and all, the same API is tested in tests/system.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from presence_server import errors
from presence_server.core.status import OFFLINE, Presence, TeamView, UserDetail
from presence_server.live.access import TeamSettings
from presence_server.live.counters import Counters
from presence_server.settings import Settings
from presence_server.web import api, metrics, origins, problems
from presence_server.web.auth import TokenVerifier
from tests.support import tokens

SINCE_MS = 1_763_800_000_000
MARIA = UserDetail("maria", "busy", SINCE_MS, "chosen", "busy", SINCE_MS + 5, 2, "offline", SINCE_MS + 600_005)
JUAN = UserDetail("juan", "online", SINCE_MS + 1, "signed_in", "online", SINCE_MS + 1, 1, "offline", SINCE_MS + 600_001)
ANA = UserDetail("ana", "offline", SINCE_MS + 2, "idle", "busy", SINCE_MS - 600_000, 1)


class MemoryWorker:
    """The part of the worker that the edge calls, with a team `acme` in memory.

    Attributes:
        reachable: whether Redis is, as it were.
        forced: whom an administrator has chosen for or signed out.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.counters = Counters()
        self.access = self
        self.ready = True
        self.draining = False
        self.failed = asyncio.Event()
        self.reachable = True
        self.users: dict[str, UserDetail] = {each.user: each for each in (MARIA, JUAN, ANA)}
        self.idle_timeout_ms = settings.idle_timeout_ms
        self.grace_ms = settings.disconnect_grace_ms
        self.forced: list[str] = []

    async def read_team(self, team: str, users: Sequence[str] | None) -> TeamView:
        self._check()
        if users is None:
            found = {user: detail for user, detail in self.users.items() if detail.status != OFFLINE}
        else:
            found = {user: self.users.get(user) or UserDetail(user, OFFLINE) for user in users}
        shown = {user: Presence(detail.status, detail.since, detail.reason) for user, detail in found.items()}
        return TeamView("k3", 815, shown)

    async def read_user(self, team: str, user: str) -> UserDetail:
        self._check()
        return self.users.get(user) or UserDetail(user, OFFLINE)

    async def choose(self, team: str, user: str, status: str, *, by: str) -> None:
        self._check()
        by_admin = by != user
        before = self.users.get(user) or UserDetail(user, OFFLINE)
        shown = before.status if before.status == OFFLINE else status
        self.users[user] = before._replace(status=shown, chosen=status, reason="forced" if by_admin else "chosen")
        self.forced += [user] if by_admin else []

    async def sign_out_user(self, team: str, user: str, *, by: str) -> None:
        self._check()
        by_admin = by != user
        reason = "forced" if by_admin else "signed_out"
        if user in self.users:
            self.users[user] = self.users[user]._replace(status=OFFLINE, reason=reason, connections=0)
        self.forced += [user] if by_admin else []

    async def read_settings(self, team: str) -> TeamSettings:
        self._check()
        return TeamSettings(self.idle_timeout_ms, self.grace_ms)

    async def write_settings(self, team: str, **wanted: int) -> TeamSettings:
        self._check()
        self.idle_timeout_ms = wanted.get("idle_timeout_ms", self.idle_timeout_ms) or self.settings.idle_timeout_ms
        self.grace_ms = wanted.get("grace_ms", self.grace_ms)
        if self.grace_ms < 0:
            self.grace_ms = self.settings.disconnect_grace_ms
        return TeamSettings(self.idle_timeout_ms, self.grace_ms)

    def connection_count(self) -> int:
        return 3

    def users_by_status(self) -> dict[str, int]:
        return {"online": 1, "busy": 1}

    def team_counts(self) -> tuple[int, int]:
        return 5, 2

    def lease_age_s(self) -> float:
        return 0.25

    def _check(self) -> None:
        if not self.reachable:
            raise errors.Unavailable("Expected Redis to answer, got nothing: try again in a moment")


class Edge:
    """A running server, and calls to it.

    Attributes:
        app: the application.
        worker: its worker.
        url: where it listens.
    """

    def __init__(self, app: Starlette, http: httpx.AsyncClient, url: str) -> None:
        self.app = app
        self.url = url
        self._http = http
        self.reset()

    def reset(self) -> None:
        """Forget what earlier requests have left behind."""
        self.worker = MemoryWorker(self.app.state.settings)
        self.app.state.worker = self.worker
        self.app.state.http_rates = {}

    async def call(self, method: str, path: str, token: str | None = None, **options: Any) -> httpx.Response:
        """Send a request, with a token if one is given."""
        headers = dict(options.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return await self._http.request(method, path, headers=headers, **options)


@asynccontextmanager
async def running(extra_routes: Sequence[BaseRoute] = (), **settings: Any) -> AsyncIterator[Edge]:
    """Run the edge on a port of the loopback interface."""
    configured = Settings(**({"jwt_secret": tokens.SECRET} | settings))
    app = Starlette(
        routes=[*api.routes, metrics.route, *extra_routes],
        middleware=origins.middleware(configured),
        exception_handlers=problems.handlers(),
    )
    app.state.settings = configured
    app.state.verifier = TokenVerifier(configured)
    # Named TCP, or asyncio would not know to switch Nagle's algorithm off, and every answer took 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(
        uvicorn.Config(app, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False)
    )
    serving = asyncio.create_task(server.serve([listener]))
    try:
        async with httpx.AsyncClient(base_url=url, trust_env=False, verify=False) as http:
            yield Edge(app, http, url)
    finally:
        server.should_exit = True
        await serving
        await app.state.verifier.close()


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check that a response is this problem, in every respect that all problems share, and return its object."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    found: dict[str, Any] = response.json()
    assert (found["type"], found["status"], found["code"]) == ("about:blank", status, code)
    assert found["title"]
    assert found["detail"]
    return found
