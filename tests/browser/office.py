"""People of one team in browser windows, each on one of some workers."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from playwright.async_api import Page

from tests.browser.tab import Tab
from tests.browser.windows import Windows
from tests.support.api import Api
from tests.support.polling import becomes
from tests.support.tokens import mint
from tests.support.worker import Worker


class Office:
    """One team, of a name of its own.

    Args:
        origins: where pages are: of workers, or of what stands between.
    """

    def __init__(self, windows: Windows, origins: Sequence[str | Worker]) -> None:
        self.windows = windows
        self.origins = [origin if isinstance(origin, str) else origin.http_url for origin in origins]
        self.team = f"acme-{secrets.token_hex(4)}"
        self._apis: list[Api] = []

    async def tab(
        self, user: str, *, on: int = 0, sid: str | None = None, beside: Tab | None = None, **options: Any
    ) -> Tab:
        """Open a page with a client.

        Args:
            beside: another tab of the same browser; a browser of its own where there is none.
            options: of the client.
        """
        token = mint(user, [self.team], sid=sid)
        return await Tab.open(await self.page(on=on, beside=beside), lambda _why: token, **options)

    async def page(self, *, on: int = 0, beside: Tab | None = None) -> Page:
        if beside is not None:
            return await self.windows.another(beside.page)
        return await self.windows.open_blank(self.origins[on])

    async def live(self, user: str, **options: Any) -> Tab:
        """As `tab`, and wait until it is connected and knows everything."""
        return await (await self.tab(user, **options)).live()

    def api(self, user: str = "boss", *, admin: bool = True, on: int = 0) -> Api:
        """HTTP calls, closed with the office."""
        api = Api(self.origins[on], mint(user, [self.team], admin=admin), self.team)
        self._apis.append(api)
        return api

    async def connections(self, user: str) -> int:
        """How many sockets a user has open, by the server's count."""
        found: int = (await self._api.user(user))["connections"] or 0
        return found

    async def has_connections(self, user: str, count: int) -> None:
        """Wait until a user has so many sockets open, by the server's count: it learns later of one than the page."""
        await becomes(lambda: self.connections(user), count)

    @property
    def _api(self) -> Api:
        return self._apis[0] if self._apis else self.api()

    async def close(self) -> None:
        for api in self._apis:
            await api.close()
