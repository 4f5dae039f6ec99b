"""One WebSocket connection of a simulated tab: all that is said on it goes into its transcript."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection

from reliability.oracle.record import End, Message, Said, Transcript
from reliability.oracle.spans import Span
from tests.support.timing import now_ms
from tests.support.wire import Wire


class Line(Wire):
    """An open connection that keeps a transcript; `attach` comes before anything else.

    Attributes:
        transcript: what was said.
        points: by team, how a following connection resumes.
        hear: called with each message.
    """

    transcript: Transcript
    hear: Callable[[Message], None]

    def __init__(self, connection: ClientConnection, name: str) -> None:
        super().__init__(connection, name)
        self.points: dict[str, dict[str, object]] = {}
        self._ids = itertools.count(1)
        self._unread_since: int | None = None

    @property
    def port(self) -> int:
        """The client's own TCP port: by it, the balancer tells which worker has the connection."""
        return int(self.connection.transport.get_extra_info("sockname")[1])

    @property
    def is_over(self) -> bool:
        """Whether the client takes it for over."""
        return self.transcript.end is not End.OPEN

    def attach(self, transcript: Transcript, hear: Callable[[Message], None]) -> None:
        self.transcript, self.hear = transcript, hear

    async def say(self, kind: str, **fields: Any) -> None:
        """Send a message, as long as it is open."""
        if not self.is_over:
            self.transcript.sent.append(Said(now_ms(), copy.deepcopy({"type": kind, **fields})))
            await self.send(kind, **fields)

    async def ask(self, kind: str, **fields: Any) -> int:
        """Send a message with an id, which is returned."""
        identity = next(self._ids)
        await self.say(kind, id=identity, **fields)
        return identity

    def over(self, how: End, code: int | None = None) -> None:
        """The client takes it for over, from now on; only the first time counts."""
        if not self.is_over:
            self.transcript.end, self.transcript.ended, self.transcript.code = how, now_ms(), code
            self.look_away(False)

    def look_away(self, away: bool) -> None:
        """Stop reading, or go on."""
        if away and self._unread_since is None:
            self.freeze()
            self._unread_since = now_ms()
        elif not away and self._unread_since is not None:
            self.transcript.unread.append(Span(self._unread_since, now_ms()))
            self._unread_since = None
            if self.transcript.end is not End.HALF_OPEN:
                self.thaw()

    @property
    def looks_away(self) -> bool:
        return self._unread_since is not None

    def _receive(self, data: str | bytes) -> None:
        message = json.loads(data)
        if self.is_over:
            return
        self.transcript.received.append(Said(now_ms(), message))
        is_whole = message["type"] == "snapshot" and not message.get("more")
        if is_whole or (message["type"] == "delta" and message["team"] in self.points):
            self.points[message["team"]] = {"epoch": message["epoch"], "version": message["version"]}
        self.hear(message)
