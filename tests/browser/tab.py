"""One tab of a host application, with the browser client in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from playwright.async_api import Page, TimeoutError, WebSocket

from tests.browser.windows import PATIENCE_MS
from tests.support.polling import becomes

Json = dict[str, Any]
GetToken = Callable[[str], str | None]

START = """async (options) => {
  const { PresenceClient } = await import("/static/presence-client.js");
  const plain = (value) =>
    value instanceof Map ? Object.fromEntries(value) : value instanceof Error ? { code: value.code ?? null } : value;
  window.events = [];
  window.client = new PresenceClient({ getToken: (why) => window.mintToken(why), ...options });
  for (const type of ["status", "self", "teams", "feed", "connection", "signedout", "error"]) {
    window.client.addEventListener(type, ({ detail }) => {
      const entries = Object.entries(detail).map(([key, value]) => [key, plain(value)]);
      window.events.push({ type, ...Object.fromEntries(entries) });
    });
  }
  window.client.connect();
}"""


class Tab:
    """A tab that tells what it sent, received and told its page.

    Attributes:
        asked: why the client asked for each of its tokens.
        sent: every message it sent, in order, on whatever socket.
        received: every message it received.
        sockets: how many sockets it has opened.
    """

    def __init__(self, page: Page, get_token: GetToken) -> None:
        self.page = page
        self.asked: list[str] = []
        self.sent: list[Json] = []
        self.received: list[Json] = []
        self.sockets = 0
        self._get_token = get_token
        page.on("websocket", self._on_socket)

    @classmethod
    async def open(cls, page: Page, get_token: GetToken, **options: Any) -> Tab:
        """Put a client into an empty page and connect it.

        Args:
            get_token: called with the client's reason; raising `RuntimeError` is a failure of the host application.
            options: of the client's constructor.
        """
        tab = cls(page, get_token)
        await page.expose_function("mintToken", tab._mint)
        await page.evaluate(START, options)
        return tab

    async def start_on_load(self, **options: Any) -> None:
        """From now on the page starts a client by itself when it is loaded, which is nobody's input."""
        call = f"({START})({json.dumps(options)})"
        await self.page.add_init_script(f"addEventListener('DOMContentLoaded', () => {call});")

    async def run(self, body: str, argument: object = None) -> Any:
        """Run `body` with the client as `client`, all its events as `events` and the argument as `given`."""
        return await self.page.evaluate(
            "async (given) => { const { client, events } = window; " + body + " }", argument
        )

    async def until(self, condition: str, argument: object = None) -> None:
        """Wait for an expression over `client`, `events` and `given`."""
        expression = "(given) => { const { client, events } = window; return " + condition + "; }"
        try:
            await self.page.wait_for_function(expression, arg=argument, timeout=PATIENCE_MS, polling=20)
        except TimeoutError:
            state = await self.run("return `${client.state}, live: ${client.live}`;")
            told = await self.run("return events.slice(-8);")
            story = (
                f"state {state}\nasked {self.asked}\nsent {self.sent[-5:]}\nreceived {self.received[-5:]}\ntold {told}"
            )
            raise AssertionError(f"Expected {condition} for {argument!r}, got\n{story}") from None

    async def live(self) -> Tab:
        await self.until("client.live")
        return self

    async def sees(self, team: str, user: str, status: str | None) -> None:
        """Wait until the client knows `user` as `status`."""
        condition = "(client.status(given.team, given.user)?.status ?? null) === given.status"
        await self.until(condition, {"team": team, "user": user, "status": status})

    async def events(self, *types: str) -> list[Json]:
        found: list[Json] = await self.run("return events.filter(({ type }) => given.includes(type));", list(types))
        return found

    async def states(self) -> list[str]:
        return [event["state"] for event in await self.events("connection")]

    async def choose(self, status: str, team: str | None = None) -> str | None:
        """Choose a status; returns None, or the code of the error."""
        body = "return client.setStatus(...given).then(() => null, ({ code }) => code);"
        code: str | None = await self.run(body, [status] if team is None else [status, team])
        return code

    async def watch(self, team: str, users: list[str] | str) -> str | None:
        """Watch; returns None, or the code of the error."""
        code: str | None = await self.run(
            "return client.watch(...given).then(() => null, (e) => e.code);", [team, users]
        )
        return code

    def of_type(self, kind: str) -> list[Json]:
        """What it sent of a type."""
        return [message for message in self.sent if message["type"] == kind]

    async def sends(self, kind: str, count: int = 1) -> list[Json]:
        """Wait until it has sent `count` messages of a type in all; returns them."""
        await becomes(lambda: self._at_least(kind, count), True, within_s=PATIENCE_MS / 1000)
        return self.of_type(kind)

    async def _at_least(self, kind: str, count: int) -> bool:
        return len(self.of_type(kind)) >= count

    def _on_socket(self, socket: WebSocket) -> None:
        self.sockets += 1
        socket.on("framesent", lambda payload: self.sent.append(json.loads(payload)))
        socket.on("framereceived", lambda payload: self.received.append(json.loads(payload)))

    def _mint(self, why: str) -> str | None:
        self.asked.append(why)
        return self._get_token(why)
