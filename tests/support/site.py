"""What one test works with: workers on one Valkey, a team of its own, and the people in it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.api import Api
from tests.support.client import Client
from tests.support.polling import becomes
from tests.support.timing import CONVERGE_S, SOON_S
from tests.support.tokens import SECRET, mint
from tests.support.worker import Worker


class Site:
    """Workers that share one Valkey, seen by one test with a team of its own.

    Attributes:
        workers: the processes.
        team: a team id that no other test has.
        clients: every connection the test opened.
    """

    def __init__(self, workers: Sequence[Worker]) -> None:
        self.workers = list(workers)
        self.tag = secrets.token_hex(4)
        self.team = f"acme-{self.tag}"
        self.clients: list[Client] = []
        self._apis: dict[object, Api] = {}

    def token(self, user: object, *, teams: object = None, **claims: Any) -> str:
        """A token for the test's team, or for `teams`; see `tokens.mint`."""
        return mint(user, [self.team] if teams is None else teams, **({"secret": SECRET} | claims))

    def unique(self, name: str) -> str:
        """`name` as an id that no other test has, such as a session's."""
        return f"{name}-{self.tag}"

    async def connect(self, user: str, *, on: int | str = 0, settled: bool = True, **options: Any) -> Client:
        """Sign `user` in and wait until he has his first view.

        Args:
            on: which worker, or the address of a balancer.
            settled: False returns right after hello was sent.
            options: `token`, or the token's `teams`, `sid`, `ttl_s`, `admin`; the rest goes to `Client.connect`.
        """
        claims = {name: options.pop(name) for name in ("teams", "sid", "ttl_s", "admin") if name in options}
        token = options.pop("token") if "token" in options else self.token(user, **claims)
        client = await Client.connect(self.ws_url(on), token, name=f"{user}@{on}", **options)
        self.clients.append(client)
        return await client.settled() if settled else client

    async def open(self, *, on: int | str = 0, **options: Any) -> Client:
        """A connection that has not said hello."""
        client = await Client.open(self.ws_url(on), name=f"stranger@{on}", **options)
        self.clients.append(client)
        return client

    async def refused(self, code: int, user: str = "juan", **options: Any) -> Client:
        """A hello that must be answered by closing with `code`, and never by a welcome."""
        client = await self.connect(user, settled=False, **options)
        await client.closed(code)
        assert not client.of_type("welcome"), f"Expected no welcome before {code}, got {client.messages}"
        return client

    async def handshake_status(self, *, on: int = 0) -> int:
        """The HTTP status that a WebSocket upgrade gets: 101 where it is accepted."""
        try:
            async with connect(self.ws_url(on), proxy=None, ping_interval=None):
                return 101
        except InvalidStatus as refusal:
            return refusal.response.status_code

    def ws_url(self, on: int | str) -> str:
        return on if isinstance(on, str) else self.workers[on].ws_url

    def api(self, user: str | None = "backend", *, on: int | str = 0, token: str | None = None, **claims: Any) -> Api:
        """The HTTP calls of `user`; None sends no token. The same arguments give the same connection."""
        key = (user, on, token, repr(claims))
        if key not in self._apis:
            bearer = token if token is not None or user is None else self.token(user, **claims)
            base_url = on if isinstance(on, str) else self.workers[on].http_url
            self._apis[key] = Api(base_url, bearer, self.team)
        return self._apis[key]

    def admin(self, *, on: int = 0) -> Api:
        """The HTTP calls of the team's administrator, who is nobody's teammate."""
        return self.api(self.unique("boss"), on=on, admin=True)

    async def stop_workers(self) -> None:
        """Stop every worker in peace."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            assert await worker.wait() == 0

    async def start_workers(self) -> None:
        """Start every worker at once."""
        await asyncio.gather(*(asyncio.to_thread(worker.start) for worker in self.workers))

    async def converges(
        self, *, within_s: float = CONVERGE_S + SOON_S, clients: Sequence[Client] | None = None
    ) -> None:
        """Wait until every open, unnarrowed connection shows what Redis says, read through every worker."""
        apis = [self.admin(on=number) for number, worker in enumerate(self.workers) if worker.alive]
        watching = [client for client in (clients or self.clients) if client.close_code is None]

        async def differing() -> str:
            stored = await apis[0].statuses()
            views = {f"read of {api.url}": await api.statuses() for api in apis}
            views |= {repr(client): client.view(self.team).statuses() for client in watching}
            wrong = {name: statuses for name, statuses in views.items() if statuses != stored}
            return f"{wrong} instead of {stored}" if wrong else ""

        await becomes(differing, "", within_s=within_s)
        for client in watching:
            client.check()

    async def close(self) -> None:
        """End what the test left open; raises the first thing a client objects to."""
        for api in self._apis.values():
            await api.close()
        endings = [asyncio.wait_for(client.end(), SOON_S) for client in self.clients]
        for result in await asyncio.gather(*endings, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
