"""A lane on a bench: a clock that is told, and a hand that sends."""

from __future__ import annotations

import asyncio
from typing import Any

from presence_server.core.roster import Mark
from presence_server.store.calls import Call, Entry, SingleCall, Waiting
from presence_server.store.hold import Hold
from presence_server.store.lane import PATIENCE_S, Lane
from presence_server.store.types import Reply

REPLY = Reply(Mark("k1", 7, "tip"), 600_000, 20_000, 1_000, 1, [1, b"online"])


class Bench:
    """A lane, its clock, and what was sent on it."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.lane = Lane("acme")

    def waiting(self) -> Waiting:
        return Waiting(self.now_s + PATIENCE_S)

    def tell(self, hold: Hold, *, patient: bool = False) -> asyncio.Future[Any] | None:
        waiting = None if patient else self.waiting()
        self.lane.tell(hold, waiting)
        return None if waiting is None else waiting.future

    def choose(self, status: str, user: str = "maria", by: str = "maria") -> asyncio.Future[Any]:
        waiting = self.waiting()
        self.lane.choose(user, status, self.now_s, by, waiting)
        return waiting.future

    def single(self) -> asyncio.Future[Any]:
        call, waiting = SingleCall("sign_out", ("maria", "", 1, ""), once=True), Waiting(None)
        entry = call.entries[None] = Entry(None)
        entry.waiting.append(waiting)
        self.lane.add(call)
        return waiting.future

    def send(self) -> Call:
        """Send the next call, as the lane's owner does."""
        call = self.lane.head(self.now_s)
        assert call is not None
        assert call.prepare(lambda at_s: int(at_s * 1000))
        call.number = call.number or 1
        return call

    def take(self) -> list[str]:
        """Send and answer everything; tells what was sent."""
        sent = []
        while self.lane.head(self.now_s) is not None:
            call = self.send()
            sent.append(call.name)
            self.lane.answered()
        return sent


def hold(user: str = "maria", connections: int = 1) -> Hold:
    made = Hold("acme", user, "s1", 50.0)
    made.connections, made.is_new = connections, True
    return made
