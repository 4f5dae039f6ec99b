"""Browser windows for tests: each is a person at a machine of his own."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Route, expect

import presence_server
from tests.support.timing import SOON_S

STATIC = Path(presence_server.__file__).parent / "static"
MODULES_ORIGIN = "http://modules.test"
PATIENCE_MS = 2 * SOON_S * 1000
BLANK = "<!doctype html><html lang=en><title>Blank</title>"

expect.set_options(timeout=PATIENCE_MS)


class Windows:
    """Windows of one test.

    Attributes:
        errors: what pages threw, or found worth an error in their console.
    """

    def __init__(self, browser: Browser) -> None:
        self.errors: list[str] = []
        self._browser = browser
        self._contexts: list[BrowserContext] = []

    async def open(self, url: str | None = None, **options: Any) -> Page:
        """Open a window that shares nothing with the others.

        Args:
            url: where to go; nowhere when None.
            options: of Playwright's `new_context`, such as `locale`.
        """
        options = {"viewport": {"width": 1280, "height": 800}, "locale": "en-US"} | options
        context = await self._browser.new_context(**options)
        context.set_default_timeout(PATIENCE_MS)
        self._contexts.append(context)
        return await self._new_page(context, url)

    async def another(self, page: Page) -> Page:
        """Open another tab beside one, at the same address."""
        return await self._new_page(page.context, page.url)

    async def _new_page(self, context: BrowserContext, url: str | None) -> Page:
        page = await context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._on_console)
        if url is not None:
            await page.goto(url)
        return page

    async def open_modules(self, **options: Any) -> Page:
        """Open an empty page whose origin serves the static files and nothing else."""
        page = await self.open(**options)
        await page.route(f"{MODULES_ORIGIN}/**", _serve_static)
        await page.goto(f"{MODULES_ORIGIN}/")
        return page

    async def open_blank(self, origin: str, **options: Any) -> Page:
        """Open a page of a worker's own origin, nearly empty, that stands for a host application's."""
        return await self.open(f"{origin}/healthz", **options)

    async def close(self) -> None:
        # What a page was asking for when it is closed fails: no fault of it.
        errors = list(self.errors)
        for context in self._contexts:
            await context.close()
        assert not errors, f"Expected pages without errors, got {errors}"

    def _on_console(self, message: ConsoleMessage) -> None:
        # That a connection failed is the network's news, not a fault of the page.
        network = ("WebSocket connection to", "Failed to load resource")
        if message.type == "error" and not message.text.startswith(network):
            self.errors.append(message.text)


async def _serve_static(route: Route) -> None:
    path = urlsplit(route.request.url).path
    if path == "/":
        await route.fulfill(body=BLANK, content_type="text/html")
        return
    file = STATIC / path.removeprefix("/static/")
    await route.fulfill(body=file.read_bytes(), content_type=mimetypes.guess_type(file.name)[0] or "text/plain")
