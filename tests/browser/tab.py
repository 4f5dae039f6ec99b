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
  const { PresenceClient } = await import("/static/presence.js");
  const plain = (value) => value instanceof Error ? { code: value.code ?? null } : value;
  window.events = [];
  window.told = [];
  const client = new PresenceClient({ getToken: (why) => window.mintToken(why), tabs: "each", ...options });
  for (const type of ["self", "feed", "connection", "teams", "warning", "signedout", "error"])
    client.on(type, (detail) => {
      const entries = Object.entries(detail).map(([key, value]) => [key, plain(value)]);
      window.events.push({ type, ...Object.fromEntries(entries) });
    });
  // A page follows people; a team as a whole only where it says so.
  for (const user of ["maria", "juan", "ana"])
    client.subscribe(user, (presence) => window.told.push({ user, ...presence }));
  window.client = client;
}"""


class Tab:
    """A tab that tells what it sent, received and told its page. Unless `tabs="shared"`, it has a socket of its own.

    Attributes:
        asked: why the client asked for each of its tokens.
        sent: every message it sent, in order, on whatever socket.
        received: every message it received.
        console: what the page has logged.
        sockets: how many sockets it has opened.
    """

    def __init__(self, page: Page, get_token: GetToken) -> None:
        self.page = page
        self.asked: list[str] = []
        self.sent: list[Json] = []
        self.received: list[Json] = []
        self.console: list[str] = []
        self.sockets = 0
        self._get_token = get_token
        page.on("websocket", self._on_socket)
        page.on("console", lambda message: self.console.append(message.text))

    @classmethod
    async def open(cls, page: Page, get_token: GetToken, **options: Any) -> Tab:
        """Put a client into an empty page and connect it.

        Args:
            get_token: called with the client's reason; raising `RuntimeError` is a failure of the host application.
            options: of the client's constructor.
        """
        tab = cls(page, get_token)
        await page.expose_function("mintToken", tab._mint)
        await tab.start(**options)
        return tab

    async def start(self, **options: Any) -> None:
        """Put a client into the page, where `mintToken` is already: once more, after it was left."""
        await self.page.evaluate(START, options)

    async def start_on_load(self, **options: Any) -> None:
        """From now on the page starts a client by itself when it is loaded, which is nobody's input."""
        call = f"({START})({json.dumps(options)})"
        await self.page.add_init_script(f"addEventListener('DOMContentLoaded', () => {call});")

    async def run(self, body: str, argument: object = None) -> Any:
        """Run `body` with the client as `client`, all its events as `events` and the argument as `given`."""
        return await self.page.evaluate(
            "async (given) => { const { client, events, told } = window; " + body + " }", argument
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
        condition = "(client.get(given.user, { team: given.team })?.status ?? null) === given.status"
        await self.until(condition, {"team": team, "user": user, "status": status})

    async def events(self, *types: str) -> list[Json]:
        found: list[Json] = await self.run("return events.filter(({ type }) => given.includes(type));", list(types))
        return found

    async def choose(self, status: str, team: str | None = None) -> str | None:
        """Choose a status; returns None, or the code of the error."""
        body = "return client.setStatus(...given).then(() => null, ({ code }) => code);"
        code: str | None = await self.run(body, [status] if team is None else [status, {"team": team}])
        return code

    async def get(self, user: str) -> Json | None:
        """What the client knows of a user in its first team."""
        found: Json | None = await self.run("return client.get(given);", user)
        return found

    async def told(self, user: str) -> list[Json]:
        """What the page was told of maria, juan or ana, in order."""
        found: list[Json] = await self.run("return told.filter((each) => each.user === given);", user)
        return found

    async def statuses_told(self, user: str) -> list[str]:
        """The statuses the page was told of a user, in order, without repetitions."""
        statuses = [each["status"] for each in await self.told(user) if "status" in each]
        return [status for at, status in enumerate(statuses) if at == 0 or statuses[at - 1] != status]

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
