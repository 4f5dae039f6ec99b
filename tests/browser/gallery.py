"""Pages with elements in them, and a server in the page that tells what the test wants (gallery.js)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from playwright.async_api import Page, Route

from tests.browser.windows import MODULES_ORIGIN, Windows

ROOM = Path(__file__).parent / "gallery.js"
PAGE = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="color-scheme" content="light dark" />
    <title>Gallery</title>
    <link rel="stylesheet" href="/static/presence.css" />
    <script type="module" src="/room.js"></script>
    <style>body { font: 14px/1.45 system-ui, sans-serif; background: Canvas; color: CanvasText; }</style>
  </head>
  <body><main><h1>Gallery</h1><div id="place">CONTENT</div></main></body>
</html>
"""


class Gallery:
    """A page with elements.

    Attributes:
        page: the window.
    """

    def __init__(self, page: Page) -> None:
        self.page = page

    @classmethod
    async def open(cls, windows: Windows, content: str = "", **options: Any) -> Gallery:
        """Open a page with `content` in it, connected as maria of team acme."""
        return await cls.open_in(await windows.open_modules(**options), content)

    @classmethod
    async def open_in(cls, page: Page, content: str = "") -> Gallery:
        """Likewise, in a window that `open_modules` has opened."""

        async def serve(route: Route) -> None:
            path = route.request.url.removeprefix(MODULES_ORIGIN)
            if path == "/room.js":
                await route.fulfill(body=ROOM.read_text(), content_type="text/javascript")
            else:
                await route.fulfill(body=PAGE.replace("CONTENT", content), content_type="text/html")

        await page.route(f"{MODULES_ORIGIN}/room.js", serve)
        await page.route(f"{MODULES_ORIGIN}/gallery", serve)
        await page.goto(f"{MODULES_ORIGIN}/gallery")
        await page.wait_for_function("window.client?.state === 'open'")
        return cls(page)

    async def people(self, **people: str | dict[str, object]) -> None:
        """The server tells what people are, each a status or more of what it says of him."""
        await self.run("room.set(given)", people)

    async def put(self, content: str) -> None:
        """Add elements to the page."""
        await self.run("place.append(document.createRange().createContextualFragment(given))", content)

    async def run(self, expression: str, given: object = None) -> Any:
        """Evaluate an expression over `room`, `client` and `place`."""
        return await self.page.evaluate(
            f"(given) => {{ const {{ room, client }} = window; const place = document.getElementById('place');"
            f" return {expression}; }}",
            given,
        )

    async def becomes(self, expression: str, expected: object) -> None:
        """Wait until an expression has a value."""
        wanted = json.dumps(expected)
        await self.page.wait_for_function(
            f"() => {{ const {{ room, client }} = window; const place = document.getElementById('place');"
            f" return JSON.stringify({expression}) === {json.dumps(wanted)}; }}",
            polling=20,
        )

    async def said(self, selector: str) -> str:
        """What a screen reader is told of an element: its computed role and name."""
        session = await self.page.context.new_cdp_session(self.page)
        document = await session.send("DOM.getDocument", {"depth": 0})
        node = await session.send("DOM.querySelector", {"nodeId": document["root"]["nodeId"], "selector": selector})
        tree = await session.send("Accessibility.getPartialAXTree", {"nodeId": node["nodeId"], "fetchRelatives": False})
        await session.detach()
        (found,) = tree["nodes"]
        if found["ignored"]:
            return ""
        return f"{found['role']['value']} {found['name']['value']}".strip()
